//! The files at the top of the repository agree: the compiler and the licence.

use std::fs;

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
