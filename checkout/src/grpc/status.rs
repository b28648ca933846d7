//! What each refusal is on the wire: its code, its reason and its metadata.

use platform::{
    ids::{Count, MAX_LINES},
    refusal::Refusal,
};
use tonic::Status;

use crate::{
    domain::cart::AddRefusal,
    usecase::{
        add_to_cart::{AddToCart, AddToCartError},
        delete_from_cart::{DeleteFromCart, DeleteFromCartError},
        list_cart::ListCartError,
        purchase::PurchaseError,
    },
};

pub fn add_to_cart(error: AddToCartError, command: AddToCart) -> Status {
    let sku = command.line.sku;
    match error {
        AddToCartError::Refused(AddRefusal::TooManySkus) => {
            Refusal::failed_precondition("CART_LIMIT", format!("a cart holds at most {MAX_LINES} SKUs"))
                .with("limit", MAX_LINES)
                .into()
        }
        AddToCartError::Refused(AddRefusal::TooManyUnits) => {
            Refusal::failed_precondition("CART_LIMIT", format!("a cart holds at most {} units of a SKU", Count::MAX))
                .with("limit", Count::MAX)
                .into()
        }
        AddToCartError::Refused(AddRefusal::InsufficientStock { requested, available }) => {
            let message = format!("the cart would hold {requested} units of SKU {sku}, {available} are available");
            Refusal::failed_precondition("INSUFFICIENT_STOCK", message)
                .with("sku", sku)
                .with("requested", requested)
                .with("available", available)
                .into()
        }
        AddToCartError::Failure(failure) => failure.into(),
    }
}

pub fn delete_from_cart(error: DeleteFromCartError, command: DeleteFromCart) -> Status {
    let sku = command.line.sku;
    match error {
        DeleteFromCartError::NotInCart => {
            Refusal::not_found("CART_LINE_NOT_FOUND", format!("SKU {sku} is not in the cart")).with("sku", sku).into()
        }
        DeleteFromCartError::Failure(failure) => failure.into(),
    }
}

pub fn list_cart(error: ListCartError) -> Status {
    match error {
        ListCartError::UnknownProduct(sku) => {
            Refusal::not_found("PRODUCT_NOT_FOUND", format!("ProductService does not know SKU {sku}"))
                .with("sku", sku)
                .into()
        }
        ListCartError::Failure(failure) => failure.into(),
    }
}

pub fn purchase(error: PurchaseError) -> Status {
    match error {
        PurchaseError::CartEmpty => Refusal::failed_precondition("CART_EMPTY", "there is nothing to buy").into(),
        PurchaseError::Refused(refusal) => refusal.into(),
        PurchaseError::Failure(failure) => failure.into(),
    }
}
