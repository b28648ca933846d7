//! The configuration file of notifications.

use std::fmt;

use platform::config::{FromSection, FromText, HostPort, Section, service::ServiceConfig};
use secrecy::SecretString;
use serde::Serialize;

/// Everything in the file.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every service has.
    pub service: ServiceConfig,
    /// `brokers`: where the Kafka-protocol broker is found, `host:port` each.
    pub brokers: Vec<String>,
    /// `telegram`; without it messages are kept and logged, and nobody is told.
    pub telegram: Option<TelegramConfig>,
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}

impl FromSection for Config {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let service = ServiceConfig::from_section(section);
        let brokers: Option<Vec<HostPort>> = section.required_list("brokers");
        let telegram = section.optional_section("telegram");
        Some(Self { service: service?, brokers: brokers?.into_iter().map(String::from).collect(), telegram: telegram? })
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
}

impl FromSection for TelegramConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let api_url = section.with_default("api_url", ApiUrl::default());
        let stand_in: Option<Option<ApiUrl>> = section.optional("stand_in");
        let key: Option<Key> = section.required("api_key");
        let chat_id = section.required("chat_id");
        let (api_url, api_key) = match (key?, stand_in?) {
            (Key::Token(token), _) => (api_url?, token),
            (Key::Empty, Some(stand_in)) => (stand_in, STAND_IN_KEY.into()),
            (Key::Empty, None) => {
                section.reject("api_key", NO_TOKEN);
                return None;
            }
        };
        Some(Self { api_url, api_key, chat_id: chat_id? })
    }
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
