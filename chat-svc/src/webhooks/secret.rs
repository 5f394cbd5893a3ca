//! Secrets of incoming webhooks: made here, told once, and kept as a hash.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A secret has so many bytes of chance: nobody guesses one, so that a plain hash keeps it.
const BYTES: usize = 32;

/// A new secret as it stands in an address, and its hash.
pub(crate) fn new() -> (String, [u8; 32]) {
    let secret = BASE64.encode(mesh::ids::random::<BYTES>());
    let hash = hash(&secret);
    (secret, hash)
}

/// Whether it is the secret of this hash. Without a hash it is none, and finding that out takes as long.
pub(crate) fn is_of(secret: &str, kept: Option<&[u8]>) -> bool {
    let same = hash(secret).ct_eq(kept.unwrap_or(&[0; 32]));
    bool::from(same) && kept.is_some()
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_secret_is_one() {
        let ((secret, hash), (other, _)) = (new(), new());
        assert_eq!(secret.len(), 43);
        assert!(is_of(&secret, Some(&hash)));
        for wrong in [other.as_str(), "", &secret[1..], &format!("{secret}=")] {
            assert!(!is_of(wrong, Some(&hash)), "{wrong:?}");
        }
        assert!(!is_of(&secret, None));
        assert!(!is_of(&secret, Some(&hash[1..])));
    }
}
