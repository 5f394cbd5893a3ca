//! Tables and queries. Everything takes a connection, so that a rule decides what belongs into one transaction.

pub(crate) mod event;
pub(crate) mod feed;
pub(crate) mod file;
pub(crate) mod member;
pub(crate) mod message;
pub(crate) mod meta;
pub(crate) mod op;
pub(crate) mod read_marker;
pub(crate) mod room;

pub(crate) use mesh::db::{micros, signed, unsigned};
pub(crate) use proto::timestamp;

/// The most rows that one statement writes or asks for: SQLite takes 32,766 parameters, and the widest row here has ten.
const PORTION: usize = 256;

/// Cuts a list into pieces whose lengths are powers of two, the largest first. A statement's text depends on how many rows it
/// has; this way there are nine texts instead of hundreds, and the database keeps all of them prepared.
pub(crate) fn portions<T>(list: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let length = rest.len().min(PORTION);
        let length = 1 << length.checked_ilog2()?;
        let (portion, left) = rest.split_at(length);
        rest = left;
        Some(portion)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_powers_of_two_and_lose_nothing() {
        for length in [0, 1, 2, 3, 37, 255, 256, 257, 700] {
            let list: Vec<usize> = (0..length).collect();
            let cut: Vec<&[usize]> = portions(&list).collect();
            assert!(cut.iter().all(|portion| portion.len().is_power_of_two() && portion.len() <= PORTION));
            assert_eq!(cut.concat(), list);
        }
        assert_eq!(portions(&[0; 37]).map(<[i32]>::len).collect::<Vec<_>>(), [32, 4, 1]);
    }
}
