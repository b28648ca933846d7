//! A user's history: its messages, in the order of time, then of arrival, and which days a part of it covers.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use proto::{
    ids::{OrderId, UserId},
    page::Position,
};

/// A message of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub position: Position,
    pub order: OrderId,
    pub user: UserId,
    pub status: String,
    pub text: String,
}

/// How much fits into a page.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    pub messages: i64,
    /// Of texts, with `overhead` added for each message.
    pub bytes: i64,
    /// What a message takes beside its texts, in bytes.
    pub overhead: i64,
}

/// Whole days in UTC, from the start of the first to the end of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first moment of it.
    start: DateTime<Utc>,
    /// The first moment after it.
    end: DateTime<Utc>,
}

/// The last day comes before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must not be before `from`")]
pub struct Backwards;

impl Period {
    /// The days from `from` to `to`, both of them included.
    pub fn of_days(from: NaiveDate, to: NaiveDate) -> Result<Self, Backwards> {
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let end = to.checked_add_days(Days::new(1)).map_or(DateTime::<Utc>::MAX_UTC, midnight);
        if to < from { Err(Backwards) } else { Ok(Self { start: midnight(from), end }) }
    }

    /// The first moment after it.
    pub fn end(&self) -> DateTime<Utc> {
        self.end
    }

    /// The place before its first message.
    pub fn before_first(&self) -> Position {
        // Messages are numbered from 1.
        Position { at: self.start, id: 0 }
    }

    /// Whether a page of this period can end there.
    pub fn holds(&self, position: Position) -> bool {
        (self.start..self.end).contains(&position.at) && position.id > 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn at(text: &str, id: i64) -> Position {
        Position { at: text.parse().unwrap(), id }
    }

    #[test]
    fn a_period_holds_its_first_and_its_last_microsecond_and_no_more() {
        let period = Period::of_days(day("2024-02-28"), day("2024-02-29")).unwrap();
        assert!(period.holds(at("2024-02-28T00:00:00Z", 1)));
        assert!(period.holds(at("2024-02-29T23:59:59.999999Z", 1)));
        assert!(!period.holds(at("2024-02-27T23:59:59.999999Z", 1)));
        assert!(!period.holds(at("2024-03-01T00:00:00Z", 1)));
        assert!(!period.holds(period.before_first()));
        assert_eq!(Period::of_days(day("2024-02-29"), day("2024-02-28")), Err(Backwards));
        assert!(Period::of_days(day("0001-01-01"), day("9999-12-31")).is_ok());
    }
}
