//! Everything that can go wrong in auth-svc, each with its code and its stable reason.

use std::time::Duration;

use mesh::{
    errors::{Describe, Violation},
    fields::Invalid,
};
use sea_orm::DbErr;
use tonic::Code;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Fields of the request are wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Somebody else has the name.
    #[error("This username is taken.")]
    UsernameTaken,
    /// The configuration does not let people register.
    #[error("Registration is closed on this server.")]
    RegistrationClosed,
    /// The first account off loopback without the token of the first start.
    #[error("The first account needs the setup token that the server printed on its first start.")]
    SetupTokenRequired,
    /// A wrong name or password; nobody learns which.
    #[error("The username or the password is wrong.")]
    BadCredentials,
    /// Not a refresh token that is good.
    #[error("The refresh token is not valid.")]
    RefreshTokenInvalid,
    /// The session was ended.
    #[error("The session has ended; sign in again.")]
    SessionEnded,
    /// Too many passwords are being hashed.
    #[error("The server is busy checking passwords; try again shortly.")]
    HashingBusy,
    /// Too many tries for one account or altogether.
    #[error("Too many tries; wait a little.")]
    TooManyTries(Duration),
    /// The database did not answer.
    #[error("The account database is not available just now.")]
    StoreUnavailable(#[from] DbErr),
    /// A bug, or data that should not be there.
    #[error("The server failed on this call.")]
    Internal(#[source] anyhow::Error),
}

impl AuthError {
    /// A bug, or data that should not be there.
    pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::Internal(cause.into())
    }
}

impl Describe for AuthError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::UsernameTaken => Code::AlreadyExists,
            Self::RegistrationClosed | Self::SetupTokenRequired => Code::PermissionDenied,
            Self::BadCredentials | Self::RefreshTokenInvalid | Self::SessionEnded => Code::Unauthenticated,
            Self::HashingBusy | Self::TooManyTries(_) => Code::ResourceExhausted,
            Self::StoreUnavailable(_) => Code::Unavailable,
            Self::Internal(_) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::UsernameTaken => "USERNAME_TAKEN",
            Self::RegistrationClosed => "REGISTRATION_CLOSED",
            Self::SetupTokenRequired => "SETUP_TOKEN_REQUIRED",
            Self::BadCredentials => "BAD_CREDENTIALS",
            Self::RefreshTokenInvalid => "REFRESH_TOKEN_INVALID",
            Self::SessionEnded => "SESSION_ENDED",
            Self::HashingBusy => "HASHING_BUSY",
            Self::TooManyTries(_) => "TOO_MANY_TRIES",
            Self::StoreUnavailable(_) => "STORE_UNAVAILABLE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(Invalid(violations)) => violations.clone(),
            Self::UsernameTaken => vec![Violation::new("username", "is taken")],
            Self::SetupTokenRequired => vec![Violation::new("setup_token", "is missing or wrong")],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::HashingBusy | Self::StoreUnavailable(_) => Some(Duration::from_secs(1)),
            Self::TooManyTries(after) => Some(*after),
            _ => None,
        }
    }
}
