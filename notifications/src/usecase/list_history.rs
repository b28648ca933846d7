//! A user looks at what became of their orders.

use platform::{failure::Failure, ids::UserId, postgres::Database};

use crate::{
    domain::period::{Period, Position},
    store::history::{self, Message, PageLimit},
};

/// The most messages of a page, and how many it has if nobody says.
pub const MAX_PAGE: u32 = 10_000;

/// What a message takes on the wire beside its texts: four integers of at most ten bytes, tags and lengths.
const OVERHEAD_BYTES: i64 = 64;
/// Clients refuse a response above 4 MiB unless they are told otherwise.
const PAGE_BYTES: i64 = 4_000_000;

/// Which messages to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListHistory {
    /// Whose.
    pub user: UserId,
    /// Of which days.
    pub period: Period,
    /// Those behind this place.
    pub after: Position,
    /// At most so many, from 1 to [`MAX_PAGE`].
    pub page_size: u32,
}

/// A page of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// Where the next page begins, if there is one.
    pub next: Option<Position>,
}

impl ListHistory {
    /// Reads the page.
    pub async fn run(self, database: &Database) -> Result<Page, Failure> {
        let limit = PageLimit { messages: self.page_size.into(), bytes: PAGE_BYTES, overhead: OVERHEAD_BYTES };
        let (messages, more) = history::page(database, self.user, &self.period, self.after, limit).await?;
        let last = messages.last().map(|message| Position { occurred_at: message.occurred_at, id: message.id });
        Ok(Page { next: last.filter(|_| more), messages })
    }
}
