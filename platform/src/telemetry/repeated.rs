//! Faults that strangers can repeat as often as they like: each kind has a log line when it begins, and one a minute
//! while it goes on, which says how often it occurred.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_secs(60);

/// One kind of fault.
#[derive(Debug, Default)]
pub(crate) struct Repeated(Mutex<Occurrences>);

#[derive(Debug, Default)]
struct Occurrences {
    told_at: Option<Instant>,
    untold: u64,
}

impl Repeated {
    /// To be called at each occurrence. If it is time for a line, answers how many occurrences the line stands for.
    pub(crate) fn occurred(&self) -> Option<u64> {
        let mut occurrences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        occurrences.untold += 1;
        if occurrences.told_at.is_some_and(|told_at| told_at.elapsed() < PAUSE) {
            return None;
        }
        occurrences.told_at = Some(Instant::now());
        Some(std::mem::take(&mut occurrences.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_occurrence_is_told_and_later_ones_together() {
        let fault = Repeated::default();
        assert_eq!(fault.occurred(), Some(1));
        assert_eq!((0..3).filter_map(|_| fault.occurred()).count(), 0);
        fault.0.lock().unwrap_or_else(PoisonError::into_inner).told_at = Instant::now().checked_sub(PAUSE);
        assert_eq!(fault.occurred(), Some(4));
        assert_eq!(fault.occurred(), None);
    }
}
