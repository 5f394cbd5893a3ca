//! Signatures of the Standard Webhooks, so that receivers check them with a library.

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use time::OffsetDateTime;
use uuid::Uuid;

/// What stands before a secret.
const PREFIX: &str = "whsec_";

/// A new secret.
pub(super) fn secret() -> Vec<u8> {
    mesh::ids::random::<32>().to_vec()
}

/// A secret as its owner gets it.
pub(super) fn shown(secret: &[u8]) -> String {
    format!("{PREFIX}{}", BASE64.encode(secret))
}

/// The headers that prove who sent a body, and when.
pub(super) fn headers(secret: &[u8], id: Uuid, at: OffsetDateTime, body: &[u8]) -> Vec<(&'static str, String)> {
    let at = at.unix_timestamp();
    vec![
        ("webhook-id", id.to_string()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", format!("v1,{}", BASE64.encode(signature(secret, &id.to_string(), at, body)))),
    ]
}

fn signature(secret: &[u8], id: &str, at: i64, body: &[u8]) -> Vec<u8> {
    // A key of any length is one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return Vec::new() };
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn a_signature_is_the_one_of_the_standard() {
        let secret = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(BASE64.encode(signed), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
