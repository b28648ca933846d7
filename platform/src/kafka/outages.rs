//! What keeps a consumer from reading. Each outage is logged when it begins and when it is over.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, info, warn};

use super::{KAFKA, quiet::Trouble};

#[derive(Debug, Default)]
pub(super) struct Outages(Option<Outage>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    Broker,
    /// The brokers do not take the user, or do not let it read.
    Refused,
    TopicMissing,
}

impl Outages {
    /// Only logs: librdkafka goes on by itself after an error.
    pub fn begin(&mut self, trouble: Trouble) {
        let outage = Outage::of(&trouble.error);
        // A broker that refuses a user is down for librdkafka.
        let follows = self.0 == Some(Outage::Refused) && outage == Outage::Broker;
        if follows || self.0.replace(outage) == Some(outage) {
            debug!(error = %trouble, "{KAFKA} still fails");
            return;
        }
        match outage {
            Outage::TopicMissing => warn!("waiting for the topic, which does not exist yet"),
            Outage::Broker => warn!(error = %trouble, "{KAFKA} fails; reading goes on when it is back"),
            Outage::Refused => {
                warn!(error = %trouble, "{KAFKA} refuses this service; reading goes on when it does not")
            }
        }
    }

    pub fn end(&mut self) {
        if self.0.take().is_some() {
            info!("{KAFKA} answers again");
        }
    }
}

impl Outage {
    fn of(error: &KafkaError) -> Self {
        const REFUSALS: [RDKafkaErrorCode; 5] = [
            RDKafkaErrorCode::Authentication,
            RDKafkaErrorCode::SaslAuthenticationFailed,
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::GroupAuthorizationFailed,
            RDKafkaErrorCode::ClusterAuthorizationFailed,
        ];
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Self::TopicMissing,
            Some(code) if REFUSALS.contains(&code) => Self::Refused,
            Some(_) | None => Self::Broker,
        }
    }
}

/// Whether a consumer does not go on by itself after an error.
pub(super) fn is_final(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown)
        || matches!(error, KafkaError::MessageConsumptionFatal(_))
}
