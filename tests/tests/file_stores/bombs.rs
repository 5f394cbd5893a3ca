//! Files that are made to harm whoever decodes them.

use std::io::{Cursor, Write as _};

use proto::file::v1::{FileState, PreviewState};
use tests::{Shape, Town};

/// Files that are made to harm whoever decodes them: each ends as a file without smaller pictures, quickly, and the next one
/// is looked at as if nothing had been.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_harm_nobody() {
    let town = Town::start(Shape::Embedded).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    for (name, bomb) in bombs() {
        let file = alice.brings(&room, name, &bomb).await;
        assert_eq!(file.state(), FileState::Ready, "{name}");
        assert!(file.thumbnails.is_empty() && file.preview() != PreviewState::Made, "{name}");
        assert_eq!(alice.downloads(&file.id, "").await.unwrap().len(), bomb.len(), "{name}");
    }
    let photo = image::RgbImage::new(400, 300);
    let mut bytes = Cursor::new(Vec::new());
    photo.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let fine = alice.brings(&room, "fine.png", &bytes.into_inner()).await;
    assert_eq!(fine.preview(), PreviewState::Made);
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let png = |width: u32, height: u32| {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 6, 0, 0, 0]);
        bytes.extend(crc32(&bytes[12..]).to_be_bytes());
        bytes.extend(b"\0\0\0\x01IDATx\0\0\0\0");
        bytes
    };
    let gif = |width: u16, height: u16| {
        let mut bytes = b"GIF89a".to_vec();
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes.extend([0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
        bytes.extend([0x2c, 0, 0, 0, 0]);
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes.extend([0, 2, 2, 0x4c, 1]);
        bytes
    };
    let jpeg = |width: u16, height: u16| {
        let mut bytes = b"\xff\xd8\xff\xc0\0\x11\x08".to_vec();
        bytes.extend(height.to_be_bytes());
        bytes.extend(width.to_be_bytes());
        bytes.extend([3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
        bytes
    };
    let office = |entries: Vec<(String, Vec<u8>)>| {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(&bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    let document = || ("word/document.xml".to_owned(), b"<w/>".to_vec());
    let laughs =
        "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]><p><dc:title>&b;</dc:title></p>";
    vec![
        ("swelling.docx", office(vec![document(), ("docProps/core.xml".into(), vec![b' '; 100 << 20])])),
        ("deep.docx", office(vec![document(), ("docProps/core.xml".into(), b"<a>".repeat(80_000))])),
        ("laughs.docx", office(vec![document(), ("docProps/core.xml".into(), laughs.into())])),
        ("crowd.docx", office((0..20_000).map(|number| (format!("word/{number}"), Vec::new())).collect())),
        ("cut.docx", office(vec![document(), ("docProps/core.xml".into(), vec![b'<'; 4000])])[..120].to_vec()),
        ("fifty thousand squared.png", png(50_000, 50_000)),
        ("a line.png", png(u32::MAX / 2, 1)),
        ("nothing.png", png(0, 0)),
        ("sixteen thousand squared.png", png(16_000, 16_000)),
        ("wide.gif", gif(65_535, 65_535)),
        ("flood.jpg", jpeg(65_535, 65_535)),
        ("cut.webp", b"RIFF\xff\xff\xff\x7fWEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xff".to_vec()),
        ("boxes.mp4", [b"\0\0\0\x14ftypisom\0\0\0\0isom".as_slice(), &b"\0\0\0\x08moov".repeat(5000)].concat()),
        ("endless.mp4", b"\0\0\0\x14ftypisom\0\0\0\0isom\xff\xff\xff\xffmoov\xff\xff\xff\xfetrak".to_vec()),
        ("tags.mp3", b"ID3\x03\0\0\x7f\x7f\x7f\x7fTIT2\xff\xff\xff\xff".to_vec()),
        ("film.webm", b"\x1a\x45\xdf\xa3\x84\x42\x82\x81w\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("loop.pdf", b"%PDF-1.4\nxref\n0 1\ntrailer<</Prev 9/Root 1 0 R>>\nstartxref\n9\n%%EOF".to_vec()),
        ("deep.pdf", [b"%PDF-1.4\n1 0 obj\n".as_slice(), &b"[".repeat(200_000), b"\nstartxref\n9\n%%EOF"].concat()),
    ]
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
