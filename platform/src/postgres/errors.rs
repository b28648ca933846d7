//! The meaning of errors from Postgres.

use std::borrow::Cow;

use super::POSTGRES;
use crate::failure::Failure;

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error {
            return match database.code().as_deref() {
                // serialization_failure, deadlock_detected
                Some("40001" | "40P01") => Self::Contention(std::sync::Arc::new(error)),
                // too_many_connections, lock_not_available (our lock_timeout), query_canceled (our statement_timeout),
                // idle_in_transaction_session_timeout, admin_shutdown, crash_shutdown, cannot_connect_now
                Some("53300" | "55P03" | "57014" | "25P03" | "57P01" | "57P02" | "57P03") => {
                    Self::unavailable(POSTGRES, error)
                }
                Some(_) | None => Self::unforeseen(error),
            };
        }
        // `Database::acquire` leaves this error only if all connections are in use.
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Overloaded;
        }
        // A proxy whose Postgres is down accepts a connection and closes it at once. sqlx calls that a protocol error.
        if matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolClosed
        ) {
            return Self::unavailable(POSTGRES, error);
        }
        Self::unforeseen(error)
    }
}

pub(super) fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// The value of `error.type` in traces: the SQLSTATE, or `connection` if Postgres did not answer with one.
pub(super) fn kind(error: &sqlx::Error) -> Cow<'_, str> {
    sqlstate(error).unwrap_or(Cow::Borrowed("connection"))
}
