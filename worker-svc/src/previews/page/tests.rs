use super::*;

fn at() -> Url {
    Url::parse("https://www.example.org/deep/page?x=1").unwrap()
}

fn preview(page: &str) -> Option<LinkPreview> {
    read(page.as_bytes(), None, "https://example.org/l", &at())
}

fn title(page: &str) -> Option<String> {
    preview(page).map(|preview| preview.title)
}

#[test]
fn a_page_that_says_everything() {
    let page = r#"<!doctype html><html prefix="og: https://ogp.me/ns#"><head>
        <title>The title for browsers</title>
        <meta name="description" content="For search engines.">
        <meta property="og:title" content="A &amp; B &quot;said&quot;">
        <meta property="og:description" content="  For
            networks. ">
        <meta property="og:site_name" content="Example">
        <meta property="og:image" content="/pictures/a.png">
        </head><body><h1>Hello</h1></body></html>"#;
    let expected = LinkPreview {
        url: "https://example.org/l".into(),
        title: "A & B \"said\"".into(),
        description: "For networks.".into(),
        site_name: "Example".into(),
        image_url: "https://www.example.org/pictures/a.png".into(),
    };
    assert_eq!(preview(page), Some(expected));
}

#[test]
fn a_page_that_says_little() {
    let plain = preview("<title>Only a title</title><p>text").unwrap();
    assert_eq!((plain.title.as_str(), plain.description.as_str()), ("Only a title", ""));
    assert_eq!((plain.site_name.as_str(), plain.image_url.as_str()), ("example.org", ""));
    let twitter = preview(
        "<meta name=twitter:title content=T><meta name='twitter:description' content='D'><meta name=twitter:image:src \
         content=https://i.example/x>",
    );
    let twitter = twitter.unwrap();
    assert_eq!((twitter.title.as_str(), twitter.description.as_str()), ("T", "D"));
    assert_eq!(twitter.image_url, "https://i.example/x");
}

#[test]
fn odd_pages() {
    for (page, expected) in [
        ("", None),
        ("just text", None),
        ("{\"json\": true}", None),
        ("<title></title>", None),
        ("<title> \n\t </title>", None),
        ("<meta property=og:title content=''><title>x</title>", Some("x")),
        ("<META PROPERTY='OG:Title' CONTENT='Upper'>", Some("Upper")),
        ("<meta name=og:title content=mixed>", Some("mixed")),
        ("<meta content=reversed property=og:title>", Some("reversed")),
        ("<meta property=og:title content=first><meta property=og:title content=second>", Some("first")),
        ("<meta property=og:title content=no quotes>", Some("no")),
        ("<meta property=\"og:title\" content=\"it's\" />", Some("it's")),
        ("<meta property=og:title><title>no content</title>", Some("no content")),
        ("<!-- <title>comment</title> --><title>real</title>", Some("real")),
        ("<script>var t = '<title>script</title>';</script><title>real</title>", Some("real")),
        ("<style>/*<title>style</title>*/</style><title>real</title>", Some("real")),
        ("<noscript><title>noscript</title></noscript>", Some("noscript")),
        ("<textarea><meta property=og:title content=typed></textarea><title>real</title>", Some("real")),
        ("<title>a <b>bold</b> &lt;title&gt;</title>", Some("a <b>bold</b> <title>")),
        ("<title>one</title><title>two</title>", Some("one")),
        ("<title>cut at the end of what was rea", Some("cut at the end of what was rea")),
        ("<title>&#x202e;right to left&#8203;</title>", Some("right to left")),
        ("<title>null\0byte</title>", Some("null\u{fffd}byte")),
        ("<svg><title>drawing</title></svg>", Some("drawing")),
        ("<body><svg><title>drawing</title></svg>", None),
        ("<head></head><body><meta property=og:title content=comment></body>", None),
        ("<html><html><head><head><title>twice</title>", Some("twice")),
        ("</title></head></html><title>after all</title>", Some("after all")),
        ("<meta property=og:title content='unclosed quote><title>x</title>", None),
        ("<title\n>newline in the tag</title\n>", Some("newline in the tag")),
        ("\u{feff}<title>marked</title>", Some("marked")),
        ("<plaintext><title>x</title>", None),
        ("<![CDATA[<title>data</title>]]>", None),
        ("<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><head><title>xhtml</title>", Some("xhtml")),
    ] {
        assert_eq!(title(page).as_deref(), expected, "{page}");
    }
}

#[test]
fn every_text_is_one_short_line() {
    let long = "ä".repeat(1000);
    let page = format!(
        "<title>{long}</title><meta name=description content='{long}'><meta property=og:site_name content='{long}'>"
    );
    let preview = preview(&page).unwrap();
    let lengths = [&preview.title, &preview.description, &preview.site_name].map(|text| text.chars().count());
    assert_eq!(lengths, [MAX_TITLE, MAX_DESCRIPTION, MAX_SITE_NAME]);
    assert!(preview.title.ends_with('…'));
    assert_eq!(clean("exactly", 7), "exactly");
    assert_eq!(clean(" a \r\n\u{2028} b\u{7}\u{202e}c\u{2066} ", 10), "a bc");
}

#[test]
fn a_picture_is_one_of_the_web() {
    let image = |content: &str| {
        preview(&format!("<title>x</title><meta property=og:image content='{content}'>")).unwrap().image_url
    };
    assert_eq!(image("//cdn.example/a.png"), "https://cdn.example/a.png");
    assert_eq!(image("a.png"), "https://www.example.org/deep/a.png");
    for none in
        ["javascript:alert(1)", "data:image/png;base64,AAAA", "file:///etc/passwd", "https://u:p@x.example/", ""]
    {
        let shown = image(none);
        assert!(shown.is_empty() || shown == at().as_str(), "{none}: {shown}");
    }
    let next =
        "<title>x</title><meta property=og:image content='data:x'><meta name=twitter:image content=https://t.example/>";
    assert_eq!(preview(next).unwrap().image_url, "https://t.example/");
    let url = Url::parse("https://cdn.example/a/cat%20in%20a%20box.png?w=1").unwrap();
    let shown = picture("https://cdn.example/l", &url).unwrap();
    assert_eq!((shown.title.as_str(), shown.site_name.as_str()), ("cat in a box.png", "cdn.example"));
    assert_eq!(shown.image_url, url.as_str());
    assert_eq!(picture("https://cdn.example/", &Url::parse("https://cdn.example/").unwrap()), None);
}

#[test]
fn the_encoding_is_found_as_browsers_do() {
    let read = |bytes: &[u8], charset: Option<&str>| read(bytes, charset, "x", &at()).map(|preview| preview.title);
    let (utf8, latin) = ("<title>Größe</title>".as_bytes(), b"<title>Gr\xf6\xdfe</title>".as_slice());
    assert_eq!(read(utf8, None).as_deref(), Some("Größe"));
    assert_eq!(read(latin, None).as_deref(), Some("Größe"), "what is no UTF-8 is guessed");
    assert_eq!(read(latin, Some("ISO-8859-1")).as_deref(), Some("Größe"));
    assert_eq!(read(utf8, Some("nonsense")).as_deref(), Some("Größe"));
    let (japanese, _, _) = encoding_rs::SHIFT_JIS.encode("<meta charset=shift_jis><title>日本語</title>");
    assert_eq!(read(&japanese, None).as_deref(), Some("日本語"));
    let (russian, _, _) = encoding_rs::WINDOWS_1251
        .encode("<meta http-equiv=Content-Type content='text/html; charset=windows-1251'><title>Привет</title>");
    assert_eq!(read(&russian, None).as_deref(), Some("Привет"));
    assert_eq!(read(&russian, Some("windows-1251")).as_deref(), Some("Привет"));
    let lying = "<meta charset=utf-16><title>Größe</title>".as_bytes();
    assert_eq!(read(lying, None).as_deref(), Some("Größe"), "it cannot be of that encoding");
    let mut marked: Vec<u8> = vec![0xff, 0xfe];
    marked.extend("<title>Größe</title>".encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(read(&marked, Some("utf-8")).as_deref(), Some("Größe"), "the mark wins");
    let cut = &"<title>ok</title>ß".as_bytes()[..18];
    assert_eq!(read(cut, None).as_deref(), Some("ok"), "a letter may be cut in two");
}

#[test]
fn a_page_made_to_be_slow_is_given_up() {
    let attributes: String = (0..60_000).map(|number| format!(" a{number}")).collect();
    for page in [
        "<div>".repeat(100_000),
        format!("<div{attributes}>"),
        "<a><b><i>".repeat(50_000),
        "&".repeat(500_000),
        "<!--".repeat(120_000),
        "<title>".repeat(70_000),
        format!("<title>{}", "x".repeat(500_000)),
    ] {
        let started = Instant::now();
        preview(&page);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}: {:?}", &page[..20], started.elapsed());
    }
}

#[test]
fn any_bytes_are_a_page() {
    for seed in 0..200_u32 {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let parts = [
            "<title>", "<meta ", "content=", "'", "\"", ">", "</", "<!", "\0", "ä", "&#x", "og:title", "\u{feff}",
            "<script",
        ];
        let bytes: Vec<u8> = (0..400)
            .flat_map(|_| match next() % 3 {
                0 => vec![(next() % 256) as u8],
                _ => parts[next() as usize % parts.len()].as_bytes().to_vec(),
            })
            .collect();
        if let Some(preview) = read(&bytes, None, "x", &at()) {
            assert!(preview.title.chars().count() <= MAX_TITLE && !preview.title.is_empty());
        }
    }
}
