//! What an access token must look like, to the letter. A flaw is named for whoever debugs a client; none of them says anything
//! about keys or accounts.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{ACCESS_TOKEN_LIFE, AUDIENCE, LEEWAY_SECONDS, UserPrincipal};

/// A longer token is refused before it is looked at.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// The `typ` of access tokens (RFC 9068).
pub const TOKEN_TYPE: &str = "at+jwt";
/// What the header of an access token has, and nothing else: a token never says which key or which address to trust.
const HEADER: [&str; 3] = ["alg", "kid", "typ"];
/// The workspace roles.
const ROLES: [&str; 4] = ["owner", "admin", "member", "guest"];

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is no access token of ours; the text says what is wrong with it.
    Invalid(String),
    /// It was one.
    Expired,
}

fn flaw<T>(text: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw::Invalid(text.into()))
}

/// The two readable parts of a token whose signature was not looked at yet.
pub(super) struct Parts<'t> {
    /// The name of the key.
    pub(super) kid: String,
    /// What is signed.
    pub(super) signed: &'t str,
    /// The signature as it is written.
    pub(super) signature: &'t str,
    claims: &'t str,
}

/// Takes a token apart and checks its header.
pub(super) fn take_apart(token: &str) -> Result<Parts<'_>, Flaw> {
    if token.is_empty() {
        return flaw("it is empty");
    }
    if token.len() > MAX_TOKEN_BYTES {
        return flaw("it is longer than 8 KiB");
    }
    if !token.is_ascii() {
        return flaw("it is not ASCII");
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        return flaw(format!("it has {} parts instead of 3", parts.len()));
    };
    let kid = read_header(header)?;
    if signature.is_empty() {
        return flaw("it is not signed");
    }
    match BASE64.decode(signature) {
        Err(_) => return flaw("the signature is not base64url without padding"),
        Ok(bytes) if bytes.len() != 64 => {
            return flaw(format!("the signature has {} bytes instead of 64", bytes.len()));
        }
        Ok(_) => {}
    }
    Ok(Parts { kid, signed: &token[..header.len() + 1 + claims.len()], signature, claims })
}

fn read_header(text: &str) -> Result<String, Flaw> {
    let mut header = object("header", text)?;
    // The key says the algorithm, never the token.
    match header.remove("alg") {
        Some(Value::String(alg)) if alg == "EdDSA" => {}
        Some(Value::String(alg)) => return flaw(format!("the algorithm is {alg:?} instead of EdDSA")),
        Some(_) => return flaw("the header's alg is not a text"),
        None => return flaw("the header has no alg"),
    }
    match header.remove("typ") {
        Some(Value::String(typ)) if typ == TOKEN_TYPE => {}
        Some(typ) => return flaw(format!("the type is {typ} instead of at+jwt")),
        None => return flaw("the header has no typ"),
    }
    let kid = match header.remove("kid") {
        Some(Value::String(kid)) if kid.len() == 16 && kid.bytes().all(|byte| byte.is_ascii_hexdigit()) => kid,
        Some(Value::String(kid)) => return flaw(format!("the kid {kid:?} is not a key's name")),
        Some(_) => return flaw("the header's kid is not a text"),
        None => return flaw("the header has no kid"),
    };
    match header.keys().find(|name| !HEADER.contains(&name.as_str())) {
        Some(name) => flaw(format!("the header has {name}, which is not known here")),
        None => Ok(kid),
    }
}

/// Reads the claims of a token whose signature is good.
pub(super) fn read_claims(parts: &Parts<'_>, issuer: &str, now: i64) -> Result<UserPrincipal, Flaw> {
    let mut claims = object("claims", parts.claims)?;
    let mut text = |name: &str| match claims.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => flaw(format!("{name} is not a text")),
        None => flaw(format!("{name} is missing")),
    };
    let (iss, aud) = (text("iss")?, text("aud")?);
    if iss != issuer {
        return flaw(format!("the issuer is {iss:?}"));
    }
    if aud != AUDIENCE {
        return flaw(format!("the audience is {aud:?}"));
    }
    let id = |name: &str, text: String| match Uuid::try_parse(&text) {
        Ok(id) if !id.is_nil() => Ok(id),
        _ => flaw(format!("{name} is not an id")),
    };
    let user_id = id("sub", text("sub")?)?;
    let session_id = id("sid", text("sid")?)?;
    id("jti", text("jti")?)?;
    let role = text("role")?;
    if !ROLES.contains(&role.as_str()) {
        return flaw(format!("the role is {role:?}"));
    }
    let scopes = match claims.remove("scope") {
        None => None,
        Some(Value::String(scope)) => Some(scope.split(' ').filter(|one| !one.is_empty()).map(Into::into).collect()),
        Some(_) => return flaw("scope is not a text"),
    };
    let mut number = |name: &str| match claims.remove(name) {
        Some(Value::Number(number)) => match number.as_i64() {
            Some(number) if (0..=i64::from(u32::MAX) * 2).contains(&number) => Ok(number),
            _ => flaw(format!("{name} is not a whole number of seconds")),
        },
        Some(_) => flaw(format!("{name} is not a number")),
        None => flaw(format!("{name} is missing")),
    };
    let (iat, exp) = (number("iat")?, number("exp")?);
    let epoch = if claims.contains_key("epoch") { epoch(claims.remove("epoch").as_ref())? } else { 0 };
    if let Some(name) = claims.keys().next() {
        return flaw(format!("the claim {name} is not known here"));
    }
    if iat > now + LEEWAY_SECONDS {
        return flaw("it is from the future");
    }
    if exp < iat || exp - iat > i64::try_from(ACCESS_TOKEN_LIFE.as_secs()).unwrap_or(0) {
        return flaw("it lives longer than access tokens do, or not at all");
    }
    if exp + LEEWAY_SECONDS <= now {
        return Err(Flaw::Expired);
    }
    let expires_at = OffsetDateTime::from_unix_timestamp(exp).or_else(|_| flaw("exp is not a time"))?;
    Ok(UserPrincipal { user_id, session_id, role, expires_at, epoch, scopes })
}

fn epoch(value: Option<&Value>) -> Result<u64, Flaw> {
    value.and_then(Value::as_u64).map_or_else(|| flaw("epoch is not a count"), Ok)
}

/// A JSON object in base64url, each name in it once.
fn object(part: &str, text: &str) -> Result<BTreeMap<String, Value>, Flaw> {
    let Ok(bytes) = BASE64.decode(text) else {
        return flaw(format!("the {part} is not base64url without padding"));
    };
    match serde_json::from_slice::<Object>(&bytes) {
        Ok(Object(fields)) => Ok(fields),
        Err(cause) if cause.is_data() && cause.to_string().starts_with(TWICE) => {
            flaw(format!("the {part} names something {TWICE}"))
        }
        Err(_) => flaw(format!("the {part} is not a JSON object")),
    }
}

const TWICE: &str = "twice";

struct Object(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.insert(name, value).is_some() {
                        return Err(A::Error::custom(TWICE));
                    }
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
