//! Everything that can go wrong in worker-svc's calls, each with its code and its stable reason.

use mesh::{
    bus::BusError,
    errors::{Describe, Violation},
    fields::Invalid,
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
    /// No such entry in an error queue.
    #[error("There is no such failed message.")]
    FailedMessageNotFound,
    /// Fields of the request are wrong.
    #[error(transparent)]
    Fields(#[from] Invalid),
    /// No such webhook.
    #[error("There is no such webhook.")]
    WebhookNotFound(&'static str),
    /// No such job.
    #[error("There is no such job.")]
    JobNotFound,
    /// The database did not answer.
    #[error("The worker database is not available just now.")]
    StoreUnavailable(#[source] sea_orm::DbErr),
    /// The bus did not answer.
    #[error("The queues are not available just now.")]
    BusUnavailable(#[source] BusError),
}

impl From<sea_orm::DbErr> for WorkerError {
    fn from(cause: sea_orm::DbErr) -> Self {
        Self::StoreUnavailable(cause)
    }
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
            Self::Invalid { .. } | Self::Fields(_) => Code::InvalidArgument,
            Self::FailedMessageNotFound | Self::JobNotFound | Self::WebhookNotFound(_) => Code::NotFound,
            Self::BusUnavailable(_) | Self::StoreUnavailable(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } | Self::Fields(_) => "INVALID_REQUEST",
            Self::WebhookNotFound(_) => "WEBHOOK_NOT_FOUND",
            Self::FailedMessageNotFound => "FAILED_MESSAGE_NOT_FOUND",
            Self::JobNotFound => "JOB_NOT_FOUND",
            Self::StoreUnavailable(_) => "STORE_UNAVAILABLE",
            Self::BusUnavailable(_) => "BUS_UNAVAILABLE",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid { field, description } => vec![Violation::new(*field, *description)],
            Self::FailedMessageNotFound => vec![Violation::new("id", "names no failed message")],
            Self::Fields(Invalid(violations)) => violations.clone(),
            Self::WebhookNotFound(field) => vec![Violation::new(*field, "names no webhook")],
            Self::JobNotFound => vec![Violation::new("id", "names no such job")],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        matches!(self, Self::BusUnavailable(_) | Self::StoreUnavailable(_)).then_some(std::time::Duration::from_secs(1))
    }
}
