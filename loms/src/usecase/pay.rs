//! Takes the payment of an order: its reserved units leave the stock.

use platform::failure::Error;
use proto::ids::OrderId;

use super::{
    Orders,
    change::{ChangeOrder, Wish},
};
use crate::domain::order::OrderRefusal;

impl Orders {
    /// Pays an order; for one that is paid already, nothing happens again.
    pub async fn pay(&self, order: OrderId) -> Result<(), Error<OrderRefusal>> {
        self.change(ChangeOrder { order, wish: Wish::Pay }).await
    }
}
