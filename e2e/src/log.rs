//! Reads logs of processes of the fleet.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use stack::testing::eventually;

/// The lines of a log that contain all of these texts.
pub fn lines_with(log: &Path, texts: &[&str]) -> Vec<String> {
    let log = fs::read_to_string(log).unwrap();
    log.lines().filter(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned).collect()
}

/// Waits until there is such a line.
pub async fn until_logged(log: &Path, texts: &[&str]) {
    let is_there = async || (!lines_with(log, texts).is_empty()).then_some(());
    eventually(&format!("{} has {texts:?}", log.display()), is_there).await;
}
