//! The connection to Graylog: made again whenever it breaks, with pauses that grow.

use std::{
    io::{self, ErrorKind},
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::ReadHalf},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Message;
use crate::{config::service::GraylogConfig, metrics::telemetry::GELF_MESSAGES};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long Graylog may take to make room for a message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// The system's buffer for a connection, the least that may be lost with it. What it does not hold waits here.
const SEND_BUFFER: usize = 64 * 1024;
/// The pauses between connections, each up to doubled by jitter.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(LONGEST_PAUSE)
    .without_max_times()
    .with_jitter();
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What takes messages out of the buffer.
pub struct Delivery {
    address: String,
    messages: mpsc::UnboundedReceiver<Message>,
    /// Tells it to finish.
    pub(super) finish: CancellationToken,
    /// The message that a connection broke off; the next one begins with it.
    broken_off: Option<Message>,
    /// Whether it was told that Graylog is away.
    away: bool,
    /// How many messages found no room since that was last told.
    lost: Arc<AtomicU64>,
}

impl Delivery {
    /// Of what comes out of `messages`; `lost` counts what never gets there.
    pub(super) fn new(
        config: &GraylogConfig,
        messages: mpsc::UnboundedReceiver<Message>,
        lost: Arc<AtomicU64>,
    ) -> Self {
        let (address, finish) = (config.address.as_ref().to_owned(), CancellationToken::new());
        Self { address, messages, finish, broken_off: None, away: false, lost }
    }

    /// Delivers until it is told to finish, and then what is left if Graylog takes it.
    pub(super) async fn run(mut self) {
        let mut backoff = BACKOFF.build();
        loop {
            let is_last = self.finish.is_cancelled();
            let Err(error) = self.connect_and_feed().await else { return };
            if is_last {
                let lost = self.messages.len() + usize::from(self.broken_off.is_some());
                warn!(%error, lost, "Graylog (graylog.address) did not take the last log messages");
                return;
            }
            if self.say_away(&error) {
                backoff = BACKOFF.build();
            }
            tokio::select! {
                () = self.finish.cancelled() => {}
                () = tokio::time::sleep(backoff.next().unwrap_or(LONGEST_PAUSE)) => {}
            }
        }
    }

    /// Ends well when everything is delivered and nothing more is to come.
    async fn connect_and_feed(&mut self) -> io::Result<()> {
        let connect = TcpStream::connect(&self.address);
        let mut stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await??;
        rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER)?;
        let (mut answers, mut requests) = stream.split();
        // That messages can be written says little: the system takes the first ones, whether or not Graylog reads. But a
        // connection that nobody reads from is stuck, and given up, before it has lasted so long.
        let proven_at = Instant::now() + WRITE_TIMEOUT;
        while let Some(message) = self.next(&mut answers, proven_at).await? {
            let written = tokio::time::timeout(WRITE_TIMEOUT, requests.write_all(&message.bytes)).await;
            if let Err(error) = written.map_err(io::Error::from).flatten() {
                self.broken_off = Some(message);
                return Err(error);
            }
            GELF_MESSAGES.with(["sent"]).inc();
            if Instant::now() > proven_at {
                self.say_back();
            }
        }
        requests.shutdown().await
    }

    /// The next message; none when no more will come. Fails when Graylog has closed the connection, before a message is
    /// written in vain.
    async fn next(&mut self, answers: &mut ReadHalf<'_>, proven_at: Instant) -> io::Result<Option<Message>> {
        if let Some(message) = self.broken_off.take() {
            return Ok(Some(message));
        }
        loop {
            let is_open = !self.messages.is_closed();
            tokio::select! {
                biased;
                error = closed(answers) => return Err(error),
                () = self.finish.cancelled(), if is_open => self.messages.close(),
                message = self.messages.recv() => return Ok(message),
                () = tokio::time::sleep_until(proven_at.into()), if self.away => self.say_back(),
            }
        }
    }

    /// Answers whether that is news.
    fn say_away(&mut self, error: &io::Error) -> bool {
        let is_news = !mem::replace(&mut self.away, true);
        if is_news {
            warn!(%error, "Graylog (graylog.address) takes no log messages; they wait for it while there is room");
        }
        is_news
    }

    fn say_back(&mut self) {
        if mem::take(&mut self.away) {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            info!(lost, "Graylog (graylog.address) takes log messages again");
        }
    }
}

/// Waits until the other side closes the connection. It has nothing to say.
async fn closed(answers: &mut ReadHalf<'_>) -> io::Error {
    let mut ignored = [0; 256];
    loop {
        match answers.read(&mut ignored).await {
            Ok(0) => return io::Error::new(ErrorKind::UnexpectedEof, "it closed the connection"),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}
