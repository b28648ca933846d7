//! The status of a call that does not succeed: all violations of a bad request at once, or the kind of a failure. The
//! statuses of refusals come from the services.

use std::fmt::Display;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::failure::{Error, Failure};

/// The message of an unforeseen failure; its cause goes to the log.
pub const INTERNAL_TEXT: &str = "internal error; the service's log has the cause under this call's x-trace-id";

/// The message of a status lists this many violations, its details list as many as fit.
const MAX_VIOLATIONS_IN_MESSAGE: usize = 5;
/// What a status may take of the trailers. Clients in Java and Python accept 8 KiB of headers and break on more.
const MAX_STATUS_BYTES: usize = 6 * 1024;
/// What the details cost beside the texts of their violations, each and all together: tags, lengths, names of types.
const OVERHEAD_BYTES: (usize, usize) = (8, 128);

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut status = match &failure {
            Failure::Unavailable { dependency, .. } => Status::unavailable(format!("{dependency} is unavailable")),
            Failure::Overloaded(_) => Status::resource_exhausted("the service has too much to do; try again later"),
            Failure::Contention(_) | Failure::Locked(_) => {
                Status::unavailable("too many callers change the same thing; try again")
            }
            Failure::Unforeseen(_) => Status::internal(INTERNAL_TEXT),
        };
        // The source is not sent to the caller. The server logs it.
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
    /// Returns the value, or records why there is none.
    pub fn check<T, E: Display>(&mut self, field: impl Into<String>, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(field, error)).ok()
    }

    /// Records a violation that does not come from the type of a single value.
    pub fn add(&mut self, field: impl Into<String>, description: impl Display) {
        self.0.push(FieldViolation::new(field.into(), description.to_string()));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Violations> for Status {
    fn from(Violations(mut violations): Violations) -> Self {
        let count = violations.len();
        let mut lines: Vec<_> = violations
            .iter()
            .take(MAX_VIOLATIONS_IN_MESSAGE)
            .map(|violation| format!("{}: {}", violation.field, violation.description))
            .collect();
        // The message is percent-encoded and stands in the details again; the details are in base64.
        let message: usize = lines.iter().map(String::len).sum();
        let mut left = MAX_STATUS_BYTES.saturating_sub(3 * message) * 3 / 4;
        left = left.saturating_sub(OVERHEAD_BYTES.1 + message);
        let fitting = violations.iter().take_while(|violation| {
            let size = violation.field.len() + violation.description.len() + OVERHEAD_BYTES.0;
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let fitting = fitting.count();
        violations.truncate(fitting);
        if count > MAX_VIOLATIONS_IN_MESSAGE {
            lines.push(format!("and {} more", count - MAX_VIOLATIONS_IN_MESSAGE));
        }
        if fitting < count {
            lines.push(format!("the details have the first {fitting} of {count}"));
        }
        let details = ErrorDetails::with_bad_request(violations);
        Status::with_error_details(Code::InvalidArgument, lines.join("; "), details)
    }
}
