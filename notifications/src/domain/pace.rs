//! How much a chat may get, and what is sent when more waits than that.

use std::{collections::HashSet, time::Duration};

use proto::ids::OrderId;

use super::delivery::{MAX_UNITS, fit};

/// The most requests that are made at once.
pub const AT_ONCE: usize = 16;
/// The most messages that share a request, however short they are.
pub const MAX_JOINED: usize = 256;
/// Between messages that share a request.
const SEPARATOR: &str = "\n";

/// A bucket of tokens: each request takes one, and they come back one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How many there are at most: requests that may follow each other at once.
    pub burst: u32,
    /// How long it takes until the next one is back.
    pub interval: Duration,
}

/// What may be sent to a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// So many requests, at least one.
    For(usize),
    /// Nothing for so long.
    NotFor(Duration),
}

/// A message that could be sent now, provided that those before it of its order are sent earlier or with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting<'a> {
    pub order: OrderId,
    pub text: &'a str,
}

impl Allowance {
    /// What is left when the bucket is full again only after this time.
    pub fn room(&self, until_full: Duration) -> Room {
        let full = self.interval.saturating_mul(self.burst);
        let left = full.saturating_sub(until_full).as_nanos().checked_div(self.interval.as_nanos());
        match left.map(usize::try_from) {
            // Without an interval, there is no end of it.
            None | Some(Err(_)) => Room::For(usize::MAX),
            Some(Ok(0)) => Room::NotFor(until_full.saturating_add(self.interval).saturating_sub(full)),
            Some(Ok(requests)) => Room::For(requests),
        }
    }
}

/// Shares the oldest messages out to requests, each the places of its messages. Where there is room for each, they are
/// [`AT_ONCE`] requests at most and one for each order, and what follows in an order is for the next time; else one request
/// takes as many messages as fit, but no more than `most`.
pub fn share(waiting: &[Waiting<'_>], room: usize, most: usize) -> Vec<Vec<usize>> {
    if waiting.len() <= room || most <= 1 {
        let mut orders = HashSet::new();
        let firsts = waiting.iter().enumerate().filter(|(_, message)| orders.insert(message.order));
        return firsts.take(room.min(AT_ONCE)).map(|(place, _)| vec![place]).collect();
    }
    let mut units = 0;
    let fits = |message: &&Waiting<'_>| {
        units += fit(message.text).encode_utf16().count();
        let all = units;
        units += SEPARATOR.len();
        all <= MAX_UNITS
    };
    let together = waiting.iter().take(most).take_while(fits).count();
    vec![(0..together).collect()]
}

/// The text of messages that share a request, a line each.
pub fn join<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.map(fit).collect::<Vec<_>>().join(SEPARATOR)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn waiting<'a>(messages: &[(i64, &'a str)]) -> Vec<Waiting<'a>> {
        let waiting = |(order, text): &(i64, &'a str)| Waiting { order: OrderId::try_from(*order).unwrap(), text };
        messages.iter().map(waiting).collect()
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_says_when_there_is_more() {
        let allowance = Allowance { burst: 3, interval: SECOND };
        assert_eq!(allowance.room(Duration::ZERO), Room::For(3));
        assert_eq!(allowance.room(SECOND / 2), Room::For(2));
        assert_eq!(allowance.room(SECOND * 2), Room::For(1));
        assert_eq!(allowance.room(SECOND * 5 / 2), Room::NotFor(SECOND / 2));
        assert_eq!(allowance.room(SECOND * 60), Room::NotFor(SECOND * 58));
        assert_eq!(Allowance { burst: 3, interval: Duration::ZERO }.room(SECOND), Room::For(usize::MAX));
    }

    #[test]
    fn messages_go_one_by_one_while_there_is_room_and_those_of_an_order_one_after_the_other() {
        let messages = waiting(&[(1, "a"), (2, "b"), (1, "c"), (3, "d")]);
        assert_eq!(share(&messages, 4, 256), [[0], [1], [3]]);
        assert_eq!(share(&messages[..1], 4, 256), [[0]]);
        assert!(share(&[], 4, 256).is_empty());
    }

    #[test]
    fn messages_that_are_more_than_requests_share_one_in_their_order() {
        let messages = waiting(&[(1, "a"), (2, "b"), (1, "c"), (3, "d")]);
        assert_eq!(share(&messages, 3, 256), [[0, 1, 2, 3]]);
        assert_eq!(share(&messages, 3, 2), [[0, 1]]);
        assert_eq!(share(&messages, 3, 1), [[0], [1], [3]], "each for itself, to see which one is refused");
        assert_eq!(join(["a", "b"].into_iter()), "a\nb");
    }

    #[test]
    fn what_shares_a_request_fits_into_it() {
        let long = "x".repeat(2048);
        // With the separator it is one unit too long.
        assert_eq!(share(&waiting(&[(1, &long), (2, &long)]), 1, 256), [[0]]);
        let shorter = "x".repeat(2047);
        assert_eq!(share(&waiting(&[(1, &long), (2, &shorter), (3, "y")]), 1, 256), [[0, 1]]);
        let too_long = "x".repeat(5000);
        assert_eq!(share(&waiting(&[(1, &too_long), (2, "y")]), 1, 256), [[0]]);
        // Each of these counts as two.
        let carts = "🛒".repeat(1000);
        let messages = waiting(&[(1, &carts), (2, &carts), (3, &carts)]);
        assert_eq!(share(&messages, 1, 256), [[0, 1]]);
        assert!(join(messages[..2].iter().map(|message| message.text)).encode_utf16().count() <= MAX_UNITS);
    }
}
