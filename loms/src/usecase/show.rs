//! Shows an order to its customer.

use platform::{failure::Failure, ids::OrderId};

use super::Orders;
use crate::{domain::order::OrderDetails, store};

impl Orders {
    /// The order; `None` if there is no such order.
    pub async fn show(&self, order: OrderId) -> Result<Option<OrderDetails>, Failure> {
        store::orders::details(&self.database, order).await
    }
}
