//! gRPC for both ends: what happens around every call a service answers, and around every call it makes.

pub mod client;
pub mod server;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;

/// A method as a path names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Method {
    /// `package.Service`
    pub service: String,
    /// The name of the RPC.
    pub name: String,
}

impl Method {
    /// Reads `/package.Service/Method`.
    pub fn of_path(path: &str) -> Option<Self> {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        Some(Self { service: service.to_owned(), name: name.to_owned() })
    }

    /// Its labels in metrics; every RPC of the fleet is unary.
    fn labels(&self) -> [&str; 3] {
        ["unary", &self.service, &self.name]
    }

    fn labels_with<'a>(&'a self, code: &'a str) -> [&'a str; 4] {
        ["unary", &self.service, &self.name, code]
    }
}

/// The methods of a service (`package.Service`), from encoded file descriptors.
pub fn methods(descriptors: &[u8], service: &str) -> Result<Vec<Method>, prost::DecodeError> {
    let files = FileDescriptorSet::decode(descriptors)?.file;
    Ok(files
        .iter()
        .flat_map(|file| file.service.iter().map(move |found| (file.package(), found)))
        .filter(|(package, found)| format!("{package}.{}", found.name()) == service)
        .flat_map(|(_, found)| &found.method)
        .map(|method| Method { service: service.to_owned(), name: method.name().to_owned() })
        .collect())
}

/// Every code, in the order of its number.
fn codes() -> impl Iterator<Item = Code> {
    (0..=16).map(Code::from_i32)
}

/// The name of a code in labels and logs, as grpc-go writes it.
fn code_name(code: Code) -> String {
    if code == Code::Ok { "OK".to_owned() } else { format!("{code:?}") }
}
