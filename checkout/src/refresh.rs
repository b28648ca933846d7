//! The background steps that keep names and prices: one reads which products there are, the other asks for those that are
//! new, wanted or old.

use std::time::{Duration, Instant};

use platform::{
    failure::Failure,
    worker::{Next, Step, Wake},
};

use crate::usecase::catalogue::{Catalogue, LEASE, Refreshed};

/// How often the list of products is read.
const LIST_EVERY: Duration = Duration::from_secs(600);
/// How long it waits when that failed.
const LIST_AGAIN: Duration = Duration::from_secs(10);
/// How often what carts have shown is noted, and asked again if it is due.
const PAUSE: Duration = Duration::from_secs(1);
/// How often products that nobody looks at are asked again if they are due.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Reads which products there are, a page a step.
pub struct ReadCatalogue {
    catalogue: Catalogue,
    /// To be woken when there are products to ask for.
    due: Wake,
    /// The last one that was read.
    behind: u32,
    next_at: Instant,
    /// Why the list is read again before its time.
    failure: Option<Failure>,
}

impl ReadCatalogue {
    pub fn new(catalogue: Catalogue, due: Wake) -> Self {
        Self { catalogue, due, behind: 0, next_at: Instant::now(), failure: None }
    }
}

impl Step for ReadCatalogue {
    const NAME: &'static str = "read_catalogue";

    async fn step(&mut self) -> Result<Next, Failure> {
        let pause = self.next_at.saturating_duration_since(Instant::now());
        if !pause.is_zero() {
            // Until the next call, it does not work again.
            return self.failure.clone().map_or(Ok(Next::Idle(pause)), Err);
        }
        self.next_at = Instant::now() + LIST_AGAIN;
        let last = self.catalogue.read_list(self.behind).await;
        self.failure = last.as_ref().err().cloned();
        let last = last?;
        self.behind = last.unwrap_or_default();
        if last.is_none() {
            self.next_at = Instant::now() + LIST_EVERY;
            return Ok(Next::Idle(LIST_EVERY));
        }
        self.due.wake();
        self.next_at = Instant::now();
        Ok(Next::Worked)
    }
}

/// Asks again for what is due.
pub struct RefreshProducts {
    catalogue: Catalogue,
    /// When it looks again although carts have shown nothing.
    look_at: Instant,
    /// Why ProductService was not heard when it was last asked, and until when what it did not tell is left alone.
    failure: Option<(Failure, Instant)>,
}

impl RefreshProducts {
    pub fn new(catalogue: Catalogue) -> Self {
        Self { catalogue, look_at: Instant::now(), failure: None }
    }
}

impl Step for RefreshProducts {
    const NAME: &'static str = "refresh_products";

    async fn step(&mut self) -> Result<Next, Failure> {
        let is_shown = self.catalogue.note_all_shown().await?;
        if !is_shown && !self.catalogue.has_news() && Instant::now() < self.look_at {
            return Ok(Next::Idle(PAUSE));
        }
        self.look_at = Instant::now();
        match self.catalogue.refresh().await? {
            Refreshed::Nothing => {}
            Refreshed::Some => {
                self.failure = None;
                return Ok(Next::Worked);
            }
            Refreshed::InVain(failure) => self.failure = Some((failure, Instant::now() + LEASE)),
        }
        if let Some((failure, _)) = self.failure.as_ref().filter(|(_, until)| Instant::now() < *until) {
            // While nothing is due because it was asked for in vain, it does not work again.
            return Err(failure.clone());
        }
        self.look_at += LOOK_EVERY;
        Ok(Next::Idle(PAUSE))
    }
}
