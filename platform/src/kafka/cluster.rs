//! The brokers as a service reaches them: where they are, who it is for them, and what its clients have in common.

use std::{fs::File, path::PathBuf};

use anyhow::Context as _;
use rdkafka::{ClientConfig, producer::BaseProducer};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::kafka::{KafkaConfig, Sasl, Security, Tls};

#[derive(Debug, Clone)]
pub struct Cluster {
    common: ClientConfig,
    properties: Vec<(String, SecretString)>,
}

impl Cluster {
    /// `id` is the name of the service for the brokers. Connects to none of them, but fails if no client could begin, such
    /// as without a file that the configuration names.
    pub fn open(id: &str, config: &KafkaConfig) -> anyhow::Result<Self> {
        let KafkaConfig { brokers, security, properties } = config;
        let mut common = client(id, brokers);
        secure(&mut common, security).context("kafka.security")?;
        let cluster = Self { common, properties: properties.clone() };
        let _: BaseProducer = cluster.client(&[]).create().context("kafka")?;
        Ok(cluster)
    }

    /// The configuration of a client. The properties of the configuration file are stronger than `settings`.
    pub(super) fn client(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.common.clone();
        for (name, value) in settings {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value.expose_secret());
        }
        config
    }
}

/// The configuration of a client that speaks plaintext. Each broker is `host:port`.
pub fn client(id: &str, brokers: &[impl AsRef<str>]) -> ClientConfig {
    let brokers: Vec<_> = brokers.iter().map(AsRef::as_ref).collect();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers.join(","))
        .set("client.id", id)
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.max.ms", "2000");
    config
}

fn secure(client: &mut ClientConfig, Security { tls, sasl }: &Security) -> anyhow::Result<()> {
    let protocol = match (tls, sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    if let Some(Tls { ca, identity }) = tls {
        match ca {
            Some(ca) => client.set("ssl.ca.location", readable(ca)?),
            // The places where systems have them.
            None => client.set("ssl.ca.location", "probe"),
        };
        if let Some((certificate, key)) = identity {
            client.set("ssl.certificate.location", readable(certificate)?).set("ssl.key.location", readable(key)?);
        }
    }
    if let Some(Sasl { mechanism, username, password }) = sasl {
        client
            .set("sasl.mechanisms", mechanism.name())
            .set("sasl.username", username)
            .set("sasl.password", password.expose_secret());
    }
    Ok(())
}

/// librdkafka does not say which file it cannot read.
fn readable(path: &PathBuf) -> anyhow::Result<&str> {
    File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    path.to_str().with_context(|| format!("the path {} is not Unicode", path.display()))
}
