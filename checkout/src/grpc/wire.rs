//! Turns messages into commands, with every violation at once, and results into messages.

use platform::{
    ids::{Count, IdempotencyKey, Sku, UserId},
    refusal::Violations,
};
use proto::cart::{
    AddToCartRequest, CartGoodInfo, DeleteFromCartRequest, ListCartRequest, ListCartResponse, PurchaseRequest,
};
use tonic::Status;

use crate::{
    domain::Line,
    usecase::{
        add_to_cart::AddToCart,
        delete_from_cart::DeleteFromCart,
        list_cart::{PricedLine, total},
        purchase::Purchase,
    },
};

pub fn add_to_cart(request: &AddToCartRequest) -> Result<AddToCart, Status> {
    let (user, line) = user_and_line(request.user, request.sku, request.count)?;
    Ok(AddToCart { user, line })
}

pub fn delete_from_cart(request: &DeleteFromCartRequest) -> Result<DeleteFromCart, Status> {
    let (user, line) = user_and_line(request.user, request.sku, request.count)?;
    Ok(DeleteFromCart { user, line })
}

pub fn list_cart(request: &ListCartRequest) -> Result<UserId, Status> {
    let mut violations = Violations::default();
    violations.check("user", UserId::try_from(request.user)).ok_or_else(|| violations.into())
}

pub fn purchase(request: PurchaseRequest) -> Result<Purchase, Status> {
    let mut violations = Violations::default();
    let user = violations.check("user", UserId::try_from(request.user));
    let key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
    match (user, key) {
        (Some(user), Some(key)) => Ok(Purchase { user, key }),
        (None, _) | (_, None) => Err(violations.into()),
    }
}

pub fn listed(lines: &[PricedLine]) -> ListCartResponse {
    let item = |priced: &PricedLine| CartGoodInfo {
        sku: priced.line.sku.get(),
        count: priced.line.count.get(),
        name: priced.product.name.to_string(),
        price: priced.product.price,
    };
    ListCartResponse { items: lines.iter().map(item).collect(), total_price: total(lines) }
}

fn user_and_line(user: i64, sku: u32, count: u32) -> Result<(UserId, Line), Status> {
    let mut violations = Violations::default();
    let user = violations.check("user", UserId::try_from(user));
    let sku = violations.check("sku", Sku::try_from(sku));
    let count = violations.check("count", Count::try_from(count));
    match (user, sku, count) {
        (Some(user), Some(sku), Some(count)) => Ok((user, Line { sku, count })),
        (None, _, _) | (_, None, _) | (_, _, None) => Err(violations.into()),
    }
}
