//! What callers read when a call does not succeed: the violations of a bad request all at once, or what kind of failure
//! it was. Refusals bring their own words.

use std::fmt::Display;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::failure::{Error, Failure};

/// What every caller reads of an unforeseen failure; the cause goes to the log.
pub const INTERNAL_TEXT: &str = "internal error; the service's log has the cause under this call's x-trace-id";

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

impl<R: Into<Status>> From<Error<R>> for Status {
    fn from(error: Error<R>) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Failure(failure) => failure.into(),
        }
    }
}

/// How many violations the text of a status repeats. The details hold all of them, and both together must fit into the
/// 16 KiB of headers that many clients take at most.
const IN_MESSAGE: usize = 5;

/// Collects what is wrong with a request while it is turned into a command.
///
/// ```
/// # use proto::ids::{Sku, UserId};
/// # use platform::grpc::status::Violations;
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
