//! Shows what is in stock.

use platform::{failure::Failure, ids::Sku};

use super::Stocks;
use crate::{
    domain::{plan::Free, stock::Stock},
    store,
};

impl Stocks {
    /// The warehouses that have free units of a SKU, by warehouse; none for an unknown SKU.
    pub async fn free(&self, sku: Sku) -> Result<Vec<Free>, Failure> {
        store::stock::free(&self.database, sku).await
    }

    /// What every warehouse holds, by warehouse and SKU.
    pub async fn all(&self) -> Result<Vec<Stock>, Failure> {
        store::stock::all(&self.database).await
    }
}
