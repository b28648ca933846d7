//! Failures that no use case foresees: a dependency that does not answer, or a defect. Callers learn the kind of the
//! failure; the log has its cause.

use std::{any::Any, error::Error as StdError, sync::Arc};

/// Shared, because errors cannot be cloned.
type Cause = Arc<dyn StdError + Send + Sync>;

/// An error that no rule of the business explains.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// A dependency is down or too slow. A later retry may succeed.
    #[error("{dependency} is unavailable")]
    Unavailable {
        /// A name that callers understand, such as `Postgres`.
        dependency: &'static str,
        source: Cause,
    },
    /// The service has more work than it can do. A later retry may succeed.
    #[error("too much load")]
    Overloaded(#[source] Cause),
    /// Transactions conflicted with each other. An immediate retry may succeed.
    #[error("concurrent transactions got in each other's way")]
    Contention(#[source] Cause),
    /// Others held what the transaction needs for too long. A later retry may succeed.
    #[error("others held a lock for too long")]
    Locked(#[source] Cause),
    /// A defect, or an answer that breaks a dependency's promise. A retry does not help.
    #[error("unforeseen failure")]
    Unforeseen(#[source] Cause),
}

impl Failure {
    pub fn unavailable(dependency: &'static str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable { dependency, source: source.into().into() }
    }

    pub fn overloaded(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Overloaded(source.into().into())
    }

    pub fn contention(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Contention(source.into().into())
    }

    pub fn locked(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Locked(source.into().into())
    }

    pub fn unforeseen(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unforeseen(source.into().into())
    }

    /// The value of `error.type` in traces.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Overloaded(_) => "overloaded",
            Self::Contention(_) => "contention",
            Self::Locked(_) => "locked",
            Self::Unforeseen(_) => "unforeseen",
        }
    }
}

/// Why a use case did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error<R> {
    /// A rule of the business forbids it.
    #[error("refused: {0:?}")]
    Refused(R),
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl<R> Error<R> {
    /// Turns the refusal into the refusal of another use case.
    pub fn map<S>(self, refusal: impl FnOnce(R) -> S) -> Error<S> {
        match self {
            Self::Refused(refused) => Error::Refused(refusal(refused)),
            Self::Failure(failure) => Error::Failure(failure),
        }
    }
}

/// An error that can tell whether an immediate retry of the transaction may succeed.
pub trait Transient {
    fn is_contention(&self) -> bool;
}

impl Transient for Failure {
    fn is_contention(&self) -> bool {
        matches!(self, Self::Contention(_))
    }
}

impl<R> Transient for Error<R> {
    fn is_contention(&self) -> bool {
        matches!(self, Self::Failure(failure) if failure.is_contention())
    }
}

/// An error and all its causes in one line, the outermost first.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        // Many errors repeat the text of their cause.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
