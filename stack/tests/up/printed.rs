//! What is printed, into a terminal and elsewhere.

use std::{
    fs,
    fs::File,
    io::Read as _,
    process::{Child, Command, Stdio},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::world::World;

/// A command whose output is a terminal.
struct InTerminal {
    child: Child,
    terminal: File,
    printed: String,
}

impl InTerminal {
    fn start(mut command: Command, no_color: Option<&str>) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let inside = File::options().read(true).write(true).open(name).unwrap();
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(variable);
        }
        command.envs(no_color.map(|value| ("NO_COLOR", value))).env("TERM", "xterm");
        command.stdin(Stdio::null()).stdout(inside.try_clone().unwrap()).stderr(inside);
        // The ends that the command has are for the child alone.
        let child = command.spawn().unwrap();
        Self { child, terminal: File::from(terminal), printed: String::new() }
    }

    /// Reads until a text is printed, or to the end.
    fn read_until(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.printed.contains(text) {
            // When nobody has the terminal any more, to read it is an error.
            let Ok(count @ 1..) = self.terminal.read(&mut bytes) else { return };
            self.printed.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Waits for its end. Returns the exit code and all that it printed.
    fn end(mut self) -> (Option<i32>, String) {
        self.read_until("\0");
        (self.child.wait().unwrap().code(), self.printed)
    }
}

#[test]
fn a_terminal_shows_colours_unless_they_are_not_wanted() {
    let world = World::new();
    for (no_color, is_coloured) in [(None, true), (Some(""), true), (Some("1"), false)] {
        let mut up = InTerminal::start(world.command(), no_color);
        up.read_until("\nready\r\n");
        kill_process(Pid::from_child(&up.child), Signal::TERM).unwrap();
        let (code, printed) = up.end();
        assert_eq!(code, Some(0), "{printed}");
        assert!(printed.contains("\nready\r\n"), "the line says just that: {printed}");
        assert_eq!(printed.contains("\u{1b}["), is_coloured, "NO_COLOR is {no_color:?}: {printed:?}");
    }
}

#[test]
fn a_story_with_a_fleet_of_its_own_tells_nobody_to_repeat_its_calls_there() {
    for (options, tool) in [(&[][..], "grpcurl"), (&["--json"], "curl")] {
        let world = World::new();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_stack"));
        demo.args(["demo", "--ports", "free", "--state-dir"]).arg(world.state()).args(options);
        demo.arg("--certs").arg(world.directory.path().join("certs"));
        let (code, story) = InTerminal::start(demo, None).end();
        assert_eq!(code, Some(0), "{story}");
        let end = format!("This fleet ends with the story. To repeat a call below with {tool}, ");
        assert!(story.contains(&end) && !story.contains("Every call below"), "{story}");
        assert!(story.contains("\u{1b}[1m1. Anna browses"), "{story:?}");
        assert!(!fs::exists(world.state().join("launcher.lock")).unwrap(), "the fleet has ended");
    }
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
