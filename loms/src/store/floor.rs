//! The place in the outbox up to which all events are published for good.
//!
//! A search that begins there does not read again over what is deleted. As long as anybody in the database uses an old
//! snapshot, deleted rows stay, and without a floor each wave would read over all of them.
//!
//! Events get their places before they are committed. So an event may appear below others that were seen before, as long
//! as a transaction runs that had begun to write when they were seen; a transaction changes its order first, and then
//! takes places for its events.

use std::time::{Duration, Instant};

use super::outbox::Snapshot;

/// After a failover, places may be given again that the lost server had given before. So all is searched now and then.
const MAX_AGE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Floor {
    place: i64,
    /// The last place that was seen.
    seen: i64,
    /// A place that was seen, and the first transaction that had not begun to write then.
    next: Option<(i64, i64)>,
    since: Instant,
}

impl Default for Floor {
    fn default() -> Self {
        Self { place: 0, seen: 0, next: None, since: Instant::now() }
    }
}

impl Floor {
    /// No unsent event is there or below, nor will be.
    pub fn place(&mut self) -> i64 {
        if self.since.elapsed() > MAX_AGE {
            *self = Self::default();
        }
        self.place
    }

    /// Learns from a search that began at the floor: what it could see, and the first and the last place that it found.
    pub fn raise(&mut self, snapshot: Snapshot, found: Option<(i64, i64)>) {
        if let Some((place, begun_below)) = self.next
            && snapshot.ended_below >= begun_below
        {
            // What is not visible yet began to write later, and has a higher place.
            let unsent = found.map_or(i64::MAX, |(first, _)| first);
            self.place = self.place.max(place.min(unsent - 1));
            self.next = None;
        }
        self.seen = found.map_or(self.seen, |(_, last)| self.seen.max(last));
        // Also if nothing is found any more: the last place that was marked may lie far below.
        if self.next.is_none() && self.seen > self.place {
            self.next = Some((self.seen, snapshot.begun_below));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Raises the floor by the places that a search found, and the numbers of transactions.
    fn raise(floor: &mut Floor, places: &[i64], ended_below: i64, begun_below: i64) {
        floor.raise(Snapshot { ended_below, begun_below }, places.first().copied().zip(places.last().copied()));
    }

    #[test]
    fn the_floor_rises_when_all_have_ended_that_could_have_lower_places() {
        let mut floor = Floor::default();
        raise(&mut floor, &[10, 12], 100, 105);
        assert_eq!(floor.place(), 0);
        // The transaction 103 still runs, and may have the place 11.
        raise(&mut floor, &[], 103, 106);
        assert_eq!(floor.place(), 0);
        // It has ended without an event.
        raise(&mut floor, &[], 105, 106);
        assert_eq!(floor.place(), 12);
    }

    #[test]
    fn the_floor_rises_to_the_last_place_when_nothing_is_left() {
        let mut floor = Floor::default();
        raise(&mut floor, &[10], 100, 105);
        raise(&mut floor, &[11, 40], 101, 110);
        raise(&mut floor, &[], 110, 111);
        assert_eq!(floor.place(), 10);
        raise(&mut floor, &[], 111, 111);
        assert_eq!(floor.place(), 40);
    }

    #[test]
    fn the_floor_stays_below_what_is_not_published() {
        let mut floor = Floor::default();
        raise(&mut floor, &[10, 12], 100, 105);
        raise(&mut floor, &[11, 13, 14], 106, 106);
        assert_eq!(floor.place(), 10);
        raise(&mut floor, &[13], 107, 107);
        assert_eq!(floor.place(), 12);
        raise(&mut floor, &[], 108, 108);
        assert_eq!(floor.place(), 14);
    }
}
