//! Shows orders and stock. What many ask for at once is read in one statement.

use std::collections::HashMap;

use platform::{
    batches::{Batch, Call},
    failure::{Error, Failure},
    postgres::{Database, Locks},
};
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
        self.shown.call(order).await?.ok_or(Error::Refused(OrderRefusal::NotFound(order)))
    }
}

impl Stocks {
    /// The warehouses that have free units of a SKU, by warehouse; none for an unknown SKU.
    pub async fn free(&self, sku: Sku) -> Result<Vec<FreeStock>, Failure> {
        self.shown.call(sku).await
    }

    /// What every warehouse holds, by warehouse and SKU.
    pub async fn all(&self) -> Result<Vec<Stock>, Failure> {
        store::stock::all(&self.database).await
    }
}

/// The orders that are asked for.
#[derive(Debug)]
pub struct OrderReads {
    pub database: Database,
}

impl Batch for OrderReads {
    const NAME: &'static str = "order_details";
    type Call = OrderId;
    type Outcome = Option<OrderDetails>;

    async fn run(&self, calls: &[Call<OrderId>], _: Locks) -> Result<Vec<Option<Option<OrderDetails>>>, Failure> {
        let orders: Vec<OrderId> = calls.iter().map(|call| call.command).collect();
        let found = store::orders::details(&self.database, &orders).await?;
        let found: HashMap<OrderId, OrderDetails> = found.into_iter().map(|found| (found.order.id, found)).collect();
        Ok(orders.iter().map(|order| Some(found.get(order).cloned())).collect())
    }
}

/// The free stock that is asked for.
#[derive(Debug)]
pub struct StockReads {
    pub database: Database,
}

impl Batch for StockReads {
    const NAME: &'static str = "free_stock";
    type Call = Sku;
    type Outcome = Vec<FreeStock>;

    async fn run(&self, calls: &[Call<Sku>], _: Locks) -> Result<Vec<Option<Vec<FreeStock>>>, Failure> {
        let skus = calls.iter().map(|call| call.command).collect();
        let mut found: HashMap<Sku, Vec<FreeStock>> = HashMap::new();
        for free in store::stock::free(&self.database, &skus).await? {
            found.entry(free.sku).or_default().push(free);
        }
        Ok(calls.iter().map(|call| Some(found.get(&call.command).cloned().unwrap_or_default())).collect())
    }
}
