//! What no use case foresees: a dependency that does not answer, or a defect. Callers learn which of the two it is,
//! the log learns the cause.

use std::{any::Any, error::Error, sync::Arc};

/// The error of a cause, shared so that a failure can be cloned.
type Cause = Arc<dyn Error + Send + Sync>;

/// An error that no rule of the business explains.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// A dependency is down, or too slow; trying again later may help.
    #[error("{dependency} is unavailable")]
    Unavailable {
        /// Its name for users: `Postgres`, `LOMS`, `ProductService`, `Kafka`.
        dependency: &'static str,
        /// What was seen of it.
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
    pub fn unavailable(dependency: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable { dependency, source: source.into().into() }
    }

    /// A defect, or an answer that breaks a dependency's promise.
    pub fn unforeseen(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
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

    /// Whether the same transaction may succeed when it runs again at once.
    pub fn is_contention(&self) -> bool {
        matches!(self, Self::Contention(_))
    }
}

/// An error and all its causes in one line, outermost first.
pub fn chain(error: &(dyn Error + 'static)) -> String {
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
