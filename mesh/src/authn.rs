//! Who is calling: verification of access tokens against published keys, and of service tokens against the mesh's secret.
//!
//! Everything here is local; the only call is the one that fetches keys, through a fetcher that is handed in. What a
//! caller may do is decided elsewhere: here is only decided who they are.

mod keys;
mod origin;
mod rank;
mod revoked;
mod secret;
mod token;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::HeaderMap;
use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use uuid::Uuid;

pub use self::keys::{FetchKeys, KeyStore, VerifyKey};
pub use self::origin::{Origin, PREFIX as IDENTITY_PREFIX};
pub use self::rank::Rank;
pub use self::revoked::{Revocation, Revocations};
pub use self::secret::MeshSecret;
use self::token::Flaw;
pub use self::token::TOKEN_TYPE;
use crate::{clock::Clock, errors};

/// The `aud` of access tokens.
pub const AUDIENCE: &str = "loquat";
/// How long an access token lives.
pub const ACCESS_TOKEN_LIFE: std::time::Duration = std::time::Duration::from_secs(600);
/// How far two clocks may be apart.
const LEEWAY_SECONDS: i64 = 60;
/// How many verified tokens are remembered.
const MAX_VERIFIED: u64 = 50_000;

/// Who is calling. Every handler finds one in its request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Nobody proved who they are; only methods that are open to everybody get this.
    Anonymous,
    /// A person or a program with an account.
    User(Arc<UserPrincipal>),
    /// Another role of the mesh.
    Service(String),
}

/// A verified account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPrincipal {
    /// The account.
    pub user_id: Uuid,
    /// The session that the token belongs to, or the long-lived token that it was made for.
    pub session_id: Uuid,
    /// The workspace role: `owner`, `admin`, `member` or `guest`.
    pub role: String,
    /// When the token ends.
    pub expires_at: OffsetDateTime,
    /// How often the account's rights had changed when the token was made.
    pub epoch: u64,
    /// What the token is limited to; nothing for a session, which is not limited.
    pub scopes: Option<Vec<Box<str>>>,
}

impl UserPrincipal {
    /// Whether it may call a method with this scope. What has none is for sessions alone.
    ///
    /// # Errors
    /// PERMISSION_DENIED `SCOPE_MISSING`.
    pub fn allows(&self, scope: Option<&str>) -> Result<(), Status> {
        let Some(scopes) = &self.scopes else { return Ok(()) };
        match scope {
            Some(needed) if scopes.iter().any(|scope| **scope == *needed) => Ok(()),
            Some(needed) => Err(errors::plain(
                Code::PermissionDenied,
                "SCOPE_MISSING",
                format!("The token does not have the scope {needed}."),
            )),
            None => {
                Err(errors::plain(Code::PermissionDenied, "SCOPE_MISSING", "This cannot be done with such a token."))
            }
        }
    }
}

/// The claims of an access token (RFC 9068 without the parts that nobody here reads).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The issuer: `auth.issuer`.
    pub iss: String,
    /// Always [`AUDIENCE`].
    pub aud: String,
    /// The account's id.
    pub sub: Uuid,
    /// The session's id.
    pub sid: Uuid,
    /// The workspace role.
    pub role: String,
    /// Issued, Unix seconds.
    pub iat: i64,
    /// Ends, Unix seconds; at most [`ACCESS_TOKEN_LIFE`] later.
    pub exp: i64,
    /// The token's own id.
    pub jti: Uuid,
    /// How often the account's rights have changed.
    pub epoch: u64,
    /// What the token is limited to, with blanks between; absent for a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody; a token is verified when there is one.
    Public,
    /// Accounts.
    User,
    /// Accounts and other roles of the mesh.
    UserOrService,
    /// Other roles of the mesh.
    Service,
}

/// Verifies callers. Cheap to clone.
#[derive(Clone)]
pub struct Authn {
    issuer: Arc<str>,
    keys: KeyStore,
    secret: MeshSecret,
    clock: Clock,
    revocations: Revocations,
    /// Tokens whose signature was found good, by their SHA-256: a client that makes many calls has it checked once.
    verified: moka::sync::Cache<[u8; 32], Arc<Verified>>,
}

/// A token that was found good, and of which generation of revocations.
struct Verified {
    user: Arc<UserPrincipal>,
    generation: AtomicU64,
}

impl Authn {
    /// Verifies tokens of `issuer` with `keys`, and service tokens with `secret`.
    pub fn new(issuer: &str, keys: KeyStore, secret: MeshSecret, clock: Clock) -> Self {
        let verified = moka::sync::Cache::builder().max_capacity(MAX_VERIFIED).time_to_live(ACCESS_TOKEN_LIFE).build();
        let revocations = Revocations::new(clock.clone());
        Self { issuer: issuer.into(), keys, secret, clock, revocations, verified }
    }

    /// What was taken away lately: whoever learns of something adds it here.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Who is calling, if they may call a method with this access.
    ///
    /// # Errors
    /// UNAUTHENTICATED with the reason `TOKEN_MISSING`, `TOKEN_INVALID`, `TOKEN_EXPIRED`, `SESSION_ENDED` or
    /// `SERVICE_TOKEN_REQUIRED`; UNAVAILABLE when the keys cannot be fetched.
    pub async fn check(&self, access: Access, headers: &HeaderMap) -> Result<Principal, Status> {
        let Some(token) = bearer(headers)? else {
            return match access {
                Access::Public => Ok(Principal::Anonymous),
                Access::Service => Err(service_required()),
                Access::User | Access::UserOrService => Err(missing()),
            };
        };
        match access {
            Access::Service => {
                self.secret.verify_service(token, &self.clock).map(Principal::Service).ok_or_else(service_required)
            }
            Access::UserOrService => match self.secret.verify_service(token, &self.clock) {
                Some(role) => Ok(Principal::Service(role)),
                None => self.user(token).await,
            },
            Access::User => self.user(token).await,
            // A client renewing its session may still send the token that has just ended.
            Access::Public => Ok(self.user(token).await.unwrap_or(Principal::Anonymous)),
        }
    }

    /// From where a call comes, if the edge says so.
    pub fn origin(&self, headers: &HeaderMap) -> Option<Origin> {
        Origin::read(headers, &self.secret, &self.clock)
    }

    async fn user(&self, token: &str) -> Result<Principal, Status> {
        self.verify(token).await.map(Principal::User)
    }

    /// Verifies an access token.
    ///
    /// # Errors
    /// As [`Authn::check`].
    pub async fn verify(&self, token: &str) -> Result<Arc<UserPrincipal>, Status> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = match self.verified.get(&digest) {
            Some(known) => {
                let end = known.user.expires_at.unix_timestamp();
                if end + LEEWAY_SECONDS <= self.clock.now().unix_timestamp() {
                    return Err(refused(Flaw::Expired));
                }
                known
            }
            None => {
                let user = Arc::new(self.verify_signature(token).await?);
                let known = Arc::new(Verified { user, generation: AtomicU64::new(0) });
                self.verified.insert(digest, known.clone());
                known
            }
        };
        self.check_revocations(&known)?;
        Ok(known.user.clone())
    }

    /// Whether somebody who was verified a moment ago still counts: for who has taken up something lasting in between.
    ///
    /// # Errors
    /// UNAUTHENTICATED `SESSION_ENDED` or `TOKEN_EXPIRED`.
    pub fn recheck(&self, user: &UserPrincipal) -> Result<(), Status> {
        match self.revocations.standing(user) {
            revoked::Standing::Good => Ok(()),
            revoked::Standing::SessionEnded => Err(session_ended()),
            revoked::Standing::Stale => {
                let text = "The account's rights have changed; refresh the access token.";
                Err(errors::plain(Code::Unauthenticated, "TOKEN_EXPIRED", text))
            }
        }
    }

    /// Nothing is looked up unless something was taken away since the last time.
    fn check_revocations(&self, known: &Verified) -> Result<(), Status> {
        let generation = self.revocations.generation();
        if known.generation.load(Ordering::Relaxed) == generation {
            return Ok(());
        }
        self.recheck(&known.user)?;
        known.generation.store(generation, Ordering::Relaxed);
        Ok(())
    }

    async fn verify_signature(&self, token: &str) -> Result<UserPrincipal, Status> {
        let parts = token::take_apart(token).map_err(refused)?;
        let unknown = || refused(Flaw::Invalid("the key is not known".into()));
        let key = self.keys.get(&parts.kid).await?.ok_or_else(unknown)?;
        let good = jsonwebtoken::crypto::verify(parts.signature, parts.signed.as_bytes(), &key, Algorithm::EdDSA);
        if !good.unwrap_or(false) {
            return Err(refused(Flaw::Invalid("the signature is wrong".into())));
        }
        token::read_claims(&parts, &self.issuer, self.clock.now().unix_timestamp()).map_err(refused)
    }
}

/// The token of an `authorization: Bearer …` header.
///
/// # Errors
/// UNAUTHENTICATED when there is such a header in another form, or more than one.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let wrong = |text: &str| refused(Flaw::Invalid(text.into()));
    if values.next().is_some() {
        return Err(wrong("there are several authorization headers"));
    }
    let text = value.to_str().map_err(|_| wrong("the authorization header is not ASCII"))?;
    let (scheme, token) = text.split_once(' ').ok_or_else(|| wrong("the authorization header has no scheme"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(wrong("the scheme of the authorization header is not Bearer"));
    }
    Ok(Some(token.trim()))
}

/// The account that calls, for handlers of methods with [`Access::User`].
///
/// # Errors
/// UNAUTHENTICATED when the caller is somebody else; a method's entry in the table of methods rules that out.
pub fn user(extensions: &tonic::Extensions) -> Result<Arc<UserPrincipal>, Status> {
    match extensions.get::<Principal>() {
        Some(Principal::User(user)) => Ok(user.clone()),
        _ => Err(missing()),
    }
}

fn missing() -> Status {
    errors::plain(
        Code::Unauthenticated,
        "TOKEN_MISSING",
        "Sign in first: send `authorization: Bearer` with an access token.",
    )
}

/// The session of a token has ended.
pub fn session_ended() -> Status {
    errors::plain(Code::Unauthenticated, "SESSION_ENDED", "The session has ended; sign in again.")
}

/// The status of a token that is refused. Its flaw is a part of the details.
fn refused(flaw: Flaw) -> Status {
    let Flaw::Invalid(flaw) = flaw else {
        return errors::plain(Code::Unauthenticated, "TOKEN_EXPIRED", "The access token has ended; refresh it.");
    };
    // Text from outside is a part of some: it must not be long.
    let flaw: String = flaw.chars().take(128).collect();
    let facts = HashMap::from([("flaw".to_owned(), flaw)]);
    let details = ErrorDetails::with_error_info("TOKEN_INVALID", errors::DOMAIN, facts);
    Status::with_error_details(Code::Unauthenticated, "The access token is not valid.", details)
}

/// The access token is not valid, for a reason that is not told.
pub fn invalid_token() -> Status {
    errors::plain(Code::Unauthenticated, "TOKEN_INVALID", "The access token is not valid.")
}

fn service_required() -> Status {
    errors::plain(Code::Unauthenticated, "SERVICE_TOKEN_REQUIRED", "This method is for other services of the mesh.")
}
