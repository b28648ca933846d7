//! The statuses of an order, by the names that callers, events and the database know them by.

use std::{fmt, str::FromStr};

/// Where an order is in its life: `new -> awaiting payment | failed; awaiting payment -> paid | cancelled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Created; its lines are about to be reserved.
    New,
    /// Every line is reserved in full.
    AwaitingPayment,
    /// Some line could not be reserved, so none was. Final.
    Failed,
    /// Paid in time; its units left the stock. Final.
    Paid,
    /// Cancelled by somebody, or for want of payment; its units are free again. Final.
    Cancelled,
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no status of an order")]
pub struct UnknownStatus(String);

impl Status {
    /// Every status, in the order of an order's life.
    pub const ALL: [Self; 5] = [Self::New, Self::AwaitingPayment, Self::Failed, Self::Paid, Self::Cancelled];

    /// Its name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::AwaitingPayment => "awaiting payment",
            Self::Failed => "failed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}
