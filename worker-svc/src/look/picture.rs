//! Pictures: their size, smaller ones of them, with limits on what is decoded.

use std::io::{Cursor, Read};

use bytes::Bytes;
use image::{
    DynamicImage, ImageDecoder, ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
    metadata::Orientation,
};

use super::{Looked, Picture, Results, private};

/// The widths that are made, and what they are called; only those below the picture's own.
const WIDTHS: [(&str, u32); 3] = [("w320", 320), ("w640", 640), ("w1280", 1280)];
const MAX_SIDE: u32 = 16_384;
/// A decoded picture may take so much; 48 million pixels with transparency.
const MAX_MEMORY: u64 = 192 * 1024 * 1024;
const QUALITY: u8 = 80;

pub(super) fn look(
    content_type: &str,
    size: u64,
    file: &mut impl Read,
    results: &mut impl Results,
) -> anyhow::Result<Looked> {
    let mut bytes = Vec::with_capacity(usize::try_from(size)?);
    file.read_to_end(&mut bytes)?;
    let bytes = Bytes::from(bytes);
    // Before anything can go wrong with its pixels: a picture that cannot be shown must not tell where it was taken either.
    let decoder = decoder(&bytes);
    let (decoder, orientation) = match decoder {
        Ok((decoder, orientation)) => (Ok(decoder), orientation),
        Err(cause) => (Err(cause), Orientation::NoTransforms),
    };
    if content_type != "image/gif"
        && let Some(cleaned) = private::clean(&bytes, orientation)?
    {
        results.cleaned(&cleaned)?;
    }
    let picture = decode(decoder?, orientation)?;
    let looked = Looked { width: picture.width(), height: picture.height(), ..Looked::default() };
    // From the largest to the smallest, each from the one before.
    let wanted = WIDTHS.iter().enumerate().filter(|(at, (_, width))| *at == 0 || *width < picture.width());
    let wanted: Vec<_> = wanted.map(|(_, wanted)| *wanted).collect();
    let mut larger = picture;
    for (variant, width) in wanted.into_iter().rev() {
        let width = width.min(looked.width);
        let height = f64::from(looked.height) * f64::from(width) / f64::from(looked.width);
        larger = shrink(&larger, width, (height.round() as u32).max(1));
        let (content_type, encoded) = encode(&larger)?;
        let picture = Picture {
            variant: variant.into(),
            width: larger.width(),
            height: larger.height(),
            content_type: content_type.into(),
        };
        results.picture(picture, &encoded)?;
    }
    Ok(looked)
}

/// Reads what stands before the pixels.
fn decoder(bytes: &[u8]) -> anyhow::Result<(impl ImageDecoder + '_, Orientation)> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    Ok((decoder, orientation))
}

/// Looks at the size before anything is decoded.
fn decode(decoder: impl ImageDecoder, orientation: Orientation) -> anyhow::Result<DynamicImage> {
    anyhow::ensure!(decoder.total_bytes() <= MAX_MEMORY, "the picture would take {} bytes", decoder.total_bytes());
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Averages, which needs no more memory than what comes out.
fn shrink(picture: &DynamicImage, width: u32, height: u32) -> DynamicImage {
    if width == picture.width() { picture.clone() } else { picture.thumbnail_exact(width, height) }
}

/// JPEG, or PNG when something of it is transparent.
fn encode(picture: &DynamicImage) -> anyhow::Result<(&'static str, Vec<u8>)> {
    let mut bytes = Vec::new();
    if picture.color().has_alpha() {
        picture.to_rgba8().write_with_encoder(PngEncoder::new(&mut bytes))?;
        return Ok(("image/png", bytes));
    }
    picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
    Ok(("image/jpeg", bytes))
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    type Pictures = Vec<(Picture, Vec<u8>)>;

    #[derive(Default)]
    struct Kept(Pictures);

    impl Results for Kept {
        fn picture(&mut self, picture: Picture, bytes: &[u8]) -> anyhow::Result<()> {
            self.0.push((picture, bytes.to_vec()));
            Ok(())
        }

        fn cleaned(&mut self, _: &[u8]) -> anyhow::Result<()> {
            anyhow::bail!("there is nothing to take out")
        }
    }

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn made(content_type: &str, bytes: &[u8]) -> anyhow::Result<(Looked, Pictures)> {
        let mut kept = Kept::default();
        let looked = look(content_type, bytes.len() as u64, &mut &*bytes, &mut kept)?;
        Ok((looked, kept.0))
    }

    #[test]
    fn a_photo_gets_smaller_ones() {
        let photo =
            DynamicImage::from(RgbImage::from_fn(2000, 1000, |x, y| Rgb([(x % 256) as u8, (y % 256) as u8, 9])));
        let (looked, pictures) = made("image/jpeg", &encoded(&photo, ImageFormat::Jpeg)).unwrap();
        assert_eq!((looked.width, looked.height), (2000, 1000));
        let sizes: Vec<_> = pictures
            .iter()
            .map(|(made, _)| (made.variant.as_str(), made.width, made.height, made.content_type.as_str()))
            .collect();
        let expected =
            [("w1280", 1280, 640, "image/jpeg"), ("w640", 640, 320, "image/jpeg"), ("w320", 320, 160, "image/jpeg")];
        assert_eq!(sizes, expected);
        assert!(image::load_from_memory(&pictures[0].1).is_ok());
    }

    #[test]
    fn transparency_is_kept() {
        let logo = DynamicImage::from(RgbaImage::from_pixel(400, 400, Rgba([1, 2, 3, 0])));
        let (_, pictures) = made("image/png", &encoded(&logo, ImageFormat::Png)).unwrap();
        assert_eq!(pictures[0].0.content_type, "image/png");
        let small = image::load_from_memory(&pictures[0].1).unwrap().to_rgba8();
        assert_eq!((small.width(), small.get_pixel(5, 5)[3]), (320, 0));
    }

    #[test]
    fn a_small_picture_has_something_light_to_show_as_well() {
        let dot = DynamicImage::from(RgbImage::new(8, 4));
        let (_, pictures) = made("image/png", &encoded(&dot, ImageFormat::Png)).unwrap();
        assert_eq!((pictures.len(), pictures[0].0.width, pictures[0].0.height), (1, 8, 4));
    }

    #[test]
    fn a_picture_that_claims_to_be_huge_is_not_decoded() {
        let small = DynamicImage::from(RgbImage::new(8, 8));
        let mut bomb = encoded(&small, ImageFormat::Png);
        // Width and height in the header chunk, whose checksum follows.
        bomb[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
        let checksum = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
        let refused = made("image/png", &bomb).err().unwrap();
        assert!(
            refused.to_string().to_lowercase().contains("limit") || refused.to_string().contains("would take"),
            "{refused}"
        );
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }
}
