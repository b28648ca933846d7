//! Cancels an order that awaits payment: its reserved units are free again.

use platform::failure::Error;
use proto::ids::OrderId;

use super::{
    Orders,
    change::{ChangeOrder, Wish},
};
use crate::domain::order::OrderRefusal;

impl Orders {
    /// Cancels an order; for one that is cancelled already, nothing happens again.
    pub async fn cancel(&self, order: OrderId) -> Result<(), Error<OrderRefusal>> {
        self.change(ChangeOrder { order, wish: Wish::Cancel }).await
    }
}
