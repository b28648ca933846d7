//! How a service says no: violations of a bad request all at once, and refusals with a reason a program can read.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
};

use serde::{Deserialize, Serialize};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::failure::Failure;

/// The `domain` of every `google.rpc.ErrorInfo` of the fleet.
pub const DOMAIN: &str = "route256";

/// What every caller reads of an unforeseen failure; the cause goes to the log.
pub const INTERNAL_TEXT: &str = "internal error; the service's log has the cause under this call's x-trace-id";

/// A rule of the business that a call ran into. On the wire: its code, its text, and a `google.rpc.ErrorInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    code: RefusalCode,
    reason: String,
    message: String,
    metadata: BTreeMap<String, String>,
}

/// The codes a refusal can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The thing asked about does not exist.
    NotFound,
    /// It exists, but not in a state that allows the call.
    FailedPrecondition,
}

impl Refusal {
    /// A refusal because something does not exist; `reason` in `UPPER_SNAKE_CASE`.
    pub fn not_found(reason: &str, message: impl Into<String>) -> Self {
        Self::new(RefusalCode::NotFound, reason, message.into())
    }

    /// A refusal because of the state of things; `reason` in `UPPER_SNAKE_CASE`.
    pub fn failed_precondition(reason: &str, message: impl Into<String>) -> Self {
        Self::new(RefusalCode::FailedPrecondition, reason, message.into())
    }

    fn new(code: RefusalCode, reason: &str, message: String) -> Self {
        Self { code, reason: reason.into(), message, metadata: BTreeMap::new() }
    }

    /// Adds an entry of metadata.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.metadata.insert(key.into(), value.to_string());
        self
    }

    /// Why, for programs.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The refusal that another service of the fleet answered, if that is what its status is.
    pub fn from_status(status: &Status) -> Option<Self> {
        let code = if status.code() == Code::NotFound {
            RefusalCode::NotFound
        } else if status.code() == Code::FailedPrecondition {
            RefusalCode::FailedPrecondition
        } else {
            return None;
        };
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
        Some(Self {
            code,
            reason: info.reason,
            message: status.message().to_owned(),
            metadata: info.metadata.into_iter().collect(),
        })
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            RefusalCode::NotFound => Code::NotFound,
            RefusalCode::FailedPrecondition => Code::FailedPrecondition,
        };
        let details = ErrorDetails::with_error_info(
            refusal.reason,
            DOMAIN,
            refusal.metadata.into_iter().collect::<HashMap<_, _>>(),
        );
        Status::with_error_details(code, refusal.message, details)
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut status = match &failure {
            Failure::Unavailable { dependency, .. } => Status::unavailable(format!("{dependency} is unavailable")),
            Failure::Overloaded => Status::resource_exhausted("the service has too much to do; try again later"),
            Failure::Contention(_) => Status::unavailable("too many callers change the same thing; try again"),
            Failure::Unforeseen(_) => Status::internal(INTERNAL_TEXT),
        };
        // Not sent; the server's log layer writes it down.
        status.set_source(std::sync::Arc::new(failure));
        status
    }
}

/// How many violations the text of a status repeats. The details hold all of them, and both together must fit into the
/// 16 KiB of headers that many clients take at most.
const IN_MESSAGE: usize = 5;

/// Collects what is wrong with a request while it is turned into a command.
///
/// ```
/// # use platform::{ids::{Sku, UserId}, refusal::Violations};
/// # fn parse(user: i64, sku: u32) -> Result<(UserId, Sku), tonic::Status> {
/// let mut violations = Violations::default();
/// let user = violations.check("user", UserId::try_from(user));
/// let sku = violations.check("sku", Sku::try_from(sku));
/// match (user, sku) {
///     (Some(user), Some(sku)) => Ok((user, sku)),
///     _ => Err(violations.into()),
/// }
/// # }
/// # assert_eq!(parse(0, 0).unwrap_err().code(), tonic::Code::InvalidArgument);
/// ```
#[derive(Debug, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Keeps the value, or notes why there is none.
    pub fn check<T, E: Display>(&mut self, field: impl Into<String>, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(field, error)).ok()
    }

    /// Notes a violation that no single value shows.
    pub fn add(&mut self, field: impl Into<String>, description: impl Display) {
        self.0.push(FieldViolation::new(field.into(), description.to_string()));
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Violations> for Status {
    fn from(violations: Violations) -> Self {
        let mut lines: Vec<_> = violations
            .0
            .iter()
            .take(IN_MESSAGE)
            .map(|violation| format!("{}: {}", violation.field, violation.description))
            .collect();
        if violations.0.len() > IN_MESSAGE {
            lines.push(format!("and {} more", violations.0.len() - IN_MESSAGE));
        }
        let details = ErrorDetails::with_bad_request(violations.0);
        Status::with_error_details(Code::InvalidArgument, lines.join("; "), details)
    }
}
