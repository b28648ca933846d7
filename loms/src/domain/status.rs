//! Where an order is in its life: `new -> awaiting payment | failed; awaiting payment -> paid | cancelled`.

use strum::{Display, EnumDiscriminants, EnumString, IntoStaticStr, VariantArray};

use super::plan::Shortage;

/// A status and the data that belongs to it. [`Status`] is the same without the data, by the names that callers, events
/// and the database know.
#[derive(Debug, Clone, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(
    name(Status),
    derive(Hash, Display, EnumString, IntoStaticStr, VariantArray),
    strum(serialize_all = "lowercase", const_into_str)
)]
pub enum State {
    /// Created; its lines are about to be reserved.
    New,
    /// Every line is reserved in full.
    #[strum_discriminants(strum(serialize = "awaiting payment"))]
    AwaitingPayment,
    /// Some line could not be reserved, so none was. Final.
    Failed(Shortage),
    /// Paid in time; its units left the stock. Final.
    Paid,
    /// Cancelled by somebody, or for want of payment; its units are free again. Final.
    Cancelled,
}

impl State {
    pub fn status(&self) -> Status {
        self.into()
    }

    /// What was short when the order failed.
    pub fn shortage(&self) -> Option<Shortage> {
        if let Self::Failed(shortage) = self { Some(*shortage) } else { None }
    }
}

/// The changes that an order can make.
pub const TRANSITIONS: [(Status, Status); 4] = [
    (Status::New, Status::AwaitingPayment),
    (Status::New, Status::Failed),
    (Status::AwaitingPayment, Status::Paid),
    (Status::AwaitingPayment, Status::Cancelled),
];
