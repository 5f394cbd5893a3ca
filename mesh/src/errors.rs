//! The one table of errors: how a failure looks over gRPC, HTTP and WebSocket.
//!
//! Each service has one enum that implements [`Describe`]; its `Display` is the safe text that clients get, its `source` the
//! cause, which is logged once, here, where the error becomes a status, and never sent.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The `domain` of every `google.rpc.ErrorInfo` that Loquat sends.
pub const DOMAIN: &str = "loquat";

/// A field of a request that is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field as the contract names it: `room_id`, `metadata.name`.
    pub field: String,
    /// What is wrong with it and what would be right, for people.
    pub description: String,
}

impl Violation {
    /// Names a field and says what is wrong with it.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// What a service's error enum says of each variant.
pub trait Describe: std::error::Error + 'static {
    /// The gRPC code.
    fn code(&self) -> Code;
    /// Stable, upper case, for programs: `ROOM_NOT_FOUND`.
    fn reason(&self) -> &'static str;
    /// The fields that are wrong, for INVALID_ARGUMENT and for a NOT_FOUND that one field caused.
    fn violations(&self) -> Vec<Violation> {
        Vec::new()
    }
    /// When trying again makes sense.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
    /// Further facts for programs, such as the offset to go on from.
    fn metadata(&self) -> HashMap<String, String> {
        HashMap::new()
    }
}

/// Turns a failure into a status with `google.rpc` details. Logs the cause when the server is to blame.
#[allow(clippy::needless_pass_by_value, reason = "used as map_err(errors::status)")]
pub fn status<E: Describe>(error: E) -> Status {
    log_cause(&error);
    let mut details = ErrorDetails::with_error_info(error.reason(), DOMAIN, error.metadata());
    for Violation { field, description } in error.violations() {
        details.add_bad_request_violation(field, description);
    }
    if let Some(after) = error.retry_after() {
        details.set_retry_info(Some(after));
    }
    Status::with_error_details(error.code(), error.to_string(), details)
}

fn log_cause<E: Describe>(error: &E) {
    if !matches!(error.code(), Code::Internal | Code::Unknown | Code::Unavailable | Code::DataLoss) {
        return;
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    tracing::error!(reason = error.reason(), trace = crate::rpc::traceparent(), "{text}");
}

/// A status made where there is no service enum: in the layers and at the edge.
pub fn plain(code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new()))
}

/// UNAVAILABLE with the advice to try again.
pub fn unavailable(reason: &'static str, message: impl Into<String>, after: Duration) -> Status {
    come_back(Code::Unavailable, reason, message, after)
}

/// RESOURCE_EXHAUSTED with when to come back.
pub fn exhausted(reason: &'static str, message: impl Into<String>, after: Duration) -> Status {
    come_back(Code::ResourceExhausted, reason, message, after)
}

fn come_back(code: Code, reason: &'static str, message: impl Into<String>, after: Duration) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    details.set_retry_info(Some(after));
    Status::with_error_details(code, message, details)
}

/// The stable reason of a status, or its code's name when it carries none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(|| connect_code(status.code()).to_uppercase(), |info| info.reason)
}

/// The HTTP status of a code, after the table of the Connect protocol
/// (<https://connectrpc.com/docs/protocol#error-codes>).
pub fn http_status(code: Code) -> http::StatusCode {
    use http::StatusCode;
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code's name in the Connect protocol and in JSON errors.
pub fn connect_code(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "canceled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

/// Close codes of the WebSocket (RFC 6455 section 7.4; 4000 and up are ours).
pub mod close {
    /// A frame that is not a `ClientFrame`.
    pub const UNSUPPORTED: u16 = 1003;
    /// A frame over the limit.
    pub const TOO_BIG: u16 = 1009;
    /// The server failed.
    pub const INTERNAL: u16 = 1011;
    /// The server goes away.
    pub const GOING_AWAY: u16 = 1001;
    /// Nothing could be sent for too long: connect again and resume.
    pub const TOO_SLOW: u16 = 4008;
    /// Not signed in, or no longer.
    pub const UNAUTHENTICATED: u16 = 4401;
    /// What the account may do has changed: connect again with a new token.
    pub const RIGHTS_CHANGED: u16 = 4403;
    /// Too many connections: connect again later.
    pub const TOO_MANY: u16 = 4429;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("The room name is wrong.")]
    struct Wrong;

    impl Describe for Wrong {
        fn code(&self) -> Code {
            Code::InvalidArgument
        }
        fn reason(&self) -> &'static str {
            "INVALID_REQUEST"
        }
        fn violations(&self) -> Vec<Violation> {
            vec![Violation::new("name", "must not be empty")]
        }
        fn retry_after(&self) -> Option<Duration> {
            Some(Duration::from_secs(2))
        }
    }

    #[test]
    fn a_status_carries_reason_fields_and_retry() {
        let status = status(Wrong);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason(&status), "INVALID_REQUEST");
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "name");
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(2)));
    }
}
