//! Reads a message from proto3 JSON. Integers are read exactly or not at all, whatever way they are written, and a field
//! that is given twice is refused: a library that rounds and takes the last one would order something else than was asked
//! for.

use std::{borrow::Cow, collections::HashSet, fmt};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The largest power of ten that is multiplied out: no integer of 64 bits has more digits.
const MOST_DIGITS: usize = 20;

/// Reads JSON; an empty text is an empty message. The error says where it is, and what is wrong.
pub(super) fn read(descriptor: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, String> {
    let text = str::from_utf8(json).map_err(|error| format!("the body: {error}"))?;
    if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
        return Ok(DynamicMessage::new(descriptor.clone()));
    }
    let raw = serde_json::from_str(text).map_err(|error| format!("the body: {error}"))?;
    message(descriptor, raw).map_err(|Fault { at, what }| {
        if at.is_empty() { format!("the body: {what}") } else { format!("{}: {what}", at.trim_start_matches('.')) }
    })
}

/// What is wrong, and at which field.
struct Fault {
    at: String,
    what: String,
}

impl Fault {
    fn new(what: impl Into<String>) -> Self {
        Self { at: String::new(), what: what.into() }
    }

    fn within(self, name: &str) -> Self {
        Self { at: format!("{name}{}", self.at), ..self }
    }
}

fn message(descriptor: &MessageDescriptor, raw: &RawValue) -> Result<DynamicMessage, Fault> {
    let Members(members) = serde_json::from_str(raw.get()).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Fault::new("must be an object"),
        serde_json::error::Category::Io | serde_json::error::Category::Syntax | serde_json::error::Category::Eof => {
            Fault::new(error.to_string())
        }
    })?;
    let (mut message, mut given) = (DynamicMessage::new(descriptor.clone()), HashSet::new());
    for (name, raw) in members {
        let field = descriptor.get_field_by_name(&name).or_else(|| descriptor.get_field_by_json_name(&name));
        // Clients of a later version may send fields that this one does not know.
        let Some(field) = field else { continue };
        let within = |fault: Fault| fault.within(&format!(".{name}"));
        if !given.insert(field.number()) {
            return Err(within(Fault::new("is given twice")));
        }
        if raw.get() != "null" {
            message.set_field(&field, value(&field, raw).map_err(within)?);
        }
    }
    Ok(message)
}

fn value(field: &FieldDescriptor, raw: &RawValue) -> Result<Value, Fault> {
    if !field.is_list() {
        return single(field, raw);
    }
    let elements: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| Fault::new("must be a list"))?;
    let elements = elements.into_iter().enumerate();
    let read = elements.map(|(index, raw)| single(field, raw).map_err(|fault| fault.within(&format!("[{index}]"))));
    read.collect::<Result<_, _>>().map(Value::List)
}

fn single(field: &FieldDescriptor, raw: &RawValue) -> Result<Value, Fault> {
    match field.kind() {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(raw).map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(raw).map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(raw).map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(raw).map(Value::U64),
        Kind::String => {
            serde_json::from_str(raw.get()).map(Value::String).map_err(|_| Fault::new("must be a string of Unicode"))
        }
        Kind::Bool => serde_json::from_str(raw.get()).map(Value::Bool).map_err(|_| Fault::new("must be true or false")),
        Kind::Message(descriptor) => message(&descriptor, raw).map(Value::Message),
        Kind::Double | Kind::Float | Kind::Bytes | Kind::Enum(_) => Err(Fault::new("cannot be given as JSON")),
    }
}

/// An integer as a number or in a string, also with a fraction of zero or an exponent.
fn integer<T: TryFrom<i128>>(raw: &RawValue) -> Result<T, Fault> {
    let text = match serde_json::from_str::<String>(raw.get()) {
        // What is in the string must be a number of JSON.
        Ok(text) if serde_json::from_str::<&RawValue>(&text).is_ok_and(|inner| inner.get() == text) => text.into(),
        Ok(_) => return Err(Fault::new("must be an integer")),
        Err(_) => Cow::Borrowed(raw.get()),
    };
    let number = exact(&text).ok_or_else(|| Fault::new("must be an integer"))?;
    T::try_from(number).map_err(|_| Fault::new("is out of range"))
}

/// The integer that a number of JSON is. Those beyond all ranges become one that is beyond them, too.
fn exact(number: &str) -> Option<i128> {
    let (digits, is_negative) = match number.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (number, false),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (digits, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
    let fraction = i64::try_from(fraction.len()).ok()?.checked_sub(i64::try_from(zeros).ok()?)?;
    let exponent = usize::try_from(exponent.saturating_sub(fraction)).ok()?;
    let number: i128 = if significant.len().saturating_add(exponent) > MOST_DIGITS {
        i128::MAX
    } else {
        format!("{significant}{}", "0".repeat(exponent)).parse().ok()?
    };
    Some(if is_negative { -number } else { number })
}

/// The members of an object, in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_exactly_or_not_at_all() {
        for (text, number) in [
            ("0", Some(0)),
            ("-0.0e5", Some(0)),
            ("1.0", Some(1)),
            ("10e-1", Some(1)),
            ("0.1e1", Some(1)),
            ("1200e-2", Some(12)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("-9223372036854775809", Some(-9_223_372_036_854_775_809)),
            ("92233720368547758070e-1", Some(9_223_372_036_854_775_807)),
            ("1.5", None),
            ("15e-1", None),
            ("1e-400", None),
            ("true", None),
            ("{}", None),
        ] {
            assert_eq!(exact(text), number, "{text}");
        }
        for beyond in ["1e400", "1e99999999999999999999", "99999999999999999999999999999999999999999999"] {
            assert_eq!(exact(beyond), Some(i128::MAX), "{beyond}");
        }
    }
}
