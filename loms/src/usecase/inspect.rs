//! Operators look at an order with all that belongs to it, and at what waits to be published.

use platform::failure::Failure;
use proto::ids::OrderId;

use super::Inspection;
use crate::{
    domain::inspected::{InspectedOrder, InspectedOutbox},
    store::inspect,
};

impl Inspection {
    /// `None` if there is no such order.
    pub async fn order(&self, order: OrderId) -> Result<Option<InspectedOrder>, Failure> {
        inspect::order(&self.database, order).await
    }

    /// What waits, with at most `limit` of the orders that wait longest.
    pub async fn outbox(&self, limit: u32) -> Result<InspectedOutbox, Failure> {
        let relay = inspect::relay(&self.database).await?;
        Ok(InspectedOutbox { relay, ..inspect::outbox(&self.database, limit).await? })
    }
}
