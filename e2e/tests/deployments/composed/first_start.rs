//! Runs the script that starts Postgres, with an image whose programs only note what they do.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::{compose::Compose, files::path};

/// Makes a database in steps. It is killed before the last one if `CUT_OFF` is set, as a container is.
const MAKE: &str = r#"#!/bin/sh
set -eu
mkdir -p "$PGDATA"
echo 18 > "$PGDATA/PG_VERSION"
[ -z "${CUT_OFF:-}" ] || kill -9 "$PPID" $$
echo mine > "$PGDATA/database"
"#;

/// Does not look at what it serves, as the image's own.
const SERVE: &str = "#!/bin/sh\necho \"$* serves $(cat \"$PGDATA/database\")\"\n";

/// A container with an empty volume.
struct Container(TempDir);

impl Container {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        fs::create_dir(this.0.path().join("bin")).unwrap();
        for (name, script) in [("docker-ensure-initdb.sh", MAKE), ("docker-entrypoint.sh", SERVE)] {
            let file = this.0.path().join("bin").join(name);
            fs::write(&file, script).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        this
    }

    fn database(&self, version: &str) -> PathBuf {
        self.0.path().join("volume").join(version).join("docker")
    }

    /// Starts it as compose does, until it ends.
    fn start(&self, cut_off: bool) -> Output {
        let service = Compose::both().services.remove("postgres-loms").unwrap();
        let mounts = service.mounts();
        let place = |word: &String| match mounts.iter().find(|mount| mount.target == *word) {
            Some(mount) => path("deployments").join(&mount.source),
            None => word.into(),
        };
        let words: Vec<_> = service.list("entrypoint").iter().chain(&service.list("command")).map(place).collect();
        let search = env::join_paths(
            [self.0.path().join("bin")].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())),
        );
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("PATH", search.unwrap()).env("PGDATA", self.database("18"));
        if cut_off {
            command.env("CUT_OFF", "1");
        }
        command.output().unwrap()
    }
}

fn printed(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn a_first_start_that_was_cut_off_is_begun_anew_and_a_later_one_finds_its_data() {
    let container = Container::new();
    for _ in 0..2 {
        assert!(!container.start(true).status.success());
        assert!(!container.database("18").exists(), "half a database is taken for a whole one");
    }
    let healed = container.start(false);
    assert_eq!(printed(&healed), "the first start was cut off, and is begun anew\npostgres serves mine\n");

    fs::write(container.database("18").join("database"), "orders").unwrap();
    assert_eq!(printed(&container.start(false)), "postgres serves orders\n");
    assert_eq!(fs::read_dir(container.database("18").parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn no_empty_database_takes_the_place_of_one_of_another_version() {
    let container = Container::new();
    fs::create_dir_all(container.database("17")).unwrap();
    fs::write(container.database("17").join("PG_VERSION"), "17").unwrap();
    container.start(false);
    // The image's own program refuses to start.
    assert!(!container.database("18").exists());
}
