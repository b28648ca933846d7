//! Turns messages into commands, with every violation at once, and results into messages.

use crate::{
    domain::{
        lines::{Line, Lines, Tally, check_number},
        order::OrderDetails,
        plan::FreeStock,
    },
    usecase::create::CreateOrder,
};
use platform::grpc::status::Violations;
use proto::{
    ids::{Count, IdempotencyKey, MAX_LINES, OrderId, Sku, UserId},
    loms::{CreateOrderRequest, ListOrderResponse, OrderItem, Stock, StocksRequest, StocksResponse},
    timestamp,
};

pub fn create_order(request: CreateOrderRequest) -> Result<CreateOrder, Violations> {
    let mut violations = Violations::default();
    let user = violations.check("user", UserId::try_from(request.user));
    let lines = lines(&request.items, &mut violations);
    let key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
    match (user, lines, key) {
        (Some(user), Some(lines), Some(key)) if violations.is_empty() => Ok(CreateOrder { user, lines, key }),
        (_, _, _) => Err(violations),
    }
}

fn lines(items: &[OrderItem], violations: &mut Violations) -> Option<Lines> {
    violations.check("items", check_number(items.len()));
    let mut tally = Tally::default();
    // Of more lines than an order has, the first ones are enough to tell what else is wrong.
    for (index, item) in items.iter().take(MAX_LINES).enumerate() {
        let sku = violations.check(format!("items[{index}].sku"), Sku::try_from(item.sku));
        let count = violations.check(format!("items[{index}].count"), Count::try_from(item.count));
        if let (Some(sku), Some(count)) = (sku, count) {
            violations.check(format!("items[{index}].count"), tally.add(Line { sku, count }));
        }
    }
    tally.lines()
}

pub fn order(id: i64) -> Result<OrderId, Violations> {
    let mut violations = Violations::default();
    violations.check("orderID", OrderId::try_from(id)).ok_or(violations)
}

pub fn stocks(request: StocksRequest) -> Result<Sku, Violations> {
    let mut violations = Violations::default();
    violations.check("sku", Sku::try_from(request.sku)).ok_or(violations)
}

pub fn list_order_response(OrderDetails { order, user, lines }: &OrderDetails) -> ListOrderResponse {
    ListOrderResponse {
        status: order.state.status().to_string(),
        user: user.get(),
        items: lines.iter().map(|line| OrderItem { sku: line.sku.get(), count: line.count.get() }).collect(),
        created_at: Some(timestamp(order.created_at)),
        pay_before: Some(timestamp(order.pay_before)),
    }
}

pub fn stocks_response(free: &[FreeStock]) -> StocksResponse {
    let stocks = free.iter().map(|free| Stock { warehouse_id: free.warehouse.get(), count: free.units.into() });
    StocksResponse { stocks: stocks.collect() }
}
