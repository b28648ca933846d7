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
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:ident;)*) => {
        /// Why a service of the fleet refuses a call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
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
        }
    };
}

reasons! {
    /// {limit}
    CartLimit = "CART_LIMIT", FailedPrecondition;
    /// {sku}
    CartLineNotFound = "CART_LINE_NOT_FOUND", NotFound;
    CartEmpty = "CART_EMPTY", FailedPrecondition;
    /// {sku}
    ProductNotFound = "PRODUCT_NOT_FOUND", NotFound;
    /// {sku, requested, available}, and {order_id} where an order was made and failed
    InsufficientStock = "INSUFFICIENT_STOCK", FailedPrecondition;
    /// {order_id}
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", InvalidArgument;
    /// {order_id}
    OrderNotFound = "ORDER_NOT_FOUND", NotFound;
    /// {order_id}
    OrderInconsistent = "ORDER_INCONSISTENT", FailedPrecondition;
    /// {order_id, status, pay_before}
    OrderExpired = "ORDER_EXPIRED", FailedPrecondition;
    /// {order_id, status}
    OrderNotPayable = "ORDER_NOT_PAYABLE", FailedPrecondition;
    /// {order_id, status}
    OrderNotCancellable = "ORDER_NOT_CANCELLABLE", FailedPrecondition;
}

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
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
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
