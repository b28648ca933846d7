//! Runs the script `deployments/containers` with a `docker` that only records its calls.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use stack::packages;
use tempfile::TempDir;

use crate::files::path;

/// Records every call. All containers exist, are healthy, and succeed.
const DOCKER: &str = r#"#!/bin/sh
echo "docker $*" >> "$CALLS"
case "$1 ${2:-}" in
  "info "*) exit "$INFO" ;;
  "compose version") exit "$PLUGIN" ;;
  "inspect "*) echo healthy ;;
  "wait "*) echo 0 ;;
  "logs "*) echo "input on 12201: created" ;;
  "compose "*) case "$*" in *" ps "*) echo container ;; esac ;;
esac
"#;

/// The older compose, a program of its own.
const DOCKER_COMPOSE: &str = "#!/bin/sh\necho \"docker-compose $*\" >> \"$CALLS\"\n";

/// Other programs that the script uses.
const TOOLS: [&str; 9] = ["cat", "chmod", "cp", "dirname", "git", "mkdir", "rm", "sh", "sleep"];

/// A machine that has only these tools, and a copy of `deployments/`.
struct Machine {
    directory: TempDir,
    /// The exit code of `docker info`.
    info: &'static str,
    /// The exit code of `docker compose version`.
    plugin: &'static str,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (tools, deployments) = (directory.path().join("bin"), directory.path().join("deployments"));
        fs::create_dir(&tools).unwrap();
        fs::create_dir_all(deployments.join("config")).unwrap();
        fs::create_dir_all(directory.path().join("stack/data")).unwrap();
        for tool in TOOLS {
            symlink(packages::program(tool, tool, "it is part of every system").unwrap(), tools.join(tool)).unwrap();
        }
        for file in ["containers", "example.env"] {
            fs::copy(path("deployments").join(file), deployments.join(file)).unwrap();
        }
        Self { directory, info: "0", plugin: "0" }
    }

    fn with(self, program: &str, text: &str) -> Self {
        let file = self.directory.path().join("bin").join(program);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, command: &str) -> Output {
        let mut script = Command::new(self.file("deployments/containers"));
        script.arg(command).env_clear().env("PATH", self.file("bin")).env("CALLS", self.file("calls"));
        script.env("INFO", self.info).env("PLUGIN", self.plugin).output().unwrap()
    }

    /// The recorded calls.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.file("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// The error message of a command that must fail, which must be one line.
    fn complaint(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    }
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).unwrap().permissions().mode() & 0o111 == 0o111
}

#[test]
fn what_is_missing_is_said_in_one_sentence_with_how_to_get_it() {
    let bare = Machine::new();
    assert!(bare.complaint("run-services").starts_with("docker is missing: install Docker from https://"));

    let without_engine = Machine { info: "1", ..Machine::new().with("docker", DOCKER) };
    for command in ["run-services", "run-log-env", "stop"] {
        let complaint = without_engine.complaint(command);
        assert!(complaint.starts_with("no Docker engine answers") && complaint.contains("make run"), "{complaint}");
    }
    assert!(!without_engine.file("deployments/.env").exists());

    let without_compose = Machine { plugin: "1", ..Machine::new().with("docker", DOCKER) };
    assert!(
        without_compose.complaint("run-services").starts_with("docker compose is missing: install it from https://")
    );
}

#[test]
fn the_fleet_starts_with_one_command_and_ends_with_ready() {
    let machine = Machine::new().with("docker", DOCKER);
    let output = printed(&machine.run("run-services"));
    assert!(output.starts_with("made deployments/.env from deployments/example.env"), "{output}");
    assert!(output.ends_with("\nready\n"), "{output}");
    let [copy, example] = [".env", "example.env"].map(|file| fs::read(machine.file("deployments").join(file)).unwrap());
    assert_eq!(copy, example);
    let calls = machine.calls();
    let compose = "docker compose --env-file .env --file docker-compose.yaml";
    let place = |call: &str| calls.iter().position(|other| *other == format!("{compose} {call}"));
    let built = place("build checkout loms notifications product-service").expect("each image is built, once");
    assert!(place("up --detach").is_some_and(|started| built < started), "{calls:#?}");
    let copied = calls.iter().filter(|call| call.starts_with("docker cp container:/certs/")).count();
    assert_eq!(copied, 3, "the authority, and a client's certificate and key: {calls:#?}");

    // A user's own file stays.
    fs::write(machine.file("deployments/.env"), "MINE=1\n").unwrap();
    let output = printed(&machine.run("run-log-env"));
    assert_eq!(fs::read_to_string(machine.file("deployments/.env")).unwrap(), "MINE=1\n");
    assert!(output.contains("input on 12201: created") && output.ends_with("\nready\n"), "{output}");
}

#[test]
fn stopping_keeps_data_and_removing_does_not() {
    let machine = Machine::new().with("docker", DOCKER);
    let both = "docker compose --env-file example.env --file docker-compose.yaml --file docker-compose.logs.yaml";
    printed(&machine.run("stop"));
    assert_eq!(machine.calls().last(), Some(&format!("{both} down")));
    printed(&machine.run("remove"));
    assert!(machine.calls().contains(&format!("{both} down --volumes")), "{:#?}", machine.calls());

    // Without an engine there is nothing to remove, and `make clean` goes on.
    printed(&Machine { info: "1", ..Machine::new().with("docker", DOCKER) }.run("remove"));
    printed(&Machine::new().run("remove"));
}

#[test]
fn the_older_program_of_compose_does_as_well() {
    let machine =
        Machine { plugin: "1", ..Machine::new().with("docker", DOCKER).with("docker-compose", DOCKER_COMPOSE) };
    printed(&machine.run("stop"));
    let last = machine.calls().pop().unwrap();
    assert!(last.starts_with("docker-compose --env-file example.env") && last.ends_with("down"), "{last}");
}

#[test]
fn scripts_can_be_run() {
    for script in [
        "deployments/containers",
        "deployments/config/alertmanager/configure.sh",
        "deployments/config/graylog/inputs.sh",
        "deployments/config/postgres/start.sh",
    ] {
        assert!(is_executable(&path(script)), "{script}");
    }
}
