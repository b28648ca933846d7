//! A connection of its own for what must work while all others are busy: whether Postgres answers, and the end of
//! statements that nobody waits for any more.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection, Row as _, SqlSafeStr as _, raw_sql};
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::{errors, server::Server};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer holds, so that many who ask do not make Postgres answer as often.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// Statements whose end is asked for at once. More than there are connections.
const QUEUE: usize = 1024;

/// What Postgres can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Writes,
    OnlyReads,
    Silent,
    /// It answers, and gives no connection to ask it more.
    Full,
}

#[derive(Debug)]
enum Request {
    Probe(oneshot::Sender<State>),
    /// The number of the server process.
    Cancel(i32, oneshot::Sender<()>),
}

/// Clones share the connection.
#[derive(Debug, Clone)]
pub(super) struct Keeper(mpsc::Sender<Request>);

impl Keeper {
    /// Must be called inside a Tokio runtime.
    pub fn start(server: Server) -> Self {
        let (sender, requests) = mpsc::channel(QUEUE);
        tokio::spawn(keep(server, requests));
        Self(sender)
    }

    pub async fn probe(&self) -> State {
        self.ask(Request::Probe).await.unwrap_or(State::Silent)
    }

    /// Cancels what a server process executes; nothing if it is idle. Returns when the server has been told.
    pub async fn cancel(&self, backend: i32) {
        self.ask(|answer| Request::Cancel(backend, answer)).await;
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        let ask = async {
            self.0.send(request(sender)).await.ok()?;
            answer.await.ok()
        };
        // Requests before this one may take as long.
        tokio::time::timeout(2 * ANSWER_TIMEOUT, ask).await.ok().flatten()
    }
}

async fn keep(server: Server, mut requests: mpsc::Receiver<Request>) {
    let (mut connection, mut last) = (None, None::<(Instant, State)>);
    while let Some(request) = requests.recv().await {
        match request {
            Request::Probe(answer) => {
                if let Some((asked_at, state)) = last
                    && asked_at.elapsed() < GOOD_FOR
                {
                    let _ = answer.send(state);
                    continue;
                }
                let probe = "SELECT current_setting('transaction_read_only') = 'off' /* probe */".to_owned();
                let state = match ask(&mut connection, &server, probe).await {
                    Ok(true) => State::Writes,
                    Ok(false) => {
                        // After a failover, another connection may lead to the server that writes.
                        connection = None;
                        State::OnlyReads
                    }
                    Err(error) if errors::is_full_server(&error) => State::Full,
                    Err(_) => State::Silent,
                };
                last = Some((Instant::now(), state));
                // Whoever asked may have left.
                let _ = answer.send(state);
            }
            Request::Cancel(backend, answer) => {
                let cancel = format!("SELECT pg_cancel_backend({backend}) /* cancel */");
                if let Err(error) = ask(&mut connection, &server, cancel).await {
                    debug!(%error, "cannot cancel a statement");
                }
                let _ = answer.send(());
            }
        }
    }
}

/// Asks on the connection. If that fails, it may have been an old one: asks on a new one.
async fn ask(connection: &mut Option<PgConnection>, server: &Server, query: String) -> sqlx::Result<bool> {
    let query = AssertSqlSafe(query).into_sql_str();
    let ask = async |mut opened: PgConnection| {
        let answer = raw_sql(query.clone()).fetch_one(&mut opened).await?.try_get(0)?;
        Ok((opened, answer))
    };
    if let Some(opened) = connection.take()
        && let Ok((opened, answer)) = errors::within(ANSWER_TIMEOUT / 2, ask(opened)).await
    {
        *connection = Some(opened);
        return Ok(answer);
    }
    let anew = async { ask(server.connect().await?).await };
    let (opened, answer) = errors::within(ANSWER_TIMEOUT, anew).await?;
    *connection = Some(opened);
    Ok(answer)
}
