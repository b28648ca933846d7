//! What the `.proto` files say beyond messages and calls: their comments, and the options that `api.proto` declares.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, EnumValueDescriptor, FieldDescriptor, FileDescriptor,
    MessageDescriptor, MethodDescriptor, SerializeOptions, ServiceDescriptor,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// What has a comment.
pub trait Commented {
    /// The comment that stands before it, as its lines stand there.
    fn comment(&self) -> String;
}

macro_rules! commented {
    ($($descriptor:ty),*) => {
        $(impl Commented for $descriptor {
            fn comment(&self) -> String {
                comment_at(&self.parent_file(), self.path())
            }
        })*
    };
}

commented!(
    EnumDescriptor,
    EnumValueDescriptor,
    FieldDescriptor,
    MessageDescriptor,
    MethodDescriptor,
    ServiceDescriptor
);

impl Commented for FileDescriptor {
    fn comment(&self) -> String {
        // A file is described before its `syntax`, which is the twelfth field of its descriptor.
        comment_at(self, &[12])
    }
}

fn comment_at(file: &FileDescriptor, path: &[i32]) -> String {
    let places = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let comment = places.filter(|place| place.path == path).find_map(|place| place.leading_comments.as_deref());
    let lines = comment.unwrap_or_default().trim_end().lines();
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Of a call.
#[derive(Debug, Default, Deserialize)]
pub struct Call {
    /// Where it is answered over HTTP; the first is the usual place.
    #[serde(rename = "[route256.api.path]", default)]
    pub paths: Vec<String>,
    #[serde(rename = "[route256.api.refusal]", default)]
    pub refusals: Vec<Refusal>,
}

/// A reason for which a call may be refused.
#[derive(Debug, Deserialize)]
pub struct Refusal {
    pub reason: String,
    /// The keys of metadata that this call adds to those of the reason.
    #[serde(default)]
    pub also: Vec<String>,
}

/// Of a field.
#[derive(Debug, Default, Deserialize)]
pub struct Field {
    #[serde(rename = "[route256.api.rule]", default)]
    pub rule: Rule,
    jstype: Option<String>,
}

impl Field {
    /// Whether JSON has an integer of 64 bits as a number.
    pub fn is_number(&self) -> bool {
        self.jstype.as_deref() == Some("JS_NUMBER")
    }
}

/// What a field may hold, as JSON Schema says it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rule {
    pub minimum: Option<i64>,
    pub maximum: Option<i64>,
    pub min_items: Option<u32>,
    pub max_items: Option<u32>,
    pub max_length: Option<u32>,
    pub pattern: Option<String>,
    #[serde(rename = "enum")]
    pub values: Vec<String>,
    pub required: bool,
    pub example: Option<String>,
}

impl Rule {
    /// Whether a request without the field is wrong, because the default of its type is no value of it.
    pub fn is_required(&self) -> bool {
        self.required
            || self.minimum.is_some_and(|minimum| minimum > 0)
            || self.min_items.is_some_and(|least| least > 0)
    }
}

/// A code of gRPC.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Code {
    #[serde(skip)]
    pub name: String,
    #[serde(skip)]
    pub number: i32,
    #[serde(skip)]
    pub meaning: String,
    #[serde(rename = "[route256.api.http_status]")]
    pub http_status: u16,
    #[serde(rename = "[route256.api.of_any_call]", default)]
    pub of_any_call: bool,
    #[serde(rename = "[route256.api.message]", default)]
    pub message: String,
}

/// A reason of refusals.
#[derive(Debug, Default, Deserialize)]
pub struct Reason {
    #[serde(skip)]
    pub name: String,
    #[serde(skip)]
    pub meaning: String,
    #[serde(rename = "[route256.api.code]")]
    pub code: String,
    #[serde(rename = "[route256.api.metadata]", default)]
    pub metadata: Vec<String>,
    #[serde(rename = "[route256.api.message]", default)]
    pub message: String,
}

pub fn call(method: &MethodDescriptor) -> Result<Call> {
    read(&method.options()).with_context(|| method.full_name().to_owned())
}

pub fn field(field: &FieldDescriptor) -> Result<Field> {
    read(&field.options()).with_context(|| field.full_name().to_owned())
}

/// All codes, by number.
pub fn codes(pool: &DescriptorPool) -> Result<Vec<Code>> {
    let values = values(pool, "route256.api.Code")?.into_iter().map(|value| {
        let code = read::<Code>(&value.options()).with_context(|| value.full_name().to_owned())?;
        Ok(Code { name: value.name().to_owned(), number: value.number(), meaning: value.comment(), ..code })
    });
    values.collect()
}

/// All reasons, in the order of the file.
pub fn reasons(pool: &DescriptorPool) -> Result<Vec<Reason>> {
    let values = values(pool, "route256.api.Reason")?.into_iter().filter(|value| value.number() != 0).map(|value| {
        let reason = read::<Reason>(&value.options()).with_context(|| value.full_name().to_owned())?;
        let keys = metadata(pool)?;
        let unknown = reason.metadata.iter().find(|key| !keys.contains_key(*key));
        ensure!(unknown.is_none(), "{}: route256.api.Metadata has no field {unknown:?}", value.full_name());
        Ok(Reason { name: value.name().to_owned(), meaning: value.comment(), ..reason })
    });
    values.collect()
}

/// What metadata may hold, by its keys.
pub fn metadata(pool: &DescriptorPool) -> Result<BTreeMap<String, FieldDescriptor>> {
    let message = pool.get_message_by_name("route256.api.Metadata").context("api.proto has no message Metadata")?;
    Ok(message.fields().map(|field| (field.name().to_owned(), field)).collect())
}

fn values(pool: &DescriptorPool, name: &str) -> Result<Vec<EnumValueDescriptor>> {
    let found = pool.get_enum_by_name(name).with_context(|| format!("there is no enum {name}"))?;
    Ok(found.values().collect())
}

fn read<T: DeserializeOwned>(options: &DynamicMessage) -> Result<T> {
    let as_declared = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let options: Value = options.serialize_with_options(serde_json::value::Serializer, &as_declared)?;
    Ok(serde_json::from_value(options)?)
}
