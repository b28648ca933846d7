//! A stand-in for Telegram's Bot API. It has `sendMessage` with the refusals of the real API, a list of the received
//! messages, and faults on demand.

mod api;
mod bounds;

use std::{
    future,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
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
use bounds::Bounds;

/// If there are more messages, the oldest are dropped.
const MAX_MESSAGES: usize = 100_000;

/// A running stand-in. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Telegram {
    server: Server,
    bot: Arc<Bot>,
}

/// A message that was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// A number, or the `@name` of a channel.
    pub chat_id: Value,
    pub text: String,
    #[serde(serialize_with = "rfc3339")]
    pub at: DateTime<Utc>,
}

impl Message {
    /// What notifications tells, one by one: what it sends together are lines of one message.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }
}

/// A fault for the next calls, and the JSON of `POST /faults`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// The HTTP status to refuse with.
    pub status: Option<u16>,
    /// Why, in the words of the API; otherwise the status says it.
    pub description: Option<String>,
    /// In seconds, with the status 429.
    pub retry_after: Option<u64>,
    /// The number that a group has from now on, with the status 400.
    pub migrate_to_chat_id: Option<i64>,
    /// The answer is a page in HTML, as that of a proxy or of a captive portal.
    pub html: bool,
    /// The call is never answered.
    pub hang: bool,
    pub delay_ms: u64,
    /// The number of calls; one by default.
    pub times: Option<u32>,
}

#[derive(Debug, Default)]
struct Bot {
    key: Option<String>,
    messages: Mutex<Vec<Message>>,
    faults: Faults<Fault>,
    /// What a text must not contain.
    forbidden: Mutex<Option<String>>,
    /// `None` while it takes any number of messages.
    bounds: Mutex<Option<Bounds>>,
}

impl Telegram {
    /// Port 0 means any free port. With a key, all other keys are refused.
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

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The address to use instead of `https://api.telegram.org`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// All accepted messages so far, in order of arrival.
    pub fn messages(&self) -> Vec<Message> {
        self.bot.messages()
    }

    /// Forgets the faults that are queued.
    pub fn forgive(&self) {
        self.bot.faults.clear();
    }

    /// Refuses every message whose text contains this, as Telegram refuses a text that it cannot read.
    pub fn forbid(&self, text: &str) {
        *self.bot.forbidden.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    /// From now on, takes no more messages of a chat and of the bot than Telegram does.
    pub fn set_bounds(&self) {
        *self.bot.bounds() = Some(Bounds::default());
    }

    /// From now on, takes any number of messages.
    pub fn lift_bounds(&self) {
        *self.bot.bounds() = None;
    }

    /// How many messages were too many since the bounds were set.
    pub fn refused(&self) -> usize {
        self.bot.bounds().as_ref().map_or(0, |bounds| bounds.refused)
    }

    /// Queues a fault, behind earlier faults.
    pub fn misbehave(&self, fault: Fault) {
        self.bot.misbehave(fault);
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

    fn bounds(&self) -> MutexGuard<'_, Option<Bounds>> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_forbidden(&self, text: &str) -> bool {
        let forbidden = self.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        forbidden.as_ref().is_some_and(|forbidden| text.contains(forbidden))
    }

    /// Returns the number of the message.
    fn keep(&self, chat_id: Value, text: String, at: DateTime<Utc>) -> usize {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() >= MAX_MESSAGES {
            messages.drain(..MAX_MESSAGES / 10);
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

/// Reads JSON under any content type, so that `curl -d` needs no header.
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
            return Err(Refusal::asked_for(status, fault));
        }
    }
    if bot.key.as_ref().is_some_and(|expected| *expected != key) {
        return Err(Refusal::unauthorized());
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let SendMessage { chat_id, text } = SendMessage::read(content_type, request).await?;
    if bot.is_forbidden(&text) {
        return Err(Refusal::bad_request("Bad Request: strings must be encoded in UTF-8"));
    }
    if let Some(retry_after) = bot.bounds().as_mut().and_then(|bounds| bounds.take(&chat_id, Instant::now()).err()) {
        return Err(Refusal::too_many(retry_after));
    }
    let at = Utc::now();
    let number = bot.keep(chat_id.clone(), text.clone(), at);
    Ok(Json(Answer::accepted(number, &chat_id, &text, at)))
}

fn rfc3339<S: serde::Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}
