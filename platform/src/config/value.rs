//! Single values of a configuration file. The fault of a wrong value says what would be right.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr as _, time::Duration};

use http::{HeaderName, HeaderValue, Uri, uri::Authority};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::Variables;

pub trait FromText: Sized {
    /// Reads the value. The error says what the value must be, and does not quote it.
    fn from_text(text: &str) -> Result<Self, String>;
}

pub(super) fn substitute(text: &str, variables: Variables<'_>) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, tail) = after.split_once('}').ok_or("has a ${ without its }")?;
        let value = variables(name).ok_or_else(|| format!("the environment variable {name} is not set"))?;
        result.push_str(before);
        result.push_str(&value);
        rest = tail;
    }
    result.push_str(rest);
    Ok(result)
}

impl FromText for String {
    fn from_text(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() { Err("must not be empty".into()) } else { Ok(text.into()) }
    }
}

impl FromText for SecretString {
    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text).map(Self::from)
    }
}

impl FromText for PathBuf {
    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text).map(Self::from)
    }
}

impl FromText for bool {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be true or false".into())
    }
}

impl FromText for SocketAddr {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be an IP address and port such as 127.0.0.1:50051 or [::]:50051".into())
    }
}

/// A value of which there may be too much or too little. It is no [`FromText`], so that each key must say its bounds.
pub trait Quantity: Sized {
    /// Reads the value. The error says what the value must be.
    fn within(text: &str, bounds: &RangeInclusive<Self>) -> Result<Self, String>;
}

impl Quantity for Duration {
    fn within(text: &str, bounds: &RangeInclusive<Self>) -> Result<Self, String> {
        let value = humantime::parse_duration(text)
            .map_err(|_| "must be a duration with its unit, such as 10m, 5s or 250ms".to_owned())?;
        let is_within = bounds.contains(&value);
        is_within
            .then_some(value)
            .ok_or_else(|| format!("must be from {} to {}", in_one_unit(*bounds.start()), in_one_unit(*bounds.end())))
    }
}

/// Unlike humantime, which makes `11months 30days 6h` of a year.
fn in_one_unit(duration: Duration) -> String {
    let units = [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];
    let ms = duration.as_millis();
    let fitting = units.into_iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit));
    fitting.map_or_else(|| "0s".into(), |(name, unit)| format!("{}{name}", ms / unit))
}

macro_rules! numbers {
    ($($number:ty: $name:literal),*) => {
        $(impl Quantity for $number {
            fn within(text: &str, bounds: &RangeInclusive<Self>) -> Result<Self, String> {
                let value = text.parse().ok().filter(|value| bounds.contains(value));
                value.ok_or_else(|| format!("must be {} from {} to {}", $name, bounds.start(), bounds.end()))
            }
        })*
    };
}

numbers!(u16: "a whole number", u32: "a whole number", f64: "a number");

/// The address of a gRPC service: `https://host:port`, or `http://host:port` for a service behind a proxy that speaks
/// plaintext. `host:port` alone means `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl(Uri);

impl ServiceUrl {
    /// Always has a scheme, a host and a port.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl FromText for ServiceUrl {
    fn from_text(text: &str) -> Result<Self, String> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        with_scheme
            .parse::<Uri>()
            .ok()
            .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
            .filter(|uri| uri.host().is_some_and(|host| !host.is_empty()) && uri.port_u16().is_some())
            .filter(|uri| uri.path() == "/" && uri.query().is_none())
            .map(Self)
            .ok_or_else(|| "must be an address such as https://localhost:50052".into())
    }
}

impl FromText for HeaderName {
    fn from_text(text: &str) -> Result<Self, String> {
        // gRPC decodes the values of names that end so.
        let name = text.parse().ok().filter(|name: &Self| !name.as_str().ends_with("-bin"));
        name.ok_or_else(|| "must be the name of a header that holds text, such as authorization".into())
    }
}

/// The value of a header, taken for a secret.
impl FromText for HeaderValue {
    fn from_text(text: &str) -> Result<Self, String> {
        let mut value: Self = String::from_text(text)?.parse().map_err(|_| "must be visible ASCII characters")?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// The address of a server: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort(String);

impl FromText for HostPort {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse::<Authority>()
            .ok()
            .filter(|authority| !authority.host().is_empty() && authority.port_u16().is_some())
            .filter(|authority| !authority.as_str().contains('@'))
            .map(|authority| Self(authority.to_string()))
            .ok_or_else(|| "must be a host and port such as localhost:9092".into())
    }
}

impl AsRef<str> for HostPort {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone)]
pub struct PostgresUrl(SecretString);

impl FromText for PostgresUrl {
    fn from_text(text: &str) -> Result<Self, String> {
        // The fault does not say what is wrong: the text holds a password.
        let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
        if !is_postgres || PgConnectOptions::from_str(text).is_err() {
            return Err("must look like postgres://user:password@host:port/database".into());
        }
        Ok(Self(text.into()))
    }
}

impl ExposeSecret<str> for PostgresUrl {
    fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A level, or directives as in `RUST_LOG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl FromText for LogLevel {
    fn from_text(text: &str) -> Result<Self, String> {
        let known = |level: &str| level.parse::<LevelFilter>().is_ok();
        // `EnvFilter` takes any unknown text for the name of a module: a slip of the pen would turn all logging off.
        let is_valid = |directive: &str| match directive.rsplit_once('=') {
            Some((target, level)) => !target.is_empty() && !target.contains(char::is_whitespace) && known(level),
            None => known(directive),
        };
        if text.split(',').all(|directive| is_valid(directive.trim())) && EnvFilter::try_new(text).is_ok() {
            Ok(Self(text.into()))
        } else {
            Err("must be error, warn, info, debug or trace, or directives such as info,sqlx=debug".into())
        }
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".into())
    }
}

impl AsRef<str> for LogLevel {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
