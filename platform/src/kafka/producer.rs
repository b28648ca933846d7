//! Writes records, each in its own span.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _},
};
use tracing::{Instrument as _, Span};

use super::{Cluster, Place, Quiet};
use crate::{failure::Failure, telemetry::trace};

const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// Puts records with a key where all writers of a topic put them, so that those of one key keep their order.
pub const PARTITIONER: (&str, &str) = ("partitioner", "fnv1a_random");

/// A producer whose records all in-sync replicas acknowledge. Clones share the client. Dropping the last one blocks until
/// its thread has ended; [`close`](Self::close) does not.
#[derive(Clone)]
pub struct Producer {
    client: FutureProducer<Quiet>,
    quiet: Quiet,
}

impl Producer {
    /// `settings` are additional settings of librdkafka.
    pub fn new(cluster: &Cluster, settings: &[(&str, &str)]) -> Result<Self, KafkaError> {
        let quiet = Quiet::default();
        let client = cluster.client(settings).set("acks", "all").create_with_context(quiet.clone())?;
        Ok(Self { client, quiet })
    }

    /// Writes a record in its [span](super::send_span), and answers where. After success, the broker has acknowledged it. The wait is limited
    /// by the producer's setting `message.timeout.ms`.
    pub async fn send(&self, record: FutureRecord<'_, [u8], [u8]>, span: &Span) -> Result<Place, Failure> {
        let sent = async {
            match self.client.send_result(record) {
                Ok(delivery) => delivery.await.map_err(Failure::unforeseen),
                Err((error, _)) => Err(self.quiet.failure(error)),
            }
        };
        match sent.instrument(span.clone()).await.inspect_err(|failure| trace::fail(span, failure.kind()))? {
            Ok(delivery) => {
                self.quiet.is_well();
                span.record("messaging.destination.partition.id", delivery.partition.to_string());
                span.record("messaging.kafka.offset", delivery.offset);
                Ok(Place { partition: delivery.partition, offset: delivery.offset })
            }
            Err((error, _)) => {
                trace::fail(span, &kind(&error));
                Err(self.quiet.failure(error))
            }
        }
    }

    /// The topics that the brokers let this service see, each with the number of its partitions. No topic is asked for by
    /// its name: a broker may create what is asked for.
    pub async fn topics(&self) -> Result<BTreeMap<String, usize>, Failure> {
        let client = self.client.clone();
        let look = move || client.client().fetch_metadata(None, METADATA_TIMEOUT);
        let looked = tokio::task::spawn_blocking(look).await.map_err(Failure::unforeseen)?;
        let metadata = looked.map_err(|error| self.quiet.failure(error))?;
        self.quiet.is_well();
        let seen = metadata.topics().iter().filter(|topic| !topic.partitions().is_empty());
        Ok(seen.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
    }

    /// Waits for the producer's thread to end, if this is the last clone.
    pub async fn close(self) -> Result<(), Failure> {
        tokio::task::spawn_blocking(move || drop(self)).await.map_err(Failure::unforeseen)
    }
}

/// Adds a header. An earlier header of the same name stays; readers must take the last one.
pub fn with_header(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

/// The value of `error.type` in traces.
fn kind(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| "unknown".to_owned(), |code| format!("{code:?}"))
}
