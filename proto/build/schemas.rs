//! Messages as proto3 JSON: the schemas of what a request may hold and of what an answer holds, and an example of each.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use crate::facts::{self, Commented as _, Rule};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Liberal: numbers are taken as strings too, and what has a default may be left out.
    Request,
    /// Strict: every field is there, in one form.
    Answer,
}

/// The schemas of all messages of a service.
pub struct Schemas {
    messages: Vec<MessageDescriptor>,
    /// On which sides each of them occurs, by its full name.
    sides: BTreeSet<(String, Side)>,
}

impl Schemas {
    pub fn of(service: &ServiceDescriptor) -> Self {
        let mut schemas = Self { messages: Vec::new(), sides: BTreeSet::new() };
        for method in service.methods() {
            schemas.add(method.input(), Side::Request);
            schemas.add(method.output(), Side::Answer);
        }
        schemas
    }

    fn add(&mut self, message: MessageDescriptor, side: Side) {
        if is_timestamp(&message) || !self.sides.insert((message.full_name().to_owned(), side)) {
            return;
        }
        for field in message.fields() {
            if let Kind::Message(inner) = field.kind() {
                self.add(inner, side);
            }
        }
        if !self.messages.contains(&message) {
            self.messages.push(message);
        }
    }

    /// Points at the schema of a message.
    pub fn reference(&self, message: &MessageDescriptor, side: Side) -> Value {
        json!({ "$ref": format!("#/components/schemas/{}", self.name(message, side)) })
    }

    /// A message that occurs on both sides has a schema for each.
    fn name(&self, message: &MessageDescriptor, side: Side) -> String {
        let (own, other) = match side {
            Side::Request => ("Input", Side::Answer),
            Side::Answer => ("Output", Side::Request),
        };
        let is_shared = self.sides.contains(&(message.full_name().to_owned(), other));
        if is_shared { format!("{}-{own}", message.name()) } else { message.name().to_owned() }
    }

    /// All schemas by their names.
    pub fn components(&self) -> Result<Map<String, Value>> {
        let mut components = Map::new();
        for message in &self.messages {
            for side in [Side::Request, Side::Answer] {
                if self.sides.contains(&(message.full_name().to_owned(), side)) {
                    let replaced = components.insert(self.name(message, side), self.message(message, side)?);
                    ensure!(replaced.is_none(), "two messages are called {}", message.name());
                }
            }
        }
        Ok(components)
    }

    fn message(&self, message: &MessageDescriptor, side: Side) -> Result<Value> {
        let mut schema = json!({ "type": "object" });
        let comment = message.comment();
        describe(&mut schema, if is_empty(message) { "Nothing: an object without fields." } else { &comment });
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields() {
            let mut schema = self.field(&field, side)?;
            if is_required(&field, side)? {
                required.push(field.name().to_owned());
            } else {
                schema = or_null(schema);
            }
            properties.insert(field.name().to_owned(), schema);
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        Ok(schema)
    }

    fn field(&self, field: &FieldDescriptor, side: Side) -> Result<Value> {
        let facts = facts::field(field)?;
        ensure!(!field.is_map(), "{}: maps have no schema yet", field.full_name());
        let kind = field.kind();
        let mut schema = match kind.as_message() {
            Some(message) if is_timestamp(message) => json!({ "type": "string", "format": "date-time" }),
            Some(message) => self.reference(message, side),
            None => scalar(&kind, &facts.rule, side, facts.is_number()),
        };
        let has_example = facts.rule.example.is_some() && schema.get("$ref").is_none();
        if has_example {
            schema["examples"] = json!([element(field, side)?]);
        }
        if field.is_list() {
            schema = json!({ "type": "array", "items": schema });
            set(&mut schema, "minItems", facts.rule.min_items);
            set(&mut schema, "maxItems", facts.rule.max_items);
        }
        describe(&mut schema, &field.comment());
        Ok(schema)
    }
}

/// An example of a message: a request has what it must have, an answer all there is.
pub fn example(message: &MessageDescriptor, side: Side) -> Result<Value> {
    let mut example = Map::new();
    for field in message.fields() {
        if is_required(&field, side)? {
            let element = element(&field, side)?;
            example.insert(field.name().to_owned(), if field.is_list() { json!([element]) } else { element });
        }
    }
    Ok(example.into())
}

fn element(field: &FieldDescriptor, side: Side) -> Result<Value> {
    let facts = facts::field(field)?;
    let text = facts.rule.example.as_deref();
    let number = |default| {
        let text = text.unwrap_or(default);
        text.parse::<serde_json::Number>().with_context(|| format!("{}: the example {text:?}", field.full_name()))
    };
    Ok(match field.kind() {
        Kind::Message(message) if is_timestamp(&message) => json!(text.unwrap_or("2026-11-30T12:00:00Z")),
        Kind::Message(message) => example(&message, side)?,
        Kind::String | Kind::Bytes => json!(text.unwrap_or_default()),
        Kind::Enum(all) => json!(text.unwrap_or(all.default_value().name())),
        Kind::Bool => json!(text == Some("true")),
        kind if is_wide(&kind) && side == Side::Answer && !facts.is_number() => json!(number("0")?.to_string()),
        Kind::Double | Kind::Float | Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => {
            number("0")?.into()
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => number("0")?.into(),
    })
}

/// In JSON, null is a field that is absent.
fn or_null(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        Some(Value::String(kind)) if schema.get("enum").is_none() => schema["type"] = json!([kind, "null"]),
        Some(Value::Array(mut kinds)) => {
            kinds.push("null".into());
            schema["type"] = kinds.into();
        }
        Some(_) | None => schema = json!({ "anyOf": [schema, { "type": "null" }] }),
    }
    schema
}

fn is_required(field: &FieldDescriptor, side: Side) -> Result<bool> {
    Ok(side == Side::Answer || facts::field(field)?.rule.is_required())
}

/// The schema of a text that stands for itself, such as a value of metadata or a header.
pub fn text(rule: &Rule) -> Value {
    let mut schema = json!({ "type": "string" });
    set(&mut schema, "maxLength", rule.max_length);
    set(&mut schema, "pattern", rule.pattern.as_deref());
    if !rule.values.is_empty() {
        schema["enum"] = json!(rule.values);
    }
    schema
}

fn scalar(kind: &Kind, rule: &Rule, side: Side, is_number: bool) -> Value {
    match kind {
        Kind::Double | Kind::Float => json!({ "type": "number" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => text(rule),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Enum(all) => {
            json!({ "type": "string", "enum": all.values().map(|v| v.name().to_owned()).collect::<Vec<_>>() })
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            integer("int32", rule, side, (Some(i32::MIN.into()), Some(i32::MAX.into())), true)
        }
        Kind::Uint32 | Kind::Fixed32 => integer("uint32", rule, side, (Some(0), Some(u32::MAX.into())), true),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer("int64", rule, side, (None, None), is_number),
        Kind::Uint64 | Kind::Fixed64 => integer("uint64", rule, side, (Some(0), None), is_number),
        Kind::Message(_) => Value::Null,
    }
}

/// The bounds of 64 bits are left to the format: readers that keep 53 bits would show others.
fn integer(format: &str, rule: &Rule, side: Side, bounds: (Option<i64>, Option<i64>), is_number: bool) -> Value {
    let (minimum, maximum) = (rule.minimum.or(bounds.0), rule.maximum.or(bounds.1));
    let digits = match minimum {
        Some(1..) => "^[1-9][0-9]*$",
        Some(0) => "^(0|[1-9][0-9]*)$",
        Some(..0) | None => "^(0|-?[1-9][0-9]*)$",
    };
    let is_text = side == Side::Request || !is_number;
    let mut schema = match (side, is_number) {
        (Side::Request, _) => json!({ "type": ["integer", "string"] }),
        (Side::Answer, true) => json!({ "type": "integer" }),
        (Side::Answer, false) => json!({ "type": "string" }),
    };
    schema["format"] = json!(format);
    if side == Side::Request || is_number {
        set(&mut schema, "minimum", minimum);
        set(&mut schema, "maximum", maximum);
    }
    set(&mut schema, "pattern", is_text.then_some(digits));
    schema
}

pub fn describe(schema: &mut Value, comment: &str) {
    set(schema, "description", Some(comment).filter(|comment| !comment.is_empty()));
}

fn set(schema: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        schema[key] = value.into();
    }
}

fn is_wide(kind: &Kind) -> bool {
    matches!(kind, Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64)
}

fn is_timestamp(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.protobuf.Timestamp"
}

fn is_empty(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.protobuf.Empty"
}

/// Refuses well-known types whose JSON is not that of a message.
pub fn check(schemas: &Schemas) -> Result<()> {
    for message in &schemas.messages {
        let is_plain = !message.full_name().starts_with("google.protobuf.") || is_empty(message);
        ensure!(is_plain, "{} has no schema yet", message.full_name());
    }
    Ok(())
}
