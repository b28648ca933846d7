//! The code and `docs/logging.md` have the same fields of log lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::sources::{files, root, services};

/// The macros of events and spans. Lines have the fields of both.
const MACROS: [&str; 6] = ["error", "warn", "info", "debug", "trace", SPAN];
const SPAN: &str = "info_span";
/// Fields of every line. No macro in the code names them.
const OF_EVERY_LINE: [&str; 7] = ["ts", "level", "message", "target", "trace_id", "span_id", "service"];
/// Fields of spans that are not in lines.
const HIDDEN: [&str; 2] = ["db.query.text", "worker.outcome"];

fn listed_fields() -> BTreeSet<String> {
    let docs = fs::read_to_string(root().join("docs/logging.md")).unwrap();
    let (_, table) = docs.split_once("\n## Fields\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let names = table.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(1).unwrap());
    names.flat_map(|names| names.split_whitespace()).map(|name| name.trim_matches('`').to_owned()).collect()
}

/// The fields in the code of the services, each with a file that contains it.
fn used_fields() -> BTreeMap<String, PathBuf> {
    let mut used = BTreeMap::new();
    for file in services().chain([root().join("platform/src")]).flat_map(|source| files(&source)) {
        let code: TokenStream = fs::read_to_string(&file).unwrap().parse().unwrap();
        let mut names = BTreeSet::new();
        collect(code, &mut names);
        used.extend(names.into_iter().map(|name| (name, file.clone())));
    }
    used.retain(|name, _| !name.starts_with("otel.") && !HIDDEN.contains(&name.as_str()));
    used
}

/// Finds the fields in the macros of the code, except in tests.
fn collect(code: TokenStream, names: &mut BTreeSet<String>) {
    let tokens: Vec<_> = code.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let before = |back: usize| index.checked_sub(back).map(|at| tokens[at].to_string()).unwrap_or_default();
        if before(1) == "!" && MACROS.contains(&before(2).as_str()) {
            names.extend(fields(group.stream(), before(2) == SPAN));
        } else if !(group.delimiter() == Delimiter::Brace && before(1) == "tests" && before(2) == "mod") {
            collect(group.stream(), names);
        }
    }
}

/// The fields in the arguments of a macro: `name = value`, `%name`, `?name` or `name`.
fn fields(arguments: TokenStream, is_span: bool) -> Vec<String> {
    let tokens: Vec<_> = arguments.into_iter().map(|token| token.to_string()).collect();
    let mut arguments: Vec<_> = tokens.split(|token| token == ",").collect();
    // A literal text is the name of a span, or a message. The arguments after a message belong to its text.
    let is_text = |argument: &&[String]| argument.len() == 1 && argument[0].starts_with('"');
    if let Some(message) = arguments.iter().position(is_text).filter(|_| !is_span) {
        arguments.truncate(message);
    }
    let fields = arguments.into_iter().filter(|argument| !is_text(argument)).filter_map(|argument| {
        let name: String = argument.iter().take_while(|token| *token != "=").map(String::as_str).collect();
        // Neither `parent: span` nor `target: "name"` is a field.
        let is_field = !name.contains(':') && !name.is_empty();
        is_field.then(|| name.trim_start_matches(['%', '?']).trim_matches('"').to_owned())
    });
    fields.collect()
}

#[test]
fn every_field_in_the_code_is_in_the_table_and_the_table_has_no_other() {
    let (listed, used) = (listed_fields(), used_fields());
    let unlisted: Vec<_> = used.iter().filter(|(name, _)| !listed.contains(*name)).collect();
    assert!(unlisted.is_empty(), "not in docs/logging.md: {unlisted:#?}");
    let unknown: Vec<_> =
        listed.iter().filter(|name| !used.contains_key(*name) && !OF_EVERY_LINE.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "in docs/logging.md and not in the code: {unknown:?}");
}

#[test]
fn fields_are_found_in_every_form_they_are_written_in() {
    let code = r#"fn a() {
        if b { tracing::warn!(%error, order.id = id.get(), "said {}", peer); }
        let span = info_span!(parent: None, "step", "error.type" = Empty, ?files, sku, f = g(1, h = 2));
    }
    mod tests { fn c() { info!(hidden = 1, "said"); } }"#;
    let mut names = BTreeSet::new();
    collect(code.parse().unwrap(), &mut names);
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["error", "error.type", "f", "files", "order.id", "sku"]);
}
