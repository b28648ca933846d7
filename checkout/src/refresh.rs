//! The background steps that keep names and prices: one reads which products there are, the other asks for those that are
//! new, wanted or old.

use std::time::{Duration, Instant};

use platform::{
    failure::Failure,
    worker::{Next, Step},
};

use crate::usecase::catalogue::{Catalogue, LEASE};

/// How often the list of products is read.
const LIST_EVERY: Duration = Duration::from_secs(600);
/// How often what carts have shown is noted, and asked again if it is due.
const PAUSE: Duration = Duration::from_secs(1);
/// How often products that nobody looks at are asked again if they are due.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Reads which products there are, a page a step.
pub struct ReadCatalogue {
    catalogue: Catalogue,
    /// The last one that was read.
    behind: u32,
    next_at: Instant,
}

impl ReadCatalogue {
    pub fn new(catalogue: Catalogue) -> Self {
        Self { catalogue, behind: 0, next_at: Instant::now() }
    }
}

impl Step for ReadCatalogue {
    const NAME: &'static str = "read_catalogue";
    const AFTER_FAILURE: Option<Duration> = Some(Duration::from_secs(10));

    async fn step(&mut self) -> Result<Next, Failure> {
        let pause = self.next_at.saturating_duration_since(Instant::now());
        if !pause.is_zero() {
            return Ok(Next::Idle(pause));
        }
        let last = self.catalogue.read_list(self.behind).await?;
        self.behind = last.unwrap_or_default();
        if last.is_some() {
            return Ok(Next::Worked);
        }
        self.next_at = Instant::now() + LIST_EVERY;
        Ok(Next::Idle(LIST_EVERY))
    }
}

/// Asks again for what is due.
pub struct RefreshProducts {
    catalogue: Catalogue,
    /// When it looks again although carts have shown nothing.
    look_at: Instant,
}

impl RefreshProducts {
    pub fn new(catalogue: Catalogue) -> Self {
        Self { catalogue, look_at: Instant::now() }
    }
}

impl Step for RefreshProducts {
    const NAME: &'static str = "refresh_products";
    // What was asked for in vain is left alone for so long. If it came back earlier, it would find nothing to do, and seem
    // to work again.
    const AFTER_FAILURE: Option<Duration> = Some(LEASE);

    async fn step(&mut self) -> Result<Next, Failure> {
        let is_shown = self.catalogue.note_all_shown().await?;
        if !is_shown && !self.catalogue.has_news() && Instant::now() < self.look_at {
            return Ok(Next::Idle(PAUSE));
        }
        self.look_at = Instant::now();
        if self.catalogue.refresh().await? > 0 {
            return Ok(Next::Worked);
        }
        self.look_at += LOOK_EVERY;
        Ok(Next::Idle(PAUSE))
    }
}
