//! What is printed of what is wrong.

use std::fs;

use crate::world::World;

#[test]
fn a_faulty_variable_for_logging_is_told_and_nothing_starts() {
    for wrong in ["foo bar", "foo bar=info", "info,sqlx=loud"] {
        let world = World::new();
        let output = world.command().env("RUST_LOG", wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("stack: the environment variable RUST_LOG must be error, warn"), "{error}");
    }
}

#[test]
fn a_lock_file_that_cannot_be_opened_is_told_with_its_path() {
    let world = World::new();
    let lock = world.state().join("launcher.lock");
    fs::create_dir_all(&lock).unwrap();
    let output = world.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with(&format!("stack: cannot open the lock file {}", lock.display())), "{error}");
    fs::remove_dir(&lock).unwrap();
}
