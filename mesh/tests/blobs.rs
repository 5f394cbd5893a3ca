//! The conformance suite of the blob store. Each backend is one more line at its end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::ops::Range;

use bytes::Bytes;
use futures::TryStreamExt as _;
use mesh::blobs::{Blobs, S3Config};

async fn read(blobs: &Blobs, key: &str, range: Range<u64>) -> Vec<u8> {
    let chunks: Vec<Bytes> = blobs.get_range(key, range).await.unwrap().try_collect().await.unwrap();
    chunks.concat()
}

async fn a_streamed_blob_is_read_by_range(blobs: Blobs) {
    let whole: Vec<u8> = (0..12_000_000_u32).map(|number| (number % 251) as u8).collect();
    let chunks: Vec<Result<Bytes, String>> =
        whole.chunks(70_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    assert_eq!(blobs.put_stream("a/b", futures::stream::iter(chunks)).await.unwrap(), 12_000_000);
    assert_eq!(blobs.size("a/b").await.unwrap(), Some(12_000_000));
    assert_eq!(read(&blobs, "a/b", 4_999_990..5_000_010).await, &whole[4_999_990..5_000_010]);
    assert_eq!(read(&blobs, "a/b", 11_999_999..12_000_000).await, &whole[11_999_999..]);
    assert!(read(&blobs, "a/b", 5..5).await.is_empty());
}

async fn a_blob_replaces_the_one_before(blobs: Blobs) {
    blobs.put("k", Bytes::from_static(b"first")).await.unwrap();
    blobs.put("k", Bytes::from_static(b"2nd")).await.unwrap();
    assert_eq!(blobs.size("k").await.unwrap(), Some(3));
    assert_eq!(read(&blobs, "k", 0..3).await, b"2nd");
}

async fn what_is_deleted_is_gone_and_may_be_deleted_again(blobs: Blobs) {
    blobs.put("k", Bytes::from_static(b"x")).await.unwrap();
    blobs.delete("k").await.unwrap();
    blobs.delete("k").await.unwrap();
    assert_eq!(blobs.size("k").await.unwrap(), None);
    assert!(blobs.get_range("k", 0..1).await.is_err());
}

async fn a_source_that_breaks_off_leaves_nothing(blobs: Blobs) {
    let chunks = [Ok(Bytes::from_static(b"x")), Err("cut")];
    assert!(blobs.put_stream("k", futures::stream::iter(chunks)).await.is_err());
    assert_eq!(blobs.size("k").await.unwrap(), None);
}

async fn an_empty_blob_is_a_blob(blobs: Blobs) {
    let nothing = futures::stream::empty::<Result<Bytes, String>>();
    assert_eq!(blobs.put_stream("k", nothing).await.unwrap(), 0);
    assert_eq!(blobs.size("k").await.unwrap(), Some(0));
}

#[test]
fn a_store_that_does_not_exist_is_refused_with_what_does() {
    assert!(Blobs::open("ftp://x", &S3Config::default()).err().unwrap().to_string().contains("file:PATH"));
}

/// A store, and what must live as long as it.
fn folder() -> (Blobs, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&format!("file:{}", folder.path().join("blobs").display()), &S3Config::default()).unwrap();
    (blobs, folder)
}

/// The cases, once for each backend.
macro_rules! backend {
    ($backend:ident, $new:path) => {
        backend!(
            $backend, $new:
            a_streamed_blob_is_read_by_range,
            a_blob_replaces_the_one_before,
            what_is_deleted_is_gone_and_may_be_deleted_again,
            a_source_that_breaks_off_leaves_nothing,
            an_empty_blob_is_a_blob
        );
    };
    ($backend:ident, $new:path: $($case:ident),+) => {
        mod $backend {
            $(#[tokio::test]
            async fn $case() {
                let (blobs, _place) = $new();
                super::$case(blobs).await;
            })+
        }
    };
}

backend!(in_a_folder, super::folder);
