//! What a page says of itself in its head: for social networks (Open Graph, Twitter), or for browsers.
//!
//! Only the tokens of HTML are looked at and no tree is built: what pages get wrong in their structure does not matter here, and a page that
//! is made to be deep costs no more than another one.

use std::{
    cell::RefCell,
    collections::HashMap,
    time::{Duration, Instant},
};

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use html5ever::{
    tendril::StrTendril,
    tokenizer::{
        BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
        states::{Rawtext, Rcdata, ScriptData},
    },
};
use mesh::outbound;
use mime::Mime;
use proto::chat::v1::LinkPreview;
use url::Url;

use super::host;

const MAX_TITLE: usize = 200;
const MAX_DESCRIPTION: usize = 400;
const MAX_SITE_NAME: usize = 80;
/// So many bytes may say in which encoding the page is.
const PRESCAN: usize = 4096;
/// The page is read in portions, so that one that is made to be slow is given up.
const PORTION: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_millis(500);

/// What is looked for, the best first.
const TITLE: &[&str] = &["og:title", "twitter:title"];
const DESCRIPTION: &[&str] = &["og:description", "twitter:description", "description"];
const SITE_NAME: &[&str] = &["og:site_name", "application-name"];
const IMAGE: &[&str] = &["og:image:secure_url", "og:image", "og:image:url", "twitter:image", "twitter:image:src"];

/// Makes a preview of the beginning of a page at `at`, to which `url` leads. Nothing when the page has no title.
pub(super) fn read(bytes: &[u8], charset: Option<&str>, url: &str, at: &Url) -> Option<LinkPreview> {
    let head = Head::of(&decode(bytes, charset));
    let title = head.first(TITLE, MAX_TITLE).or_else(|| head.title(MAX_TITLE))?;
    let description = head.first(DESCRIPTION, MAX_DESCRIPTION).unwrap_or_default();
    let image = IMAGE.iter().filter_map(|name| head.named.get(*name));
    let image =
        image.filter_map(|image| at.join(image.trim()).ok()).find(|image| outbound::parse(image.as_str()).is_ok());
    Some(LinkPreview {
        url: url.to_owned(),
        title,
        description,
        site_name: head.first(SITE_NAME, MAX_SITE_NAME).unwrap_or_else(|| clean(&host(at), MAX_SITE_NAME)),
        image_url: image.map(String::from).unwrap_or_default(),
    })
}

/// Makes a preview of a picture at `at`, to which `url` leads: its name.
pub(super) fn picture(url: &str, at: &Url) -> Option<LinkPreview> {
    let name = at.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    let title = Some(clean(&name, MAX_TITLE)).filter(|name| !name.is_empty())?;
    let site_name = clean(&host(at), MAX_SITE_NAME);
    Some(LinkPreview { url: url.to_owned(), title, site_name, image_url: at.to_string(), ..LinkPreview::default() })
}

/// As the HTML standard finds out the encoding: a mark at the beginning, what the server says, what the page says, a guess.
fn decode(bytes: &[u8], charset: Option<&str>) -> String {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding.decode(bytes).0.into_owned();
    }
    let named = charset.and_then(|label| Encoding::for_label(label.as_bytes()));
    let encoding = named.or_else(|| declared(bytes)).unwrap_or_else(|| guess(bytes));
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let beginning = WINDOWS_1252.decode_without_bom_handling(&bytes[..bytes.len().min(PRESCAN)]).0;
    let named = Encoding::for_label(Head::of(&beginning).charset?.as_bytes())?;
    // What was read just now cannot be of these.
    Some(if named == UTF_16LE || named == UTF_16BE { UTF_8 } else { named })
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    match std::str::from_utf8(bytes) {
        // A letter may be cut in two at the end of what was read.
        Err(cause) if cause.error_len().is_some() => WINDOWS_1252,
        _ => UTF_8,
    }
}

/// One line without anything that could turn what stands around it, at most so many characters.
fn clean(text: &str, most: usize) -> String {
    let hidden = |letter: &char| {
        letter.is_control()
            || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let words = text.split_whitespace().map(|word| word.chars().filter(|letter| !hidden(letter)).collect::<String>());
    let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(most) {
        None => line,
        Some(_) => {
            let kept: String = line.chars().take(most - 1).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

/// What the head of a page has.
#[derive(Default)]
struct Head {
    /// By the name or property of `meta`, folded; the first of each.
    named: HashMap<String, String>,
    title: Option<String>,
    in_title: bool,
    charset: Option<String>,
    /// The body has begun.
    over: bool,
}

impl Head {
    fn of(text: &str) -> Self {
        let tokenizer = Tokenizer::new(Sink::default(), TokenizerOpts::default());
        let input = BufferQueue::default();
        let (mut rest, started) = (text, Instant::now());
        while !rest.is_empty() && started.elapsed() < PATIENCE && !tokenizer.sink.0.borrow().over {
            let (portion, next) = rest.split_at(rest.floor_char_boundary(PORTION.min(rest.len())));
            input.push_back(StrTendril::from_slice(portion));
            // It stops for scripts only, and is told of none.
            let _ = tokenizer.feed(&input);
            rest = next;
        }
        tokenizer.sink.0.take()
    }

    fn first(&self, names: &[&str], most: usize) -> Option<String> {
        let mut found = names.iter().filter_map(|name| self.named.get(*name)).map(|text| clean(text, most));
        found.find(|text| !text.is_empty())
    }

    fn title(&self, most: usize) -> Option<String> {
        self.title.as_ref().map(|title| clean(title, most)).filter(|title| !title.is_empty())
    }

    fn starts(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        match &*tag.name {
            "body" => self.over = true,
            "meta" => self.meta(tag),
            "title" => {
                self.in_title = self.title.is_none();
                return TokenSinkResult::RawData(Rcdata);
            }
            "textarea" => return TokenSinkResult::RawData(Rcdata),
            "style" | "xmp" | "iframe" | "noembed" | "noframes" => return TokenSinkResult::RawData(Rawtext),
            "script" => return TokenSinkResult::RawData(ScriptData),
            "plaintext" => return TokenSinkResult::Plaintext,
            _ => {}
        }
        TokenSinkResult::Continue
    }

    fn meta(&mut self, tag: &Tag) {
        let value = |name: &str| {
            tag.attrs
                .iter()
                .find(|attribute| &*attribute.name.local == name)
                .map(|attribute| attribute.value.to_string())
        };
        let content = value("content");
        if self.charset.is_none() {
            let equivalent = value("http-equiv").is_some_and(|name| name.eq_ignore_ascii_case("content-type"));
            let within = content.as_ref().filter(|_| equivalent).and_then(|content| {
                content.parse::<Mime>().ok()?.get_param(mime::CHARSET).map(|charset| charset.as_str().to_owned())
            });
            self.charset = value("charset").or(within);
        }
        let Some(content) = content else { return };
        // Pages mix the two up.
        for name in [value("property"), value("name")].into_iter().flatten() {
            let name = name.trim().to_ascii_lowercase();
            if [TITLE, DESCRIPTION, SITE_NAME, IMAGE].iter().any(|known| known.contains(&name.as_str())) {
                self.named.entry(name).or_insert_with(|| content.clone());
            }
        }
    }
}

#[derive(Default)]
struct Sink(RefCell<Head>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut head = self.0.borrow_mut();
        match token {
            _ if head.over => {}
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => return head.starts(&tag),
            Token::TagToken(tag) if &*tag.name == "title" => head.in_title = false,
            Token::CharacterTokens(text) if head.in_title => {
                head.title.get_or_insert_default().push_str(&text);
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests;
