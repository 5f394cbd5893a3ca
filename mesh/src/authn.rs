//! Who is calling: verification of access tokens against published keys, and of service tokens against the mesh's secret.
//!
//! Everything here is local; the only call is the one that fetches keys, through a fetcher that is handed in. What a
//! caller may do is decided elsewhere: here is only decided who they are.

mod keys;
mod rank;
mod secret;

use std::sync::Arc;

use http::HeaderMap;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tonic::{Code, Status};
use uuid::Uuid;

pub use self::keys::{FetchKeys, KeyStore, VerifyKey};
pub use self::rank::Rank;
pub use self::secret::MeshSecret;
use crate::{clock::Clock, errors};

/// The `aud` of access tokens.
pub const AUDIENCE: &str = "loquat";
/// How long an access token lives.
pub const ACCESS_TOKEN_LIFE: std::time::Duration = std::time::Duration::from_secs(600);
/// How far two clocks may be apart.
const LEEWAY_SECONDS: i64 = 60;
/// How many verified tokens are remembered.
const MAX_VERIFIED: u64 = 50_000;
/// A longer token is refused before it is looked at.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

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
    /// The session that the token belongs to.
    pub session_id: Uuid,
    /// The workspace role: `owner`, `admin`, `member` or `guest`.
    pub role: String,
    /// When the token ends.
    pub expires_at: OffsetDateTime,
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
    /// Ends, Unix seconds.
    pub exp: i64,
    /// The token's own id.
    pub jti: Uuid,
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
    /// Tokens whose signature was found good, by their SHA-256: a client that makes many calls has it checked once.
    verified: moka::sync::Cache<[u8; 32], Arc<UserPrincipal>>,
}

impl Authn {
    /// Verifies tokens of `issuer` with `keys`, and service tokens with `secret`.
    pub fn new(issuer: &str, keys: KeyStore, secret: MeshSecret, clock: Clock) -> Self {
        let verified = moka::sync::Cache::builder().max_capacity(MAX_VERIFIED).time_to_live(ACCESS_TOKEN_LIFE).build();
        Self { issuer: issuer.into(), keys, secret, clock, verified }
    }

    /// Who is calling, if they may call a method with this access.
    ///
    /// # Errors
    /// UNAUTHENTICATED with the reason `TOKEN_MISSING`, `TOKEN_INVALID`, `TOKEN_EXPIRED` or `SERVICE_TOKEN_REQUIRED`;
    /// UNAVAILABLE when the keys cannot be fetched.
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

    async fn user(&self, token: &str) -> Result<Principal, Status> {
        self.verify(token).await.map(Principal::User)
    }

    /// Verifies an access token.
    ///
    /// # Errors
    /// As [`Authn::check`].
    pub async fn verify(&self, token: &str) -> Result<Arc<UserPrincipal>, Status> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(invalid());
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(user) = self.verified.get(&digest) {
            self.check_end(user.expires_at.unix_timestamp())?;
            return Ok(user);
        }
        let user = Arc::new(self.verify_signature(token).await?);
        self.verified.insert(digest, user.clone());
        Ok(user)
    }

    async fn verify_signature(&self, token: &str) -> Result<UserPrincipal, Status> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        // The key says the algorithm, never the token.
        if header.alg != Algorithm::EdDSA {
            return Err(invalid());
        }
        let kid = header.kid.ok_or_else(invalid)?;
        let key = self.keys.get(&kid).await?.ok_or_else(invalid)?;
        let claims =
            jsonwebtoken::decode::<AccessClaims>(token, &key, &self.validation()).map_err(|_| invalid())?.claims;
        let now = self.clock.now().unix_timestamp();
        if claims.iat > now + LEEWAY_SECONDS {
            return Err(invalid());
        }
        self.check_end(claims.exp)?;
        Ok(UserPrincipal {
            user_id: claims.sub,
            session_id: claims.sid,
            role: claims.role,
            expires_at: OffsetDateTime::from_unix_timestamp(claims.exp).map_err(|_| invalid())?,
            scopes: claims.scope.map(|scopes| scopes.split_whitespace().map(Box::from).collect()),
        })
    }

    fn check_end(&self, exp: i64) -> Result<(), Status> {
        if exp + LEEWAY_SECONDS > self.clock.now().unix_timestamp() {
            return Ok(());
        }
        Err(errors::plain(Code::Unauthenticated, "TOKEN_EXPIRED", "The access token has ended; refresh it."))
    }

    /// Times are checked against our own clock instead of the library's.
    fn validation(&self) -> Validation {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }
}

/// The token of an `authorization: Bearer …` header.
///
/// # Errors
/// UNAUTHENTICATED when there is such a header in another form.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let Some(value) = headers.get(http::header::AUTHORIZATION) else {
        return Ok(None);
    };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(invalid());
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

fn invalid() -> Status {
    errors::plain(Code::Unauthenticated, "TOKEN_INVALID", "The access token is not valid.")
}

fn service_required() -> Status {
    errors::plain(Code::Unauthenticated, "SERVICE_TOKEN_REQUIRED", "This method is for other services of the mesh.")
}
