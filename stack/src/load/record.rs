//! What the calls of a load took, and how they ended.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tonic::Code;

use super::report::{Line, Report};

/// Latencies are kept in microseconds, to three digits, up to an hour.
const DIGITS: u8 = 3;
const LONGEST_MICROS: u64 = 3_600_000_000;

/// What is timed: the calls, and the journeys that they are part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timed {
    Journey,
    AddToCart,
    DeleteFromCart,
    ListCart,
    Purchase,
    OrderPayed,
    CancelOrder,
    Stocks,
    ListOrders,
    History,
    CreateOrder,
    Health,
}

impl Timed {
    pub fn name(self) -> &'static str {
        match self {
            Self::Journey => "journey",
            Self::AddToCart => "AddToCart",
            Self::DeleteFromCart => "DeleteFromCart",
            Self::ListCart => "ListCart",
            Self::Purchase => "Purchase",
            Self::OrderPayed => "OrderPayed",
            Self::CancelOrder => "CancelOrder",
            Self::Stocks => "Stocks",
            Self::ListOrders => "ListOrders",
            Self::History => "GetHistoryWithPeriod",
            Self::CreateOrder => "CreateOrder",
            Self::Health => "Check",
        }
    }
}

#[derive(Debug)]
pub struct Recorder {
    began_at: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    timed: BTreeMap<Timed, Series>,
    /// Journeys that ended in each second.
    seconds: Vec<u64>,
    not_begun: u64,
}

#[derive(Debug)]
struct Series {
    latencies: Histogram<u64>,
    /// How the calls ended that were not OK.
    codes: BTreeMap<&'static str, u64>,
}

impl Default for Series {
    fn default() -> Self {
        #[allow(clippy::expect_used, reason = "the bounds are constants")]
        let latencies = Histogram::new_with_max(LONGEST_MICROS, DIGITS).expect("the bounds are possible");
        Self { latencies, codes: BTreeMap::new() }
    }
}

/// The journeys so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Glance {
    pub journeys: u64,
    pub failed: u64,
    pub p50: Duration,
    pub p99: Duration,
}

impl Recorder {
    pub fn new() -> Self {
        Self { began_at: Instant::now(), inner: Mutex::default() }
    }

    /// `code` is the worst code of its calls, for a journey.
    pub fn add(&self, timed: Timed, latency: Duration, code: Code) {
        let second = usize::try_from(self.began_at.elapsed().as_secs()).unwrap_or(usize::MAX);
        let mut inner = self.inner();
        let series = inner.timed.entry(timed).or_default();
        series.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
        if code != Code::Ok {
            *series.codes.entry(name(code)).or_default() += 1;
        }
        if timed == Timed::Journey {
            if inner.seconds.len() <= second {
                inner.seconds.resize(second + 1, 0);
            }
            inner.seconds[second] += 1;
        }
    }

    /// Counts a journey that was due and could not begin, because too many ran.
    pub fn not_begun(&self) {
        self.inner().not_begun += 1;
    }

    pub fn glance(&self) -> Glance {
        let inner = self.inner();
        let Some(series) = inner.timed.get(&Timed::Journey) else { return Glance::default() };
        Glance {
            journeys: series.latencies.len(),
            failed: series.codes.iter().filter(|(code, _)| is_failure(code)).map(|(_, count)| count).sum(),
            p50: quantile(&series.latencies, 0.5),
            p99: quantile(&series.latencies, 0.99),
        }
    }

    pub fn report(&self, ran: Duration) -> Report {
        let inner = self.inner();
        let line = |(timed, series): (&Timed, &Series)| {
            let at = |share| quantile(&series.latencies, share);
            Line {
                name: timed.name(),
                count: series.latencies.len(),
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: Duration::from_micros(series.latencies.max()),
                codes: series.codes.clone(),
            }
        };
        let journeys = inner.timed.get(&Timed::Journey);
        let quantiles = journeys.map(|series| curve(&series.latencies)).unwrap_or_default();
        Report {
            ran,
            lines: inner.timed.iter().map(line).collect(),
            seconds: inner.seconds.clone(),
            quantiles,
            not_begun: inner.not_begun,
            books: None,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn quantile(latencies: &Histogram<u64>, share: f64) -> Duration {
    Duration::from_micros(latencies.value_at_quantile(share))
}

/// Latencies by the share of journeys that took longer: a half, a quarter, an eighth, …
fn curve(latencies: &Histogram<u64>) -> Vec<(f64, Duration)> {
    let shares = std::iter::successors(Some(0.5f64), |share| Some(share / 2.0));
    #[allow(clippy::cast_precision_loss, reason = "a picture is not that exact")]
    let smallest = 1.0 / latencies.len().max(1) as f64;
    shares.take_while(|share| *share >= smallest).map(|share| (share, quantile(latencies, 1.0 - share))).collect()
}

/// Whether a code speaks of the fleet, and not of the business.
fn is_failure(code: &str) -> bool {
    !["OK", "FAILED_PRECONDITION", "NOT_FOUND"].contains(&code)
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
