//! Messages into commands, with every violation at once, and results into messages.

use chrono::{DateTime, Utc};
use platform::{
    ids::{Count, IdempotencyKey, MAX_LINES, Sku, UserId},
    refusal::Violations,
};
use proto::loms::{CreateOrderRequest, ListOrderResponse, OrderItem, Stock, StocksRequest, StocksResponse};
use tonic::Status;

use crate::{
    domain::{
        lines::{Line, Lines, Tally, check_number},
        order::OrderDetails,
        plan::Free,
    },
    usecase::create::CreateOrder,
};

/// Reads what a customer orders.
pub fn create_order(request: CreateOrderRequest) -> Result<CreateOrder, Status> {
    let mut violations = Violations::default();
    let user = violations.check("user", UserId::try_from(request.user));
    let lines = lines(&request.items, &mut violations);
    let key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
    match (user, lines, key) {
        (Some(user), Some(lines), Some(key)) if violations.is_empty() => Ok(CreateOrder { user, lines, key }),
        _ => Err(violations.into()),
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

/// Reads which stock is asked for.
pub fn stocks_of(request: StocksRequest) -> Result<Sku, Status> {
    let mut violations = Violations::default();
    violations.check("sku", Sku::try_from(request.sku)).ok_or_else(|| violations.into())
}

/// Writes an order.
pub fn list_order(details: OrderDetails) -> ListOrderResponse {
    ListOrderResponse {
        status: details.order.state.status().as_str().to_owned(),
        user: details.user.get(),
        items: details.lines.iter().map(|line| OrderItem { sku: line.sku.get(), count: line.count.get() }).collect(),
        created_at: Some(timestamp(details.order.created_at)),
        pay_before: Some(timestamp(details.order.pay_before)),
    }
}

/// Writes the free stock of a SKU.
pub fn stocks(free: Vec<Free>) -> StocksResponse {
    let stocks = free.iter().map(|free| Stock { warehouse_id: free.warehouse.get(), count: free.units.into() });
    StocksResponse { stocks: stocks.collect() }
}

fn timestamp(moment: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: moment.timestamp(),
        // Below 2^30, also in a leap second.
        nanos: moment.timestamp_subsec_nanos().cast_signed(),
    }
}
