//! Runs our containers without Docker. Bubblewrap gives each program what its image and the compose file describe: a
//! read-only root, an unprivileged user without capabilities, and the container's mounts, variables and host names.

use std::{
    collections::BTreeMap,
    env, fs,
    net::Ipv4Addr,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use stack::testing::eventually;
use stack::{
    binaries, packages,
    process::{Process, tail},
};
use tempfile::TempDir;

use crate::{
    compose::Compose,
    dockerfile::{self, Stage},
    files::path,
};

const INSTALL: &str =
    "install it (Debian, Ubuntu: sudo apt-get install bubblewrap); it needs Linux, and user namespaces";

/// Directories of the system that the final image has, and that our programs need.
const SYSTEM: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ssl"];

/// Runs one test in a new process, on a network that has only a loopback interface. Fails if that test fails.
pub fn on_a_network_of_its_own(test: &str, variable: &str) {
    let program = packages::program("bwrap", "bubblewrap", INSTALL).unwrap();
    let mut command = Command::new(program);
    command.args(["--unshare-net", "--dev-bind", "/", "/", "--die-with-parent", "--"]);
    command.arg(env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(variable, "1");
    let output = command.output().unwrap();
    let [printed, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{printed}\n{errors}");
    assert!(printed.contains("1 passed"), "{test} is no test:\n{printed}");
}

/// The containers of our images.
pub struct Containers {
    pub compose: Compose,
    stages: BTreeMap<String, Stage>,
    directory: TempDir,
}

/// A running container.
pub struct Container {
    name: String,
    process: Process,
    /// The file to which bubblewrap writes the id of the program's process.
    status: PathBuf,
    log: PathBuf,
}

impl Containers {
    /// All volumes are empty at first.
    pub fn new(compose: Compose) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let this = Self { compose, stages: dockerfile::stages(), directory };
        for place in ["files", "hosts", "logs", "programs", "status", "volumes"] {
            fs::create_dir(this.place(place)).unwrap();
        }
        fs::set_permissions(this.place("status"), fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(this.place("nsswitch.conf"), "hosts: files\n").unwrap();
        for (program, _) in this.stages.values().filter_map(|stage| stage.program.clone()) {
            let copy = this.place("programs").join(&program);
            if !copy.exists() {
                fs::copy(binaries::find(&program).unwrap(), copy).unwrap();
            }
        }
        this
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The address of a container in the list of hosts. It is not 127.0.0.1, so that others cannot reach a program that
    /// listens on its own loopback interface only.
    pub fn address(&self, name: &str) -> Ipv4Addr {
        let number = self.compose.services.keys().position(|service| service == name).unwrap();
        Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).unwrap())
    }

    /// The directory of a named volume.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.place("volumes").join(name)
    }

    /// The entrypoint with its arguments.
    pub fn command(&self, name: &str) -> Vec<String> {
        let service = &self.compose.services[name];
        let stage = &self.stages[&service.target().unwrap()];
        let mut command = stage.entrypoint.clone();
        let arguments = service.list("command");
        command.extend(if arguments.is_empty() { stage.command.clone() } else { arguments });
        command
    }

    /// The command of the health check.
    pub fn health(&self, name: &str) -> Vec<String> {
        self.compose.services[name].health().unwrap()
    }

    /// Makes a command that runs in a container. Bubblewrap writes the id of its process to the file `status`.
    fn inside(&self, name: &str, run: &[String], status: &Path) -> Command {
        let service = &self.compose.services[name];
        let (user, group) = service.yaml["user"].as_str().unwrap().split_once(':').unwrap();
        let (uid, gid) = (user.parse().unwrap(), group.parse().unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3>\"$0\"; exec \"$@\""]).arg(status);
        command.arg(packages::program("bwrap", "bubblewrap", INSTALL).unwrap());
        command.args(["--json-status-fd", "3", "--die-with-parent", "--unshare-user", "--unshare-ipc", "--clearenv"]);
        command.args(["--uid", user, "--gid", group]);
        for system in SYSTEM {
            command.args(["--ro-bind-try", system, system]);
        }
        command.args(["--proc", "/proc", "--dev", "/dev", "--ro-bind"]);
        command.arg(self.place("nsswitch.conf")).arg("/etc/nsswitch.conf");
        command.arg("--ro-bind").arg(self.hosts(name)).arg("/etc/hosts");
        let (program, place) = self.stages[&service.target().unwrap()].program.clone().unwrap();
        command.arg("--ro-bind").arg(self.place("programs").join(program)).arg(place);
        for mount in service.mounts() {
            command.arg(if mount.is_read_only { "--ro-bind" } else { "--bind" });
            command.arg(self.source(&mount.source, uid, gid)).arg(mount.target);
        }
        for (variable, value) in service.environment() {
            command.args(["--setenv", &variable, &value]);
        }
        if service.text("read_only") == "true" {
            command.args(["--remount-ro", "/"]);
        }
        command.args(["--chdir", "/", "--"]).args(run);
        if rustix::process::geteuid().is_root() {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// The directory or file to mount: a named volume, which belongs to the first user that mounts it, or a copy of a
    /// file of ours, at a place that the user can read.
    fn source(&self, source: &str, uid: u32, gid: u32) -> PathBuf {
        if source.starts_with('.') {
            let copy = self.place("files").join(source.replace('/', "_"));
            // Only once, because a running container may read the copy.
            if !copy.exists() {
                fs::copy(path("deployments").join(source), &copy).unwrap();
            }
            return copy;
        }
        let volume = self.volume(source);
        if !volume.exists() {
            fs::create_dir(&volume).unwrap();
            if rustix::process::geteuid().is_root() {
                chown(&volume, Some(uid), Some(gid)).unwrap();
            }
        }
        volume
    }

    /// A file with the hosts that a container knows: itself and all others in its networks.
    fn hosts(&self, name: &str) -> PathBuf {
        let file = self.place("hosts").join(name);
        if !file.exists() {
            let known = |other: &&String| *other == name || self.compose.share_a_network(name, other);
            let hosts = self.compose.services.keys().filter(known);
            let lines = hosts.map(|host| format!("{} {host}\n", self.address(host)));
            fs::write(&file, format!("127.0.0.1 localhost\n{}", lines.collect::<String>())).unwrap();
        }
        file
    }

    /// Runs a command in a container to its end.
    pub async fn run(&self, name: &str, command: &[String]) -> Output {
        let mut command = self.inside(name, command, Path::new("/dev/null"));
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Starts a container, and waits until it is healthy.
    pub async fn start(&self, name: &str) -> Container {
        let (status, log) = (self.place("status").join(name), self.place("logs").join(name));
        let command = self.inside(name, &self.command(name), &status);
        let process = Process::spawn(name, command, &log).unwrap();
        let mut container = Container { name: name.to_owned(), process, status, log };
        let check = self.health(name);
        eventually(&format!("{name} is healthy"), || {
            assert_eq!(container.process.exited(), None, "{name} ended:\n{}", tail(&container.log, 20));
            async { self.run(name, &check).await.status.success().then_some(()) }
        })
        .await;
        container
    }
}

impl Container {
    /// The output so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Stops the container as Docker does. Returns its exit status; none if it took longer than `grace`.
    pub async fn stop(mut self, grace: Duration) -> Option<ExitStatus> {
        // The signal is for the program itself. Bubblewrap then ends with the same exit status.
        let status: serde_json::Value = {
            let text = fs::read_to_string(&self.status).unwrap();
            serde_json::from_str(text.lines().next().unwrap()).unwrap()
        };
        let id = i32::try_from(status["child-pid"].as_i64().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        let what = format!("{} ends", self.name);
        let ended = eventually(&what, || {
            let ended = self.process.exited();
            async move { ended }
        });
        tokio::time::timeout(grace, ended).await.ok()
    }
}
