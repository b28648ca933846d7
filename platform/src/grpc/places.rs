//! The places of running calls. Calls that begin something, or only look, leave half of them to those that bring to its
//! end what was begun.

use std::{collections::HashSet, num::TryFromIntError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Method;

pub(super) struct Places {
    all: Semaphore,
    /// Those of them that calls of sheddable methods may take.
    sheddable: Semaphore,
    sheddable_methods: HashSet<Method>,
}

/// A place, until it is dropped.
pub(super) struct Place<'a> {
    _one_of_all: SemaphorePermit<'a>,
    _one_of_sheddable: Option<SemaphorePermit<'a>>,
}

impl Places {
    pub fn new(most: u32, sheddable_methods: HashSet<Method>) -> Result<Self, TryFromIntError> {
        let all = Semaphore::new(most.try_into()?);
        let sheddable = Semaphore::new(most.div_ceil(2).try_into()?);
        Ok(Self { all, sheddable, sheddable_methods })
    }

    /// `None` if there is none for a call of this path.
    pub fn take(&self, path: &str) -> Option<Place<'_>> {
        let is_sheddable = Method::from_path(path).is_some_and(|method| self.sheddable_methods.contains(&method));
        let one_of_sheddable = if is_sheddable { Some(self.sheddable.try_acquire().ok()?) } else { None };
        Some(Place { _one_of_all: self.all.try_acquire().ok()?, _one_of_sheddable: one_of_sheddable })
    }
}
