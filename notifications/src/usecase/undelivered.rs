//! Operators look at what is not delivered, and have what was given up tried again.

use std::{collections::HashSet, time::Duration};

use platform::failure::Failure;
use proto::ids::OrderId;

use super::Undelivered;
use crate::{
    domain::undelivered::{self, Dead},
    store,
};

/// So many are made due in one transaction.
const BATCH: usize = 1000;

/// Which of the deliveries that were given up are tried again.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Those of this order; `None` for all orders.
    pub order: Option<OrderId>,
    /// Those that were given up within this time; `None` for any time.
    pub within: Option<Duration>,
    /// Only tells which they are.
    pub is_rehearsal: bool,
}

impl Undelivered {
    /// At most so many that are due, the oldest first: that is how they are made. Behind them, at most so many that were
    /// given up, the latest first.
    pub async fn list(
        &self,
        order: Option<OrderId>,
        due: u32,
        dead: u32,
    ) -> Result<Vec<undelivered::Undelivered>, Failure> {
        store::undelivered::list(&self.database, order, due.into(), dead.into()).await
    }

    /// Makes deliveries due again that were given up, oldest first, and answers which. Each is looked at once: what
    /// Telegram refuses again meanwhile stays refused. Whoever delivers keeps the order of each order's messages.
    pub async fn retry(&self, command: Retry) -> Result<Vec<Dead>, Failure> {
        let Retry { order, within, is_rehearsal } = command;
        let mut retried = Vec::new();
        let mut behind = 0;
        loop {
            let limit = i64::try_from(BATCH).map_err(Failure::unforeseen)?;
            let mut dead = store::undelivered::dead_behind(&self.database, behind, order, within, limit).await?;
            let Some(last) = dead.last() else { return Ok(retried) };
            behind = last.message;
            if !is_rehearsal {
                let messages: Vec<i64> = dead.iter().map(|dead| dead.message).collect();
                let due: HashSet<i64> =
                    store::undelivered::retry(&self.database, &messages).await?.into_iter().collect();
                dead.retain(|dead| due.contains(&dead.message));
            }
            retried.extend(dead);
        }
    }
}
