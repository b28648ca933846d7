//! Two builds in turn, so that what the machine does besides meets both.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::{
    Bench, Course,
    loads::{CROWD, JOURNEY, Load, ORDER, STOCKS},
    page,
    usage::CLIENT,
};
use crate::{Say, binaries, fleet::Service, load::Scenario};

const LOADS: &[Load] = &[
    Load::users(JOURNEY, Scenario::Purchase, 1),
    Load::users(JOURNEY, Scenario::Purchase, CROWD),
    Load::users(ORDER, Scenario::Order, CROWD),
    Load::users(STOCKS, Scenario::Stocks, CROWD),
];

/// What a build did in a round, by load: journeys a second, and CPU time of each in milliseconds, without the client's.
type Round = Vec<[f64; 2]>;

/// Measures this build and that of another commit in turn. Returns a table of ratios.
pub async fn compare(commit: &str, rounds: u32, course: Course, say: Say<'_>) -> anyhow::Result<String> {
    let other = build(commit, say)?;
    let (mut ours, mut theirs): (Vec<Round>, Vec<Round>) = Default::default();
    for round in 1..=rounds {
        for (name, directory, results) in
            [("this build", None, &mut ours), (commit, Some(other.path().to_owned()), &mut theirs)]
        {
            say(&format!("round {round} of {rounds}, {name}"));
            binaries::take_from(directory);
            results.push(measure(course, say).await?);
        }
    }
    Ok(table(&ours, &theirs, commit)?)
}

async fn measure(course: Course, say: Say<'_>) -> anyhow::Result<Round> {
    let mut bench = Bench::start(course, &mut |_| {}).await?;
    let measured = bench.measure_some(say).await;
    bench.fleet.stop().await;
    measured
}

impl Bench {
    async fn measure_some(&mut self, say: Say<'_>) -> anyhow::Result<Round> {
        self.shop(LOADS[1], self.course.warm_up).await?;
        let mut round = Vec::new();
        for load in LOADS {
            let measured = self.measure(*load, say).await?;
            let all: f64 = measured.cpu.0.iter().filter(|(part, _)| **part != CLIENT).map(|(_, seconds)| seconds).sum();
            #[allow(clippy::cast_precision_loss, reason = "a mean is not that exact")]
            let journeys = measured.line()?.count.max(1) as f64;
            round.push([measured.per_second()?, all * 1e3 / journeys]);
        }
        Ok(round)
    }
}

/// Builds the programs of a commit, in a work tree of its own. They go with the directory.
fn build(commit: &str, say: Say<'_>) -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let tree = directory.path().join("tree");
    let target = PathBuf::from("target").join("compare");
    fs::create_dir_all(&target)?;
    let target = target.canonicalize()?;
    run(Command::new("git").args(["worktree", "add", "--detach", "--force"]).arg(&tree).arg(commit))?;
    say(&format!("building {commit}, which may take a quarter of an hour"));
    let built = run(Command::new("cargo")
        .args(["build", "--release", "--workspace", "--bins", "--quiet"])
        .current_dir(&tree)
        .env("CARGO_TARGET_DIR", &target)
        .env("SQLX_OFFLINE", "true"));
    run(Command::new("git").args(["worktree", "remove", "--force"]).arg(&tree))?;
    built?;
    for program in Service::ALL.map(Service::name).into_iter().chain(["stack"]) {
        let built = target.join("release").join(program);
        fs::copy(&built, directory.path().join(program)).with_context(|| format!("cannot copy {}", built.display()))?;
    }
    Ok(directory)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} failed: {status}");
    Ok(())
}

/// A ratio is the mean over the rounds, with the smallest and the largest.
fn table(ours: &[Round], theirs: &[Round], commit: &str) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    writeln!(page, "| what | by | a second | {commit} | ratio | CPU ms | {commit} | ratio |")?;
    writeln!(page, "|---|---|---|---|---|---|---|---|")?;
    for (place, load) in LOADS.iter().enumerate() {
        let cells = [0, 1].map(|figure| {
            let [ours, theirs] = [ours, theirs].map(|rounds| rounds.iter().map(move |round| round[place][figure]));
            let ratios: Vec<f64> =
                std::iter::zip(ours.clone(), theirs.clone()).map(|(our, their)| our / their).collect();
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let most = ratios.iter().copied().fold(0.0, f64::max);
            let ratio = mean_of_ratios(&ratios);
            format!("{:.2} | {:.2} | {ratio:.2} ({least:.2} to {most:.2})", mean(ours), mean(theirs))
        });
        writeln!(page, "| {} | {} | {} |", load.name, page::pace(load.pace), cells.join(" | "))?;
    }
    Ok(page)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "there are few rounds")]
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}

/// The geometric mean, for which it does not matter which of the builds is the first.
fn mean_of_ratios(ratios: &[f64]) -> f64 {
    mean(ratios.iter().map(|ratio| ratio.ln())).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_says_how_much_more_this_build_does() {
        let rounds = |per_second: f64| vec![vec![[per_second, 2.0]; LOADS.len()]; 2];
        let table = table(&rounds(300.0), &rounds(100.0), "abc").unwrap_or_default();
        assert!(
            table.contains("| journey | 1 caller | 300.00 | 100.00 | 3.00 (3.00 to 3.00) | 2.00 | 2.00 | 1.00"),
            "{table}"
        );
    }
}
