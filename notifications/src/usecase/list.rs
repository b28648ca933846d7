//! A user looks at what became of their orders.

use platform::failure::Failure;
use proto::{ids::UserId, page::Position};

use super::Messages;
use crate::{
    domain::history::{Message, PageLimit, Period},
    store::message,
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
    pub user: UserId,
    pub period: Period,
    /// Those behind this place.
    pub after: Position,
    /// At most so many, from 1 to [`MAX_PAGE`].
    pub page_size: u32,
}

/// A page of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Where the next page begins, if there is one.
    pub next: Option<Position>,
}

impl Messages {
    pub async fn list(&self, command: &ListHistory) -> Result<Page, Failure> {
        let ListHistory { user, period, after, page_size } = command;
        let limit = PageLimit { messages: (*page_size).into(), bytes: PAGE_BYTES, overhead: OVERHEAD_BYTES };
        let (messages, more) = message::page(&self.database, *user, period, *after, limit).await?;
        let last = messages.last().map(|message| message.position);
        Ok(Page { next: last.filter(|_| more), messages })
    }
}
