//! What a camera writes into a picture without being asked: where it was taken, when, by which device, a smaller picture of
//! what was cut off. It is taken out without touching a pixel; only how the camera was held is left, since pictures would lie
//! on their side without it.

use bytes::Bytes;
use image::metadata::Orientation;
use img_parts::{DynImage, ImageEXIF as _, jpeg};

/// JPEG segments that are private: EXIF and XMP, what editors wrote, and comments.
const SEGMENTS: [u8; 3] = [jpeg::markers::APP1, jpeg::markers::APP13, jpeg::markers::COM];
/// PNG chunks that are private: texts and times.
const CHUNKS: [[u8; 4]; 4] = [*b"tEXt", *b"zTXt", *b"iTXt", *b"tIME"];
/// RIFF chunks of a WebP that are private.
const XMP: [u8; 4] = *b"XMP ";

/// The picture without what is private, or nothing when it had none.
pub(super) fn clean(bytes: &Bytes, orientation: Orientation) -> anyhow::Result<Option<Bytes>> {
    let Some(mut picture) = DynImage::from_bytes(bytes.clone())? else {
        return Ok(None);
    };
    let kept = (orientation != Orientation::NoTransforms).then(|| held(orientation));
    let had = match &mut picture {
        DynImage::Jpeg(jpeg) => {
            let private = jpeg.segments().iter().filter(|segment| SEGMENTS.contains(&segment.marker())).count();
            let same = private == usize::from(kept.is_some()) && jpeg.exif() == kept;
            SEGMENTS.iter().for_each(|marker| jpeg.remove_segments_by_marker(*marker));
            private > 0 && !same
        }
        DynImage::Png(png) => {
            let private = png.chunks().iter().any(|chunk| CHUNKS.contains(&chunk.kind()));
            CHUNKS.iter().for_each(|kind| png.remove_chunks_by_type(*kind));
            private || png.exif().is_some_and(|exif| Some(exif) != kept)
        }
        DynImage::WebP(webp) => {
            let private = webp.has_chunk(XMP);
            webp.remove_chunks_by_id(XMP);
            private || webp.exif().is_some_and(|exif| Some(exif) != kept)
        }
    };
    if !had {
        return Ok(None);
    }
    picture.set_exif(kept);
    let cleaned = picture.encoder().bytes();
    anyhow::ensure!(cleaned.len() <= bytes.len(), "taking something out made the picture larger");
    Ok(Some(cleaned))
}

/// EXIF that says how the camera was held, and no more: a header and a directory of one entry.
fn held(orientation: Orientation) -> Bytes {
    let mut exif = b"II*\0\x08\0\0\0\x01\0".to_vec();
    // The tag 0x0112, of type SHORT, one of it.
    exif.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation.to_exif(), 0, 0, 0]);
    exif.extend([0; 4]);
    exif.into()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageDecoder as _, ImageFormat, ImageReader, RgbImage};

    use super::*;

    fn picture(format: ImageFormat) -> Bytes {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::new(40, 20).write_to(&mut bytes, format).unwrap();
        bytes.into_inner().into()
    }

    /// A picture that says how it was held, and where.
    fn with_exif(format: ImageFormat) -> Bytes {
        let mut exif = held(Orientation::Rotate90).to_vec();
        exif.extend(b"GPS 52.5163 N 13.3777 E");
        let mut picture = DynImage::from_bytes(picture(format)).unwrap().unwrap();
        picture.set_exif(Some(exif.into()));
        picture.encoder().bytes()
    }

    fn contains(bytes: &[u8], text: &[u8]) -> bool {
        bytes.windows(text.len()).any(|window| window == text)
    }

    #[test]
    fn a_picture_forgets_where_it_was_taken_and_remembers_how_it_was_held() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let bytes = with_exif(format);
            assert!(contains(&bytes, b"GPS 52.5163"));
            let cleaned = clean(&bytes, Orientation::Rotate90).unwrap().unwrap();
            assert!(!contains(&cleaned, b"GPS 52.5163"), "{format:?}");
            let reader = ImageReader::new(Cursor::new(&cleaned)).with_guessed_format().unwrap();
            let mut decoder = reader.into_decoder().unwrap();
            assert_eq!(decoder.orientation().unwrap(), Orientation::Rotate90, "{format:?}");
            assert_eq!(decoder.dimensions(), (40, 20));
            assert!(clean(&cleaned, Orientation::Rotate90).unwrap().is_none(), "{format:?}: nothing is left to take");
        }
    }

    #[test]
    fn a_picture_without_anything_private_stays_as_it_is() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            assert!(clean(&picture(format), Orientation::NoTransforms).unwrap().is_none(), "{format:?}");
        }
    }
}
