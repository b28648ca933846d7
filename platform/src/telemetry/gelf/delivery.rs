//! Delivers queued messages to Graylog. A broken connection is replaced, after pauses that grow.

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

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// A broken connection loses the messages in the send buffer of the system, so the buffer is small.
const SEND_BUFFER: usize = 64 * 1024;
/// The pauses between connections. Jitter at most doubles them.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(MAX_PAUSE)
    .without_max_times()
    .with_jitter();
const MAX_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Delivery {
    address: String,
    messages: mpsc::UnboundedReceiver<Message>,
    /// Cancelled when no more messages come.
    pub(super) finish: CancellationToken,
    /// A message that the last connection did not write completely. The next connection begins with it.
    unsent: Option<Message>,
    /// Set when the log has told that Graylog is away.
    is_away: bool,
    /// The number of dropped messages since the log last told it.
    lost: Arc<AtomicU64>,
}

impl Delivery {
    pub(super) fn new(
        config: &GraylogConfig,
        messages: mpsc::UnboundedReceiver<Message>,
        lost: Arc<AtomicU64>,
    ) -> Self {
        let (address, finish) = (config.address.as_ref().to_owned(), CancellationToken::new());
        Self { address, messages, finish, unsent: None, is_away: false, lost }
    }

    /// Delivers until `finish` is cancelled, and then tries once to deliver the rest.
    pub(super) async fn run(mut self) {
        let mut backoff = BACKOFF.build();
        loop {
            let is_last = self.finish.is_cancelled();
            let Err(error) = self.connect_and_send().await else { return };
            if is_last {
                let lost = self.messages.len() + usize::from(self.unsent.is_some());
                warn!(%error, lost, "Graylog (graylog.address) did not take the last log messages");
                return;
            }
            if self.report_away(&error) {
                backoff = BACKOFF.build();
            }
            tokio::select! {
                () = self.finish.cancelled() => {}
                () = tokio::time::sleep(backoff.next().unwrap_or(MAX_PAUSE)) => {}
            }
        }
    }

    /// Succeeds when all messages are delivered and no more will come.
    async fn connect_and_send(&mut self) -> io::Result<()> {
        let connect = TcpStream::connect(&self.address);
        let mut stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await??;
        rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER)?;
        let (mut answers, mut requests) = stream.split();
        // The system accepts the first messages even if Graylog does not read. Then a write blocks and times out. So
        // only a connection that is older than the timeout proves that Graylog reads.
        let proven_at = Instant::now() + WRITE_TIMEOUT;
        while let Some(message) = self.next(&mut answers, proven_at).await? {
            let written = tokio::time::timeout(WRITE_TIMEOUT, requests.write_all(&message.bytes)).await;
            if let Err(error) = written.map_err(io::Error::from).flatten() {
                self.unsent = Some(message);
                return Err(error);
            }
            GELF_MESSAGES.with(["sent"]).inc();
            if Instant::now() > proven_at {
                self.report_back();
            }
        }
        requests.shutdown().await
    }

    /// The next message; `None` if no more will come. Fails if Graylog has closed the connection.
    async fn next(&mut self, answers: &mut ReadHalf<'_>, proven_at: Instant) -> io::Result<Option<Message>> {
        if let Some(message) = self.unsent.take() {
            return Ok(Some(message));
        }
        loop {
            let is_open = !self.messages.is_closed();
            tokio::select! {
                biased;
                error = wait_until_closed(answers) => return Err(error),
                () = self.finish.cancelled(), if is_open => self.messages.close(),
                message = self.messages.recv() => return Ok(message),
                () = tokio::time::sleep_until(proven_at.into()), if self.is_away => self.report_back(),
            }
        }
    }

    /// Returns whether this is news.
    fn report_away(&mut self, error: &io::Error) -> bool {
        let is_news = !mem::replace(&mut self.is_away, true);
        if is_news {
            warn!(%error, "Graylog (graylog.address) takes no log messages; they wait for it while there is room");
        }
        is_news
    }

    fn report_back(&mut self) {
        if mem::take(&mut self.is_away) {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            info!(lost, "Graylog (graylog.address) takes log messages again");
        }
    }
}

/// Graylog never sends anything, so reading only shows the end of the connection.
async fn wait_until_closed(answers: &mut ReadHalf<'_>) -> io::Error {
    let mut ignored = [0; 256];
    loop {
        match answers.read(&mut ignored).await {
            Ok(0) => return io::Error::new(ErrorKind::UnexpectedEof, "it closed the connection"),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}
