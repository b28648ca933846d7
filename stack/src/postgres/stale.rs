//! Stops a server that an earlier launcher left running because the launcher was killed.

use std::{fs, path::Path, time::Duration};

use anyhow::bail;
use rustix::process::Signal;

use crate::{
    Say,
    process::{command_line, end_by_pid},
};

/// They ask for a fast shutdown, then for an immediate one.
const SIGNALS: [(Signal, Duration); 2] =
    [(Signal::INT, Duration::from_secs(10)), (Signal::QUIT, Duration::from_secs(5))];

/// Stops the server that runs on this data directory, if there is one.
pub(super) async fn stop(data: &Path, say: Say<'_>) -> anyhow::Result<()> {
    let Ok(file) = fs::read_to_string(data.join("postmaster.pid")) else { return Ok(()) };
    let Some(pid) = file.lines().next().and_then(|line| line.trim().parse().ok()) else { return Ok(()) };
    // The id may belong to another process by now. The command line of a server names its directory.
    let argument = format!("-D {} ", data.display());
    if !command_line(pid).is_some_and(|line| line.contains(&argument)) {
        return Ok(());
    }
    say(&format!("stopping a Postgres that an earlier run left behind (process {pid})"));
    if !end_by_pid(pid, &SIGNALS).await {
        bail!("process {pid}, a Postgres of an earlier run on {}, does not stop", data.display());
    }
    Ok(())
}
