//! Smaller pictures, one at a time, with limits on what is decoded.

use std::{io::Cursor, sync::Arc, time::Duration};

use bytes::Bytes;
use image::{
    DynamicImage, ImageDecoder as _, ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
    imageops::FilterType,
};
use tokio::sync::Semaphore;

/// What can be decoded.
pub(crate) const KINDS: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// The widths that are made, and what they are called; only those below the picture's own.
const WIDTHS: [(&str, u32); 2] = [("w320", 320), ("w1280", 1280)];
const MAX_SIDE: u32 = 16_384;
const MAX_MEMORY: u64 = 256 * 1024 * 1024;
const QUALITY: u8 = 80;
const WITHIN: Duration = Duration::from_secs(30);

/// A smaller picture.
pub(crate) struct Picture {
    pub(crate) variant: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Bytes,
}

/// What was made of a picture.
pub(crate) struct Made {
    /// As it is meant to be seen: after turning it as its camera was held.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pictures: Vec<Picture>,
}

/// Makes smaller pictures, one picture at a time, so that memory stays bounded. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Thumbnailer(Arc<Semaphore>);

impl Thumbnailer {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Decodes a picture and makes the smaller ones.
    pub(crate) async fn make(&self, bytes: Bytes) -> anyhow::Result<Made> {
        let permit = self.0.clone().acquire_owned().await?;
        let made = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            make(&bytes)
        });
        tokio::time::timeout(WITHIN, made).await??
    }
}

fn make(bytes: &[u8]) -> anyhow::Result<Made> {
    let picture = decode(bytes)?;
    let (width, height) = (picture.width(), picture.height());
    let mut pictures = Vec::new();
    for (variant, wanted) in WIDTHS {
        // The smallest is made in any case, so that there is always something light to show.
        if wanted < width || pictures.is_empty() {
            pictures.push(shrink(&picture, variant, wanted.min(width))?);
        }
    }
    Ok(Made { width, height, pictures })
}

/// Looks at the size before anything is decoded.
fn decode(bytes: &[u8]) -> anyhow::Result<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    anyhow::ensure!(decoder.total_bytes() <= MAX_MEMORY, "the picture would take {} bytes", decoder.total_bytes());
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn shrink(picture: &DynamicImage, variant: &'static str, width: u32) -> anyhow::Result<Picture> {
    let small = picture.resize(width, MAX_SIDE, FilterType::Triangle);
    let mut bytes = Vec::new();
    let content_type = if small.color().has_alpha() {
        small.to_rgba8().write_with_encoder(PngEncoder::new(&mut bytes))?;
        "image/png"
    } else {
        small.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
        "image/jpeg"
    };
    Ok(Picture { variant, width: small.width(), height: small.height(), content_type, bytes: bytes.into() })
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Bytes {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner().into()
    }

    #[tokio::test]
    async fn a_photo_gets_two_smaller_ones() {
        let photo =
            DynamicImage::from(RgbImage::from_fn(2000, 1000, |x, y| Rgb([(x % 256) as u8, (y % 256) as u8, 9])));
        let made = Thumbnailer::new().make(encoded(&photo, ImageFormat::Jpeg)).await.unwrap();
        assert_eq!((made.width, made.height), (2000, 1000));
        let sizes: Vec<_> =
            made.pictures.iter().map(|made| (made.variant, made.width, made.height, made.content_type)).collect();
        assert_eq!(sizes, [("w320", 320, 160, "image/jpeg"), ("w1280", 1280, 640, "image/jpeg")]);
        assert!(image::load_from_memory(&made.pictures[0].bytes).is_ok());
    }

    #[tokio::test]
    async fn transparency_is_kept() {
        let logo = DynamicImage::from(RgbaImage::from_pixel(400, 400, Rgba([1, 2, 3, 0])));
        let made = Thumbnailer::new().make(encoded(&logo, ImageFormat::Png)).await.unwrap();
        assert_eq!(made.pictures[0].content_type, "image/png");
        let small = image::load_from_memory(&made.pictures[0].bytes).unwrap().to_rgba8();
        assert_eq!(small.get_pixel(5, 5)[3], 0);
    }

    #[tokio::test]
    async fn a_picture_that_claims_to_be_huge_is_not_decoded() {
        let small = DynamicImage::from(RgbImage::new(8, 8));
        let mut bomb = encoded(&small, ImageFormat::Png).to_vec();
        // Width and height in the header chunk, whose checksum follows.
        bomb[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
        let checksum = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
        let refused = Thumbnailer::new().make(bomb.into()).await.err().unwrap();
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
