//! What each use case refuses, as the status that callers see.

use chrono::SecondsFormat;
use proto::refusal::{Reason, Refusal};
use tonic::Status;

use crate::{
    domain::{order::OrderRefusal, plan::Shortage},
    usecase::create::CreateRefusal,
};

/// Every reason for which a call is refused.
pub const REASONS: &[&str] = &[
    Reason::OrderNotFound.text(),
    Reason::InsufficientStock.text(),
    Reason::IdempotencyKeyReused.text(),
    Reason::OrderInconsistent.text(),
    Reason::OrderExpired.text(),
    Reason::OrderNotPayable.text(),
    Reason::OrderNotCancellable.text(),
];

impl From<OrderRefusal> for Status {
    fn from(refusal: OrderRefusal) -> Self {
        let refuse = |reason, order, status, message: String| {
            Refusal::new(reason, message).with("order_id", order).with("status", status)
        };
        match refusal {
            OrderRefusal::NotFound(order) => {
                let message = format!("there is no order {order}");
                Refusal::new(Reason::OrderNotFound, message).with("order_id", order).into()
            }
            OrderRefusal::Inconsistent(order) => {
                let message = format!("order {order} has lost its reservations and waits for an operator");
                Refusal::new(Reason::OrderInconsistent, message).with("order_id", order).into()
            }
            OrderRefusal::Expired { order, status, pay_before } => {
                let pay_before = pay_before.to_rfc3339_opts(SecondsFormat::Micros, true);
                let message = format!("order {order} was to be paid before {pay_before}");
                refuse(Reason::OrderExpired, order, status, message).with("pay_before", pay_before).into()
            }
            OrderRefusal::NotPayable { order, status } => {
                let message = format!("order {order} is {status} and cannot be paid");
                refuse(Reason::OrderNotPayable, order, status, message).into()
            }
            OrderRefusal::NotCancellable { order, status } => {
                let message = format!("order {order} is {status} and cannot be cancelled");
                refuse(Reason::OrderNotCancellable, order, status, message).into()
            }
        }
    }
}

impl From<CreateRefusal> for Status {
    fn from(refusal: CreateRefusal) -> Self {
        match refusal {
            CreateRefusal::InsufficientStock { order, shortage: Shortage { sku, requested, available } } => {
                let message = format!(
                    "order {order} failed: {requested} units of SKU {sku} were asked for, {available} are free"
                );
                Refusal::new(Reason::InsufficientStock, message)
                    .with("order_id", order)
                    .with("sku", sku)
                    .with("requested", requested)
                    .with("available", available)
                    .into()
            }
            CreateRefusal::KeyReused { order } => {
                let message = format!("the idempotency_key names order {order}, which has other items");
                Refusal::new(Reason::IdempotencyKeyReused, message).with("order_id", order).into()
            }
        }
    }
}
