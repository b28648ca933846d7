//! The files at the top of the repository agree: the compiler, the licence, and what `make help` says.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{dockerfile, files::path};

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap()
}

/// The text between quotes after `key = ` in a TOML file.
fn value(file: &str, key: &str) -> String {
    let text = read(file);
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).expect(key);
    line.trim_matches('"').to_owned()
}

#[test]
fn the_compiler_is_the_same_wherever_it_is_named() {
    let (pinned, least) = (value("rust-toolchain.toml", "channel"), value("Cargo.toml", "rust-version"));
    assert!(pinned.starts_with(&format!("{least}.")), "pinned is {pinned}, and Cargo.toml asks for {least}");
    let image = &dockerfile::stages()["rust"].from;
    assert!(image.starts_with(&format!("rust:{pinned}-")), "pinned is {pinned}, and images are built with {image}");
    assert!(read("README.md").contains(&format!("Rust {pinned}")), "the README tells of Rust {pinned}");
}

#[test]
fn the_licence_that_the_crates_name_is_there() {
    let licence = value("Cargo.toml", "license");
    assert!(read("LICENSE").starts_with(&format!("{licence} License\n")), "LICENSE is that of {licence}");
}

#[test]
fn make_help_names_every_variable_that_people_may_set() {
    let makefile = read("Makefile");
    let settable: BTreeSet<_> = makefile.lines().filter_map(|line| Some(line.split_once(" ?=")?.0)).collect();
    assert!(settable.contains("ARGS") && settable.contains("PROFILE"), "{settable:?}");
    let help = Command::new("make").arg("help").current_dir(path(".")).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let told = help.lines().filter_map(|line| line.trim().split_once('=')).map(|(name, _)| name);
    let told: BTreeSet<_> =
        told.filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')).collect();
    assert_eq!(told, settable, "what `make help` tells of, and what the Makefile lets people set:\n{help}");
}
