//! Makes tokens that the server did not make, with the server's own key: another role, another time, another issuer.
//!
//! Only for servers on SQLite, whose file has the key.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::{Signer as _, SigningKey};
use mesh::{authn::MeshSecret, clock::Clock, config::Secret};
use serde_json::{Map, Value};

use crate::{Person, Town};

/// The keys of a server.
pub struct Forge {
    key: SigningKey,
    secret: MeshSecret,
}

impl Forge {
    /// Takes the keys of a running server.
    ///
    /// # Panics
    /// When it has no such file.
    pub fn of(town: &Town) -> Self {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = rusqlite::Connection::open_with_flags(town.folder().join("auth.db"), flags).expect("auth.db opens");
        let seed: Vec<u8> = db
            .query_row("SELECT value FROM secret WHERE name = 'signing-seed'", [], |row| row.get(0))
            .expect("there is a signing key");
        let key = SigningKey::from_bytes(&seed.try_into().expect("a seed has 32 bytes"));
        let secret = MeshSecret::open(&Secret::default(), &town.folder().join("keys/mesh.secret"));
        Self { key, secret: secret.expect("the mesh has a secret") }
    }

    /// A token as the server would make it with other claims. What is not changed is as in somebody's own token.
    ///
    /// # Panics
    /// When theirs is not a token.
    pub fn token(&self, person: &Person, change: impl FnOnce(&mut Map<String, Value>)) -> String {
        let mut parts = person.token.split('.');
        let (header, claims) = (parts.next().expect("a header"), parts.next().expect("claims"));
        let claims = BASE64.decode(claims).expect("claims are base64");
        let mut claims: Map<String, Value> = serde_json::from_slice(&claims).expect("claims are an object");
        change(&mut claims);
        let signed = format!("{header}.{}", BASE64.encode(serde_json::to_vec(&claims).expect("claims are JSON")));
        let signature = BASE64.encode(self.key.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }

    /// The same person with another role in the workspace, for as long as a token lives.
    #[must_use]
    pub fn in_role(&self, person: &Person, role: &str) -> Person {
        let token = self.token(person, |claims| _ = claims.insert("role".into(), role.into()));
        Person::returns(person.address, person.user.clone(), token, person.refresh_token.clone())
    }

    /// A program of somebody, whose token is limited to these scopes.
    #[must_use]
    pub fn program(&self, person: &Person, scopes: &str) -> Person {
        let token = self.token(person, |claims| _ = claims.insert("scope".into(), scopes.into()));
        Person::returns(person.address, person.user.clone(), token, String::new())
    }

    /// The key that signs access tokens.
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// A token by which a role of the mesh proves itself.
    pub fn service_token(&self, role: &str) -> String {
        self.secret.service_token(role, &Clock::system())
    }

    /// The secret that the roles share.
    pub const fn secret(&self) -> &MeshSecret {
        &self.secret
    }
}
