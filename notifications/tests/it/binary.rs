//! The program itself, as a process, with a configuration file and a broker of its own: it can read no topic but
//! `orders` and be in no group but `notifications`.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

use notifications::app::Notifications;
use platform::service::Service as _;
use rustix::process::Signal;
use stack::testing::{TestDatabase, eventually};
use stack::{broker::Broker, ports, process::Process, telegram::Telegram};
use tempfile::TempDir;

use crate::{
    topics::Topics,
    world::{API_KEY, CHAT, Client, certificates},
};

/// Everything around the program.
pub struct Fleet {
    pub database: TestDatabase,
    pub telegram: Telegram,
    pub broker: Option<Broker>,
    pub topics: Topics,
    pub directory: TempDir,
    /// More lines of the configuration.
    pub more: String,
}

impl Fleet {
    pub async fn new() -> Self {
        platform::tls::install_crypto_provider();
        let directory = tempfile::tempdir().unwrap();
        let broker = Broker::start(
            ports::free().unwrap(),
            &directory.path().join("broker"),
            &directory.path().join("broker.log"),
        )
        .await
        .unwrap();
        let topics = Topics::named(&[broker.address().to_string()], "orders", "notifications");
        Self {
            database: TestDatabase::create(Notifications::migrations()).await,
            telegram: Telegram::start(ports::loopback(0), Some(API_KEY.into())).unwrap(),
            broker: Some(broker),
            topics,
            directory,
            more: String::new(),
        }
    }

    /// Writes the configuration file of a program; answers where it is.
    fn configure(&self, grpc: u16, admin: u16) -> PathBuf {
        let certs = certificates().display();
        let (database, broker, telegram) = (&self.database.url, &self.topics.brokers[0], self.telegram.url());
        let text = format!(
            "grpc:\n  listen: 127.0.0.1:{grpc}\n  tls:\n    certificate: {certs}/notifications.pem\n    \
             key: {certs}/notifications.key\n    client_ca: {certs}/ca.pem\n\
             admin: {{listen: '127.0.0.1:{admin}'}}\npostgres: {{connection_string: '{database}'}}\n\
             brokers: ['{broker}']\n\
             telegram: {{api_url: '{telegram}', api_key: '{API_KEY}', chat_id: {CHAT}, per_minute: 60000}}\nlog: {{level: trace}}\n{}\n",
            self.more
        );
        let path = self.directory.path().join(format!("{grpc}.yaml"));
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs a command of the program and waits for its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(program());
        command.args(arguments).arg("--config").arg(self.configure(0, 0)).kill_on_drop(true);
        command.output().await.unwrap()
    }

    /// How many messages are kept.
    pub async fn kept(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM message").fetch_one(&self.database.pool).await.unwrap()
    }

    /// Starts the program and waits until it is ready.
    pub async fn start(&self) -> Program {
        let [grpc, admin] = [(); 2].map(|()| ports::free().unwrap());
        let mut command = program();
        command.arg("--config").arg(self.configure(grpc, admin));
        let log = self.directory.path().join(format!("{grpc}.log"));
        let program = Program {
            process: Process::spawn("notifications", command, &log).unwrap(),
            log,
            client: Client::new(grpc),
            admin: format!("http://127.0.0.1:{admin}"),
        };
        eventually("the program is ready", async || program.get("/readyz").await.filter(|text| text == "ready\n"))
            .await;
        program
    }
}

/// The program without arguments.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notifications"));
    command.env_remove("RUST_LOG");
    command
}

/// A running program.
pub struct Program {
    pub process: Process,
    pub client: Client,
    log: PathBuf,
    admin: String,
}

impl Program {
    /// Everything it has printed so far.
    pub fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it prints something.
    pub async fn until_logged(&self, text: &str) {
        eventually(&format!("the log has {text:?}"), async || self.logged().contains(text).then_some(())).await;
    }

    /// What the operators' port answers.
    pub async fn get(&self, path: &str) -> Option<String> {
        reqwest::get(format!("{}{path}", self.admin)).await.ok()?.text().await.ok()
    }

    /// A metric's value.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics").await?;
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Waits until a metric has a value.
    pub async fn until_metric(&self, name: &str, value: f64) {
        eventually(&format!("{name} is {value}"), async || {
            self.metric(name).await.filter(|found| *found == value).map(|_| ())
        })
        .await;
    }

    /// Asks it to stop and answers its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.process.stop(Signal::TERM, Duration::from_secs(9)).await;
        self.process.exited().and_then(|status| status.code())
    }
}

impl Drop for Program {
    #[allow(clippy::print_stdout, reason = "the test shows it when it fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let ended = self.process.exited().map_or_else(|| "still runs".to_owned(), stack::process::describe);
            println!("the program {ended}; its last words:\n{}", stack::process::tail(&self.log, 100000));
        }
    }
}
