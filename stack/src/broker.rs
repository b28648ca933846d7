//! The local Kafka-protocol broker as a child process: `stack broker`, which keeps everything in memory and creates
//! no topic by itself.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::bail;
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::{
    binaries, ports,
    process::{self, Process},
};

/// How long it may take until its port answers.
const START: Duration = Duration::from_secs(30);

/// How long it may take to end: it has nothing to finish.
const GRACE: Duration = Duration::from_secs(1);

/// A running broker. Dropping it kills it.
#[derive(Debug)]
pub struct Broker {
    process: Process,
    address: SocketAddr,
}

impl Broker {
    /// Starts one and waits until it answers. What it prints goes to the file `log`.
    pub async fn start(port: u16, log: &Path) -> anyhow::Result<Self> {
        let address = ports::loopback(port);
        let mut command = Command::new(binaries::find("stack")?);
        command.args(["broker", "--listen", &address.to_string()]);
        let mut broker = Self { process: Process::spawn("broker", command, log)?, address };
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = broker.process.exited() {
                bail!("the broker {}:\n{}", process::describe(status), process::tail(log, 20));
            }
            if Instant::now() > deadline {
                bail!("the broker does not answer on {address}:\n{}", process::tail(log, 20));
            }
            tokio::time::sleep(process::POLL).await;
        }
        Ok(broker)
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it; what it held is gone.
    pub async fn stop(mut self) {
        self.process.stop(Signal::TERM, GRACE).await;
    }
}
