//! Documents of office programs: title, author, subject, pages. They are archives of XML, of which only the small entries that
//! describe the document are read, each up to a limit that no honest one comes near.

use std::{
    collections::HashMap,
    io::{Read, Seek},
};

use anyhow::Context as _;
use quick_xml::{
    Reader,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
};
use zip::{ZipArchive, result::ZipError};

use super::{Looked, note};

/// The most bytes of one entry, however few it is packed into.
const MOST: u64 = 256 * 1024;

/// Entries that describe a document.
const ENTRIES: [&str; 3] = ["docProps/core.xml", "docProps/app.xml", "meta.xml"];

pub(super) fn look(file: impl Read + Seek) -> anyhow::Result<Looked> {
    let mut archive = ZipArchive::new(file)?;
    let mut found = HashMap::new();
    for entry in ENTRIES {
        if let Some(text) = read(&mut archive, entry)? {
            describe(&text, &mut found).with_context(|| entry.to_owned())?;
        }
    }
    Ok(Looked { found, ..Looked::default() })
}

/// An entry, if there is one.
fn read(archive: &mut ZipArchive<impl Read + Seek>, entry: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let entry = match archive.by_name(entry) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(cause) => return Err(cause.into()),
    };
    let mut text = Vec::new();
    // What the archive says of its size may be a lie.
    entry.take(MOST + 1).read_to_end(&mut text)?;
    anyhow::ensure!(text.len() as u64 <= MOST, "what describes the document is too large");
    Ok(Some(text))
}

/// Under which name something is noted; nothing for what is of no interest.
fn named(element: &[u8]) -> Option<&'static str> {
    Some(match element {
        b"title" => "title",
        b"creator" | b"initial-creator" => "author",
        b"subject" => "subject",
        b"Pages" | b"Slides" => "pages",
        _ => return None,
    })
}

/// Elements are told apart by their names alone, and nothing that a document defines for itself is put in anywhere: so there is
/// nothing to nest and nothing to expand.
fn describe(text: &[u8], found: &mut HashMap<String, String>) -> anyhow::Result<()> {
    let mut reader = Reader::from_reader(text);
    let mut open: Option<(&'static str, String)> = None;
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                statistic(&start, found)?;
                open = named(start.local_name().as_ref()).map(|name| (name, String::new()));
            }
            Event::Empty(empty) => statistic(&empty, found)?,
            Event::Text(text) => {
                if let Some((_, value)) = &mut open {
                    value.push_str(&text.decode()?);
                }
            }
            Event::GeneralRef(reference) => {
                if let Some((_, value)) = &mut open {
                    value.extend(resolved(&reference)?);
                }
            }
            Event::End(_) => {
                if let Some((name, value)) = open.take() {
                    first(found, name, value);
                }
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// What a reference stands for, if that is for all documents the same.
fn resolved(reference: &BytesRef<'_>) -> anyhow::Result<Vec<char>> {
    if let Some(letter) = reference.resolve_char_ref()? {
        return Ok(vec![letter]);
    }
    Ok(resolve_predefined_entity(&reference.decode()?).unwrap_or_default().chars().collect())
}

/// How many pages there are, as OpenDocument says it.
fn statistic(element: &BytesStart<'_>, found: &mut HashMap<String, String>) -> anyhow::Result<()> {
    if element.local_name().as_ref() == b"document-statistic" {
        for attribute in element.attributes() {
            let attribute = attribute?;
            if attribute.key.local_name().as_ref() == b"page-count" {
                first(found, "pages", String::from_utf8_lossy(&attribute.value).into_owned());
            }
        }
    }
    Ok(())
}

/// What is said first counts.
fn first(found: &mut HashMap<String, String>, name: &str, value: String) {
    let counts = name != "pages" || value.parse::<u32>().is_ok_and(|pages| pages > 0);
    if counts && !found.contains_key(name) {
        note(found, name, Some(value));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Cursor<Vec<u8>> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn what_office_programs_write_is_understood() {
        let core = "<?xml version=\"1.0\"?><cp:coreProperties xmlns:dc=\"x\"><dc:title>Soup &amp; bread &#8364;5</dc:title>\
                    <dc:subject/><dc:creator>Ada</dc:creator></cp:coreProperties>";
        let app = "<Properties><Application>x</Application><Pages>3</Pages></Properties>";
        let looked = look(archive(&[
            ("[Content_Types].xml", b"<Types/>"),
            ("docProps/core.xml", core.as_bytes()),
            ("docProps/app.xml", app.as_bytes()),
        ]));
        let found = looked.unwrap().found;
        assert_eq!((found["title"].as_str(), found["author"].as_str()), ("Soup & bread €5", "Ada"));
        assert_eq!((found["pages"].as_str(), found.len()), ("3", 3));

        let meta = "<office:document-meta><office:meta><meta:initial-creator>Bo</meta:initial-creator><dc:creator>Cy</dc:creator>\
                    <dc:title>Plan</dc:title><meta:document-statistic meta:page-count=\"12\" meta:word-count=\"9\"/>\
                    </office:meta></office:document-meta>";
        let found = look(archive(&[("mimetype", b"x"), ("meta.xml", meta.as_bytes())])).unwrap().found;
        assert_eq!((found["title"].as_str(), found["author"].as_str(), found["pages"].as_str()), ("Plan", "Bo", "12"));
    }

    #[test]
    fn a_document_that_says_nothing_is_no_error() {
        assert_eq!(look(archive(&[("word/document.xml", b"<w/>")])).unwrap(), Looked::default());
    }

    #[test]
    fn what_swells_is_not_read_to_its_end() {
        let zeros = vec![b' '; 8 * 1024 * 1024];
        let refused = look(archive(&[("docProps/core.xml", &zeros)])).unwrap_err();
        assert!(refused.to_string().contains("too large"), "{refused}");
    }

    #[test]
    fn what_a_document_defines_is_put_in_nowhere() {
        let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]>\
                      <p><dc:title>x&b;&f;y</dc:title></p>";
        let found = look(archive(&[("docProps/core.xml", laughs.as_bytes())])).unwrap().found;
        assert_eq!(found["title"], "xy");
    }

    #[test]
    fn what_is_broken_is_an_error() {
        assert!(look(Cursor::new(b"PK\x03\x04 and no more".to_vec())).is_err());
        assert!(look(archive(&[("meta.xml", b"<a></b>")])).is_err());
    }
}
