//! Runs `stack broker`, a broker with Kafka's protocol, as a child process.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::{binaries, ports, process::Process};

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Short, because the broker has nothing to finish when it is stopped.
const GRACE: Duration = Duration::from_secs(1);

/// A running broker. Dropping it kills it.
#[derive(Debug)]
pub struct Broker {
    process: Process,
    address: SocketAddr,
}

impl Broker {
    /// Starts a broker and waits until it accepts connections. Its topics are in the directory `data`, which need not exist
    /// yet; its output goes to the file `log`.
    pub async fn start(port: u16, data: &Path, log: &Path) -> anyhow::Result<Self> {
        let address = ports::loopback(port);
        let mut command = Command::new(binaries::find("stack")?);
        command.args(["broker", "--listen", &address.to_string(), "--data"]).arg(data);
        let mut process = Process::spawn("broker", command, log)?;
        let check = async || match TcpStream::connect(address).await {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("does not answer on {address}")),
        };
        process.wait_until(check, START_TIMEOUT, "the broker", log).await?;
        Ok(Self { process, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Stops the broker. Its topics stay.
    pub async fn stop(mut self) {
        self.process.stop(Signal::TERM, GRACE).await;
    }
}
