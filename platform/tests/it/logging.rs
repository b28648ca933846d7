//! The fields of log lines are those that `docs/logging.md` lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What makes lines and spans, whose fields are in lines too.
const MACROS: [&str; 6] = ["error", "warn", "info", "debug", "trace", SPAN];
const SPAN: &str = "info_span";
/// Fields that every line has, and are named nowhere in the code.
const OF_EVERY_LINE: [&str; 7] = ["ts", "level", "message", "target", "trace_id", "span_id", "service"];
/// Fields of spans that lines do not show.
const HIDDEN: [&str; 2] = ["db.query.text", "worker.outcome"];

/// The fields of the table in the docs.
fn listed() -> BTreeSet<String> {
    let docs = fs::read_to_string(root().join("docs/logging.md")).unwrap();
    let (_, table) = docs.split_once("\n## Fields\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let names = table.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(1).unwrap());
    names.flat_map(|names| names.split_whitespace()).map(|name| name.trim_matches('`').to_owned()).collect()
}

/// The fields that the code of the services names, each with a file that does.
fn named() -> BTreeMap<String, PathBuf> {
    let mut named = BTreeMap::new();
    let is_service = |part: &PathBuf| {
        let main = fs::read_to_string(part.join("src/main.rs")).unwrap_or_default();
        main.contains("platform::cli::main")
    };
    let services = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(is_service);
    for part in services.chain([root().join("platform")]) {
        for file in sources(&part.join("src")) {
            let code: TokenStream = fs::read_to_string(&file).unwrap().parse().unwrap();
            let mut names = BTreeSet::new();
            collect(code, &mut names);
            named.extend(names.into_iter().map(|name| (name, file.clone())));
        }
    }
    named.retain(|name, _| !name.starts_with("otel.") && !HIDDEN.contains(&name.as_str()));
    named
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.file_name().is_some_and(|name| name != "tests.rs")).collect()
}

/// Finds the fields of every macro in the code, but for tests.
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

/// The fields among the arguments of a macro: `name = value`, `%name`, `?name` or `name`.
fn fields(arguments: TokenStream, is_span: bool) -> Vec<String> {
    let tokens: Vec<_> = arguments.into_iter().map(|token| token.to_string()).collect();
    let mut arguments: Vec<_> = tokens.split(|token| token == ",").collect();
    // A text alone is the name of a span, or a message, and what follows a message is part of it.
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
    let (listed, named) = (listed(), named());
    let unlisted: Vec<_> = named.iter().filter(|(name, _)| !listed.contains(*name)).collect();
    assert!(unlisted.is_empty(), "not in docs/logging.md: {unlisted:#?}");
    let unknown: Vec<_> =
        listed.iter().filter(|name| !named.contains_key(*name) && !OF_EVERY_LINE.contains(&name.as_str())).collect();
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
