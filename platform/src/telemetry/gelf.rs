//! Log lines for Graylog: GELF 1.1 over TCP, a message a line. Whoever logs only puts a message into a buffer in memory;
//! what finds no room there is dropped and counted.

mod delivery;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use serde_json::{Map, Value};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{Level, warn};

use super::fields::Line;
use crate::{config::service::GraylogConfig, metrics::telemetry::GELF_MESSAGES};
use delivery::Delivery;

/// How many bytes may wait for Graylog: some five thousand messages.
const ROOM: usize = 4 * 1024 * 1024;
/// The longest text of a field, in bytes: Graylog cannot index longer ones.
const LONGEST_TEXT: usize = 32_000;

/// Where messages for Graylog are put.
pub(super) struct Gelf {
    host: String,
    messages: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
    /// How many messages found no room since that was last told.
    lost: Arc<AtomicU64>,
}

/// A message as it goes over the wire.
struct Message {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

/// What sends them, while the process lives.
#[must_use = "the last messages are lost unless it is finished at the end"]
pub(super) struct Sending {
    finish: CancellationToken,
    task: JoinHandle<()>,
}

impl Gelf {
    /// A buffer for messages, and what will send them. Graylog need not be there.
    pub fn new(config: &GraylogConfig) -> (Self, Delivery) {
        Self::with_room(config, ROOM)
    }

    fn with_room(config: &GraylogConfig, room: usize) -> (Self, Delivery) {
        let (sender, messages) = mpsc::unbounded_channel();
        let lost = Arc::<AtomicU64>::default();
        let delivery = Delivery::new(config, messages, Arc::clone(&lost));
        (Self { host: host_name(), messages: sender, room: Arc::new(Semaphore::new(room)), lost }, delivery)
    }

    /// Sends a line some time later, if there is room for it.
    pub fn send(&self, line: &Line) {
        // What is said of the sending would never end.
        if line.target().starts_with(module_path!()) {
            return;
        }
        let bytes = frame(&message(&self.host, line));
        let needed = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(needed).ok();
        let taken = room.is_some_and(|room| self.messages.send(Message { bytes, _room: room }).is_ok());
        if !taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
            GELF_MESSAGES.with(["dropped"]).inc();
        }
    }
}

impl Sending {
    /// Begins, inside a Tokio runtime; what it says itself is heard only when logging is set up.
    pub fn begin(delivery: Delivery) -> Self {
        Self { finish: delivery.finish.clone(), task: tokio::spawn(delivery.run()) }
    }

    /// Sends what waits and ends.
    pub async fn finish(mut self, deadline: Instant) {
        self.finish.cancel();
        if tokio::time::timeout_at(deadline.into(), &mut self.task).await.is_err() {
            self.task.abort();
            warn!("Graylog (graylog.address) did not take the last log messages");
        }
    }
}

/// A frame ends with a null byte; JSON has none.
fn frame(message: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(0);
    bytes
}

/// The message of <https://go2docs.graylog.org/current/getting_in_log_data/gelf.html>.
fn message(host: &str, line: &Line) -> Map<String, Value> {
    let mut message = Map::new();
    message.insert("version".into(), "1.1".into());
    message.insert("host".into(), host.into());
    message.insert("short_message".into(), clipped(&line.message).into());
    if let Some(Value::String(error)) = line.fields.get("error") {
        message.insert("full_message".into(), clipped(&format!("{}: {error}", line.message)).into());
    }
    // Microseconds since 1970 need 51 of a number's 53 bits.
    message.insert("timestamp".into(), (line.at.timestamp_micros() as f64 / 1e6).into());
    message.insert("level".into(), severity(line.level).into());
    for (name, value) in &line.fields {
        let value = match value {
            Value::String(text) => clipped(text).into(),
            Value::Number(number) => number.clone().into(),
            Value::Null => continue,
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string().into(),
        };
        message.insert(additional(name), value);
    }
    message
}

/// The name of an additional field: `_`, then letters, digits, `_`, `.` and `-`, but not `_id`.
fn additional(name: &str) -> String {
    let allowed = |char: char| char.is_ascii_alphanumeric() || ['_', '.', '-'].contains(&char);
    let name: String = name.chars().map(|char| if allowed(char) { char } else { '_' }).collect();
    if name == "id" { "_id_".into() } else { format!("_{name}") }
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// As syslog numbers them.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The name of this machine, or of its container.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".into() } else { name }
}

#[cfg(test)]
mod tests;
