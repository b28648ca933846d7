//! The file `notifications/config.yaml`; `config.example.yaml` explains its keys.

use std::{fmt, time::Duration};

use platform::{
    config::{FromSection, FromText, Section, kafka::KafkaConfig, service::ServiceConfig},
    section,
};
use proto::event::{ORDERS, ORDERS_DLQ};
use secrecy::SecretString;
use serde::Serialize;

use crate::domain::{delivery::Pace, pace::Allowance};

section! {
    /// What notifications is told at start.
    pub struct Config {
        pub service: ServiceConfig = inline(),
        pub kafka: KafkaConfig = inline(),
        /// Without it messages are kept and logged, and nobody is told.
        pub telegram: Option<TelegramConfig> = optional_section(),
        pub settings: Settings = fixed(Settings::default()),
    }
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}

/// What is the same in every fleet, and other in tests, which share a broker and are in a hurry.
#[derive(Debug, Clone)]
pub struct Settings {
    pub topic: String,
    /// The topic for what cannot be read.
    pub dead_letter_topic: String,
    /// The consumer group.
    pub group: String,
    /// How long Telegram may take to answer; shorter than the grace period of a stop.
    pub telegram_timeout: Duration,
    /// After how long a message whose delivery was cut off is sent again.
    pub lease: Duration,
    /// When a message is tried again.
    pub retry: Pace,
    /// How long Telegram is left alone while it fails.
    pub rest: Pace,
}

impl Default for Settings {
    fn default() -> Self {
        let longest_retry_after = Duration::from_secs(3600);
        Self {
            topic: ORDERS.name.into(),
            dead_letter_topic: ORDERS_DLQ.name.into(),
            group: "notifications".into(),
            telegram_timeout: Duration::from_secs(5),
            lease: Duration::from_secs(60),
            retry: Pace { first: Duration::from_millis(500), longest: Duration::from_secs(150), longest_retry_after },
            rest: Pace { first: Duration::from_millis(250), longest: Duration::from_millis(2500), longest_retry_after },
        }
    }
}

/// `telegram`: the bot that tells users.
#[derive(Debug, Clone)]
pub struct TelegramConfig {
    /// `api_url`: where the Bot API is; with an empty `api_key`, `stand_in` takes its place.
    pub api_url: ApiUrl,
    /// `api_key`: the bot's token; whoever has it speaks for the bot.
    pub api_key: SecretString,
    /// `chat_id`: the chat that every message goes to.
    pub chat_id: ChatId,
    /// `per_minute`: how many requests the chat may get in the long run.
    pub allowance: Allowance,
}

impl FromSection for TelegramConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let api_url = section.default("api_url", ApiUrl::default());
        let stand_in: Option<Option<ApiUrl>> = section.optional("stand_in");
        let key: Option<Key> = section.required("api_key");
        let chat_id: Option<ChatId> = section.required("chat_id");
        // In the order of the keys in the file, should both be wrong.
        let usual = chat_id.as_ref().map_or(ChatId::PER_MINUTE_OF_A_GROUP, ChatId::per_minute);
        let per_minute = section.within("per_minute", usual, 1..=60_000);
        let (api_url, api_key) = match (key?, stand_in?) {
            (Key::Token(token), _) => (api_url?, token),
            (Key::Empty, Some(stand_in)) => (stand_in, STAND_IN_KEY.into()),
            (Key::Empty, None) => {
                section.reject("api_key", NO_TOKEN);
                return None;
            }
        };
        Some(Self { api_url, api_key, chat_id: chat_id?, allowance: allowance(per_minute?) })
    }
}

/// How many requests may follow each other at once, at least.
const BURST: u32 = 3;

fn allowance(per_minute: u32) -> Allowance {
    let minute = Duration::from_secs(60);
    Allowance { burst: BURST.max(per_minute / 20), interval: minute / per_minute.max(1) }
}

/// The address of a Bot API, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUrl(String);

impl Default for ApiUrl {
    fn default() -> Self {
        Self("https://api.telegram.org".into())
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromText for ApiUrl {
    fn from_text(text: &str) -> Result<Self, String> {
        reqwest::Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .map(|_| Self(text.trim_end_matches('/').to_owned()))
            .ok_or_else(|| "must be an address such as https://api.telegram.org".into())
    }
}

/// What a key must be.
const NO_TOKEN: &str = "must be a bot's token: letters, digits, and the characters : _ - .";

/// A stand-in takes any.
const STAND_IN_KEY: &str = "stand-in";

/// A bot's token, which becomes a segment of a path as it is, or none.
enum Key {
    Token(SecretString),
    Empty,
}

impl FromText for Key {
    fn from_text(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":_-.".contains(&byte);
        if !text.bytes().all(fits) {
            return Err(NO_TOKEN.into());
        }
        Ok(if text.is_empty() { Self::Empty } else { Self::Token(text.to_owned().into()) })
    }
}

/// A chat, as the Bot API names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ChatId {
    /// A person, group or channel by number.
    Number(i64),
    /// A public channel by its `@name`.
    Name(String),
}

impl ChatId {
    /// One a second: <https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this>.
    const PER_MINUTE_OF_A_PERSON: u32 = 60;
    /// Twenty in any minute, with a burst at its beginning.
    const PER_MINUTE_OF_A_GROUP: u32 = 20 - BURST;

    /// How much Telegram takes for such a chat in the long run.
    fn per_minute(&self) -> u32 {
        match self {
            Self::Number(1..) => Self::PER_MINUTE_OF_A_PERSON,
            Self::Number(_) | Self::Name(_) => Self::PER_MINUTE_OF_A_GROUP,
        }
    }
}

impl fmt::Display for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromText for ChatId {
    fn from_text(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        match text.strip_prefix('@') {
            Some(name) if !name.is_empty() && !name.contains(char::is_whitespace) => Ok(Self::Name(text.into())),
            Some(_) | None => Err("must be a chat's number, or a channel's name such as @my_shop".into()),
        }
    }
}
