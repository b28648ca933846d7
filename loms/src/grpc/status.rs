//! What each use case refuses, as the status that callers see.

use chrono::SecondsFormat;
use platform::refusal::Refusal;
use tonic::Status;

use crate::{
    domain::plan::Shortage,
    metrics,
    usecase::{cancel::CancelError, create::CreateOrderError, pay::PayError},
};

const ORDER_NOT_FOUND: &str = "ORDER_NOT_FOUND";
const INSUFFICIENT_STOCK: &str = "INSUFFICIENT_STOCK";
const ORDER_EXPIRED: &str = "ORDER_EXPIRED";
const ORDER_NOT_PAYABLE: &str = "ORDER_NOT_PAYABLE";
const ORDER_NOT_CANCELLABLE: &str = "ORDER_NOT_CANCELLABLE";

/// Every reason for which a call is refused.
pub const REASONS: [&str; 5] =
    [ORDER_NOT_FOUND, INSUFFICIENT_STOCK, ORDER_EXPIRED, ORDER_NOT_PAYABLE, ORDER_NOT_CANCELLABLE];

/// There is no such order.
pub fn order_not_found(order: i64) -> Status {
    refuse(Refusal::not_found(ORDER_NOT_FOUND, format!("there is no order {order}")).with("order_id", order))
}

/// An order was not created.
pub fn create_order(error: CreateOrderError) -> Status {
    match error {
        CreateOrderError::InsufficientStock { order, shortage: Shortage { sku, requested, available } } => refuse(
            Refusal::failed_precondition(
                INSUFFICIENT_STOCK,
                format!("order {order} failed: {requested} units of SKU {sku} were asked for, {available} are free"),
            )
            .with("order_id", order)
            .with("sku", sku)
            .with("requested", requested)
            .with("available", available),
        ),
        CreateOrderError::Failure(failure) => failure.into(),
    }
}

/// An order was not paid.
pub fn pay(order: i64, error: PayError) -> Status {
    match error {
        PayError::NotFound => order_not_found(order),
        PayError::Expired { pay_before, status } => {
            let pay_before = pay_before.to_rfc3339_opts(SecondsFormat::Micros, true);
            refuse(
                Refusal::failed_precondition(
                    ORDER_EXPIRED,
                    format!("order {order} was to be paid before {pay_before}"),
                )
                .with("order_id", order)
                .with("status", status)
                .with("pay_before", pay_before),
            )
        }
        PayError::NotPayable(status) => refuse(
            Refusal::failed_precondition(ORDER_NOT_PAYABLE, format!("order {order} is {status} and cannot be paid"))
                .with("order_id", order)
                .with("status", status),
        ),
        PayError::Failure(failure) => failure.into(),
    }
}

/// An order was not cancelled.
pub fn cancel(order: i64, error: CancelError) -> Status {
    match error {
        CancelError::NotFound => order_not_found(order),
        CancelError::NotCancellable(status) => refuse(
            Refusal::failed_precondition(
                ORDER_NOT_CANCELLABLE,
                format!("order {order} is {status} and cannot be cancelled"),
            )
            .with("order_id", order)
            .with("status", status),
        ),
        CancelError::Failure(failure) => failure.into(),
    }
}

fn refuse(refusal: Refusal) -> Status {
    metrics::count_refusal(refusal.reason());
    refusal.into()
}
