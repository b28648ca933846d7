//! The meaning of errors from Postgres.

use std::{borrow::Cow, io::ErrorKind::TimedOut, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;

use super::POSTGRES;
use crate::failure::{Failure, panic_text};

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error {
            return match database.code().as_deref() {
                // serialization_failure, deadlock_detected
                Some("40001" | "40P01") => Self::Contention(std::sync::Arc::new(error)),
                // lock_not_available: our lock_timeout
                Some("55P03") => Self::Locked(std::sync::Arc::new(error)),
                Some(code) if is_of_the_server(code) => Self::unavailable(POSTGRES, error),
                Some(_) | None => Self::unforeseen(error),
            };
        }
        // `Database::acquire` leaves this error only if all connections are in use.
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::overloaded("all connections to Postgres are in use");
        }
        // A proxy whose Postgres is down accepts a connection and closes it at once. sqlx calls that a protocol error.
        if is_of_the_connection(&error) || is_panic(&error) {
            return Self::unavailable(POSTGRES, error);
        }
        Self::unforeseen(error)
    }
}

/// Whether an SQLSTATE speaks of the server's state, and not of what it was asked.
fn is_of_the_server(code: &str) -> bool {
    const STATES: [&str; 13] = [
        "25006", // read_only_sql_transaction: a standby, or a primary that lost its place
        "25P03", // idle_in_transaction_session_timeout
        "28000", // invalid_authorization_specification
        "28P01", // invalid_password: rotated, and not yet everywhere
        "53100", // disk_full
        "53200", // out_of_memory
        "53300", // too_many_connections
        "57014", // query_canceled: our statement_timeout
        "57P01", // admin_shutdown
        "57P02", // crash_shutdown
        "57P03", // cannot_connect_now
        "58000", // system_error
        "58030", // io_error
    ];
    STATES.contains(&code) || is_of_a_pooler(code)
}

/// Whether an SQLSTATE is one of connections (class 08). Postgres sends none to a client that speaks its protocol; poolers
/// do when they have lost the server.
fn is_of_a_pooler(code: &str) -> bool {
    code.starts_with("08")
}

/// Whether Postgres could read a statement and refused its data: a value out of range, a constraint.
pub(crate) fn is_of_the_data(failure: &Failure) -> bool {
    let Failure::Unforeseen(cause) = failure else { return false };
    let state = cause.downcast_ref::<sqlx::Error>().and_then(sqlstate);
    // data_exception, integrity_constraint_violation
    state.is_some_and(|state| state.starts_with("22") || state.starts_with("23"))
}

/// Whether Postgres did not answer, so that nobody knows what the connection is good for.
pub(super) fn is_of_the_connection(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolClosed)
}

/// Whether Postgres lives and gives no more connections: the server, the database or the role has as many as it may.
pub(super) fn is_full_server(error: &sqlx::Error) -> bool {
    sqlstate(error).as_deref() == Some("53300")
}

/// Whether a statement was refused because an earlier one of its transaction failed.
pub(super) fn is_failed_transaction(error: &sqlx::Error) -> bool {
    sqlstate(error).as_deref() == Some("25P02")
}

/// Fails like a connection that does not answer, when the time is over. A panic of the driver is a failure, too: sqlx
/// panics when a server, or a pooler before it, answers what it does not expect.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let work = AssertUnwindSafe(work).catch_unwind();
    let result = tokio::time::timeout(limit, work).await.map_err(|_| std::io::Error::from(TimedOut))?;
    result.unwrap_or_else(|panic| Err(sqlx::Error::AnyDriverError(Box::new(Panicked(panic_text(&*panic))))))
}

#[derive(Debug, thiserror::Error)]
#[error("the driver panicked: {0}")]
struct Panicked(String);

/// Whether the driver panicked. That says nothing about other connections.
pub(super) fn is_panic(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::AnyDriverError(_))
}

/// Whether an error says that its connection leads to a server that cannot serve us, although it lives.
pub(super) fn is_wrong_server(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| is_of_a_pooler(&code) || ["25006", "57P01", "57P02", "57P03"].contains(&&*code))
}

pub(super) fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// The value of `error.type` in traces: the SQLSTATE, `overloaded` if all connections were in use, or `connection` if
/// Postgres did not answer with a state.
pub(super) fn kind(error: &sqlx::Error) -> Cow<'_, str> {
    let otherwise = if matches!(error, sqlx::Error::PoolTimedOut) { "overloaded" } else { "connection" };
    sqlstate(error).unwrap_or(Cow::Borrowed(otherwise))
}
