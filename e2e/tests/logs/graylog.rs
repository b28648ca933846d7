//! Graylog receives the same lines that a service prints.

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
        // After `stopped`, libraries may still log something, too late for Graylog.
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

/// A text that is the same for a log line and for its GELF message: all fields but the time, by their names in the log.
fn key(fields: &Value, prefix: &str, message: &str) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let own = fields.as_object().unwrap().iter();
    let own = own.filter(|(name, _)| !["ts", "level", "message"].contains(&name.as_str()) && name.starts_with(prefix));
    let prefixed = own.filter(|(name, _)| prefix.is_empty() || name.starts_with('_'));
    let pairs: BTreeMap<_, _> =
        prefixed.map(|(name, value)| (name.trim_start_matches('_').to_owned(), text(value))).collect();
    format!("{}: {pairs:?}", text(&fields[message]))
}
