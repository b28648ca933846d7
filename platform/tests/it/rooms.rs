//! The rooms of a service use only what the floor plan in `docs/architecture.md` allows.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::sources::{files, root, services};

/// Rules of the domain read no clock and no random numbers.
const CLOCKS: [&str; 4] = ["Utc::now", "Instant::now", "SystemTime::now", "Uuid::now_v7"];

struct Room {
    /// The names of the modules after `crate::`.
    modules: BTreeSet<String>,
    /// The modules that the room may use; `None` for all.
    uses: Option<BTreeSet<String>>,
    /// The restricted libraries that the room may use.
    libraries: BTreeSet<String>,
}

/// The words between backticks, without `.rs` and `/` at their end.
fn quoted(cell: &str) -> BTreeSet<String> {
    let words = cell.split('`').skip(1).step_by(2);
    words.map(|word| word.trim_end_matches(".rs").trim_end_matches('/').to_owned()).collect()
}

fn plan() -> Vec<Room> {
    let docs = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let (_, table) = docs.split_once("| room | what is in it | may use | and these libraries |\n").unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let room = |row: &str| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let uses = (cells[3] != "all").then(|| quoted(cells[3]));
        Room { modules: quoted(cells[1]), uses, libraries: quoted(cells[4]) }
    };
    rows.map(room).collect()
}

/// The source files of all services, each with the top module that it belongs to.
fn modules() -> Vec<(String, PathBuf)> {
    let module_in = |source: &Path, file: &Path| {
        let first = file.strip_prefix(source).unwrap().iter().next().unwrap().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    };
    services()
        .flat_map(|source| files(&source).into_iter().map(move |file| (module_in(&source, &file), file)))
        .filter(|(module, _)| module != "lib")
        .collect()
}

/// Finds the modules after `crate::` and the first names of paths in the code, except in tests.
fn collect(code: TokenStream, modules: &mut BTreeSet<String>, paths: &mut BTreeSet<String>) {
    let tokens: Vec<_> = code.into_iter().collect();
    let text = |index: usize| tokens.get(index).map(TokenTree::to_string).unwrap_or_default();
    for (index, token) in tokens.iter().enumerate() {
        let begins_path = text(index + 1) == ":" && text(index + 2) == ":" && text(index.wrapping_sub(1)) != ":";
        match token {
            TokenTree::Ident(name) if begins_path && name == "crate" => match tokens.get(index + 3) {
                Some(TokenTree::Group(group)) => modules.extend(firsts(group.stream())),
                Some(other) => {
                    modules.insert(other.to_string());
                }
                None => {}
            },
            TokenTree::Ident(name) if begins_path => {
                paths.insert(name.to_string());
            }
            TokenTree::Group(group) => {
                let is_tests = index >= 2 && text(index - 2) == "mod" && text(index - 1) == "tests";
                if !(is_tests && group.delimiter() == Delimiter::Brace) {
                    collect(group.stream(), modules, paths);
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The first names of the paths in `{a::b, c}`.
fn firsts(group: TokenStream) -> Vec<String> {
    let tokens: Vec<_> = group.into_iter().map(|token| token.to_string()).collect();
    tokens.split(|token| token == ",").filter_map(|path| path.first().cloned()).collect()
}

#[test]
fn every_room_uses_what_the_floor_plan_lets_it_use() {
    let plan = plan();
    let given: BTreeSet<_> = plan.iter().flat_map(|room| &room.libraries).collect();
    let mut broken = Vec::new();
    for (module, file) in modules() {
        let shown = file.strip_prefix(root()).unwrap().display();
        let Some(room) = plan.iter().find(|room| room.modules.contains(&module)) else {
            broken.push(format!("{shown} is in no room of the plan"));
            continue;
        };
        let code = fs::read_to_string(&file).unwrap();
        let (mut modules, mut paths) = (BTreeSet::new(), BTreeSet::new());
        collect(code.parse().unwrap(), &mut modules, &mut paths);
        let may_use = |other: &String| room.uses.as_ref().is_none_or(|uses| uses.contains(other)) || *other == module;
        broken.extend(modules.iter().filter(|other| !may_use(other)).map(|other| format!("{shown} uses {other}")));
        let of_others = paths.iter().filter(|path| given.contains(path) && !room.libraries.contains(*path));
        broken.extend(of_others.map(|library| format!("{shown} uses the library {library}")));
        if module == "domain" {
            let clocks = CLOCKS.iter().filter(|clock| code.contains(**clock));
            broken.extend(clocks.map(|clock| format!("{shown} has a rule that reads a clock: {clock}")));
        }
    }
    assert!(broken.is_empty(), "against the floor plan in docs/architecture.md:\n{}", broken.join("\n"));
}

#[test]
fn what_is_used_is_found_in_every_form_it_is_written_in() {
    let code = "use crate::{a::{b, c}, d, e::f}; use crate::g; use tonic::Status;
                fn h() -> i::J { crate::k::l(tonic::Code::Ok, m::n::o) } mod tests { use crate::p; use q::r; }";
    let (mut modules, mut paths) = (BTreeSet::new(), BTreeSet::new());
    collect(code.parse().unwrap(), &mut modules, &mut paths);
    let found = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!((found(modules), found(paths)), ("a d e g k".to_owned(), "a e i m tonic".to_owned()));
}
