//! `stack load`: calls a fleet as many shoppers would, shows how it answers, and checks its books afterwards.
//!
//! In a closed loop, a number of users each begin a journey when their last one is over. In an open loop, journeys begin
//! at a rate, whatever the fleet does; the latency of a journey counts from when it was due, so that a fleet that stands
//! still does not hide it.

use std::{
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{sync::Semaphore, task::JoinSet, time::MissedTickBehavior};

mod books;
mod clients;
mod journey;
mod live;
mod picture;
mod record;
mod report;
mod shelf;

pub use clients::Target;
pub use journey::Scenario;
pub use report::{Line, Report};
pub use shelf::Choice;

use books::Books;
use clients::Clients;
use journey::Shopper;
use record::Recorder;
use shelf::Shelf;

use crate::terminal;

/// Journeys of an open loop that may run at once. A fleet that stands still must not take all of the memory here.
const MOST_AT_ONCE: usize = 20_000;

/// How journeys begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many users, each with one journey after the other.
    Users(u32),
    /// So many journeys a second, from 0.01 to 1,000,000.
    Rate(f64),
}

/// What is asked of a fleet.
#[derive(Debug, Clone)]
pub struct Plan {
    pub target: Target,
    pub scenario: Scenario,
    pub pace: Pace,
    pub duration: Duration,
    /// How many SKUs of the catalogue are bought.
    pub skus: u32,
    pub choice: Choice,
    /// The same seed chooses the same goods.
    pub seed: u64,
    /// Whether the books are checked afterwards.
    pub checks_books: bool,
    /// Where a picture goes.
    pub svg: Option<PathBuf>,
}

/// Runs the load, and shows how it goes. When `stopped` ends, no journey begins any more. The report has the faults in the
/// books, if there are any.
pub async fn run(plan: &Plan, stopped: impl Future<Output = ()>) -> anyhow::Result<Report> {
    let prepared = Prepared::new(plan).await?;
    terminal::print(format_args!(
        "{} SKUs have {} free units",
        prepared.shopper.shelf.len(),
        prepared.shopper.shelf.units()
    ));
    let live = live::show(prepared.shopper.recorder.clone(), plan.duration);
    let ran = prepared.shop_unless(stopped, plan).await;
    live.end();
    prepared.report(plan, ran).await
}

/// Shoppers who know what there is to buy.
pub struct Prepared {
    shopper: Shopper,
}

impl Prepared {
    pub async fn new(plan: &Plan) -> anyhow::Result<Self> {
        let clients = Clients::new(&plan.target)?;
        let shelf = Shelf::look(&clients, &plan.target.product_token, plan.skus, plan.choice).await?;
        let (recorder, books) = (Arc::new(Recorder::new()), Arc::new(Books::new(shelf.before())));
        let (shelf, is_over, scenario) = (Arc::new(shelf), Arc::new(AtomicBool::new(false)), plan.scenario);
        Ok(Self { shopper: Shopper { clients, shelf, recorder, books, scenario, is_over } })
    }

    /// Returns how long it took until the last journey was over.
    pub async fn shop(&self, plan: &Plan) -> Duration {
        match plan.pace {
            Pace::Users(users) => closed(&self.shopper, users, plan.duration, plan.seed).await,
            Pace::Rate(rate) => open(&self.shopper, rate, plan.duration, plan.seed).await,
        }
    }

    /// The same; when `stopped` ends, no journey begins any more.
    async fn shop_unless(&self, stopped: impl Future<Output = ()>, plan: &Plan) -> Duration {
        let mut shopping = pin!(self.shop(plan));
        tokio::select! {
            ran = &mut shopping => ran,
            () = stopped => {
                self.shopper.is_over.store(true, Ordering::Relaxed);
                shopping.await
            }
        }
    }

    pub async fn report(self, plan: &Plan, ran: Duration) -> anyhow::Result<Report> {
        let Shopper { clients, recorder, books, .. } = self.shopper;
        let mut report = recorder.report(ran);
        if let Some(path) = &plan.svg {
            report.draw(path)?;
        }
        if plan.checks_books {
            report.books = Some(books.check(&clients).await?);
        }
        Ok(report)
    }
}

/// Returns how long it took until the last journey was over.
async fn closed(shopper: &Shopper, users: u32, duration: Duration, seed: u64) -> Duration {
    let began_at = Instant::now();
    let mut running = JoinSet::new();
    for user in 0..users {
        let shopper = shopper.clone();
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(user.into()));
        running.spawn(async move {
            while began_at.elapsed() < duration && !shopper.is_over.load(Ordering::Relaxed) {
                shopper.go(&mut random, Instant::now()).await;
            }
        });
    }
    running.join_all().await;
    began_at.elapsed()
}

async fn open(shopper: &Shopper, rate: f64, duration: Duration, seed: u64) -> Duration {
    let began_at = Instant::now();
    let places = Arc::new(Semaphore::new(MOST_AT_ONCE));
    let mut running = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    // Those that are late begin at once, and count from when they were due.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0u64.. {
        let due = ticks.tick().await.into_std();
        if began_at.elapsed() >= duration || shopper.is_over.load(Ordering::Relaxed) {
            break;
        }
        while running.try_join_next().is_some() {}
        let Ok(place) = places.clone().try_acquire_owned() else {
            shopper.recorder.not_begun();
            continue;
        };
        let shopper = shopper.clone();
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
        running.spawn(async move {
            shopper.go(&mut random, due).await;
            drop(place);
        });
    }
    running.join_all().await;
    began_at.elapsed()
}
