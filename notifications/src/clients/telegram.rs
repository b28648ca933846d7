//! Telegram's Bot API, as far as it is needed: `sendMessage`. The bot's token is part of the address, so no address ever
//! gets into an error.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tracing::{Instrument as _, Span, field::Empty, info_span};

use crate::{
    config::{ChatId, TelegramConfig},
    domain::delivery::{Answer, fit},
    metrics,
};

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

/// What the API says when it refuses; anything but that is read as nothing said.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    retry_after: Option<u64>,
}

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

    /// Sends a text to the chat.
    pub async fn send(&self, text: &str) -> Answer {
        let span = info_span!(
            "telegram",
            otel.name = "POST sendMessage",
            otel.kind = "client",
            otel.status_code = Empty,
            http.response.status_code = Empty,
        );
        let started = Instant::now();
        let answer = self.post(text).instrument(span.clone()).await;
        metrics::TELEGRAM_SECONDS.observe(started.elapsed().as_secs_f64());
        match &answer {
            Answer::Taken => {}
            Answer::SlowDown(_) | Answer::Trouble(_) | Answer::Refused(_) => {
                span.record("otel.status_code", "ERROR");
            }
        }
        answer
    }

    async fn post(&self, text: &str) -> Answer {
        let message = SendMessage { chat_id: &self.chat, text: &fit(text) };
        let response = match self.client.post(self.send_message.clone()).json(&message).send().await {
            Ok(response) => response,
            Err(error) => return Answer::Trouble(self.reason(platform::failure::chain(&error.without_url()))),
        };
        let status = response.status();
        Span::current().record("http.response.status_code", status.as_u16());
        if status.is_success() {
            return Answer::Taken;
        }
        let Refusal { description, parameters } = read(response).await;
        let reason = self.reason(match description {
            Some(description) => format!("{status}: {description}"),
            None => status.to_string(),
        });
        if status == StatusCode::TOO_MANY_REQUESTS {
            Answer::SlowDown(parameters.and_then(|parameters| parameters.retry_after).map(Duration::from_secs))
        } else if [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&status) {
            // It is the token that is wrong, and no message must be lost to that.
            Answer::Trouble(reason)
        } else if status.is_client_error() {
            Answer::Refused(reason)
        } else {
            Answer::Trouble(reason)
        }
    }

    /// A reason that can be logged and kept, whatever the other side wrote into it.
    fn reason(&self, text: String) -> String {
        let text = text.replace(self.token.expose_secret(), "…");
        text.chars().filter(|char| !char.is_control()).take(MAX_REASON_CHARS).collect()
    }
}

async fn read(mut response: Response) -> Refusal {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    serde_json::from_slice(&body).unwrap_or_default()
}
