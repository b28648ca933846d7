//! `notifications dead-letters`: records that could not be read as events, or that the database refused.

use std::cmp::Reverse;

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use platform::{
    cli::Misuse,
    kafka::{Letter, Letters, Place, Subscription},
    terminal::{self, Table, ago},
};

use super::{
    letter::{self, Listed, Whole},
    places,
    replay::Again,
};

#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Show the letters, the latest first
    List(List),
    /// Show a letter with its headers and its body
    Show(Show),
    /// Write letters to the topic that they came from, with key and headers as they were
    ///
    /// An event that is kept already is recognised by its EventID, or by the place where it was read first, and is neither
    /// kept nor told again. The letters stay where they are.
    Replay(Again),
}

#[derive(Debug, Args)]
pub struct List {
    /// Only those whose error has this text
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// How many are shown
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The letter: 0/17, or 0 17
    #[arg(required = true, num_args = 1..=2, value_name = "PARTITION/OFFSET", allow_negative_numbers = true)]
    letter: Vec<String>,
    /// Print JSON; a body that is no text is in Base64
    #[arg(long)]
    json: bool,
}

pub async fn run(command: DeadLettersCommand, subscription: &Subscription) -> anyhow::Result<()> {
    let letters = Letters::new(subscription);
    match command {
        DeadLettersCommand::List(list) => list.run(&letters).await,
        DeadLettersCommand::Show(show) => show.run(&letters).await,
        DeadLettersCommand::Replay(again) => again.run(&letters, subscription).await,
    }
}

/// Whether the error of a letter has a text; any, if there is none to look for.
pub(super) fn has_error(letter: &Letter, text: Option<&str>) -> bool {
    text.is_none_or(|text| letter.error().is_some_and(|error| error.contains(text)))
}

/// That there is no such letter.
pub(super) fn nothing(topic: &str, exists: bool, error: Option<&str>) -> String {
    match error {
        _ if !exists => format!("The topic {topic} does not exist: nothing became a dead letter."),
        Some(error) => format!("No letter in {topic} has {error:?} in its error."),
        None => format!("There are no dead letters in {topic}."),
    }
}

/// A letter without its body, for a list.
struct Row {
    place: Place,
    written_at: Option<DateTime<Utc>>,
    listed: Listed,
    cells: [String; 4],
}

impl Row {
    fn of(found: &Letter) -> Self {
        let cells = [
            letter::origin(found),
            letter::line(found.key()),
            found.payload().map_or(0, <[u8]>::len).to_string(),
            found.error().unwrap_or_default().to_owned(),
        ];
        Self { place: found.place(), written_at: found.written_at(), listed: Listed::of(found), cells }
    }
}

impl List {
    async fn run(&self, letters: &Letters) -> anyhow::Result<()> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        // One more tells whether there are more. Which letters have an error only shows when all are read.
        let newest = self.error.is_none().then_some(i64::from(self.limit) + 1);
        let mut rows: Vec<Row> = Vec::new();
        let keep_latest = |rows: &mut Vec<Row>| {
            rows.sort_by_key(|row| Reverse((row.written_at, row.place)));
            rows.truncate(limit + 1);
        };
        let each = async |read: Vec<Letter>| {
            rows.extend(read.iter().filter(|letter| has_error(letter, self.error.as_deref())).map(Row::of));
            keep_latest(&mut rows);
            Ok(())
        };
        let exists = letters.read(newest, each).await?;
        let are_more = rows.len() > limit;
        rows.truncate(limit);
        if self.json {
            let listed: Vec<_> = rows.into_iter().map(|row| row.listed).collect();
            return Ok(terminal::print_json(&listed)?);
        }
        if rows.is_empty() {
            terminal::print(nothing(letters.topic(), exists, self.error.as_deref()));
            return Ok(());
        }
        let now = Utc::now();
        let mut table = Table::new(["letter", "written", "from", "key", "bytes", "error"], &["bytes"]);
        for Row { place, written_at, cells: [origin, key, bytes, error], .. } in rows {
            let written = written_at.map_or_else(String::new, |time| ago(time, now));
            table.row([place.to_string(), written, origin, key, bytes, error]);
        }
        terminal::print(table);
        if are_more {
            terminal::print("There are more; --limit shows them.");
        }
        Ok(())
    }
}

impl Show {
    async fn run(&self, letters: &Letters) -> anyhow::Result<()> {
        let [place] = places::read(&self.letter)?[..] else {
            bail!(Misuse("one letter is shown at a time: say PARTITION/OFFSET, such as 0/17".to_owned()));
        };
        let found = letters.at(place).await?;
        if self.json {
            terminal::print_json(&Whole::of(&found))?;
        } else {
            terminal::print(letter::told(&found, letters.topic(), Utc::now()));
        }
        Ok(())
    }
}
