//! LOMS: what is free to sell, and orders.

use std::time::Duration;

use platform::{failure::Failure, grpc::client::Channel};
use proto::{
    ids::{OrderId, Sku},
    loms::{CreateOrderRequest, OrderItem, StocksRequest, loms_client::LomsClient},
    refusal::Refusal,
};
use tonic::{Code, Status};

use super::{failure, patience, within};
use crate::domain::{Line, purchase::Pending};

/// The longest that a call may take, however much time the caller gives.
pub const LONGEST: Duration = Duration::from_secs(10);
/// The name in failures.
const LOMS: &str = "LOMS";

#[derive(Clone)]
pub struct Loms {
    client: LomsClient<Channel>,
}

/// Why there is no order.
#[derive(Debug, thiserror::Error)]
pub enum CreateOrderError {
    /// LOMS refused it; there will never be one for this purchase.
    #[error("refused: {}", .0.reason())]
    Refused(Refusal),
    /// LOMS could not make sense of the request; it has read and written nothing.
    #[error("LOMS would not read the request: {0}")]
    BadRequest(Status),
    /// It is in doubt whether there is one.
    #[error("it is in doubt whether the order was created")]
    InDoubt(#[source] Failure),
}

impl Loms {
    pub fn new(channel: Channel) -> Self {
        Self { client: LomsClient::new(channel) }
    }

    /// The free units of a SKU over all warehouses.
    pub async fn free_stock(&self, sku: Sku) -> Result<u64, Failure> {
        let mut client = self.client.clone();
        let answer = within(patience().min(LONGEST), client.stocks(StocksRequest { sku: sku.get() }))
            .await
            .map_err(|slow| Failure::unavailable(LOMS, slow))?
            .map_err(|status| failure(LOMS, status))?;
        Ok(answer.into_inner().stocks.iter().fold(0, |sum, stock| sum.saturating_add(stock.count)))
    }

    /// Creates the order of a purchase, or finds the one that was created for it before.
    pub async fn create_order(&self, purchase: &Pending) -> Result<OrderId, CreateOrderError> {
        let item = |line: &Line| OrderItem { sku: line.sku.get(), count: line.count.get() };
        let request = CreateOrderRequest {
            user: purchase.user.get(),
            items: purchase.lines.iter().map(item).collect(),
            idempotency_key: purchase.id.to_string(),
        };
        let mut client = self.client.clone();
        match within(patience().min(LONGEST), client.create_order(request)).await {
            Ok(Ok(answer)) => OrderId::try_from(answer.into_inner().order_id)
                .map_err(|error| CreateOrderError::InDoubt(Failure::unforeseen(error))),
            Ok(Err(status)) => Err(refused(status)),
            Err(slow) => Err(CreateOrderError::InDoubt(Failure::unavailable(LOMS, slow))),
        }
    }
}

fn refused(status: Status) -> CreateOrderError {
    if let Some(refusal) = Refusal::from_status(&status) {
        CreateOrderError::Refused(refusal)
    } else if status.code() == Code::InvalidArgument {
        CreateOrderError::BadRequest(status)
    } else {
        CreateOrderError::InDoubt(failure(LOMS, status))
    }
}
