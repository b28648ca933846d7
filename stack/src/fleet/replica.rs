//! A second process of a service, beside the fleet's own. It has the same database and the same configuration, except
//! for its ports and for the changes that the caller wants.

use std::{fs, net::SocketAddr, path::PathBuf, process::ExitStatus};

use anyhow::Context as _;
use rustix::process::Signal;
use serde_yaml::Value;

use super::{Addresses, SERVICE_GRACE, Service, steps::service_command};
use crate::{files::replace_secret, ports, process::Process};

/// A running replica. Dropping it kills it.
#[derive(Debug)]
pub struct Replica {
    process: Process,
    config: PathBuf,
    /// The gRPC port.
    pub port: u16,
    /// HTTP/JSON.
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub log: PathBuf,
}

impl Replica {
    /// Starts a replica of a service. Each change is a section, as its path (`grpc.tls`), a key and its value.
    pub fn start(service: Service, fleet: &Addresses, changes: &[(&str, &str, &str)]) -> anyhow::Result<Self> {
        Self::start_with(service, fleet, |config| {
            for (section, key, value) in changes {
                let section = section.split('.').fold(&mut *config, |outer, name| &mut outer[name]);
                section[*key] = Value::String((*value).to_owned());
            }
        })
    }

    /// Starts a replica with a changed configuration. Its configuration and its log are written beside those of the fleet's
    /// own process.
    pub fn start_with(service: Service, fleet: &Addresses, change: impl FnOnce(&mut Value)) -> anyhow::Result<Self> {
        let original = fleet.service(service);
        let text = fs::read_to_string(&original.config)
            .with_context(|| format!("cannot read {}", original.config.display()))?;
        let mut config: Value = serde_yaml::from_str(&text)?;
        let [http, admin] = [ports::loopback(ports::free()?), ports::loopback(ports::free()?)];
        let port = ports::free()?;
        config["grpc"]["listen"] = Value::String(ports::loopback(port).to_string());
        config["http"]["listen"] = Value::String(http.to_string());
        config["admin"]["listen"] = Value::String(admin.to_string());
        change(&mut config);
        let name = format!("{}-{port}", service.name());
        let file = original.config.with_file_name(format!("{name}.yaml"));
        replace_secret(&file, &serde_yaml::to_string(&config)?)?;
        let log = original.log.with_file_name(format!("{name}.log"));
        let process = Process::spawn(&name, service_command(service, &file)?, &log)?;
        Ok(Self { process, config: file, port, http, admin, log })
    }

    pub async fn is_ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.admin);
        reqwest::get(url).await.is_ok_and(|response| response.status().is_success())
    }

    /// Asks the replica to stop, and returns its exit status. A replica that is too slow is killed.
    pub async fn stop(mut self) -> Option<ExitStatus> {
        self.process.stop(Signal::TERM, SERVICE_GRACE).await;
        self.process.exited()
    }

    /// Kills the replica, as a crash would.
    pub fn kill(mut self) {
        self.process.kill();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // The file holds a password.
        let _ = fs::remove_file(&self.config);
    }
}
