//! Shows orders and stock.

use platform::failure::{Error, Failure};
use proto::ids::{OrderId, Sku};

use super::{Orders, Stocks};
use crate::{
    domain::{
        order::{OrderDetails, OrderRefusal},
        plan::FreeStock,
        stock::Stock,
    },
    store,
};

impl Orders {
    pub async fn show(&self, order: OrderId) -> Result<OrderDetails, Error<OrderRefusal>> {
        let found = store::orders::details(&self.database, order).await?;
        found.ok_or(Error::Refused(OrderRefusal::NotFound(order)))
    }
}

impl Stocks {
    /// The warehouses that have free units of a SKU, by warehouse; none for an unknown SKU.
    pub async fn free(&self, sku: Sku) -> Result<Vec<FreeStock>, Failure> {
        store::stock::free(&self.database, sku).await
    }

    /// What every warehouse holds, by warehouse and SKU.
    pub async fn all(&self) -> Result<Vec<Stock>, Failure> {
        store::stock::all(&self.database).await
    }
}
