//! How a service reaches Kafka: the keys `brokers` and `kafka`.

use std::path::PathBuf;

use rdkafka::{ClientConfig, error::KafkaError, types::RDKafkaConfRes};
use secrecy::{ExposeSecret as _, SecretString};

use super::{FromSection, FromText, HostPort, Section, service::identity};
use crate::section;

/// The part of a configuration file that a service with Kafka needs.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    pub brokers: Vec<HostPort>,
    pub security: Security,
    /// More properties of librdkafka, for all clients of the service.
    pub properties: Vec<(String, SecretString)>,
}

impl KafkaConfig {
    /// Brokers that speak plaintext, with the defaults of all other keys.
    pub fn plaintext(brokers: Vec<HostPort>) -> Self {
        Self { brokers, security: Security::default(), properties: Vec::new() }
    }
}

impl FromSection for KafkaConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let brokers = section.list("brokers");
        let kafka: Option<ClientsConfig> = section.section_or_defaults("kafka");
        let ClientsConfig { security, properties } = kafka?;
        Some(Self { brokers: brokers?, security: security.unwrap_or_default(), properties })
    }
}

section! {
    /// `kafka`: what the clients of the service have in common.
    struct ClientsConfig {
        /// Without this section, the brokers speak plaintext.
        security: Option<Security> = optional_section(),
        properties: Vec<(String, SecretString)> = map(),
    }
    rule properties_can_be_set;
}

fn properties_can_be_set(config: &ClientsConfig, section: &mut Section<'_>) {
    for (name, value) in &config.properties {
        if let Err(description) = check_property(name, value) {
            section.reject(&format!("properties.{name}"), description);
        }
    }
}

/// Said by other keys of the file.
const SAID_ELSEWHERE: [&str; 10] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
];

/// What no event is lost, doubled or overtaken for.
const OURS: [&str; 16] = [
    "acks",
    "auto.commit.enable",
    "auto.offset.reset",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "message.timeout.ms",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "transactional.id",
];

fn check_property(name: &str, value: &SecretString) -> Result<(), &'static str> {
    if SAID_ELSEWHERE.contains(&name) {
        return Err("is said by brokers and kafka.security");
    }
    if OURS.contains(&name) {
        return Err("cannot be changed: what the service promises rests on it");
    }
    match ClientConfig::new().set(name, value.expose_secret()).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => Err("is no property of librdkafka"),
        Err(_) => Err("has a value that librdkafka does not take for it"),
    }
}

/// `kafka.security`: how the brokers are spoken to, and who speaks.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Without it, the connections are plaintext.
    pub tls: Option<Tls>,
    /// Without it, the brokers are told no name, unless a certificate holds one.
    pub sasl: Option<Sasl>,
}

/// PEM files, read when a client begins.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The CA of the brokers; without it, those of the system are trusted.
    pub ca: Option<PathBuf>,
    /// `certificate` and `key`, for brokers that ask for a certificate.
    pub identity: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug, Clone)]
pub struct Sasl {
    pub mechanism: Mechanism,
    pub username: String,
    pub password: SecretString,
}

impl FromSection for Security {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let protocol: Option<Protocol> = section.required("protocol");
        let ca = section.optional("ca");
        let identity = identity(section);
        let mechanism: Option<Option<Mechanism>> = section.optional("mechanism");
        let username: Option<Option<String>> = section.optional("username");
        let password: Option<Option<SecretString>> = section.optional("password");
        let (protocol, ca, identity): (_, Option<PathBuf>, _) = (protocol?, ca?, identity?);
        let (mechanism, username, password) = (mechanism?, username?, password?);
        for (key, is_given) in [("ca", ca.is_some()), ("certificate", identity.is_some())] {
            if is_given && !protocol.has_tls {
                section.reject(key, "is for a protocol with TLS: ssl or sasl_ssl");
            }
        }
        let keys =
            [("mechanism", mechanism.is_some()), ("username", username.is_some()), ("password", password.is_some())];
        for (key, is_given) in keys {
            if is_given && !protocol.has_sasl {
                section.reject(key, "is for a protocol with SASL: sasl_ssl or sasl_plaintext");
            } else if protocol.has_sasl && !is_given {
                section.reject(key, "is missing: a protocol with SASL needs it");
            }
        }
        let sasl = mechanism.zip(username).zip(password);
        Some(Self {
            tls: protocol.has_tls.then_some(Tls { ca, identity }),
            sasl: sasl.map(|((mechanism, username), password)| Sasl { mechanism, username, password }),
        })
    }
}

/// In Kafka's words, such as `SASL_SSL`.
#[derive(Clone, Copy)]
struct Protocol {
    has_tls: bool,
    has_sasl: bool,
}

impl FromText for Protocol {
    fn from_text(text: &str) -> Result<Self, String> {
        let (has_tls, has_sasl) = match text.to_ascii_lowercase().as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => return Err("must be plaintext, ssl, sasl_plaintext or sasl_ssl".into()),
        };
        Ok(Self { has_tls, has_sasl })
    }
}

/// How the password is shown to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Mechanism {
    /// As librdkafka and the brokers call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl FromText for Mechanism {
    fn from_text(text: &str) -> Result<Self, String> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512]
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| "must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512".into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::{Faults, parse};

    fn read(kafka: &str) -> Result<KafkaConfig, Faults> {
        let text = format!("brokers: ['kafka:9093']\nkafka: {kafka}\n");
        parse("shop.yaml", &text, &|name| (name == "PASSWORD").then(|| "hunter2".into()))
    }

    #[test]
    fn brokers_are_spoken_to_in_plaintext_unless_the_file_says_otherwise() {
        let config: KafkaConfig = parse("shop.yaml", "brokers: ['kafka:9092']", &|_| None).unwrap();
        assert!(config.security.tls.is_none() && config.security.sasl.is_none() && config.properties.is_empty());
        let config = read("{security: {protocol: ssl}}").unwrap();
        assert!(config.security.tls.is_some_and(|tls| tls.ca.is_none()) && config.security.sasl.is_none());
    }

    #[test]
    fn a_user_and_properties_are_read_and_no_secret_is_shown() {
        let config = read(
            "{security: {protocol: SASL_SSL, ca: ca.pem, certificate: a.pem, key: a.key, mechanism: scram-sha-512, \
             username: loms, password: '${PASSWORD}'}, properties: {ssl.key.password: hunter2, linger.ms: 5}}",
        )
        .unwrap();
        let sasl = config.security.sasl.as_ref().unwrap();
        assert_eq!((sasl.mechanism.name(), sasl.username.as_str()), ("SCRAM-SHA-512", "loms"));
        assert_eq!(sasl.password.expose_secret(), "hunter2");
        assert!(config.security.tls.as_ref().unwrap().identity.is_some());
        assert_eq!(config.properties.len(), 2);
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    }

    #[test]
    fn keys_that_do_not_go_together_are_told_by_name() {
        let faults = |kafka: &str| read(kafka).unwrap_err().to_string();
        assert_eq!(
            faults("{security: {protocol: sasl_ssl}}"),
            "shop.yaml:\n  kafka.security.mechanism: is missing: a protocol with SASL needs it\n  \
             kafka.security.username: is missing: a protocol with SASL needs it\n  \
             kafka.security.password: is missing: a protocol with SASL needs it"
        );
        assert_eq!(
            faults("{security: {protocol: plaintext, ca: ca.pem, username: loms}}"),
            "shop.yaml:\n  kafka.security.ca: is for a protocol with TLS: ssl or sasl_ssl\n  \
             kafka.security.username: is for a protocol with SASL: sasl_ssl or sasl_plaintext"
        );
        assert_eq!(
            faults("{security: {protocol: tls, mechanism: md5, certificate: a.pem}}"),
            "shop.yaml:\n  kafka.security.protocol: must be plaintext, ssl, sasl_plaintext or sasl_ssl\n  \
             kafka.security.key: is missing: a certificate needs its key\n  \
             kafka.security.mechanism: must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
        );
        assert_eq!(faults("{security: {}}"), "shop.yaml:\n  kafka.security.protocol: is missing");
    }

    #[test]
    fn a_property_that_librdkafka_does_not_know_or_the_service_needs_is_told_by_name() {
        let faults = read(
            "{properties: {sesion.timeout.ms: 1, acks: 1, sasl.password: hunter2, linger.ms: hunter2, debug: broker}}",
        );
        assert_eq!(
            faults.unwrap_err().to_string(),
            "shop.yaml:\n  kafka.properties.sesion.timeout.ms: is no property of librdkafka\n  \
             kafka.properties.acks: cannot be changed: what the service promises rests on it\n  \
             kafka.properties.sasl.password: is said by brokers and kafka.security\n  \
             kafka.properties.linger.ms: has a value that librdkafka does not take for it"
        );
    }
}
