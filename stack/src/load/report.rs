//! What came of a load, for people and for programs.

use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{books::Checked, picture};

/// Faults beyond that are only counted.
const MOST_FAULTS: usize = 20;

#[derive(Debug, Clone)]
pub struct Line {
    pub name: &'static str,
    pub count: u64,
    pub p50: Duration,
    pub p90: Duration,
    pub p99: Duration,
    pub p999: Duration,
    pub max: Duration,
    /// How many ended otherwise than OK, by code.
    pub codes: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone)]
pub struct Report {
    /// Until the last journey was over.
    pub ran: Duration,
    pub lines: Vec<Line>,
    /// Journeys that ended in each second.
    pub seconds: Vec<u64>,
    /// Latencies of journeys, by the share that took longer.
    pub quantiles: Vec<(f64, Duration)>,
    /// Journeys that were due and could not begin.
    pub not_begun: u64,
    /// `None` if they were not checked.
    pub books: Option<Checked>,
}

impl Report {
    /// Whether the books are in order, as far as they were checked.
    pub fn is_sound(&self) -> bool {
        self.books.as_ref().is_none_or(|books| books.faults.is_empty())
    }

    /// Draws journeys by second and their latencies into an SVG.
    pub fn draw(&self, path: &Path) -> anyhow::Result<()> {
        picture::draw(self, path).with_context(|| format!("cannot draw {}", path.display()))
    }

    pub fn json(&self) -> Value {
        let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
        let lines: serde_json::Map<_, _> = self
            .lines
            .iter()
            .map(|line| {
                let value = json!({
                    "count": line.count,
                    "per_second": self.per_second(line.count),
                    "p50_ms": ms(line.p50), "p90_ms": ms(line.p90), "p99_ms": ms(line.p99),
                    "p99_9_ms": ms(line.p999), "max_ms": ms(line.max),
                    "codes": line.codes,
                });
                (line.name.to_owned(), value)
            })
            .collect();
        let books = self.books.as_ref().map(|books| {
            let faults: Vec<_> = books.faults.iter().map(ToString::to_string).collect();
            json!({"orders": books.orders, "paid": books.paid, "messages": books.messages, "faults": faults})
        });
        json!({
            "seconds": self.ran.as_secs_f64(), "calls": lines, "journeys_by_second": self.seconds,
            "not_begun": self.not_begun, "books": books,
        })
    }

    /// How often something happened in a second.
    #[allow(clippy::cast_precision_loss, reason = "a rate is not that exact")]
    pub fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.ran.as_secs_f64().max(f64::EPSILON)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<22}{:>9}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}  not OK",
            "", "count", "a second", "p50", "p90", "p99", "p99.9", "max"
        )?;
        for line in &self.lines {
            let codes: Vec<_> = line.codes.iter().map(|(code, count)| format!("{count} {code}")).collect();
            writeln!(
                f,
                "{:<22}{:>9}{:>10.1}{:>11}{:>11}{:>11}{:>11}{:>11}  {}",
                line.name,
                line.count,
                self.per_second(line.count),
                millis(line.p50),
                millis(line.p90),
                millis(line.p99),
                millis(line.p999),
                millis(line.max),
                codes.join(", ")
            )?;
        }
        if self.not_begun > 0 {
            writeln!(f, "{} journeys were due and could not begin: too many ran", self.not_begun)?;
        }
        let Some(books) = &self.books else { return Ok(()) };
        if books.faults.is_empty() {
            return writeln!(
                f,
                "the books are in order: {} orders as they were bought, {} of them paid, {} messages, each once and in \
                 order, and no unit sold twice or lost",
                books.orders, books.paid, books.messages
            );
        }
        writeln!(f, "THE BOOKS ARE WRONG in {} places:", books.faults.len())?;
        for fault in books.faults.iter().take(MOST_FAULTS) {
            writeln!(f, "  {fault}")?;
        }
        match books.faults.len().saturating_sub(MOST_FAULTS) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }
}

pub(super) fn millis(latency: Duration) -> String {
    format!("{:.1} ms", latency.as_secs_f64() * 1e3)
}
