//! What no use case foresees: a dependency that does not answer, or a defect. Callers learn which of the two it is,
//! the log learns the cause.

use std::{any::Any, error::Error as StdError, sync::Arc};

/// The error of a cause, shared so that a failure can be cloned.
type Cause = Arc<dyn StdError + Send + Sync>;

/// An error that no rule of the business explains.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// A dependency is down, or too slow; trying again later may help.
    #[error("{dependency} is unavailable")]
    Unavailable {
        /// Its name for users, such as `Postgres`.
        dependency: &'static str,
        source: Cause,
    },
    /// The service itself has more to do than it can; trying again later may help.
    #[error("all connections to Postgres are in use")]
    Overloaded,
    /// Concurrent transactions got in each other's way; trying again at once may help.
    #[error("concurrent transactions got in each other's way")]
    Contention(#[source] Cause),
    /// Anything else; trying again is of no use.
    #[error("unforeseen failure")]
    Unforeseen(#[source] Cause),
}

impl Failure {
    /// A dependency that is down or too slow.
    pub fn unavailable(dependency: &'static str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable { dependency, source: source.into().into() }
    }

    /// A defect, or an answer that breaks a dependency's promise.
    pub fn unforeseen(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unforeseen(source.into().into())
    }

    /// Its kind, for traces.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Contention(_) => "contention",
            Self::Unforeseen(_) => "unforeseen",
        }
    }
}

/// How a use case ends that does not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error<R> {
    /// A rule of the business is against it.
    #[error("refused: {0:?}")]
    Refused(R),
    /// Nothing that the use case foresees.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl<R> Error<R> {
    /// Says the refusal in other words, such as those of the use case around.
    pub fn map<S>(self, refusal: impl FnOnce(R) -> S) -> Error<S> {
        match self {
            Self::Refused(refused) => Error::Refused(refusal(refused)),
            Self::Failure(failure) => Error::Failure(failure),
        }
    }
}

/// An error after which the same transaction may succeed when it runs again at once.
pub trait Transient {
    /// Whether it is one.
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

/// An error and all its causes in one line, outermost first.
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

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
