//! `stack up`: runs the fleet in the foreground until Ctrl-C, and prints what happens.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use proto::{cart::cart_server::SERVICE_NAME as CART, loms::loms_server::SERVICE_NAME as LOMS};
use stack::{
    alertmanager::Receivers,
    fleet::{Addresses, Fleet, Installed, Part, Ports, Settings, overview, shown},
    signals::StopSignals,
    terminal::{self, FAINT, GOOD, TITLE},
};

/// After a signal, another one within this time counts as the same signal.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// The options of `stack up`.
#[derive(Debug, Args)]
pub struct Up {
    /// How long an order waits for its payment before it is cancelled, such as 10m or 5s.
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    payment_timeout: Duration,
    /// Use these brokers instead of a local one.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Also start whatever of Prometheus, Alertmanager, Jaeger and Grafana is installed. Alertmanager tells of alerts
    /// where the variables ALERTS_... of deployments/example.env say.
    #[arg(long)]
    observability: bool,
    /// Send traces to this OTLP/gRPC endpoint.
    #[arg(long, value_name = "URL", value_parser = otlp)]
    otlp: Option<String>,
    /// Send logs to this Graylog, GELF by TCP: checkout's to port 12201, loms's to 12202, notifications' to 12203.
    #[arg(long, value_name = "HOST")]
    graylog: Option<String>,
    #[command(flatten)]
    place: Place,
}

// Where a fleet lives. This is no doc comment: clap would make it the help text of the commands.
#[derive(Debug, Args)]
pub struct Place {
    /// The directory for data, logs and configuration.
    #[arg(long, default_value = ".local")]
    pub state_dir: PathBuf,
    /// The directory of the certificates.
    #[arg(long, default_value = "certs")]
    certs: PathBuf,
    /// Which ports to listen on.
    #[arg(long, value_enum, default_value_t = Choice::Default)]
    ports: Choice,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    /// Those that the fleet is known by.
    Default,
    /// Any that are free, so that it runs beside another fleet.
    Free,
}

impl Place {
    pub fn settings(self) -> anyhow::Result<Settings> {
        let ports = match self.ports {
            Choice::Default => Ports::DEFAULT,
            Choice::Free => Ports::free()?,
        };
        Ok(Settings { ports, ..Settings::new(self.state_dir, self.certs) })
    }
}

/// Returns the exit code.
pub async fn run(up: Up) -> anyhow::Result<u8> {
    let begin = Instant::now();
    let say = |line: &str| {
        terminal::print(format_args!("{FAINT}{:6.1} s{FAINT:#}  {line}", begin.elapsed().as_secs_f64()));
    };
    let Up { payment_timeout, kafka, observability, otlp, graylog, place } = up;
    let receivers = Receivers::from_environment();
    let settings = Settings { payment_timeout, kafka, observability, otlp, graylog, receivers, ..place.settings()? };

    let mut signals = StopSignals::new()?;
    let mut tell = say;
    let mut fleet = tokio::select! {
        fleet = Fleet::start(&settings, &mut tell) => fleet?,
        // The future of the start is dropped, which stops all that was started.
        _ = signals.next() => {
            say("stopping");
            return Ok(0);
        }
    };
    say(&format!("{GOOD}everything is healthy{GOOD:#}"));
    let missing = if observability { Installed::find().missing() } else { Vec::new() };
    terminal::print(format_args!("\n{}\n{}\nready", table(&mut fleet, &missing), hints(fleet.addresses())));

    let code = loop {
        let death = tokio::select! {
            death = fleet.died() => death,
            _ = signals.next() => break 0,
        };
        terminal::print_error(format_args!("\n{death}"));
        if !matches!(death.part, Part::Observer(_)) {
            break 1;
        }
        terminal::print_error("The fleet goes on without it.");
    };
    terminal::print("");
    say("stopping");
    // A second signal kills the fleet, as the fleet is then dropped. But some wrappers pass one signal on twice.
    let second_signal = async {
        let repetitions = async {
            loop {
                signals.next().await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(SAME_SIGNAL, repetitions).await;
        signals.next().await
    };
    tokio::select! {
        () = fleet.stop() => say("stopped"),
        _ = second_signal => say("killed"),
    }
    Ok(code)
}

fn otlp(text: &str) -> Result<String, String> {
    reqwest::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
        .map(|_| text.trim_end_matches('/').to_owned())
        .ok_or_else(|| "must be an address such as http://localhost:4317".into())
}

/// A table of the processes, and below it the sentences of `missing`.
fn table(fleet: &mut Fleet, missing: &[String]) -> String {
    let mut rows = vec![["process", "pid", "address", "HTTP/JSON", "admin"].map(str::to_owned)];
    for part in Part::all() {
        let id = fleet.id(part);
        if id.is_none() && matches!(part, Part::Observer(_)) {
            continue;
        }
        let addresses = fleet.addresses();
        let (http, admin) = match part {
            Part::Service(service) => {
                let own = addresses.service(service);
                (own.http_url(), format!("http://{}", own.admin))
            }
            Part::Postgres | Part::Broker | Part::StandIn(_) | Part::Observer(_) => Default::default(),
        };
        rows.push([
            part.name().to_owned(),
            id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            addresses.address_of(part),
            http,
            admin,
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<_> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    let missing = missing.iter().map(|sentence| format!("  {sentence}\n"));
    let titled = rows.iter().take(1).map(|titles| format!("{TITLE}{}{TITLE:#}\n", line(titles).trim_end()));
    titled.chain(rows.iter().skip(1).map(line)).chain(missing).collect()
}

/// Commands that the user can try next.
fn hints(addresses: &Addresses) -> String {
    let certs = shown(&addresses.certs).display();
    let (checkout, loms) = (addresses.checkout.grpc.port(), addresses.loms.grpc.port());
    let checkout_http = addresses.checkout.http_url();
    let telegram = addresses.telegram;
    let dashboard = overview(addresses).map_or_else(String::new, |url| format!("Dashboards: {url}\n"));
    format!(
        "{TITLE}Try, in another terminal:{TITLE:#}
  make demo
  grpcurl -cacert {certs}/ca.pem -d '{{\"user\": 1, \"sku\": 1001, \"count\": 2}}' localhost:{checkout} {CART}/AddToCart
  curl --cacert {certs}/ca.pem -d '{{\"user\": 1}}' {checkout_http}/listCart
  grpcurl -cacert {certs}/ca.pem -cert {certs}/client.pem -key {certs}/client.key -d '{{\"sku\": 1001}}' localhost:{loms} {LOMS}/Stocks
  curl http://{telegram}/messages
  tail -f {}

{dashboard}Each process has its log in {}. Unpaid orders are cancelled after {}.
Ctrl-C stops everything; the data stays.",
        shown(&addresses.loms.log).display(),
        shown(addresses.loms.log.parent().unwrap_or(&addresses.loms.log)).display(),
        humantime::format_duration(addresses.payment_timeout),
    )
}
