//! A stand-in for Telegram's Bot API: `sendMessage`, the ways in which the real one refuses it, a list of what was
//! received, and faults on demand.

mod api;

use std::{
    future,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::standin::{Faults, Server};
use api::{Answer, Refusal, SendMessage};

/// How many messages are kept; the oldest make room.
const KEPT: usize = 100_000;

/// A running stand-in. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Telegram {
    server: Server,
    bot: Arc<Bot>,
}

/// A message that was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The chat it went to: a number, or a channel's `@name`.
    pub chat_id: Value,
    /// Its text.
    pub text: String,
    /// When it was accepted.
    #[serde(serialize_with = "rfc3339")]
    pub at: DateTime<Utc>,
}

/// What calls meet instead of, or before, their answer; as JSON, what `POST /faults` takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// The HTTP status to refuse with.
    pub status: Option<u16>,
    /// With 429, the seconds after which to come again.
    pub retry_after: Option<u64>,
    /// No answer, ever.
    pub hang: bool,
    /// The answer comes so many milliseconds later.
    pub delay_ms: u64,
    /// For how many calls; one unless said otherwise.
    pub times: Option<u32>,
}

#[derive(Debug, Default)]
struct Bot {
    key: Option<String>,
    messages: Mutex<Vec<Message>>,
    faults: Faults<Fault>,
}

impl Telegram {
    /// Starts one; port 0 stands for any free one. With a key, every other key is refused.
    pub fn start(listen: SocketAddr, key: Option<String>) -> anyhow::Result<Self> {
        let bot = Arc::new(Bot { key, ..Bot::default() });
        let routes = routes(Arc::clone(&bot));
        let server = Server::start(listen, move |listener| async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(error = %error, "the Telegram stand-in ended");
            }
        })?;
        Ok(Self { server, bot })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What stands for `https://api.telegram.org`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Every message accepted so far, in order of arrival.
    pub fn messages(&self) -> Vec<Message> {
        self.bot.messages()
    }

    /// After those asked for before, calls meet this fault.
    pub fn misbehave(&self, fault: Fault) {
        self.bot.misbehave(fault);
    }

    /// From now on calls are answered properly.
    pub fn behave(&self) {
        self.bot.faults.clear();
    }
}

impl Bot {
    fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn misbehave(&self, fault: Fault) {
        let times = fault.times.unwrap_or(1);
        self.faults.add(fault, times);
    }

    /// Keeps a message; answers its number.
    fn keep(&self, chat_id: Value, text: String, at: DateTime<Utc>) -> usize {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() >= KEPT {
            messages.drain(..KEPT / 10);
        }
        messages.push(Message { chat_id, text, at });
        messages.len()
    }
}

fn routes(bot: Arc<Bot>) -> Router {
    Router::new()
        .route("/bot{key}/sendMessage", post(send_message))
        .route("/messages", get(async |State(bot): State<Arc<Bot>>| Json(bot.messages())))
        .route("/faults", post(add_fault).delete(async |State(bot): State<Arc<Bot>>| bot.faults.clear()))
        .fallback(async || Refusal::not_found())
        .with_state(bot)
}

/// Takes JSON whatever it is called, so that `curl -d` needs no header.
async fn add_fault(State(bot): State<Arc<Bot>>, body: Bytes) -> Response {
    let fault: Fault = match serde_json::from_slice(&body) {
        Ok(fault) => fault,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("no fault: {error}\n")).into_response(),
    };
    if fault.status.is_some_and(|status| StatusCode::from_u16(status).is_err()) {
        return (StatusCode::BAD_REQUEST, "no such HTTP status").into_response();
    }
    bot.misbehave(fault);
    StatusCode::NO_CONTENT.into_response()
}

async fn send_message(
    State(bot): State<Arc<Bot>>,
    Path(key): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Answer>, Refusal> {
    if let Some(fault) = bot.faults.take() {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
        if fault.hang {
            future::pending::<()>().await;
        }
        if let Some(status) = fault.status {
            return Err(Refusal::asked_for(status, fault.retry_after));
        }
    }
    if bot.key.as_ref().is_some_and(|expected| *expected != key) {
        return Err(Refusal::unauthorized());
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let SendMessage { chat_id, text } = SendMessage::read(content_type, request).await?;
    let at = Utc::now();
    let number = bot.keep(chat_id.clone(), text.clone(), at);
    Ok(Json(Answer::accepted(number, &chat_id, &text, at)))
}

fn rfc3339<S: serde::Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}
