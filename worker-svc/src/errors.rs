//! Everything that can go wrong in worker-svc's calls, each with its code and its stable reason.

use mesh::{
    bus::BusError,
    errors::{Describe, Violation},
};
use tonic::Code;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Fields of the request are wrong.
    #[error("The request is not valid: {field} {description}.")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        description: &'static str,
    },
    /// Not an owner or admin of the workspace.
    #[error("Only owners and admins of the workspace may do that.")]
    RoleTooLow,
    /// No such entry in an error queue.
    #[error("There is no such failed message.")]
    FailedMessageNotFound,
    /// No such job.
    #[error("There is no such job.")]
    JobNotFound,
    /// The bus did not answer.
    #[error("The queues are not available just now.")]
    BusUnavailable(#[source] BusError),
}

impl From<BusError> for WorkerError {
    fn from(cause: BusError) -> Self {
        match cause {
            BusError::PageToken => Self::Invalid { field: "page_token", description: "is not one that this call gave" },
            cause => Self::BusUnavailable(cause),
        }
    }
}

impl Describe for WorkerError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::InvalidArgument,
            Self::RoleTooLow => Code::PermissionDenied,
            Self::FailedMessageNotFound | Self::JobNotFound => Code::NotFound,
            Self::BusUnavailable(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "INVALID_REQUEST",
            Self::RoleTooLow => "ROLE_TOO_LOW",
            Self::FailedMessageNotFound => "FAILED_MESSAGE_NOT_FOUND",
            Self::JobNotFound => "JOB_NOT_FOUND",
            Self::BusUnavailable(_) => "BUS_UNAVAILABLE",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid { field, description } => vec![Violation::new(*field, *description)],
            Self::FailedMessageNotFound => vec![Violation::new("id", "names no failed message")],
            Self::JobNotFound => vec![Violation::new("id", "names no such job")],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        matches!(self, Self::BusUnavailable(_)).then_some(std::time::Duration::from_secs(1))
    }
}
