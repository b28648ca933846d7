//! `stack bench`: the options, and where the findings go.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::Context as _;
use clap::Args;
use stack::{
    bench::{self, Course},
    signals::StopSignals,
};

#[derive(Debug, Args)]
pub struct Measure {
    /// Measure each thing for a few seconds only.
    #[arg(long)]
    quick: bool,
    /// Put the tables into this page, in place of those that are there.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

pub async fn run(measure: Measure) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut say = |line: &str| println!("{:6.1} s  {line}", begin.elapsed().as_secs_f64());
    let mut signals = StopSignals::new()?;
    let course = if measure.quick { Course::QUICK } else { Course::WHOLE };
    let findings = tokio::select! {
        findings = bench::run(course, &mut say) => findings?,
        // The future is dropped, which stops the fleet.
        _ = signals.next() => return Ok(()),
    };
    println!("\n{}", findings.tables()?);
    if let Some(path) = &measure.page {
        let page = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        fs::write(path, findings.put_into(&page)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
