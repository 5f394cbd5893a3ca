//! The conformance suite of the blob store. Each backend is one more line at its end.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use mesh::{
    blobs::{Blobs, PART_BYTES, S3Config, Trouble},
    clock::Clock,
    config::Secret,
};
use tests::{
    servers::{Mood, S3},
    within,
};

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

async fn a_large_source_that_breaks_off_leaves_nothing(blobs: Blobs) {
    let chunk = || Ok(Bytes::from(vec![1; PART_BYTES]));
    let chunks = [chunk(), chunk(), chunk(), Err("cut")];
    assert!(blobs.put_stream("k", futures::stream::iter(chunks)).await.is_err());
    assert_eq!(blobs.size("k").await.unwrap(), None);
    assert_eq!(blobs.drop_leftovers(Clock::system().now() + Duration::from_secs(60)).await.unwrap(), 0);
}

async fn blobs_are_listed_by_folder(blobs: Blobs) {
    assert!(blobs.list("a").try_collect::<Vec<_>>().await.unwrap().is_empty());
    for key in ["a/1", "a/b/2", "ab/3"] {
        blobs.put(key, Bytes::from_static(b"x")).await.unwrap();
    }
    let mut keys: Vec<String> = blobs.list("a").map_ok(|found| found.key).try_collect().await.unwrap();
    keys.sort();
    assert_eq!(keys, ["a/1", "a/b/2"]);
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
async fn folder() -> (Blobs, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file:{}", folder.path().join("blobs").display());
    (Blobs::open(&url, &S3Config::default()).unwrap(), folder)
}

/// A bucket that is not made yet.
async fn bucket() -> (Blobs, S3) {
    let s3 = S3::start().await;
    (Blobs::open("s3://loquat", &s3.config()).unwrap(), s3)
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
            a_large_source_that_breaks_off_leaves_nothing,
            an_empty_blob_is_a_blob,
            blobs_are_listed_by_folder
        );
    };
    ($backend:ident, $new:path: $($case:ident),+) => {
        mod $backend {
            $(#[tokio::test]
            async fn $case() {
                let (blobs, _place) = $new().await;
                super::$case(blobs).await;
            })+
        }
    };
}

backend!(in_a_folder, super::folder);
backend!(on_s3, super::bucket);

/// What a put that was cut off leaves is taken away when it is old, and not before.
#[tokio::test]
async fn leftovers_of_a_process_that_died_are_swept() {
    let (blobs, place) = folder().await;
    blobs.put("a/b", Bytes::from_static(b"whole")).await.unwrap();
    let left = place.path().join("blobs/a/c#1");
    std::fs::write(&left, b"half").unwrap();
    assert_eq!(blobs.drop_leftovers(Clock::system().now() - Duration::from_secs(60)).await.unwrap(), 0);
    assert_eq!(blobs.drop_leftovers(Clock::system().now() + Duration::from_secs(60)).await.unwrap(), 1);
    assert!(!left.exists());
    assert_eq!(blobs.size("a/b").await.unwrap(), Some(5));
}

/// The same on S3, where they are parts of an upload that nobody completes: the source never ends, and its task is ended.
#[tokio::test]
async fn parts_of_a_process_that_died_are_aborted() {
    let (blobs, s3) = bucket().await;
    let part = |number: usize| (number < 3).then(|| Ok::<_, String>(Bytes::from(vec![7; PART_BYTES])));
    let parts = futures::stream::iter((0..3).filter_map(part)).chain(futures::stream::pending());
    let putting = blobs.put_stream("large", parts);
    let noted = async {
        while blobs.list("multipart").try_collect::<Vec<_>>().await.unwrap().is_empty() || stray_parts(&s3) < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = putting => panic!("it never ends"),
        () = within("the parts are there", noted) => {}
    }
    assert_eq!(blobs.drop_leftovers(Clock::system().now() - Duration::from_secs(60)).await.unwrap(), 0);
    assert_eq!(blobs.drop_leftovers(Clock::system().now() + Duration::from_secs(60)).await.unwrap(), 1);
    assert_eq!(stray_parts(&s3), 0);
    assert!(blobs.list("multipart").try_collect::<Vec<_>>().await.unwrap().is_empty());
    assert_eq!(blobs.size("large").await.unwrap(), None);
}

/// Parts of multipart uploads as the server keeps them, beside its buckets.
fn stray_parts(s3: &S3) -> usize {
    let entries = std::fs::read_dir(s3.folder()).unwrap().map(|entry| entry.unwrap().file_name());
    entries.filter(|name| name.to_string_lossy().contains(".part")).count()
}

#[tokio::test]
async fn an_address_is_for_one_blob_one_method_and_a_while() {
    let (blobs, _s3) = bucket().await;
    blobs.put("files/one", Bytes::from_static(b"<b>hi</b>")).await.unwrap();
    blobs.put("files/two", Bytes::from_static(b"secret")).await.unwrap();
    let disposition = "attachment; filename=\"a.html\"";
    let url = blobs.url_to_get("files/one", "text/html", disposition, Duration::from_secs(30)).await.unwrap().unwrap();
    let got = fetch(Method::GET, &url, "").await;
    assert_eq!((got.status(), got.body().as_ref()), (StatusCode::OK, b"<b>hi</b>".as_slice()));
    assert_eq!(got.headers()["content-disposition"], disposition);
    assert_eq!(got.headers()["content-type"], "text/html");
    for (method, changed) in [
        (Method::GET, url.replace("files/one", "files/two")),
        (Method::PUT, url.clone()),
        (Method::DELETE, url.clone()),
        (Method::GET, url.replace("attachment", "inline")),
        (Method::GET, url.replace("X-Amz-Expires=30", "X-Amz-Expires=3000")),
    ] {
        assert_eq!(fetch(method, &changed, "").await.status(), StatusCode::FORBIDDEN, "{changed}");
    }
    let put = blobs.url_to_put("staging/a", Duration::from_secs(30)).await.unwrap().unwrap();
    assert_eq!(fetch(Method::PUT, &put, "12345").await.status(), StatusCode::OK);
    assert_eq!(fetch(Method::GET, &put, "").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(blobs.size("staging/a").await.unwrap(), Some(5));
}

/// Browsers reach the store under another name than this server, and it must be that name which is signed.
#[tokio::test]
async fn addresses_name_the_public_endpoint() {
    let s3 = S3::start().await;
    let config = S3Config { public_endpoint: "https://files.example.org".into(), ..s3.config() };
    let blobs = Blobs::open("s3://loquat", &config).unwrap();
    let url = blobs.url_to_get("files/one", "image/png", "inline", Duration::from_secs(30)).await.unwrap().unwrap();
    assert!(url.starts_with("https://files.example.org/loquat/files/one?"), "{url}");
}

#[tokio::test]
async fn trouble_is_told_apart() {
    let (blobs, s3) = bucket().await;
    let put = async |blobs: &Blobs| blobs.put("k", Bytes::from_static(b"x")).await;
    put(&blobs).await.unwrap();
    let other = |change: fn(&mut S3Config)| {
        let mut config = s3.config();
        change(&mut config);
        Blobs::open("s3://loquat", &config).unwrap()
    };
    let wrong_secret = other(|config| config.secret_key = Secret::new("not the one"));
    let wrong_key = other(|config| config.access_key = "nobody".into());
    let wrong_region = other(|config| config.region = "mars-north-1".into());
    for wrong in [wrong_secret, wrong_key, wrong_region] {
        let refused = put(&wrong).await.unwrap_err();
        assert_eq!(refused.trouble(), Trouble::Refused, "{refused}");
        assert!(!refused.to_string().contains("not the one"), "{refused}");
    }
    s3.becomes(Mood::Full);
    let full = put(&blobs).await.unwrap_err();
    assert_eq!(full.trouble(), Trouble::Full, "{full}");
    s3.becomes(Mood::Away);
    assert_eq!(put(&blobs).await.unwrap_err().trouble(), Trouble::Away);
    s3.becomes(Mood::Well);
    put(&blobs).await.unwrap();
}

async fn fetch(method: Method, url: &str, body: &'static str) -> Response<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::builder().method(method).uri(url).body(Full::new(Bytes::from(body))).unwrap();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}
