//! Films: how long they last, how large they are.

use std::io::{BufRead, Seek};

use matroska::{Matroska, Settings};
use re_mp4::{Mp4, TrackKind};

use super::{Looked, note};

pub(super) fn mp4(file: &mut (impl Seek + BufRead), size: u64) -> anyhow::Result<Looked> {
    let film = Mp4::read(file, size)?;
    let mut looked = Looked::default();
    for track in film.tracks().values() {
        let millis = track.duration.saturating_mul(1000).checked_div(track.timescale).unwrap_or(0);
        looked.duration_ms = looked.duration_ms.max(millis);
        if track.kind == Some(TrackKind::Video) && looked.width == 0 {
            (looked.width, looked.height) = (track.width.into(), track.height.into());
            note(&mut looked.found, "codec", track.codec_string(&film));
        }
    }
    Ok(looked)
}

pub(super) fn matroska(file: &mut (impl Seek + BufRead)) -> anyhow::Result<Looked> {
    let film = Matroska::open(file)?;
    let mut looked = Looked::default();
    let millis = film.info.duration.map_or(0, |duration| duration.as_millis());
    looked.duration_ms = u64::try_from(millis).unwrap_or(0);
    note(&mut looked.found, "title", film.info.title.as_ref());
    if let Some(track) = film.video_tracks().next() {
        note(&mut looked.found, "codec", Some(&track.codec_id));
        if let Settings::Video(video) = &track.settings {
            let pixels = |number: u64| u32::try_from(number).unwrap_or(0);
            (looked.width, looked.height) = (pixels(video.pixel_width), pixels(video.pixel_height));
        }
    }
    Ok(looked)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// An EBML element: an id, a length of one byte, and what is in it.
    fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
        assert!(content.len() < 127);
        [id, &[0x80 | content.len() as u8], content].concat()
    }

    /// The smallest WebM with one video track: 640 × 360, 12.5 seconds.
    fn webm() -> Vec<u8> {
        let head = element(&[0x1a, 0x45, 0xdf, 0xa3], &element(&[0x42, 0x82], b"webm"));
        let info = [
            element(&[0x2a, 0xd7, 0xb1], &1_000_000_u32.to_be_bytes()),
            element(&[0x44, 0x89], &12_500_f64.to_be_bytes()),
            element(&[0x7b, 0xa9], b"A walk"),
            element(&[0x4d, 0x80], b"m"),
            element(&[0x57, 0x41], b"w"),
        ]
        .concat();
        let video = [element(&[0xb0], &640_u16.to_be_bytes()), element(&[0xba], &360_u16.to_be_bytes())].concat();
        let track = [
            element(&[0xd7], &[1]),
            element(&[0x73, 0xc5], &[1]),
            element(&[0x83], &[1]),
            element(&[0x86], b"V_VP9"),
            element(&[0xe0], &video),
        ]
        .concat();
        let tracks = element(&[0x16, 0x54, 0xae, 0x6b], &element(&[0xae], &track));
        let segment = [element(&[0x15, 0x49, 0xa9, 0x66], &info), tracks].concat();
        [head, element(&[0x18, 0x53, 0x80, 0x67], &segment)].concat()
    }

    #[test]
    fn a_webm_says_its_size_and_its_length() {
        let looked = matroska(&mut Cursor::new(webm())).unwrap();
        assert_eq!((looked.width, looked.height, looked.duration_ms), (640, 360, 12_500));
        assert_eq!(looked.found["title"], "A walk");
        assert_eq!(looked.found["codec"], "V_VP9");
    }

    #[test]
    fn what_is_no_film_is_an_error() {
        let nothing = vec![0; 4000];
        assert!(mp4(&mut Cursor::new(&nothing), 4000).is_err());
        assert!(matroska(&mut Cursor::new(&nothing)).is_err());
    }
}
