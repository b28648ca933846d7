//! What a purchase is while it is under way, and how it ends.

use std::fmt;

use platform::{
    ids::{IdempotencyKey, OrderId, UserId},
    refusal::Refusal,
};
use uuid::Uuid;

use super::Line;

/// Names a purchase. LOMS knows it as the idempotency key of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurchaseId(pub Uuid);

impl PurchaseId {
    /// One that nothing has yet; later ones sort after it.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for PurchaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A snapshot of a cart that LOMS has yet to answer for.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Its name.
    pub id: PurchaseId,
    /// Who buys.
    pub user: UserId,
    /// The caller's name for it.
    pub key: Option<IdempotencyKey>,
    /// What is bought, by SKU.
    pub lines: Vec<Line>,
}

impl Pending {
    /// Whether a call with this key, or none, asks for this very purchase.
    pub fn is_asked_for_by(&self, key: Option<&IdempotencyKey>) -> bool {
        self.key.as_ref() == key
    }
}

/// What became of a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is an order now.
    Ordered(OrderId),
    /// LOMS refused it, and its lines are back in the cart.
    Refused(Refusal),
}

/// Who learns the outcome of a purchase from the one that settles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A caller that asked for this purchase.
    Caller,
    /// Nobody: the background step settles it, or a call that asked for another purchase.
    Nobody,
}

impl Audience {
    /// Whether the outcome reaches a caller.
    pub fn is_told(self) -> bool {
        match self {
            Self::Caller => true,
            Self::Nobody => false,
        }
    }
}
