//! The secret that the roles of one mesh share: service tokens, and signatures that one service makes and another checks.

use std::{fmt, path::Path, sync::Arc};

use hmac::{Hmac, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{clock::Clock, config::Secret};

const ISSUER: &str = "loquat-mesh";
const AUDIENCE: &str = "loquat-internal";
const LIFE_SECONDS: i64 = 300;
const LEEWAY_SECONDS: i64 = 60;
/// What a configured secret must have.
const MIN_BYTES: usize = 32;

#[derive(Serialize, Deserialize)]
struct ServiceClaims {
    iss: String,
    aud: String,
    sub: String,
    exp: i64,
}

/// The shared secret. Cheap to clone; never shown.
#[derive(Clone)]
pub struct MeshSecret(Arc<[u8]>);

impl fmt::Debug for MeshSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MeshSecret(hidden)")
    }
}

impl MeshSecret {
    /// The configured secret, or the one kept in `file`, which is made on the first start.
    ///
    /// # Errors
    /// When the configured secret is shorter than 32 bytes, or the file cannot be read or written.
    pub fn open(configured: &Secret, file: &Path) -> Result<Self, String> {
        if !configured.is_empty() {
            let bytes = configured.reveal().as_bytes();
            if bytes.len() < MIN_BYTES {
                return Err(format!("mesh.secret: {} bytes are too few, at least {MIN_BYTES} are needed", bytes.len()));
            }
            return Ok(Self(bytes.into()));
        }
        let failed = |cause: std::io::Error| format!("{}: {cause}", file.display());
        if !file.exists() {
            write_new(file).map_err(failed)?;
        }
        let text = std::fs::read_to_string(file).map_err(failed)?;
        let bytes = hex::decode(text.trim()).map_err(|cause| format!("{}: {cause}", file.display()))?;
        if bytes.len() < MIN_BYTES {
            return Err(format!("{}: holds too few bytes; delete it to have a new one made", file.display()));
        }
        Ok(Self(bytes.into()))
    }

    /// A token by which a role proves itself for the next five minutes.
    pub fn service_token(&self, role: &str, clock: &Clock) -> String {
        let claims = ServiceClaims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: format!("service:{role}"),
            exp: clock.now().unix_timestamp() + LIFE_SECONDS,
        };
        let key = EncodingKey::from_secret(&self.derive("service-token"));
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
            .unwrap_or_else(|cause| unreachable!("an HMAC over plain claims: {cause}"))
    }

    /// The role that a service token belongs to, if it is one.
    pub fn verify_service(&self, token: &str, clock: &Clock) -> Option<String> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        let key = DecodingKey::from_secret(&self.derive("service-token"));
        let claims = jsonwebtoken::decode::<ServiceClaims>(token, &key, &validation).ok()?.claims;
        let alive = claims.exp + LEEWAY_SECONDS > clock.now().unix_timestamp();
        claims.sub.strip_prefix("service:").filter(|_| alive).map(str::to_owned)
    }

    /// Signs bytes for one purpose; a signature made for another does not verify.
    pub fn sign(&self, purpose: &str, bytes: &[u8]) -> Vec<u8> {
        self.mac(purpose, bytes).finalize().into_bytes().to_vec()
    }

    /// Whether a signature was made over these bytes for this purpose. Takes the same time whichever byte differs.
    pub fn verify(&self, purpose: &str, bytes: &[u8], signature: &[u8]) -> bool {
        self.mac(purpose, bytes).verify_slice(signature).is_ok()
    }

    fn mac(&self, purpose: &str, bytes: &[u8]) -> Hmac<Sha256> {
        hmac(&self.derive(purpose)).chain_update(bytes)
    }

    /// A key of its own for each purpose.
    fn derive(&self, purpose: &str) -> [u8; 32] {
        hmac(&self.0).chain_update(purpose.as_bytes()).finalize().into_bytes().into()
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

fn write_new(file: &Path) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let bytes = crate::ids::random::<32>();
    let mut new = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    new.write_all(hex::encode(bytes).as_bytes())?;
    new.sync_all()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn secret() -> MeshSecret {
        MeshSecret::open(&Secret::new("0123456789abcdef0123456789abcdef"), Path::new("/nowhere")).unwrap()
    }

    #[test]
    fn a_service_token_ends() {
        let clock = Clock::manual(time::macros::datetime!(2026-01-01 0:00 UTC));
        let token = secret().service_token("chat", &clock);
        assert_eq!(secret().verify_service(&token, &clock).as_deref(), Some("chat"));
        clock.advance(Duration::from_secs(361));
        assert_eq!(secret().verify_service(&token, &clock), None);
    }

    #[test]
    fn a_signature_holds_for_its_purpose_and_bytes_only() {
        let signature = secret().sign("file", b"a");
        assert!(secret().verify("file", b"a", &signature));
        assert!(!secret().verify("file", b"b", &signature));
        assert!(!secret().verify("room", b"a", &signature));
    }

    #[test]
    fn a_made_secret_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys/mesh.secret");
        let first = MeshSecret::open(&Secret::default(), &file).unwrap();
        let second = MeshSecret::open(&Secret::default(), &file).unwrap();
        assert_eq!(first.sign("x", b"y"), second.sign("x", b"y"));
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(MeshSecret::open(&Secret::new("short"), Path::new("/nowhere")).unwrap_err().contains("mesh.secret"));
    }
}
