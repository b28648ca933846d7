//! Sends log lines to Graylog: GELF 1.1 over TCP, one message per line. Logging only puts a message into a queue in
//! memory. A message that does not fit into the queue is dropped and counted.

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

/// About five thousand messages.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Graylog cannot index longer texts.
const MAX_TEXT_BYTES: usize = 32_000;

pub(super) struct GelfQueue {
    host: String,
    messages: mpsc::UnboundedSender<Message>,
    /// One permit is one byte.
    free_bytes: Arc<Semaphore>,
    /// The number of dropped messages since the log last told it.
    lost: Arc<AtomicU64>,
}

struct Message {
    bytes: Vec<u8>,
    _taken_bytes: OwnedSemaphorePermit,
}

#[must_use = "the last messages are lost without `finish`"]
pub(super) struct DeliveryTask {
    finish: CancellationToken,
    task: JoinHandle<()>,
}

impl GelfQueue {
    /// The address of Graylog need not be reachable.
    pub fn new(config: &GraylogConfig) -> (Self, Delivery) {
        Self::with_capacity(config, QUEUE_BYTES)
    }

    fn with_capacity(config: &GraylogConfig, bytes: usize) -> (Self, Delivery) {
        let (sender, messages) = mpsc::unbounded_channel();
        let lost = Arc::<AtomicU64>::default();
        let delivery = Delivery::new(config, messages, Arc::clone(&lost));
        (Self { host: host_name(), messages: sender, free_bytes: Arc::new(Semaphore::new(bytes)), lost }, delivery)
    }

    pub fn push(&self, line: &Line) {
        // Lines about the delivery would cause more such lines.
        if line.target().starts_with(module_path!()) {
            return;
        }
        let bytes = frame(&message(&self.host, line));
        let needed = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.free_bytes).try_acquire_many_owned(needed).ok();
        let is_queued = taken.is_some_and(|taken| self.messages.send(Message { bytes, _taken_bytes: taken }).is_ok());
        if !is_queued {
            self.lost.fetch_add(1, Ordering::Relaxed);
            GELF_MESSAGES.with(["dropped"]).inc();
        }
    }
}

impl DeliveryTask {
    /// Must be called after logging is set up, because the task logs.
    pub fn start(delivery: Delivery) -> Self {
        Self { finish: delivery.finish.clone(), task: tokio::spawn(delivery.run()) }
    }

    /// Sends the queued messages until the deadline.
    pub async fn finish(mut self, deadline: Instant) {
        self.finish.cancel();
        if tokio::time::timeout_at(deadline.into(), &mut self.task).await.is_err() {
            self.task.abort();
            warn!("Graylog (graylog.address) did not take the last log messages");
        }
    }
}

/// A frame ends with a null byte. JSON never contains one.
fn frame(message: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(0);
    bytes
}

/// See <https://go2docs.graylog.org/current/getting_in_log_data/gelf.html>.
fn message(host: &str, line: &Line) -> Map<String, Value> {
    let mut message = Map::new();
    message.insert("version".into(), "1.1".into());
    message.insert("host".into(), host.into());
    message.insert("short_message".into(), clipped(&line.message).into());
    if let Some(Value::String(error)) = line.fields.get("error") {
        message.insert("full_message".into(), clipped(&format!("{}: {error}", line.message)).into());
    }
    // Microseconds since 1970 need 51 bits; a float has 53.
    message.insert("timestamp".into(), (line.at.timestamp_micros() as f64 / 1e6).into());
    message.insert("level".into(), severity(line.level).into());
    for (name, value) in &line.fields {
        let value = match value {
            Value::String(text) => clipped(text).into(),
            Value::Number(number) => number.clone().into(),
            Value::Null => continue,
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string().into(),
        };
        message.insert(additional_name(name), value);
    }
    message
}

/// The names of additional fields have `_`, then letters, digits, `_`, `.` and `-`. `_id` is reserved.
fn additional_name(name: &str) -> String {
    let allowed = |char: char| char.is_ascii_alphanumeric() || ['_', '.', '-'].contains(&char);
    let name: String = name.chars().map(|char| if allowed(char) { char } else { '_' }).collect();
    if name == "id" { "_id_".into() } else { format!("_{name}") }
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// The numbers of syslog.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".into() } else { name }
}

#[cfg(test)]
mod tests;
