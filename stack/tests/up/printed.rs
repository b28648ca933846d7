//! What is printed for people.

use std::{fs, process::Command};

use crate::world::World;

#[test]
fn a_story_with_a_fleet_of_its_own_tells_nobody_to_repeat_its_calls_there() {
    let world = World::new();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_stack"));
    demo.args(["demo", "--ports", "free", "--state-dir"]).arg(world.state());
    demo.arg("--certs").arg(world.directory.path().join("certs"));
    let output = demo.output().unwrap();
    let story = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{story}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(story.contains("This fleet ends with the story.") && !story.contains("Every call below"), "{story}");
    assert!(!fs::exists(world.state().join("launcher.lock")).unwrap(), "the fleet has ended");
}

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
