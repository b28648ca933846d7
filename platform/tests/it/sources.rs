//! The source files of the workspace, for tests that read code.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The folders `src` of all services.
pub fn services() -> impl Iterator<Item = PathBuf> {
    let folders = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path().join("src"));
    folders.filter(|source| {
        fs::read_to_string(source.join("main.rs")).is_ok_and(|main| main.contains("platform::cli::main"))
    })
}

/// All files in a folder, but not unit tests.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    files.filter(|path| !path.ends_with("tests.rs")).collect()
}
