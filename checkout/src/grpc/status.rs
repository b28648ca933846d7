//! What each use case refuses, as the status that callers see.

use proto::{
    ids::{Count, MAX_LINES},
    refusal::{Reason, Refusal},
};
use tonic::Status;

use crate::domain::{
    cart::{AddRefusal, NotInCart},
    product::UnknownProduct,
    purchase::PurchaseRefusal,
};

/// Every reason for which a call is refused.
pub const REASONS: &[&str] = &[
    Reason::CartLimit.text(),
    Reason::InsufficientStock.text(),
    Reason::CartLineNotFound.text(),
    Reason::ProductNotFound.text(),
    Reason::CartEmpty.text(),
];

impl From<AddRefusal> for Status {
    fn from(refusal: AddRefusal) -> Self {
        match refusal {
            AddRefusal::TooManySkus => {
                Refusal::new(Reason::CartLimit, format!("a cart holds at most {MAX_LINES} SKUs"))
                    .with("limit", MAX_LINES)
                    .into()
            }
            AddRefusal::TooManyUnits => {
                Refusal::new(Reason::CartLimit, format!("a cart holds at most {} units of a SKU", Count::MAX))
                    .with("limit", Count::MAX)
                    .into()
            }
            AddRefusal::InsufficientStock { sku, requested, available } => {
                let message = format!("the cart would hold {requested} units of SKU {sku}, {available} are available");
                Refusal::new(Reason::InsufficientStock, message)
                    .with("sku", sku)
                    .with("requested", requested)
                    .with("available", available)
                    .into()
            }
        }
    }
}

impl From<NotInCart> for Status {
    fn from(NotInCart(sku): NotInCart) -> Self {
        Refusal::new(Reason::CartLineNotFound, format!("SKU {sku} is not in the cart")).with("sku", sku).into()
    }
}

impl From<UnknownProduct> for Status {
    fn from(UnknownProduct(sku): UnknownProduct) -> Self {
        Refusal::new(Reason::ProductNotFound, format!("ProductService does not know SKU {sku}")).with("sku", sku).into()
    }
}

impl From<PurchaseRefusal> for Status {
    fn from(refusal: PurchaseRefusal) -> Self {
        match refusal {
            PurchaseRefusal::CartEmpty => Refusal::new(Reason::CartEmpty, "there is nothing to buy").into(),
            PurchaseRefusal::ByLoms(refusal) => refusal.into(),
        }
    }
}
