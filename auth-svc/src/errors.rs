//! Everything that can go wrong in auth-svc, each with its code and its stable reason.

use std::{ops::Range, time::Duration};

use mesh::{
    errors::{Describe, Violation},
    fields::Invalid,
};
use sea_orm::DbErr;
use tonic::Code;

/// When somebody who was refused for want of a place may come back: a place is had for some tens of milliseconds.
const BUSY_MILLIS: Range<u64> = 1_000..4_000;

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
    /// Not an invitation that can be used; nobody learns why.
    #[error("The invitation is not valid, or no longer.")]
    InviteInvalid,
    /// Not a link that resets a password, or no longer.
    #[error("The link is not valid, or no longer; ask for another one.")]
    ResetTokenInvalid,
    /// The caller's workspace role does not allow it.
    #[error("Your role in the workspace does not allow this.")]
    RoleTooLow,
    /// Nobody who can sign in would own the workspace.
    #[error("The workspace must keep an owner who can sign in.")]
    LastOwner,
    /// No such account.
    #[error("There is no such account.")]
    UserNotFound,
    /// No such session of the caller.
    #[error("There is no such session.")]
    SessionNotFound,
    /// No such personal access token of this account.
    #[error("There is no such token.")]
    TokenNotFound,
    /// No such invitation.
    #[error("There is no such invitation.")]
    InviteNotFound,
    /// More personal access tokens than one account may have.
    #[error("The account has as many tokens as it may; revoke some first.")]
    TooManyTokens,
    /// Not a personal access token that is good.
    #[error("The access token is not valid.")]
    TokenInvalid,
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
    /// Too many tries for one account, from one network or altogether.
    #[error("Too many tries; wait a little.")]
    TooManyTries(Duration),
    /// The mail server does not take a mail just now.
    #[error("The mail server does not take the mail just now.")]
    MailUnavailable(#[source] anyhow::Error),
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
            Self::RegistrationClosed
            | Self::SetupTokenRequired
            | Self::InviteInvalid
            | Self::ResetTokenInvalid
            | Self::RoleTooLow => Code::PermissionDenied,
            Self::LastOwner => Code::FailedPrecondition,
            Self::UserNotFound | Self::SessionNotFound | Self::TokenNotFound | Self::InviteNotFound => Code::NotFound,
            Self::BadCredentials | Self::RefreshTokenInvalid | Self::SessionEnded | Self::TokenInvalid => {
                Code::Unauthenticated
            }
            Self::HashingBusy | Self::TooManyTries(_) | Self::TooManyTokens => Code::ResourceExhausted,
            Self::StoreUnavailable(_) | Self::MailUnavailable(_) => Code::Unavailable,
            Self::Internal(_) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::UsernameTaken => "USERNAME_TAKEN",
            Self::RegistrationClosed => "REGISTRATION_CLOSED",
            Self::SetupTokenRequired => "SETUP_TOKEN_REQUIRED",
            Self::InviteInvalid => "INVITE_INVALID",
            Self::ResetTokenInvalid => "RESET_TOKEN_INVALID",
            Self::RoleTooLow => "ROLE_TOO_LOW",
            Self::LastOwner => "LAST_OWNER",
            Self::UserNotFound => "USER_NOT_FOUND",
            Self::SessionNotFound => "SESSION_NOT_FOUND",
            Self::TokenNotFound => "TOKEN_NOT_FOUND",
            Self::InviteNotFound => "INVITE_NOT_FOUND",
            Self::TooManyTokens => "TOO_MANY_TOKENS",
            Self::TokenInvalid => "TOKEN_INVALID",
            Self::BadCredentials => "BAD_CREDENTIALS",
            Self::RefreshTokenInvalid => "REFRESH_TOKEN_INVALID",
            Self::SessionEnded => "SESSION_ENDED",
            Self::HashingBusy => "HASHING_BUSY",
            Self::TooManyTries(_) => "TOO_MANY_TRIES",
            Self::MailUnavailable(_) => "MAIL_UNAVAILABLE",
            Self::StoreUnavailable(_) => "STORE_UNAVAILABLE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(Invalid(violations)) => violations.clone(),
            Self::UsernameTaken => vec![Violation::new("username", "is taken")],
            Self::SetupTokenRequired => vec![Violation::new("setup_token", "is missing or wrong")],
            Self::InviteInvalid => vec![Violation::new("invite_token", "is not valid, or no longer")],
            Self::ResetTokenInvalid => vec![Violation::new("reset_token", "is not valid, or no longer")],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            // Spread, so that a crowd that was refused at once does not come back at once.
            Self::HashingBusy => Some(Duration::from_millis(rand::random_range(BUSY_MILLIS))),
            Self::StoreUnavailable(_) => Some(Duration::from_secs(1)),
            Self::MailUnavailable(_) => Some(Duration::from_secs(5)),
            Self::TooManyTries(after) => Some(*after),
            _ => None,
        }
    }
}
