//! How moments, ages, counts and the texts of others are written for people.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// A moment in UTC.
pub fn moment(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How long something takes, such as `3m 20s` or `2days 5h`: two units at most.
pub fn age(seconds: u64) -> String {
    let words = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    words.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// How far from now a moment is, such as `3m 20s ago` or `in 2h`.
pub fn ago(moment: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - moment).num_seconds();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("{} ago", age(seconds.unsigned_abs())),
        ..0 => format!("in {}", age(seconds.unsigned_abs())),
    }
}

/// A number with its noun, such as `1 event` or `2 events`.
pub fn count(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    match number.try_into() {
        Ok(1) => format!("1 {one}"),
        Ok(number) => format!("{number} {many}"),
        Err(_) => format!("? {many}"),
    }
}

/// A text of others in which nothing steers a terminal.
pub fn printable(text: &str) -> String {
    let shown =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units_at_most() {
        let ages = [0, 59, 200, 3600, 7 * 3600 + 125, 2 * 86_400 + 5 * 3600 + 61].map(age);
        assert_eq!(ages, ["0s", "59s", "3m 20s", "1h", "7h 2m", "2days 5h"]);
    }

    #[test]
    fn moments_are_ago_or_yet_to_come() {
        let now = DateTime::UNIX_EPOCH + Duration::from_secs(100);
        let words = [0, 100, 160].map(|second| ago(DateTime::UNIX_EPOCH + Duration::from_secs(second), now));
        assert_eq!(words, ["1m 40s ago", "now", "in 1m"]);
    }
}
