//! Clients that put and get at the store itself, by signed addresses.

use http::{Method, Request, StatusCode, header};
use proto::file::v1 as file;
use sha2::{Digest as _, Sha256};
use tests::{
    files::{create, http},
    servers::S3,
};
use tonic::Code;

use super::{MIB, some_bytes, town_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_go_directly_to_the_store() {
    let s3 = S3::start().await;
    let town = town_on(&s3, |config| config.file.direct = true).await;
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let room = alice.creates_room("general").await;
    // The bucket is there as soon as anything was stored.
    alice.brings(&room, "first.txt", b"first").await;
    let limits = alice.files().get_upload_limits(file::GetUploadLimitsRequest {}).await.unwrap().into_inner();
    assert_eq!((limits.direct, limits.min_part_bytes), (true, 5 * MIB as u64));
    let bytes = some_bytes(12 * MIB);
    let opening = create(&room, bytes.len(), Some("direct.bin"));
    let upload = alice.files().create_upload(opening.clone()).await.unwrap().into_inner().upload.unwrap();
    let part = |offset: usize, size: usize| file::UploadPart { offset: offset as u64, size: size as u64 };
    let parts = vec![part(0, 5 * MIB), part(5 * MIB, 5 * MIB), part(10 * MIB, 2 * MIB)];
    let ask = |parts: Vec<file::UploadPart>| file::CreatePartUrlsRequest { upload_id: upload.id.clone(), parts };
    for wrong in [vec![], vec![part(0, MIB)], vec![part(0, 65 * MIB)], vec![part(11 * MIB, 2 * MIB)]] {
        assert_eq!(alice.files().create_part_urls(ask(wrong)).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(eve.files().create_part_urls(ask(parts.clone())).await.unwrap_err().code(), Code::NotFound);
    let urls = alice.files().create_part_urls(ask(parts.clone())).await.unwrap().into_inner().parts;
    let commit = |parts: Vec<file::UploadPart>| file::CommitPartsRequest { upload_id: upload.id.clone(), parts };
    let missing = alice.files().commit_parts(commit(parts.clone())).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&missing), "PART_MISSING");
    for url in &urls {
        let part = url.part.unwrap();
        let (from, size) = (usize::try_from(part.offset).unwrap(), usize::try_from(part.size).unwrap());
        let put = Request::builder().method(Method::PUT);
        let put = http(town.public, put, &url.url, bytes[from..from + size].to_vec()).await;
        assert_eq!(put.status(), StatusCode::OK);
    }
    let half = alice.files().commit_parts(commit(parts[..2].to_vec())).await.unwrap().into_inner().upload.unwrap();
    assert_eq!(half.offset, 10 * MIB as u64);
    // The first two again, as after an answer that got lost, and the last.
    let done = alice.files().commit_parts(commit(parts.clone())).await.unwrap().into_inner().upload.unwrap();
    let file = alice.settled(&done.file.unwrap().id).await;
    assert_eq!(file.sha256[..], Sha256::digest(&bytes)[..]);
    assert!(alice.downloads(&file.id, "").await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_are_sent_to_the_store_for_a_moment() {
    let s3 = S3::start().await;
    let town = town_on(&s3, |config| config.file.redirect = true).await;
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let room = alice.creates_private_room("private").await;
    let page = alice.brings(&room, "a \"page\".html", b"<script>alert(1)</script>").await;
    let path = format!("/files/{}", page.id);
    let sent = alice.gets(&path, &[]).await;
    assert_eq!(sent.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(sent.headers()[header::CACHE_CONTROL], "no-store");
    let url = sent.headers()[header::LOCATION].to_str().unwrap().to_owned();
    let life: u64 = url.split("X-Amz-Expires=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
    assert!(url.starts_with(&s3.endpoint()) && life <= 60, "{url}");
    let got = http(town.public, Request::builder(), &url, "").await;
    assert_eq!((got.status(), got.body().as_ref()), (StatusCode::OK, b"<script>alert(1)</script>".as_slice()));
    assert!(got.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment;"));
    let part = Request::builder().header(header::RANGE, "bytes=1-6");
    assert_eq!(http(town.public, part, &url, "").await.body().as_ref(), b"script");
    // Whoever is outside gets no address at all.
    let outside = eve.gets(&path, &[]).await;
    assert_eq!((outside.status(), outside.headers().get(header::LOCATION)), (StatusCode::NOT_FOUND, None));
    // A program that does not ask for an address gets the bytes.
    assert_eq!(alice.downloads(&page.id, "").await.unwrap(), b"<script>alert(1)</script>");
    let head = Request::builder().method(Method::HEAD).header(header::AUTHORIZATION, format!("Bearer {}", alice.token));
    let head = http(town.public, head, &path, "").await;
    assert_eq!((head.status(), &head.headers()[header::CONTENT_LENGTH]), (StatusCode::OK, &"25".parse().unwrap()));
}
