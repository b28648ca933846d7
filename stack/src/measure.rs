//! `stack bench`: the options, and where the findings go.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::Context as _;
use clap::{Args, value_parser};
use stack::{
    bench::{self, Course},
    signals::StopSignals,
    terminal,
};

#[derive(Debug, Args)]
pub struct Measure {
    /// Measure each thing for a few seconds only.
    #[arg(long)]
    quick: bool,
    /// Put the tables into this page, in place of those that are there, and a picture beside it.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Measure this build and that of another commit in turn instead, and print ratios.
    #[arg(long, value_name = "COMMIT")]
    compare: Option<String>,
    /// Measure a fleet before and after it has so many orders behind it instead.
    #[arg(long, value_name = "ORDERS", conflicts_with = "compare", value_parser = value_parser!(u64).range(1000..))]
    past: Option<u64>,
    /// Measure only what a call costs by gRPC and over HTTP/JSON.
    #[arg(long, conflicts_with_all = ["compare", "past"])]
    doors: bool,
    /// How often each of the two is measured.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..), requires = "compare")]
    rounds: u32,
}

pub async fn run(measure: Measure) -> anyhow::Result<()> {
    let mut signals = StopSignals::new()?;
    tokio::select! {
        measured = measure.run() => measured,
        // The future is dropped, which stops the fleet.
        _ = signals.next() => Ok(()),
    }
}

impl Measure {
    async fn run(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut say = |line: &str| terminal::print(format_args!("{:6.1} s  {line}", begin.elapsed().as_secs_f64()));
        let course = if self.quick { Course::QUICK } else { Course::WHOLE };
        if let Some(commit) = &self.compare {
            terminal::print(format_args!("\n{}", bench::compare(commit, self.rounds, course, &mut say).await?));
            return Ok(());
        }
        if let Some(orders) = self.past {
            terminal::print(format_args!("\n{}", bench::past(orders, course, &mut say).await?));
            return Ok(());
        }
        if self.doors {
            terminal::print(bench::doors(course, &mut say).await?);
            return Ok(());
        }
        let findings = bench::run(course, &mut say).await?;
        terminal::print(format_args!("\n{}", findings.tables()?));
        if let Some(path) = &self.page {
            let page = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            findings.draw(&path.with_extension("svg"))?;
            fs::write(path, findings.put_into(&page)?).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}
