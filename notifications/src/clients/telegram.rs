//! Telegram's Bot API, as far as it is needed: `sendMessage`. The bot's token is part of the address, so no address ever
//! gets into an error.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use platform::{failure::chain, telemetry::trace};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tracing::{Instrument as _, Span, field::Empty, info_span};

use crate::{
    config::{ChatId, TelegramConfig},
    domain::delivery::Answer,
    metrics,
};

/// What an address is made of, with a name for the token.
const URL_TEMPLATE: &str = "/bot{api_key}/sendMessage";
/// The same for what is shown of an address.
const REDACTED_PATH: &str = "/botREDACTED/sendMessage";
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// More of an answer is not read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// More of a reason is not kept.
const MAX_REASON_CHARS: usize = 300;

/// The bot.
pub struct Telegram {
    client: Client,
    send_message: Url,
    token: SecretString,
    chat: ChatId,
}

#[derive(Serialize)]
struct SendMessage<'a> {
    chat_id: &'a ChatId,
    text: &'a str,
}

/// What the API says. Whatever lacks `ok` is the word of somebody else: a proxy, a captive portal, a provider.
#[derive(Deserialize)]
struct Said {
    ok: bool,
    error_code: Option<u16>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

/// How the API's reasons begin that are about the chat and not about the message, after `Bad Request: `.
const ABOUT_THE_CHAT: [&str; 8] = [
    "chat not found",
    "group chat was ",
    "chat_id is empty",
    "user not found",
    "not enough rights",
    "need administrator rights",
    "have no rights",
    "peer_id_invalid",
];

impl Telegram {
    /// A client that gives up on a request after `timeout`.
    pub fn new(config: &TelegramConfig, timeout: Duration) -> anyhow::Result<Self> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            .build()
            .context("the HTTP client for Telegram cannot be set up")?;
        let address = format!("{}/bot{}/sendMessage", config.api_url, config.api_key.expose_secret());
        // The error does not quote the address.
        let send_message = Url::parse(&address).context("telegram.api_url and telegram.api_key make no address")?;
        Ok(Self { client, send_message, token: config.api_key.clone(), chat: config.chat_id.clone() })
    }

    /// The name of the chat.
    pub fn chat(&self) -> String {
        self.chat.to_string()
    }

    /// Sends a text to the chat; `attempt` counts from 1.
    pub async fn send(&self, text: &str, attempt: u32) -> Answer {
        let started = Instant::now();
        let answer = self.post(text).instrument(self.span(attempt)).await;
        metrics::TELEGRAM_SECONDS.observe(started.elapsed().as_secs_f64());
        answer
    }

    /// The span of a request. Of the address it has all but the token.
    fn span(&self, attempt: u32) -> Span {
        info_span!(
            "request",
            otel.name = format!("POST {URL_TEMPLATE}"),
            otel.kind = "client",
            otel.status_code = Empty,
            "error.type" = Empty,
            http.request.method = "POST",
            http.request.resend_count = attempt.checked_sub(1).filter(|resent| *resent > 0).map(i64::from),
            http.response.status_code = Empty,
            url.full = format!("{}{REDACTED_PATH}", self.send_message.origin().ascii_serialization()),
            url.template = URL_TEMPLATE,
            server.address = self.send_message.host_str(),
            server.port = self.send_message.port_or_known_default().map(i64::from),
        )
    }

    async fn post(&self, text: &str) -> Answer {
        let span = Span::current();
        let message = SendMessage { chat_id: &self.chat, text };
        let response = match self.client.post(self.send_message.clone()).json(&message).send().await {
            Ok(response) => response,
            Err(error) => {
                trace::fail(&span, kind(&error));
                return Answer::Trouble(self.reason(chain(&error.without_url())));
            }
        };
        let status = response.status();
        span.record("http.response.status_code", i64::from(status.as_u16()));
        let answer = understand(status, read(response).await);
        if answer != Answer::Taken {
            trace::fail(&span, status.as_str());
        }
        match answer {
            Answer::Trouble(reason) => Answer::Trouble(self.reason(reason)),
            Answer::Refused(reason) => Answer::Refused(self.reason(reason)),
            Answer::Taken | Answer::SlowDown(_) => answer,
        }
    }

    /// A reason that can be logged and kept, whatever the other side wrote into it.
    fn reason(&self, text: String) -> String {
        let text = text.replace(self.token.expose_secret(), "…");
        text.chars().filter(|char| !char.is_control()).take(MAX_REASON_CHARS).collect()
    }
}

/// What went wrong with a request that was not answered, for traces.
fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else {
        "request"
    }
}

/// Only the API itself can take a message, and only of the message itself it can say that it never will.
fn understand(status: StatusCode, said: Option<Said>) -> Answer {
    let Some(Said { ok, error_code, description, parameters }) = said else {
        return match status {
            StatusCode::TOO_MANY_REQUESTS => Answer::SlowDown(None),
            _ => Answer::Trouble(format!("{status}, and not in Telegram's words")),
        };
    };
    if ok && status.is_success() {
        return Answer::Taken;
    }
    let code = error_code.unwrap_or(status.as_u16());
    let reason = format!("{code}: {description}");
    if let Some(chat) = parameters.migrate_to_chat_id {
        return Answer::Trouble(format!("{reason}; telegram.chat_id is to be {chat} from now on"));
    }
    let about = description.strip_prefix("Bad Request: ").unwrap_or(&description).to_lowercase();
    match code {
        429 => Answer::SlowDown(parameters.retry_after.map(Duration::from_secs)),
        400 if !ABOUT_THE_CHAT.iter().any(|beginning| about.starts_with(beginning)) => Answer::Refused(reason),
        // The token, the chat or the moment is wrong, and no message must be lost to that.
        _ => Answer::Trouble(reason),
    }
}

/// `None` for what is not the API's.
async fn read(mut response: Response) -> Option<Said> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    serde_json::from_slice(&body).ok()
}
