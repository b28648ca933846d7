//! What librdkafka says beside the results of calls.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};
use tracing::debug;

use super::KAFKA;
use crate::failure::Failure;

/// Lets librdkafka log at debug level only: code that uses a client gets its errors, and logs them once. Remembers why
/// the brokers were last out of reach or refused the client, because the results of calls do not tell. Clones share that.
#[derive(Debug, Clone, Default)]
pub struct Quiet(Arc<Mutex<Option<String>>>);

impl Quiet {
    /// An error of a call, with the reason.
    pub(super) fn trouble(&self, error: KafkaError) -> Trouble {
        Trouble { error, reason: self.reason().clone() }
    }

    pub(super) fn failure(&self, error: KafkaError) -> Failure {
        Failure::unavailable(KAFKA, self.trouble(error))
    }

    /// To be called when a broker has done what it was asked for.
    pub(super) fn is_well(&self) {
        self.reason().take();
    }

    fn reason(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That all are down is no reason, and comes after it.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.reason() = Some(reason.to_owned());
        }
        debug!(error = format!("{error}: {reason}"), "librdkafka");
    }
}

impl ConsumerContext for Quiet {}

/// An error of a call, and why the brokers were out of reach or refused the client, if they were.
#[derive(Debug)]
pub(super) struct Trouble {
    pub error: KafkaError,
    reason: Option<String>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{}: {reason}", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl StdError for Trouble {}

/// Whether the broker, or librdkafka, takes no record of this size.
pub(super) fn is_too_large(failure: &Failure) -> bool {
    let Failure::Unavailable { source, .. } = failure else { return false };
    let code = source.downcast_ref::<Trouble>().and_then(|trouble| trouble.error.rdkafka_error_code());
    matches!(code, Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge))
}
