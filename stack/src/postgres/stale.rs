//! A server that an earlier launcher left behind, because it was killed before it could stop it.

use std::{fs, path::Path, time::Duration};

use anyhow::bail;
use rustix::process::Signal;

use crate::process::{command_line, end_stranger};

/// Fast shutdown, then immediate shutdown.
const SIGNALS: [(Signal, Duration); 2] =
    [(Signal::INT, Duration::from_secs(10)), (Signal::QUIT, Duration::from_secs(5))];

/// Stops the server that still runs on this data directory, if one does.
pub(super) async fn stop(data: &Path, say: &mut (dyn FnMut(&str) + Send)) -> anyhow::Result<()> {
    let Ok(file) = fs::read_to_string(data.join("postmaster.pid")) else { return Ok(()) };
    let Some(pid) = file.lines().next().and_then(|line| line.trim().parse().ok()) else { return Ok(()) };
    // The id may belong to some other process by now; a server names its directory on its command line.
    let argument = format!("-D {} ", data.display());
    if !command_line(pid).is_some_and(|line| line.contains(&argument)) {
        return Ok(());
    }
    say(&format!("stopping a Postgres that an earlier run left behind (process {pid})"));
    if !end_stranger(pid, &SIGNALS).await {
        bail!("process {pid}, a Postgres of an earlier run on {}, does not stop", data.display());
    }
    Ok(())
}
