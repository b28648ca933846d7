//! Messages as proto3 JSON, in the form that a gRPC gateway gives them: fields by their names in the `.proto` files, all
//! of them present, integers of 64 bits as strings.

use prost::bytes::Bytes;
use prost_reflect::{
    Cardinality, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions,
};
use serde_json::{Deserializer, Value};

use crate::grpc::server::MESSAGE_PREFIX_BYTES;

/// A type of messages, and how its JSON differs from what the library writes.
#[derive(Debug)]
pub(super) struct Type {
    descriptor: MessageDescriptor,
    differs: bool,
}

impl Type {
    pub fn new(descriptor: MessageDescriptor) -> Self {
        let differs = differs(&descriptor);
        Self { descriptor, differs }
    }

    /// Reads JSON; an empty text is an empty message. The error says where it is, and what is wrong.
    pub fn read(&self, json: &[u8]) -> Result<DynamicMessage, String> {
        if json.iter().all(u8::is_ascii_whitespace) {
            return Ok(DynamicMessage::new(self.descriptor.clone()));
        }
        let mut deserializer = Deserializer::from_slice(json);
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
        // Clients of a later version may send fields that this one does not know.
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let message = DynamicMessage::deserialize_with_options(self.descriptor.clone(), tracked, &options);
        let message = message.map_err(|error| match track.path().to_string().as_str() {
            "." => format!("the body: {error}"),
            field => format!("{field}: {error}"),
        })?;
        deserializer.end().map_err(|error| format!("the body: {error}"))?;
        Ok(message)
    }

    /// Writes the message of an answer of gRPC.
    pub fn write(&self, mut framed: Bytes) -> anyhow::Result<Vec<u8>> {
        anyhow::ensure!(framed.first() == Some(&0), "the answer is empty or compressed");
        let message = DynamicMessage::decode(self.descriptor.clone(), framed.split_off(MESSAGE_PREFIX_BYTES))?;
        let options = SerializeOptions::new()
            .skip_default_fields(false)
            .stringify_64_bit_integers(true)
            .use_proto_field_name(true);
        let mut json = Vec::new();
        if self.differs {
            let mut value = message.serialize_with_options(serde_json::value::Serializer, &options)?;
            mend(&mut value, &self.descriptor);
            serde_json::to_writer(&mut json, &value)?;
        } else {
            message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options)?;
        }
        Ok(json)
    }
}

/// Messages in which another one may be absent, or whose options say that an integer of 64 bits is written as a number.
fn differs(message: &MessageDescriptor) -> bool {
    message.fields().any(|field| is_message(&field) || is_number(&field))
}

/// Fields that are absent are null, and fields whose options say so are numbers.
fn mend(value: &mut Value, message: &MessageDescriptor) {
    let Value::Object(object) = value else { return };
    for field in message.fields() {
        if is_message(&field) && !object.contains_key(field.name()) {
            object.insert(field.name().to_owned(), Value::Null);
        }
        let Some(value) = object.get_mut(field.name()) else { continue };
        if is_number(&field)
            && let Some(number) = value.as_str().and_then(|text| text.parse::<serde_json::Number>().ok())
        {
            *value = Value::Number(number);
        }
        if let Kind::Message(message) = field.kind() {
            match value {
                Value::Array(elements) => elements.iter_mut().for_each(|element| mend(element, &message)),
                other => mend(other, &message),
            }
        }
    }
}

/// Whether it is a message that may be absent.
fn is_message(field: &FieldDescriptor) -> bool {
    field.cardinality() != Cardinality::Repeated && matches!(field.kind(), Kind::Message(_))
}

fn is_number(field: &FieldDescriptor) -> bool {
    field
        .field_descriptor_proto()
        .options
        .as_ref()
        .is_some_and(|options| options.jstype() == prost_types::field_options::JsType::JsNumber)
}
