//! A user looks at all of their orders.

use platform::failure::Failure;
use proto::{ids::UserId, page::Position};

use super::Orders;
use crate::{domain::order::OrderDetails, store};

/// The most orders of a page, and how many it has if nobody says. An order of a hundred lines takes up to 1.3 KB on the
/// wire, so that a page stays below the 4 MiB that clients accept unless they are told otherwise.
pub const MAX_PAGE: u32 = 1_000;

/// Which orders to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOrders {
    pub user: UserId,
    /// Those that are older than the one at this place; all without one.
    pub before: Option<Position>,
    /// At most so many, from 1 to [`MAX_PAGE`].
    pub page_size: u32,
}

/// A page of a user's orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub orders: Vec<OrderDetails>,
    /// Where the next page begins, if there is one.
    pub next: Option<Position>,
}

impl Orders {
    pub async fn list(&self, command: &ListOrders) -> Result<Page, Failure> {
        let ListOrders { user, before, page_size } = command;
        let (orders, more) = store::orders::page(&self.database, *user, *before, *page_size).await?;
        let last = orders.last().map(|last| Position { at: last.order.created_at, id: last.order.id.get() });
        Ok(Page { next: last.filter(|_| more), orders })
    }
}
