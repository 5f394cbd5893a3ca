//! Sounds: how long they last, and their tags.

use std::io::{BufRead, Seek};

use lofty::{
    config::ParseOptions,
    file::{AudioFile as _, TaggedFileExt as _},
    probe::Probe,
    tag::{Accessor as _, ItemKey},
};

use super::{Looked, note};

pub(super) fn look(file: &mut (impl Seek + BufRead)) -> anyhow::Result<Looked> {
    // Covers may be large, and nobody looks at them.
    let options = ParseOptions::new().read_cover_art(false);
    let sound = Probe::new(file).options(options).guess_file_type()?.read()?;
    let properties = sound.properties();
    let duration_ms = u64::try_from(properties.duration().as_millis()).unwrap_or(0);
    let mut looked = Looked { duration_ms, ..Looked::default() };
    let found = &mut looked.found;
    note(found, "bitrate", properties.audio_bitrate().map(|kilobits| format!("{kilobits} kbit/s")));
    note(found, "sample_rate", properties.sample_rate().map(|rate| format!("{rate} Hz")));
    note(found, "channels", properties.channels());
    if let Some(tag) = sound.primary_tag().or_else(|| sound.first_tag()) {
        note(found, "title", tag.title());
        note(found, "artist", tag.artist());
        note(found, "album", tag.album());
        note(found, "genre", tag.genre());
        note(found, "track", tag.track());
        let year = tag.get_string(ItemKey::RecordingDate).or_else(|| tag.get_string(ItemKey::Year));
        note(found, "year", year.map(|date| date.chars().take(4).collect::<String>()));
    }
    Ok(looked)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use lofty::{
        config::WriteOptions,
        tag::{Tag, TagExt as _, TagType},
    };

    use super::*;

    /// Two seconds of silence.
    fn wave() -> Vec<u8> {
        let (rate, samples) = (8000_u32, vec![128_u8; 16_000]);
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((36 + samples.len() as u32).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        bytes.extend(16_u32.to_le_bytes());
        bytes.extend([1, 0, 1, 0]);
        bytes.extend(rate.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend([1, 0, 8, 0]);
        bytes.extend(b"data");
        bytes.extend((samples.len() as u32).to_le_bytes());
        bytes.extend(samples);
        bytes
    }

    #[test]
    fn a_sound_says_how_long_it_is_and_who_made_it() {
        let mut tag = Tag::new(TagType::Id3v2);
        tag.set_title("Rauhe Nacht".into());
        tag.set_artist("The Kinkajous".into());
        tag.set_track(3);
        let mut file = Cursor::new(wave());
        tag.save_to(&mut file, WriteOptions::default()).unwrap();
        file.set_position(0);
        let looked = look(&mut file).unwrap();
        assert_eq!(looked.duration_ms, 2000);
        let said = |name: &str| looked.found.get(name).map(String::as_str);
        assert_eq!((said("title"), said("artist")), (Some("Rauhe Nacht"), Some("The Kinkajous")));
        assert_eq!((said("track"), said("sample_rate")), (Some("3"), Some("8000 Hz")));
    }

    #[test]
    fn what_is_no_sound_is_an_error() {
        assert!(look(&mut Cursor::new(b"ID3 but nothing else".to_vec())).is_err());
    }
}
