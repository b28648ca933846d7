//! Takes the payment of an order: its reserved units leave the stock.

use platform::failure::Error;
use proto::ids::OrderId;

use super::Orders;
use crate::{
    domain::order::{Fate, Order, OrderRefusal},
    metrics,
};

impl Orders {
    /// Pays an order; for one that is paid already, nothing happens again.
    pub async fn pay(&self, order: OrderId) -> Result<(), Error<OrderRefusal>> {
        if let Some(age) = self.change("pay_order", order, Fate::Paid, Order::pay).await? {
            metrics::TIME_TO_PAYMENT_SECONDS.observe(age.as_seconds_f64());
        }
        Ok(())
    }
}
