//! gRPC at both ends: calls that a service answers, and calls that it makes.

pub mod answer;
mod call_guard;
pub mod client;
pub(crate) mod faults;
mod places;
pub mod server;
pub mod status;
pub(crate) mod stream_end;
pub(crate) mod transport;

use std::fmt;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;

/// How a call came in, in the extensions of its request; gRPC if there is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Grpc,
    GrpcWeb,
    Json,
}

impl Protocol {
    pub const ALL: [Self; 3] = [Self::Grpc, Self::GrpcWeb, Self::Json];

    /// In metrics, traces and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
            Self::Json => "json",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Method {
    /// `package.Service`
    pub service: String,
    pub name: String,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.name)
    }
}

impl Method {
    /// Reads `/package.Service/Method`.
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        Some(Self { service: service.to_owned(), name: name.to_owned() })
    }
}

/// The methods of a service, `package.Service`, from encoded file descriptors.
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

/// The name of a code in metrics, as grpc-go spells it.
pub(crate) fn go_code_name(code: Code) -> &'static str {
    CODE_NAMES[code as usize].0
}

/// The name of a code in traces and logs, as the gRPC specification spells it.
fn code_name(code: Code) -> &'static str {
    CODE_NAMES[code as usize].1
}

/// Both spellings of every code, in the order of the codes' numbers.
const CODE_NAMES: [(&str, &str); 17] = [
    ("OK", "OK"),
    ("Canceled", "CANCELLED"),
    ("Unknown", "UNKNOWN"),
    ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("NotFound", "NOT_FOUND"),
    ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"),
    ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"),
    ("Aborted", "ABORTED"),
    ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
    ("Unauthenticated", "UNAUTHENTICATED"),
];
