//! Turns messages into commands, with every violation at once, and results into messages.

use crate::{
    domain::{
        lines::{Line, Lines, Tally, check_number},
        order::OrderDetails,
        plan::FreeStock,
    },
    usecase::{
        create::CreateOrder,
        list::{ListOrders, MAX_PAGE, Page},
    },
};
use platform::grpc::status::Violations;
use proto::{
    ids::{Count, IdempotencyKey, MAX_LINES, OrderId, Sku, UserId},
    loms::{
        CreateOrderRequest, ListOrderResponse, ListOrdersRequest, ListOrdersResponse, OrderItem, OrderSummary, Stock,
        StocksRequest, StocksResponse,
    },
    page::{self, Position},
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

pub fn list_orders(request: ListOrdersRequest) -> Result<ListOrders, Violations> {
    let mut violations = Violations::default();
    let user = violations.check("user", UserId::try_from(request.user));
    let before = violations.check("page_token", position(&request.page_token, user));
    match (user, before) {
        (Some(user), Some(before)) => {
            Ok(ListOrders { user, before, page_size: page::size(request.page_size, MAX_PAGE) })
        }
        (_, _) => Err(violations),
    }
}

/// The place that a token names; none for the empty one. Whose it is can be told if the user is known.
fn position(token: &str, user: Option<UserId>) -> Result<Option<Position>, &'static str> {
    if token.is_empty() {
        return Ok(None);
    }
    Position::read(token, user).map(Some).ok_or("must be the next_page_token of a page of this user")
}

pub fn stocks(request: StocksRequest) -> Result<Sku, Violations> {
    let mut violations = Violations::default();
    violations.check("sku", Sku::try_from(request.sku)).ok_or(violations)
}

pub fn list_order_response(OrderDetails { order, user, lines }: &OrderDetails) -> ListOrderResponse {
    ListOrderResponse {
        status: order.state.status().to_string(),
        user: user.get(),
        items: items(lines),
        created_at: Some(timestamp(order.created_at)),
        pay_before: Some(timestamp(order.pay_before)),
    }
}

pub fn list_orders_response(user: UserId, page: Page) -> ListOrdersResponse {
    ListOrdersResponse {
        orders: page.orders.iter().map(order_summary).collect(),
        next_page_token: page.next.map(|next| next.to_token(user)).unwrap_or_default(),
    }
}

fn order_summary(OrderDetails { order, lines, .. }: &OrderDetails) -> OrderSummary {
    OrderSummary {
        order_id: order.id.get(),
        status: order.state.status().to_string(),
        created_at: Some(timestamp(order.created_at)),
        pay_before: Some(timestamp(order.pay_before)),
        items: items(lines),
    }
}

fn items(lines: &[Line]) -> Vec<OrderItem> {
    lines.iter().map(|line| OrderItem { sku: line.sku.get(), count: line.count.get() }).collect()
}

pub fn stocks_response(free: &[FreeStock]) -> StocksResponse {
    let stocks = free.iter().map(|free| Stock { warehouse_id: free.warehouse.get(), count: free.units.into() });
    StocksResponse { stocks: stocks.collect() }
}
