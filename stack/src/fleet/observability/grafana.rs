//! Runs Grafana beside a local fleet, with the data sources and dashboards of `deployments/config`. Nobody has to log
//! in, so it listens on the loopback interface only.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde_json::Value;

use super::{files, unpack};
use crate::{
    fleet::{Addresses, Ports},
    packages,
    ports::loopback,
};

/// The end of the message that Grafana is missing.
pub(super) const INSTALL: &str = "get it from https://grafana.com/grafana/download";

/// Where packages put the files that the program needs.
const HOME: &str = "/usr/share/grafana";

/// The home dashboard.
const OVERVIEW: &str = "overview.json";

#[derive(Debug, Clone)]
pub(super) struct Grafana {
    program: PathBuf,
    /// The older program `grafana-server` is a server; the newer `grafana` needs the command `server`.
    is_server: bool,
}

impl Grafana {
    pub fn find() -> Option<Self> {
        let new = find("grafana").map(|program| Self { program, is_server: false });
        new.or_else(|| find("grafana-server").map(|program| Self { program, is_server: true }))
    }

    /// Writes the provisioning files, and returns the command that runs Grafana.
    pub fn prepare(&self, addresses: &Addresses, directory: &Path) -> anyhow::Result<Command> {
        let listen = addresses.grafana.context("the fleet has no Grafana")?;
        let (provisioning, dashboards) = (directory.join("provisioning"), directory.join("dashboards"));
        unpack("grafana/provisioning", &provisioning)?;
        unpack("grafana/dashboards", &dashboards)?;

        let mut command = Command::new(&self.program);
        if !self.is_server {
            command.arg("server");
        }
        command.arg("--homepath").arg(self.home());
        let path = |path: &Path| path.display().to_string();
        let settings = [
            ("SERVER_HTTP_ADDR", listen.ip().to_string()),
            ("SERVER_HTTP_PORT", listen.port().to_string()),
            ("PATHS_DATA", path(&directory.join("data"))),
            ("PATHS_LOGS", path(&directory.join("log"))),
            ("PATHS_PLUGINS", path(&directory.join("plugins"))),
            ("PATHS_PROVISIONING", path(&provisioning)),
            ("DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH", path(&dashboards.join(OVERVIEW))),
            ("LOG_MODE", "console".to_owned()),
            ("LOG_LEVEL", "warn".to_owned()),
        ];
        let settings = settings.into_iter().chain(FIXED.map(|(name, value)| (name, value.to_owned())));
        command.envs(settings.map(|(name, value)| (format!("GF_{name}"), value)));
        // If the fleet has none of its own, another one may run on the usual port.
        let url = |own: Option<SocketAddr>, usual: u16| format!("http://{}", own.unwrap_or_else(|| loopback(usual)));
        command
            .env("PROMETHEUS_URL", url(addresses.prometheus, Ports::DEFAULT.prometheus))
            .env("JAEGER_URL", url(addresses.jaeger, Ports::DEFAULT.jaeger))
            .env("DASHBOARDS", &dashboards);
        Ok(command)
    }

    /// Grafana's "home path", the directory of the files that the program needs.
    fn home(&self) -> PathBuf {
        let program = self.program.canonicalize();
        let root = program.ok().and_then(|program| Some(program.parent()?.parent()?.to_owned()));
        let candidates = root.into_iter().flat_map(|root| [root.join("share/grafana"), root]);
        let mut homes = candidates.filter(|home| home.join("conf/defaults.ini").is_file());
        homes.next().unwrap_or_else(|| HOME.into())
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let packaged = Some(Path::new(HOME).join("bin").join(name)).filter(|program| program.is_file());
    match packages::find(name) {
        // This is a script that runs the system's Grafana with the system's configuration.
        Some(found) if found.starts_with("/usr/sbin") => packaged.or(Some(found)),
        Some(found) => Some(found),
        None => packaged,
    }
}

/// Settings that let everybody in, and that keep Grafana from calling servers on the internet.
const FIXED: [(&str, &str); 14] = [
    ("AUTH_ANONYMOUS_ENABLED", "true"),
    // A viewer could not follow a link to a trace.
    ("AUTH_ANONYMOUS_ORG_ROLE", "Editor"),
    ("AUTH_DISABLE_LOGIN_FORM", "true"),
    ("SECURITY_DISABLE_INITIAL_ADMIN_CREATION", "true"),
    ("SECURITY_DISABLE_GRAVATAR", "true"),
    ("ANALYTICS_REPORTING_ENABLED", "false"),
    ("ANALYTICS_CHECK_FOR_UPDATES", "false"),
    ("ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "false"),
    ("ANALYTICS_FEEDBACK_LINKS_ENABLED", "false"),
    ("NEWS_NEWS_FEED_ENABLED", "false"),
    ("PLUGINS_PREINSTALL_DISABLED", "true"),
    ("PLUGINS_PLUGIN_ADMIN_ENABLED", "false"),
    ("PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED", "true"),
    ("SNAPSHOTS_EXTERNAL_ENABLED", "false"),
];

/// The URL of the home dashboard.
pub fn overview(addresses: &Addresses) -> Option<String> {
    let dashboard: Value = serde_json::from_str(files::text(&format!("grafana/dashboards/{OVERVIEW}")).ok()?).ok()?;
    Some(format!("http://{}/d/{}", addresses.grafana?, dashboard["uid"].as_str()?))
}
