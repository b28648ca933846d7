//! Graylog has what standard output has.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::story::Story;

pub fn every_line_is_in_graylog_as_it_is_in_the_log(story: &Story) {
    assert_eq!(story.malformed, [""; 0]);
    let mut received = BTreeMap::<String, usize>::new();
    for message in &story.graylog {
        *received.entry(key(message, "_", "short_message")).or_default() += 1;
    }
    let mut missing = Vec::new();
    for (name, log) in story.logs.iter().filter(|(name, _)| name != "checkout, locked out") {
        // What libraries say while the process goes down may be too late.
        let (log, _) = log.rsplit_once(r#""message":"stopped""#).unwrap();
        let (log, _) = log.rsplit_once('\n').unwrap();
        for line in log.lines().filter(|line| !line.contains("platform::telemetry::gelf")) {
            let key = key(&serde_json::from_str(line).unwrap(), "", "message");
            match received.get_mut(&key) {
                Some(count) if *count > 0 => *count -= 1,
                Some(_) | None => missing.push(format!("{name}: {line}")),
            }
        }
    }
    assert!(missing.is_empty(), "{} lines are not in Graylog, such as {:#?}", missing.len(), missing.first());
}

/// What a line and its message have in common, but for the time: every field as text, by its name in the log.
fn key(fields: &Value, prefix: &str, message: &str) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let own = fields.as_object().unwrap().iter();
    let own = own.filter(|(name, _)| !["ts", "level", "message"].contains(&name.as_str()) && name.starts_with(prefix));
    let prefixed = own.filter(|(name, _)| prefix.is_empty() || name.starts_with('_'));
    let pairs: BTreeMap<_, _> =
        prefixed.map(|(name, value)| (name.trim_start_matches('_').to_owned(), text(value))).collect();
    format!("{}: {pairs:?}", text(&fields[message]))
}
