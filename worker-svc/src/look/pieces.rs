//! A file of which the last few pieces are kept. Readers of archives jump about, a little further for every entry, and each jump
//! empties an ordinary buffer: an archive of many entries would be asked for again and again.

use std::{
    collections::VecDeque,
    io::{self, Read, Seek, SeekFrom},
};

/// Bytes of one piece.
const PIECE: u64 = 128 * 1024;
/// Pieces that are kept.
const KEPT: usize = 8;

/// Reads by pieces.
pub(super) struct Pieces<R> {
    file: R,
    size: u64,
    position: u64,
    /// By their numbers, the last used first.
    kept: VecDeque<(u64, Vec<u8>)>,
}

impl<R: Read + Seek> Pieces<R> {
    pub(super) fn new(file: R, size: u64) -> Self {
        Self { file, size, position: 0, kept: VecDeque::with_capacity(KEPT) }
    }

    fn piece(&mut self, number: u64) -> io::Result<&[u8]> {
        let known = self.kept.iter().position(|(kept, _)| *kept == number);
        let piece = match known.and_then(|place| self.kept.remove(place)) {
            Some(piece) => piece,
            None => {
                let start = number * PIECE;
                let length = PIECE.min(self.size.saturating_sub(start));
                let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
                self.file.seek(SeekFrom::Start(start))?;
                self.file.read_exact(&mut bytes)?;
                (number, bytes)
            }
        };
        self.kept.truncate(KEPT - 1);
        self.kept.push_front(piece);
        Ok(self.kept.front().map_or(&[], |(_, bytes)| bytes))
    }
}

impl<R: Read + Seek> Read for Pieces<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let (number, from) = (self.position / PIECE, usize::try_from(self.position % PIECE).unwrap_or(0));
        let piece = self.piece(number)?.get(from..).unwrap_or_default();
        let read = piece.len().min(buffer.len());
        buffer[..read].copy_from_slice(&piece[..read]);
        self.position += read as u64;
        Ok(read)
    }
}

impl<R> Seek for Pieces<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it is read from.
    struct Counted(io::Cursor<Vec<u8>>, usize);

    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            self.0.read(buffer)
        }
    }

    impl Seek for Counted {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn jumps_cost_nothing_near_where_somebody_was() {
        let bytes: Vec<u8> = (0..700_000_u32).map(|number| (number % 251) as u8).collect();
        let mut file = Pieces::new(Counted(io::Cursor::new(bytes.clone()), 0), bytes.len() as u64);
        let mut at = 0;
        for step in 0..20_000_usize {
            at = (at + 7919 * (step % 5)) % (bytes.len() - 100);
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            let mut some = [0; 100];
            file.read_exact(&mut some).unwrap();
            assert_eq!(some, bytes[at..at + 100]);
        }
        assert!(file.file.1 < 40, "{} reads", file.file.1);
        assert_eq!(file.seek(SeekFrom::End(-3)).unwrap(), 699_997);
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, bytes[699_997..]);
        assert!(file.seek(SeekFrom::Current(-1_000_000)).is_err());
        file.seek(SeekFrom::Start(9_000_000)).unwrap();
        assert_eq!(file.read(&mut [0; 10]).unwrap(), 0);
    }
}
