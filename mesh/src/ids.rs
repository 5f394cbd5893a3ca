//! Ids and secrets. The only place that makes them.

use rand::RngCore as _;
use uuid::Uuid;

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A UUIDv7. Strictly increasing within one process, so that rows are written at the end of an index.
#[allow(clippy::disallowed_methods, reason = "the one door through which ids come")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_of_one_process_rise() {
        let ids: Vec<_> = (0..10_000).map(|_| super::new_id()).collect();
        assert!(ids.is_sorted_by(|earlier, later| earlier < later));
    }
}
