//! Tokens: access tokens signed with Ed25519, refresh tokens as secret bytes of which only hashes are kept.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey as _};
use hmac::{Hmac, Mac as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh::{
    authn::{ACCESS_TOKEN_LIFE, AUDIENCE, AccessClaims, TOKEN_TYPE, VerifyKey},
    ids::random,
};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{errors::AuthError, store::account};

/// So many of a refresh token's secret bytes are random, and as many are the seal of its session.
const SEAL_BYTES: usize = 16;

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
        let header = Header { kid: Some(kid.clone()), typ: Some(TOKEN_TYPE.into()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(der.as_bytes());
        Ok(Self { issuer: issuer.to_owned(), header, key, public: VerifyKey { kid, ed25519 } })
    }

    /// What verifies.
    pub(crate) fn public(&self) -> VerifyKey {
        self.public.clone()
    }

    /// An access token of ten minutes, for a session.
    pub(crate) fn access_token(
        &self,
        account: &account::Model,
        session_id: Uuid,
        now: OffsetDateTime,
    ) -> Result<String, AuthError> {
        self.limited_token(account, session_id, None, now + ACCESS_TOKEN_LIFE, now)
    }

    /// An access token with scopes, which ends no later than after ten minutes.
    pub(crate) fn limited_token(
        &self,
        account: &account::Model,
        session_id: Uuid,
        scope: Option<String>,
        end: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<String, AuthError> {
        let claims = AccessClaims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.into(),
            sub: account.id,
            sid: session_id,
            role: account.role_name().to_owned(),
            iat: now.unix_timestamp(),
            exp: end.min(now + ACCESS_TOKEN_LIFE).unix_timestamp(),
            jti: mesh::ids::new_id(),
            epoch: u64::try_from(account.epoch).unwrap_or(0),
            scope,
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key).map_err(AuthError::internal)
    }
}

/// A secret text that is the only way to something: which, and 32 secret bytes. Of these only a hash is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opaque {
    /// What it opens: a session, a personal access token, an invitation, a reset.
    pub(crate) id: Uuid,
    secret: [u8; 32],
}

impl Opaque {
    /// A new one for something.
    pub(crate) fn new(id: Uuid) -> Self {
        Self { id, secret: random() }
    }

    /// A session's first refresh token. Like all that follow it is sealed with the session's own key, so that one which was
    /// given out is told from what somebody made up, however long ago that was. Whoever reads the key in the database can seal
    /// what they like, but not find the random half of a token that is good.
    pub(crate) fn of_session(id: Uuid, session_key: &[u8]) -> Self {
        Self::sealed(id, session_key, &random::<SEAL_BYTES>())
    }

    fn sealed(id: Uuid, session_key: &[u8], half: &[u8]) -> Self {
        let seal = seal(id, session_key, half).finalize().into_bytes();
        let mut secret = [0_u8; 32];
        secret[..SEAL_BYTES].copy_from_slice(half);
        secret[SEAL_BYTES..].copy_from_slice(&seal[..SEAL_BYTES]);
        Self { id, secret }
    }

    /// Whether it is a refresh token that this session once had. Takes the same time whichever byte differs.
    pub(crate) fn was_given_out(&self, session_key: &[u8]) -> bool {
        let (half, its_seal) = self.secret.split_at(SEAL_BYTES);
        seal(self.id, session_key, half).verify_truncated_left(its_seal).is_ok()
    }

    /// The one that follows. Made from this token and the session's own key, neither of which alone is enough: so it can be
    /// made again while the grace lasts without having been stored, and nobody who only has an old token can make it.
    pub(crate) fn successor(&self, session_key: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(b"successor").chain_update(session_key).chain_update(self.secret);
        Self::sealed(self.id, session_key, &digest.finalize()[..SEAL_BYTES])
    }

    /// What is stored of it. It has at least 128 random bits, so a plain hash is enough.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.secret).to_vec()
    }

    /// As the client keeps it.
    pub(crate) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.secret);
        BASE64.encode(bytes)
    }

    /// Reads what a client kept.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok().filter(|bytes| bytes.len() == 48)?;
        let (id, secret) = bytes.split_at(16);
        Some(Self { id: Uuid::from_slice(id).ok()?, secret: secret.try_into().ok()? })
    }
}

/// What tells a session's own refresh tokens from others.
fn seal(id: Uuid, session_key: &[u8], half: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(session_key);
    let mac = mac.unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.chain_update(b"refresh-token").chain_update(id.as_bytes()).chain_update(half)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_secret_survives_its_encoding_and_has_one_successor() {
        let token = Opaque::new(mesh::ids::new_id());
        assert_eq!(Opaque::decode(&token.encode()), Some(token.clone()));
        assert_eq!(token.successor(b"key"), token.successor(b"key"));
        assert_ne!(token.successor(b"key"), token.successor(b"other"));
        assert_eq!(Opaque::decode("short"), None);
        assert_eq!(Opaque::decode(""), None);
    }

    #[test]
    fn a_million_secrets_are_all_different_and_of_one_length() {
        const SECRETS: usize = 1_000_000;
        let mut seen = HashSet::with_capacity(SECRETS);
        let id = mesh::ids::new_id();
        for number in 0..SECRETS {
            // All for the same thing, so that nothing but the secret makes them different.
            let token = Opaque::new(id);
            assert_eq!(token.encode().len(), 64, "16 bytes of the id and 32 of the secret, in base64");
            assert!(seen.insert(token.secret), "number {number} was there before");
        }
    }

    #[test]
    fn a_session_knows_its_own_tokens_again() {
        let (id, key) = (mesh::ids::new_id(), random::<32>());
        let mut token = Opaque::of_session(id, &key);
        for generation in 0..100 {
            assert!(token.was_given_out(&key), "generation {generation}");
            assert_eq!(Opaque::decode(&token.encode()), Some(token.clone()));
            token = token.successor(&key);
        }
        assert!(!token.was_given_out(&random::<32>()), "another session's key");
        assert!(!Opaque { id: mesh::ids::new_id(), ..token.clone() }.was_given_out(&key), "another session's id");
        assert!(!Opaque::new(id).was_given_out(&key), "what somebody made up");
        for place in 0..32 {
            let mut changed = token.clone();
            changed.secret[place] ^= 1;
            assert!(!changed.was_given_out(&key), "byte {place} is changed");
        }
    }
}
