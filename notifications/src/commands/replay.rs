//! `notifications dead-letters replay`: letters go to the topic that they came from, and what became of each is told.

use anyhow::{Context as _, ensure};
use clap::{ArgGroup, Args};
use platform::{
    failure::{Failure, chain},
    kafka::{Letter, Letters, NotReplayed, Origin, Place, Replay, Subscription},
    terminal::{self, Table, count},
};
use serde::Serialize;

use super::{
    dead_letters::{has_error, nothing},
    letter, places,
};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["letters", "error", "all"]))]
pub struct Again {
    /// The letters: 0/17 0/18
    #[arg(value_name = "PARTITION/OFFSET", allow_negative_numbers = true)]
    letters: Vec<String>,
    /// All letters whose error has this text
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// All letters
    #[arg(long)]
    all: bool,
    /// Only say which they are, and where they came from
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where a letter is now, or came from if that was all that was asked.
type Outcome = (Place, Result<Origin, NotReplayed>);

/// The same for programs.
#[derive(Serialize)]
struct Told {
    partition: i32,
    offset: i64,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<letter::RecordPlace>,
    /// Where it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_to: Option<letter::RecordPlace>,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl Again {
    pub(super) async fn run(&self, letters: &Letters, subscription: &Subscription) -> anyhow::Result<()> {
        let replay = Replay::new(subscription)?;
        let mut outcomes = Vec::new();
        let written = if self.letters.is_empty() {
            let each = async |read: Vec<Letter>| {
                let has_error = |letter: &Letter| has_error(letter, self.error.as_deref());
                let wanted: Vec<_> = read.into_iter().filter(has_error).collect();
                self.write(&replay, &wanted, &mut outcomes).await
            };
            letters.read(None, each).await
        } else {
            // All are looked up first: with one that is not there, nothing is written.
            let mut found = Vec::new();
            for place in places::read(&self.letters)? {
                found.push(letters.at(place).await?);
            }
            self.write(&replay, &found, &mut outcomes).await.map(|()| true)
        };
        let exists = *written.as_ref().unwrap_or(&true);
        if self.json {
            let told: Vec<_> = outcomes.iter().map(|outcome| self.told(outcome)).collect();
            terminal::print_json(&told)?;
        } else if !outcomes.is_empty() {
            self.print(&outcomes, &subscription.topic);
        } else if written.is_ok() {
            terminal::print(nothing(letters.topic(), exists, self.error.as_deref()));
        }
        written.context("it broke off; letters that are in the topic again may be replayed once more")?;
        let faults = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).count();
        ensure!(faults == 0, "{faults} of {} cannot be replayed", count(outcomes.len(), "letter", "letters"));
        Ok(())
    }

    /// Fails if the broker does not take one. One that cannot be written at all is only told.
    async fn write(&self, replay: &Replay, letters: &[Letter], outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        let written = if self.dry_run {
            letters.iter().map(|letter| replay.origin(letter)).collect()
        } else {
            replay.replay(letters).await
        };
        let failed = written.iter().find_map(|outcome| match outcome {
            Err(NotReplayed::Failed(failure)) => Some(failure.clone()),
            Ok(_) | Err(NotReplayed::NoOrigin | NotReplayed::Foreign(_) | NotReplayed::Stub(_)) => None,
        });
        outcomes.extend(std::iter::zip(letters.iter().map(Letter::place), written));
        failed.map_or(Ok(()), Err)
    }

    fn told(&self, (place, outcome): &Outcome) -> Told {
        let Place { partition, offset } = *place;
        let (found, fault) = match outcome {
            Ok(found) => (Some(letter::RecordPlace::of(found.clone())), None),
            Err(fault) => (None, Some(chain(fault))),
        };
        let (origin, replayed_to) = if self.dry_run { (found, None) } else { (None, found) };
        Told { partition, offset, origin, replayed_to, fault }
    }

    fn print(&self, outcomes: &[Outcome], topic: &str) {
        let mut table = Table::new(["letter", if self.dry_run { "from" } else { "now at" }], &[]);
        for (place, outcome) in outcomes {
            let told = match outcome {
                Ok(found) => found.to_string(),
                Err(fault) => format!("not replayed: {}", chain(fault)),
            };
            table.row([place.to_string(), told]);
        }
        terminal::print(format_args!("{table}\n"));
        let replayed = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
        let letters = count(replayed, "letter", "letters");
        let done = match (self.dry_run, replayed) {
            (true, _) => "would be",
            (false, 1) => "is",
            (false, _) => "are",
        };
        terminal::print(format_args!(
            "{letters} {done} in {topic} again. What is kept already is recognised by its EventID, and is not told again."
        ));
    }
}
