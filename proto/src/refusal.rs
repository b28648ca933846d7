//! How a service says no: a code, a reason that programs can act on, a text for people, and metadata. On the wire it is a
//! status with `google.rpc.ErrorInfo`.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
};

use serde::{Deserialize, Serialize};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The `domain` of every `google.rpc.ErrorInfo` of the fleet.
pub const DOMAIN: &str = "route256";

/// The codes that a refusal can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The thing asked about does not exist.
    NotFound,
    /// It exists, but not in a state that allows the call.
    FailedPrecondition,
    /// The request contradicts one that was made before.
    InvalidArgument,
}

impl RefusalCode {
    fn of(code: Code) -> Option<Self> {
        [Self::NotFound, Self::FailedPrecondition, Self::InvalidArgument].into_iter().find(|own| own.code() == code)
    }

    fn code(self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::FailedPrecondition => Code::FailedPrecondition,
            Self::InvalidArgument => Code::InvalidArgument,
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:ident, $keys:tt;)*) => {
        /// Why a service of the fleet refuses a call: what `api.proto` lists.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            const ALL: &[Self] = &[$(Self::$name),*];

            /// As it is on the wire.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            const fn code(self) -> RefusalCode {
                match self {
                    $(Self::$name => RefusalCode::$code,)*
                }
            }

            /// The keys that its metadata may have.
            const fn keys(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &$keys,)*
                }
            }
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/reasons.rs"));

/// A rule of the business that a call ran into.
///
/// It may be another service's, passed on, so its reason need not be one that this build knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    code: RefusalCode,
    reason: String,
    message: String,
    metadata: BTreeMap<String, String>,
}

impl Refusal {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { code: reason.code(), reason: reason.text().into(), message: message.into(), metadata: BTreeMap::new() }
    }

    /// Adds an entry of metadata.
    ///
    /// A key that `api.proto` does not list for the reason is a panic in builds for development.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        let reason = Reason::ALL.iter().find(|reason| reason.text() == self.reason);
        debug_assert!(reason.is_none_or(|reason| reason.keys().contains(&key)), "{} has no {key}", self.reason);
        self.metadata.insert(key.into(), value.to_string());
        self
    }

    /// The reason as it is on the wire.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The refusal that a service of the fleet answered; `None` if the status is something else.
    pub fn from_status(status: &Status) -> Option<Self> {
        let code = RefusalCode::of(status.code())?;
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
        Some(Self {
            code,
            reason: info.reason,
            message: status.message().to_owned(),
            metadata: info.metadata.into_iter().collect(),
        })
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, reason, message, metadata } = refusal;
        let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata.into_iter().collect::<HashMap<_, _>>());
        Status::with_error_details(code.code(), message, details)
    }
}
