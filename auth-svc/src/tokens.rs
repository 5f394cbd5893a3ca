//! Tokens: access tokens signed with Ed25519, refresh tokens as random bytes of which only hashes are kept.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh::authn::{ACCESS_TOKEN_LIFE, AUDIENCE, AccessClaims, VerifyKey};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::errors::AuthError;

/// Signs access tokens.
pub(crate) struct Signer {
    issuer: String,
    header: Header,
    key: EncodingKey,
    public: VerifyKey,
}

impl Signer {
    /// Signs with the key of this seed.
    pub(crate) fn new(issuer: &str, seed: &[u8; 32]) -> Result<Self, AuthError> {
        let signing = SigningKey::from_bytes(seed);
        let der =
            signing.to_pkcs8_der().map_err(|cause| AuthError::internal(anyhow::anyhow!("the signing key: {cause}")))?;
        let ed25519 = signing.verifying_key().to_bytes().to_vec();
        let kid = hex::encode(&Sha256::digest(&ed25519)[..8]);
        let header = Header { kid: Some(kid.clone()), typ: Some("at+jwt".into()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(der.as_bytes());
        Ok(Self { issuer: issuer.to_owned(), header, key, public: VerifyKey { kid, ed25519 } })
    }

    /// What verifies.
    pub(crate) fn public(&self) -> VerifyKey {
        self.public.clone()
    }

    /// An access token of ten minutes.
    pub(crate) fn access_token(
        &self,
        user_id: Uuid,
        session_id: Uuid,
        role: &str,
        now: OffsetDateTime,
    ) -> Result<String, AuthError> {
        let claims = AccessClaims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.into(),
            sub: user_id,
            sid: session_id,
            role: role.to_owned(),
            iat: now.unix_timestamp(),
            exp: (now + ACCESS_TOKEN_LIFE).unix_timestamp(),
            jti: mesh::ids::new_id(),
            scope: None,
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key).map_err(AuthError::internal)
    }
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A refresh token: which session, and 32 secret bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    pub(crate) session_id: Uuid,
    secret: [u8; 32],
}

impl RefreshToken {
    /// The first of a session.
    pub(crate) fn first(session_id: Uuid) -> Self {
        Self { session_id, secret: random() }
    }

    /// The one that follows. Made from this token and the session's own key, neither of which alone is enough: so it can be
    /// made again while the grace lasts without having been stored, and nobody who only has an old token can make it.
    pub(crate) fn successor(&self, session_key: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(b"successor").chain_update(session_key).chain_update(self.secret);
        Self { session_id: self.session_id, secret: digest.finalize().into() }
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.secret).to_vec()
    }

    /// As the client keeps it.
    pub(crate) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(self.session_id.as_bytes());
        bytes.extend_from_slice(&self.secret);
        BASE64.encode(bytes)
    }

    /// Reads what a client kept.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok().filter(|bytes| bytes.len() == 48)?;
        let (session, secret) = bytes.split_at(16);
        Some(Self { session_id: Uuid::from_slice(session).ok()?, secret: secret.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_survives_its_encoding_and_has_one_successor() {
        let token = RefreshToken::first(mesh::ids::new_id());
        assert_eq!(RefreshToken::decode(&token.encode()), Some(token.clone()));
        assert_eq!(token.successor(b"key"), token.successor(b"key"));
        assert_ne!(token.successor(b"key"), token.successor(b"other"));
        assert_eq!(RefreshToken::decode("short"), None);
        assert_eq!(RefreshToken::decode(""), None);
    }
}
