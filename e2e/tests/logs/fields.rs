//! Log lines have the fields that `docs/logging.md` lists.

use std::collections::BTreeMap;

use serde_json::Value;
use stack::fleet::Service;

use crate::story::Story;

const DOCS: &str = include_str!("../../../docs/logging.md");

/// The type of every field in the table of the docs.
fn types() -> BTreeMap<&'static str, &'static str> {
    let (_, table) = DOCS.split_once("\n## Fields\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let fields = rows.flat_map(|row| {
        let columns: Vec<_> = row.split('|').map(str::trim).collect();
        let names = columns[1].split_whitespace().map(|name| name.trim_matches('`'));
        // A row has one type for each of its names, or one for all.
        let types: Vec<_> = columns[2].split(", ").collect();
        names.enumerate().map(move |(at, name)| (name, types[at.min(types.len() - 1)])).collect::<Vec<_>>()
    });
    fields.collect()
}

/// The lines that our own code logged, without those of libraries.
fn lines(story: &Story) -> impl Iterator<Item = Value> {
    let lines = story.logs.iter().flat_map(|(name, log)| log.lines().map(move |line| (name, line)));
    let lines = lines.map(|(name, line)| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{name} says what is no JSON: {line}"))
    });
    lines.filter(|line| {
        let target = line["target"].as_str().unwrap();
        let package = target.split("::").next().unwrap();
        package == "platform" || Service::ALL.into_iter().any(|service| service.name() == package)
    })
}

pub fn every_line_is_made_of_listed_fields(story: &Story) {
    let types = types();
    let mut seen = 0;
    for line in lines(story) {
        for (name, value) in line.as_object().unwrap() {
            let kind = match value {
                Value::String(_) => "text",
                Value::Number(_) => "number",
                Value::Bool(_) => "true or false",
                Value::Null | Value::Array(_) | Value::Object(_) => panic!("{name} has no simple value: {line}"),
            };
            assert_eq!(types.get(name.as_str()), Some(&kind), "{name} in {line}");
        }
        let first: Vec<_> = line.as_object().unwrap().keys().take(4).map(String::as_str).collect();
        assert_eq!(first, ["ts", "level", "message", "target"], "{line}");
        seen += 1;
    }
    assert!(seen > 100, "there are lines: {seen}");
}

pub fn a_failure_is_one_line_with_its_causes(story: &Story) {
    let failed: Vec<_> = lines(story).filter(|line| line["message"] == "call failed").collect();
    let error_of = |method: &str, code: &str| {
        let mut failures = failed.iter().filter(|line| {
            (line["rpc.method"].as_str(), line["rpc.response.status_code"].as_str()) == (Some(method), Some(code))
        });
        let line = failures.next().unwrap_or_else(|| panic!("{method} did not fail with {code}"));
        assert!(failures.next().is_none(), "it failed once");
        let trace = line["trace_id"].as_str().unwrap();
        let said = lines(story).filter(|other| other["trace_id"] == trace && other["error"].is_string()).count();
        assert_eq!(said, 1, "the failure is told once");
        line["error"].as_str().unwrap().to_owned()
    };
    let refused = error_of("cart.Cart/ListCart", "INTERNAL");
    assert!(refused.contains("refuses the token") && refused.contains(": "), "{refused}");
    let unreachable = error_of("cart.Cart/Purchase", "UNAVAILABLE");
    assert!(unreachable.starts_with("LOMS is unavailable: ") && unreachable.contains("refused"), "{unreachable}");
}
