//! The methods of all services, as their descriptors tell of them.

use std::{collections::HashMap, sync::Arc};

use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions,
    prost::Message as _,
};

/// The option of methods that names their paths over HTTP.
const PATH: &str = "route256.api.path";

/// By their paths of gRPC, such as `/loms.Loms/Stocks`.
#[derive(Debug, Clone)]
pub struct Methods(Arc<HashMap<String, Method>>);

#[derive(Debug)]
pub struct Method {
    descriptor: MethodDescriptor,
    /// The usual path over HTTP; `None` for what only gRPC has.
    pub http_path: Option<String>,
}

impl Methods {
    pub fn of_all_services() -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(proto::DESCRIPTORS)?;
        let path = pool.get_extension_by_name(PATH);
        let method = |descriptor: MethodDescriptor| {
            let (options, service) = (descriptor.options(), descriptor.parent_service().full_name().to_owned());
            let paths = path.as_ref().map(|path| options.get_extension(path));
            let first = paths.as_ref().and_then(|paths| paths.as_list()?.first()?.as_str().map(str::to_owned));
            (format!("/{service}/{}", descriptor.name()), Method { descriptor, http_path: first })
        };
        let services: Vec<_> = pool.services().collect();
        Ok(Self(Arc::new(services.iter().flat_map(|service| service.methods()).map(method).collect())))
    }

    pub fn find(&self, path: &str) -> Option<&Method> {
        self.0.get(path)
    }
}

impl Method {
    /// The JSON of a request, as a person would write it.
    pub fn request_json(&self, request: &[u8]) -> anyhow::Result<String> {
        let request = DynamicMessage::decode(self.descriptor.input(), request)?;
        let mut json = serde_json::Serializer::new(Vec::new());
        let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
        request.serialize_with_options(&mut json, &options)?;
        Ok(String::from_utf8(json.into_inner())?)
    }

    /// The message of an answer in JSON.
    pub fn read_answer(&self, json: &[u8]) -> anyhow::Result<Vec<u8>> {
        read(self.descriptor.output(), json)
    }
}

/// Returns the bytes of a message that is given in JSON. Fields that nobody knows here are those of a later version.
pub(super) fn read(descriptor: MessageDescriptor, json: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut json = serde_json::Deserializer::from_slice(json);
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(descriptor, &mut json, &options)?;
    json.end()?;
    Ok(message.encode_to_vec())
}
