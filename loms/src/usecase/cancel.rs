//! Cancels an order that awaits payment: its reserved units are free again.

use platform::failure::Error;
use proto::ids::OrderId;

use super::Orders;
use crate::domain::order::{Fate, OrderRefusal};

impl Orders {
    /// Cancels an order; for one that is cancelled already, nothing happens again.
    pub async fn cancel(&self, order: OrderId) -> Result<(), Error<OrderRefusal>> {
        self.change("cancel_order", order, Fate::Freed, |order, _| order.cancel()).await?;
        Ok(())
    }
}
