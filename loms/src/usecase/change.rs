//! How an order that awaits payment is changed, whatever it becomes: its row is locked, a rule of the domain allows the
//! change or says why not, its reservations end, and its transition is applied.

use chrono::{DateTime, TimeDelta, Utc};
use platform::{failure::Error, postgres::Transaction};
use proto::ids::OrderId;
use tracing::warn;

use super::Orders;
use crate::{
    domain::{
        order::{Fate, Order, OrderRefusal},
        transition::Transition,
    },
    metrics,
    store::{self, Change},
};

impl Orders {
    /// Changes an order by a rule, which knows the database's time as of when nobody else holds the order. Answers how
    /// old the order is; `None` if the rule changes nothing.
    pub(super) async fn change(
        &self,
        transaction: &'static str,
        order: OrderId,
        fate: Fate,
        rule: impl Fn(&Order, DateTime<Utc>) -> Result<Option<Transition>, OrderRefusal> + Sync,
    ) -> Result<Option<TimeDelta>, Error<OrderRefusal>> {
        let _turn = self.turns.orders.take(vec![order]).await;
        let attempt = |transaction| try_change(transaction, order, fate, &rule);
        let Some((transition, units, age)) = self.database.transact(transaction, attempt).await? else {
            return Ok(None);
        };
        metrics::count(&transition);
        metrics::count_ended(units, fate);
        self.relay.wake();
        Ok(Some(age))
    }
}

/// Answers how many units the order does not hold any more, and its age.
async fn try_change(
    mut transaction: Transaction,
    order: OrderId,
    fate: Fate,
    rule: impl Fn(&Order, DateTime<Utc>) -> Result<Option<Transition>, OrderRefusal>,
) -> Result<Option<(Transition, u64, TimeDelta)>, Error<OrderRefusal>> {
    let found = store::orders::lock(&mut transaction, order).await?;
    let (found, now) = found.ok_or(Error::Refused(OrderRefusal::NotFound(order)))?;
    let Some(transition) = rule(&found, now).map_err(Error::Refused)? else { return Ok(None) };
    let units = store::reservation::end(&mut transaction, &[order], fate).await?;
    let Some(units) = units else {
        warn!(order.id = order.get(), "the order awaits payment and has lost its reservations");
        return Err(Error::Refused(OrderRefusal::Inconsistent(order)));
    };
    let change = Change::new(transition);
    store::apply(&mut transaction, std::slice::from_ref(&change)).await?;
    transaction.commit().await?;
    Ok(Some((change.transition, units, now - found.created_at)))
}
