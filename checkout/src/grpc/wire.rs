//! Turns messages into commands, with every violation at once, and results into messages.

use platform::grpc::status::Violations;
use proto::{
    cart::{AddToCartRequest, CartGoodInfo, DeleteFromCartRequest, ListCartRequest, ListCartResponse, PurchaseRequest},
    ids::{Count, IdempotencyKey, Sku, UserId},
};

use crate::{
    domain::Line,
    usecase::{
        add::AddToCart,
        delete::DeleteFromCart,
        list::{PricedLine, total},
        purchase::BuyCart,
    },
};

pub fn add_to_cart(request: AddToCartRequest) -> Result<AddToCart, Violations> {
    let (user, line) = user_and_line(request.user, request.sku, request.count)?;
    Ok(AddToCart { user, line })
}

pub fn delete_from_cart(request: DeleteFromCartRequest) -> Result<DeleteFromCart, Violations> {
    let (user, line) = user_and_line(request.user, request.sku, request.count)?;
    Ok(DeleteFromCart { user, line })
}

pub fn list_cart(request: ListCartRequest) -> Result<UserId, Violations> {
    let mut violations = Violations::default();
    violations.check("user", UserId::try_from(request.user)).ok_or(violations)
}

pub fn purchase(request: PurchaseRequest) -> Result<BuyCart, Violations> {
    let mut violations = Violations::default();
    let user = violations.check("user", UserId::try_from(request.user));
    let key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
    user.zip(key).map(|(user, key)| BuyCart { user, key }).ok_or(violations)
}

fn user_and_line(user: i64, sku: u32, count: u32) -> Result<(UserId, Line), Violations> {
    let mut violations = Violations::default();
    let user = violations.check("user", UserId::try_from(user));
    let sku = violations.check("sku", Sku::try_from(sku));
    let count = violations.check("count", Count::try_from(count));
    let line = sku.zip(count).map(|(sku, count)| Line { sku, count });
    user.zip(line).ok_or(violations)
}

pub fn list_cart_response(lines: &[PricedLine]) -> ListCartResponse {
    let item = |priced: &PricedLine| CartGoodInfo {
        sku: priced.line.sku.get(),
        count: priced.line.count.get(),
        name: priced.product.name.to_string(),
        price: priced.product.price,
    };
    ListCartResponse { items: lines.iter().map(item).collect(), total_price: total(lines) }
}
