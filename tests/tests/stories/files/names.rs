//! Names that people, phones and attackers give to files.

use http::{StatusCode, header};
use tests::{Shape, Town};
use tonic::Code;

/// Names that people, phones and attackers give to files.
fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "a.txt",
        ".htaccess",
        "...",
        "a b.txt",
        "a\tb",
        "a;b=c.txt",
        "a,b",
        "a\"b\".txt",
        "'",
        "`id`",
        "$(id)",
        "%2e%2e%2f",
        "%00.png",
        "CON",
        "NUL.txt",
        "aux",
        "COM1",
        "file.",
        "file ",
        "a:b",
        "a|b",
        "a?b*c",
        "<img src=x onerror=alert(1)>",
        "a&amp;b",
        "日本語.pdf",
        "Привет.doc",
        "مرحبا.txt",
        "שלום",
        "e\u{301}.txt",
        "é.txt",
        "🦀🎉.gif",
        "👩‍👩‍👧‍👦.png",
        "ﷺ",
        "Ⓐ.txt",
        "x; filename=evil.exe",
        "x\"; filename*=UTF-8''evil.exe",
        "a=b;c=d",
        "{}",
        "[a]",
        "~",
        "~root",
        "-rf",
        "--help",
        "=cmd|' C calc'!A0",
        "+1",
        "@a",
        "#a",
        "a#b?c",
        "a+b",
        "a%20b",
        "100%",
        "%",
        "%zz",
        "ẞtraße",
        "İstanbul",
        "ǅ",
        "\u{feff}bom.txt",
        "z\u{300}\u{301}\u{302}\u{303}\u{304}algo",
        "null",
        "undefined",
        "NaN",
        "true",
        "0",
        "-1",
        "1e309",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(255));
    names.push("é".repeat(127));
    // Every printable sign that is no path, alone between letters.
    names.extend((' '..='~').filter(|letter| !"/\\".contains(*letter)).map(|letter| format!("a{letter}b.txt")));
    names.extend((0..60).map(|number| format!("{}{number}.bin", char::from_u32(0x4e00 + number * 97).unwrap())));
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_odd_names_come_back() {
    let town = Town::start(Shape::Embedded).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let names = odd_names();
    assert!(names.len() >= 200, "{}", names.len());
    for name in &names {
        let file = alice.uploads(&room, name, b"").await.unwrap_or_else(|cause| panic!("{name:?}: {cause}"));
        let known: String = name.chars().filter(|letter| !letter.is_control()).collect();
        assert_eq!(file.name, known.trim(), "{name:?}");
        let answer = alice.gets(&format!("/files/{}", file.id), &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{name:?}");
        let said = answer.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().to_owned();
        assert_eq!(from_header(&said), file.name, "{said}");
    }
    // What misleads is taken out, and what is then no name is refused by field.
    for (name, kept) in
        [("../../etc/passwd", "passwd"), ("C:\\a\\b.txt", "b.txt"), ("exe\u{202e}gpj.png", "exegpj.png")]
    {
        assert_eq!(alice.uploads(&room, name, b"").await.unwrap().name, kept);
    }
    for name in ["", "/", "..", "\0", "\u{202e}"] {
        let refused = alice.uploads(&room, name, b"").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name:?}");
    }
}

/// The name that a browser saves: `filename*` of RFC 8187.
fn from_header(said: &str) -> String {
    let mut rest = said.rsplit("filename*=UTF-8''").next().unwrap().bytes();
    let mut bytes = Vec::new();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
