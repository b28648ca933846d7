//! What a purchase is while it is under way, and how it ends.

use std::fmt;

use proto::{
    ids::{IdempotencyKey, OrderId, UserId},
    refusal::Refusal,
};
use uuid::Uuid;

use super::Line;

/// Names a purchase. LOMS knows it as the idempotency key of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PurchaseId(pub Uuid);

impl fmt::Display for PurchaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A purchase as it stands.
#[derive(Debug, Clone)]
pub enum Purchase {
    Pending(Pending),
    Settled(Outcome),
}

/// A snapshot of a cart that LOMS has yet to answer for.
#[derive(Debug, Clone)]
pub struct Pending {
    pub id: PurchaseId,
    pub user: UserId,
    /// The caller's name for it.
    pub key: Option<IdempotencyKey>,
    /// By SKU.
    pub lines: Vec<Line>,
}

/// What became of a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Ordered(OrderId),
    /// LOMS refused it, and its lines are back in the cart.
    Refused(Refusal),
}

/// Why a cart is not bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PurchaseRefusal {
    CartEmpty,
    /// In LOMS' words; the lines are back in the cart.
    ByLoms(Refusal),
}
