//! What a customer reads in Telegram about an order.

use chrono::{DateTime, Utc};
use proto::ids::{OrderId, Sku};

pub fn created(order: OrderId) -> String {
    format!("Order {order} is created.")
}

/// Its units are reserved until the deadline, which is shown to the second, rounded down.
pub fn awaits_payment(order: OrderId, pay_before: DateTime<Utc>) -> String {
    format!("Order {order} awaits payment until {}.", pay_before.format("%H:%M:%S UTC on %-d %b %Y"))
}

pub fn failed(order: OrderId, sku: Sku) -> String {
    format!("Order {order} failed: not enough units of SKU {sku} in stock.")
}

pub fn paid(order: OrderId) -> String {
    format!("Order {order} is paid.")
}

pub fn cancelled(order: OrderId) -> String {
    format!("Order {order} is cancelled.")
}

/// For an order that nobody paid.
pub fn expired(order: OrderId) -> String {
    format!("Order {order} is cancelled: its payment did not arrive in time.")
}
