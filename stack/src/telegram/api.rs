//! The requests, answers and refusals of the Bot API's `sendMessage`.

use axum::{
    Form, Json,
    extract::{FromRequest as _, Request},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Fault;

/// In UTF-16 code units, as Telegram counts.
const MAX_TEXT: usize = 4096;

/// A message with a valid chat and a valid text.
#[derive(Debug)]
pub(super) struct SendMessage {
    pub chat_id: Value,
    pub text: String,
}

/// The fields of a request. Both may be missing, and in a form the chat is a text.
#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    chat_id: Value,
    #[serde(default)]
    text: String,
}

impl SendMessage {
    /// Reads JSON or a form, and checks it as the real API does.
    pub async fn read(content_type: &str, request: Request) -> Result<Self, Refusal> {
        let unreadable = |error: String| Refusal::bad_request(format!("Bad Request: {error}"));
        let Fields { chat_id, text } = if content_type.starts_with("application/json") {
            Json::from_request(request, &()).await.map_err(|error| unreadable(error.body_text()))?.0
        } else {
            Form::from_request(request, &()).await.map_err(|error| unreadable(error.body_text()))?.0
        };
        let chat_id = parse_chat(chat_id).ok_or_else(|| Refusal::bad_request("Bad Request: chat_id is empty"))?;
        if text.trim().is_empty() {
            return Err(Refusal::bad_request("Bad Request: message text is empty"));
        }
        if text.encode_utf16().count() > MAX_TEXT {
            return Err(Refusal::bad_request("Bad Request: message is too long"));
        }
        Ok(Self { chat_id, text })
    }
}

/// A chat is a number, which may be written as text, or the name of a channel.
fn parse_chat(value: Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value),
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.parse::<i64>().map_or_else(|_| text.into(), Value::from)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    ok: bool,
    result: Value,
}

impl Answer {
    /// The API returns the accepted message.
    pub fn accepted(number: usize, chat_id: &Value, text: &str, at: DateTime<Utc>) -> Self {
        let chat = json!({ "id": chat_id, "type": "private" });
        let result = json!({ "message_id": number, "date": at.timestamp(), "chat": chat, "text": text });
        Self { ok: true, result }
    }
}

/// An error of the API.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    status: StatusCode,
    description: String,
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
    /// Not the API answers, but somebody between.
    is_html: bool,
}

impl Refusal {
    pub fn bad_request(description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, description: description.into(), ..Self::default() }
    }

    pub fn unauthorized() -> Self {
        Self { status: StatusCode::UNAUTHORIZED, description: "Unauthorized".into(), ..Self::default() }
    }

    pub fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, description: "Not Found".into(), ..Self::default() }
    }

    pub fn too_many(retry_after: u64) -> Self {
        let description = format!("Too Many Requests: retry after {retry_after}");
        let retry_after = Some(retry_after);
        Self { status: StatusCode::TOO_MANY_REQUESTS, description, retry_after, ..Self::default() }
    }

    /// The refusal that a fault asks for.
    pub fn asked_for(status: u16, Fault { description, retry_after, migrate_to_chat_id, html, .. }: Fault) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reason = status.canonical_reason().unwrap_or("Error");
        let description = description.unwrap_or_else(|| match retry_after {
            Some(seconds) => format!("{reason}: retry after {seconds}"),
            None => reason.into(),
        });
        Self { status, description, retry_after, migrate_to_chat_id, is_html: html }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, description, retry_after, migrate_to_chat_id, is_html } = self;
        if is_html {
            return (status, Html(format!("<h1>{description}</h1>"))).into_response();
        }
        let mut body = json!({ "ok": false, "error_code": status.as_u16(), "description": description });
        if let Some(seconds) = retry_after {
            body["parameters"]["retry_after"] = seconds.into();
        }
        if let Some(chat) = migrate_to_chat_id {
            body["parameters"]["migrate_to_chat_id"] = chat.into();
        }
        (status, Json(body)).into_response()
    }
}
