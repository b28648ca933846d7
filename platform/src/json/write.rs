//! Writes a message as proto3 JSON, in the form that a gRPC gateway gives it: fields by their names in the `.proto` file, all
//! of them present, integers of 64 bits as strings unless their `jstype` says that they are numbers.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, SerializeOptions, Value};
use serde::ser::{Error as _, Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

pub(super) struct Json<'a>(pub &'a DynamicMessage);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let descriptor = self.0.descriptor();
        // These have forms of their own.
        if descriptor.package_name() == "google.protobuf" {
            return self.0.serialize_with_options(serializer, &SerializeOptions::new());
        }
        let mut map = serializer.serialize_map(None)?;
        for field in descriptor.fields() {
            // A message that is absent is there as null.
            if field.supports_presence() && !self.0.has_field(&field) {
                map.serialize_entry(field.name(), &())?;
            } else {
                map.serialize_entry(field.name(), &Field { value: &self.0.get_field(&field), field: &field })?;
            }
        }
        map.end()
    }
}

struct Field<'a> {
    value: &'a Value,
    field: &'a FieldDescriptor,
}

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::List(elements) => {
                let mut list = serializer.serialize_seq(Some(elements.len()))?;
                for value in elements {
                    list.serialize_element(&Field { value, ..*self })?;
                }
                list.end()
            }
            Value::Map(entries) => serializer.collect_map(entries.iter().filter_map(|(key, value)| {
                let (Kind::Message(entry), Some(key)) = (self.field.kind(), key.as_str()) else { return None };
                Some((key.to_owned(), Entry { value, field: entry.map_entry_value_field() }))
            })),
            Value::I64(number) if !is_number(self.field) => serializer.collect_str(number),
            Value::U64(number) if !is_number(self.field) => serializer.collect_str(number),
            Value::I64(number) => serializer.serialize_i64(*number),
            Value::U64(number) => serializer.serialize_u64(*number),
            Value::I32(number) => serializer.serialize_i32(*number),
            Value::U32(number) => serializer.serialize_u32(*number),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::String(text) => serializer.serialize_str(text),
            Value::Message(message) => Json(message).serialize(serializer),
            Value::F32(_) | Value::F64(_) | Value::Bytes(_) | Value::EnumNumber(_) => {
                Err(S::Error::custom(format!("{} cannot be given as JSON", self.field.full_name())))
            }
        }
    }
}

/// A value of a map.
struct Entry<'a> {
    value: &'a Value,
    field: FieldDescriptor,
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Field { value: self.value, field: &self.field }.serialize(serializer)
    }
}

fn is_number(field: &FieldDescriptor) -> bool {
    let options = &field.field_descriptor_proto().options;
    options.as_ref().is_some_and(|options| options.jstype() == prost_types::field_options::JsType::JsNumber)
}
