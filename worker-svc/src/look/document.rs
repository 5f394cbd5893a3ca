//! Documents: title, author, pages.

use std::io::Read;

use lopdf::Document;

use super::{Looked, note};

pub(super) fn look(file: &mut impl Read) -> anyhow::Result<Looked> {
    let known = Document::load_metadata_from(file)?;
    let mut looked = Looked::default();
    note(&mut looked.found, "title", known.title);
    note(&mut looked.found, "author", known.author);
    note(&mut looked.found, "subject", known.subject);
    note(&mut looked.found, "pages", Some(known.page_count).filter(|pages| *pages > 0));
    Ok(looked)
}

#[cfg(test)]
mod tests {
    use lopdf::{Object, dictionary};

    use super::*;

    #[test]
    fn a_document_says_its_title() {
        let mut document = Document::with_version("1.5");
        let pages = document.new_object_id();
        let page = document.add_object(dictionary! { "Type" => "Page", "Parent" => pages });
        let tree = dictionary! { "Type" => "Pages", "Kids" => vec![Object::from(page)], "Count" => 1 };
        document.objects.insert(pages, tree.into());
        let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
        let info = document.add_object(dictionary! {
            "Title" => Object::string_literal("A plan"), "Author" => Object::string_literal("Ada")
        });
        document.trailer.set("Root", catalog);
        document.trailer.set("Info", info);
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).unwrap();
        let looked = look(&mut bytes.as_slice()).unwrap();
        assert_eq!(looked.found["title"], "A plan");
        assert_eq!(looked.found["author"], "Ada");
        assert_eq!(looked.found["pages"], "1");
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        assert!(look(&mut b"%PDF-1.7 and no more".as_slice()).is_err());
    }
}
