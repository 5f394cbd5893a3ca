//! What a message's text speaks of: pages and people. It is read as clients read it, as Markdown, so that nothing in code counts.

use std::fmt;

use linkify::{LinkFinder, LinkKind};
use mesh::outbound;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, TextMergeStream};

/// The most links of one message that anything is made of.
const MAX_LINKS: usize = 5;
/// The most people that one message names.
const MAX_MENTIONS: usize = 20;
/// What the username of an account can be as long as.
const USERNAME: std::ops::RangeInclusive<usize> = 2..=32;

/// The text of a message, read once, before its turn to be written comes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) text: String,
    /// http and https, each once, in the order of the text.
    pub(crate) links: Vec<String>,
    /// Usernames behind an `@`, folded, each once; whose they are, if anybody's, is not known here.
    pub(crate) mentions: Vec<String>,
}

impl fmt::Debug for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        let mut said = Self { text, links: Vec::new(), mentions: Vec::new() };
        // Most messages name nothing.
        if said.text.contains("://") || said.text.contains('@') {
            said.read();
        }
        said
    }
}

impl Said {
    fn read(&mut self) {
        let text = std::mem::take(&mut self.text);
        let extensions = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
        let (mut in_code, mut in_link) = (0_usize, 0_usize);
        for event in TextMergeStream::new(Parser::new_ext(&text, extensions)) {
            match event {
                Event::Start(Tag::CodeBlock(_)) => in_code += 1,
                Event::End(TagEnd::CodeBlock) => in_code = in_code.saturating_sub(1),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    self.link(&dest_url);
                    in_link += 1;
                }
                Event::End(TagEnd::Link | TagEnd::Image) => in_link = in_link.saturating_sub(1),
                Event::Text(words) if in_code == 0 && in_link == 0 => {
                    let mut finder = LinkFinder::new();
                    finder.kinds(&[LinkKind::Url]);
                    for span in finder.spans(&words) {
                        match span.kind() {
                            Some(_) => self.link(span.as_str()),
                            None => self.people(span.as_str()),
                        }
                    }
                }
                _ => {}
            }
        }
        self.text = text;
    }

    fn link(&mut self, url: &str) {
        let new = self.links.len() < MAX_LINKS && self.links.iter().all(|known| known != url);
        if new && outbound::parse(url).is_ok() {
            self.links.push(url.to_owned());
        }
    }

    fn people(&mut self, words: &str) {
        let mut before = ' ';
        for (place, letter) in words.char_indices() {
            if letter == '@' && !(before.is_alphanumeric() || "@._-/".contains(before)) {
                self.person(&words[place + 1..]);
            }
            before = letter;
        }
    }

    fn person(&mut self, rest: &str) {
        let ends = |letter: char| !(letter.is_ascii_alphanumeric() || "._-".contains(letter));
        let end = rest.find(ends).unwrap_or(rest.len());
        // A full stop ends the sentence.
        let name = rest[..end].trim_end_matches(['.', '-']).to_ascii_lowercase();
        let goes_on = rest[end..].starts_with(char::is_alphanumeric);
        if !goes_on
            && USERNAME.contains(&name.len())
            && self.mentions.len() < MAX_MENTIONS
            && !self.mentions.contains(&name)
        {
            self.mentions.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> (Vec<String>, Vec<String>) {
        let said = Said::from(text.to_owned());
        assert_eq!(said.text, text, "the text stays as it is");
        (said.links, said.mentions)
    }

    #[test]
    fn links_are_found_as_clients_show_them() {
        for (text, links) in [
            ("see https://example.org/a_b_c?x=1&y=2.", vec!["https://example.org/a_b_c?x=1&y=2"]),
            ("(https://en.wikipedia.org/wiki/Link_(film))", vec!["https://en.wikipedia.org/wiki/Link_(film)"]),
            ("[here](http://a.example/x) and <https://b.example>", vec!["http://a.example/x", "https://b.example"]),
            ("[https://shown.example](https://meant.example)", vec!["https://meant.example"]),
            ("![a picture](https://a.example/p.png)", vec!["https://a.example/p.png"]),
            (
                "**https://bold.example/** and _https://slanted.example/_",
                vec!["https://bold.example/", "https://slanted.example/"],
            ),
            (
                "> https://quoted.example\n\n- https://listed.example",
                vec!["https://quoted.example", "https://listed.example"],
            ),
            ("| a |\n|---|\n| https://cell.example |", vec!["https://cell.example"]),
            ("https://twice.example https://twice.example", vec!["https://twice.example"]),
            ("https://bücher.example/ä", vec!["https://bücher.example/ä"]),
            ("[by name][one]\n\n[one]: https://reference.example", vec!["https://reference.example"]),
        ] {
            assert_eq!(said(text).0, links, "{text}");
        }
    }

    #[test]
    fn what_is_no_page_is_no_link() {
        for text in [
            "`https://code.example`",
            "``a ` https://code.example``",
            "```\nhttps://block.example\n```",
            "~~~rust\nhttps://block.example",
            "    https://indented.example",
            "ftp://files.example/ file:///etc/passwd javascript://x mailto:a@b.example",
            "https://user:password@secret.example/",
            "http:// https://",
            "example.org and www.example.org",
            "[x](javascript:alert(1))",
            "",
        ] {
            assert_eq!(said(text).0, [""; 0], "{text}");
        }
        let long = format!("https://long.example/{}", "x".repeat(2000));
        assert_eq!(said(&long).0, [""; 0]);
        let many: String = (0..9).map(|number| format!("https://{number}.example/ ")).collect();
        assert_eq!(said(&many).0.len(), MAX_LINKS);
    }

    #[test]
    fn people_are_named_behind_an_at() {
        for (text, people) in [
            ("@alice and @Bob.Smith, and (@carol-x)!", vec!["alice", "bob.smith", "carol-x"]),
            ("@alice. @alice- **@alice** @ALICE", vec!["alice"]),
            ("mail bob@example.org, or @@bob, a/@bob, .@bob", vec![]),
            ("`@alice` and\n```\n@alice\n```", vec![]),
            ("https://example.org/@alice and [@alice](https://example.org)", vec![]),
            ("@aliceé @a @ @-", vec![]),
            ("> @quoted\n* @listed", vec!["quoted", "listed"]),
            ("ask @under_score_", vec!["under_score_"]),
            ("¡@alice", vec!["alice"]),
        ] {
            assert_eq!(said(text).1, people, "{text}");
        }
        assert!(said(&format!("@{}", "x".repeat(33))).1.is_empty());
        let many: String = (10..60).map(|number| format!("@user{number} ")).collect();
        assert_eq!(said(&many).1.len(), MAX_MENTIONS);
    }

    #[test]
    fn a_text_made_to_be_slow_is_read_all_the_same() {
        for part in ["[", "![", "*a_", "`", "<", "> ", "[a](", "https://", "@a", "- "] {
            let text = part.repeat(16 * 1024 / part.len());
            let started = std::time::Instant::now();
            said(&format!("{text}@x"));
            assert!(started.elapsed().as_secs() < 5, "{part:?} took {:?}", started.elapsed());
        }
    }
}
