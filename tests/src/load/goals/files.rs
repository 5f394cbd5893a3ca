//! Goal 13: a file of 2 GiB up and down over HTTP, beside axum that does no more than hash, sync and stream.

use std::time::Instant;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::stream;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use proto::auth::v1::User;

use super::{Bench, Limit, median};
use crate::{
    Person,
    load::{
        server::status_mib,
        target::{Kind, Target},
    },
};

const MIB: usize = 1024 * 1024;
const CHUNK: usize = 256 * 1024;
/// Files are larger than what either side could hold back.
const SIZE_MIB: usize = 2048;
const ROUNDS: usize = 3;

/// What one target came to.
#[derive(Default)]
struct Found {
    /// MiB a second.
    up: Vec<f64>,
    /// MiB a second.
    down: Vec<f64>,
    /// The most memory that its processes ever had in hand, in MiB.
    peak: f64,
}

pub(super) fn measure(bench: &mut Bench) {
    let rounds = bench.rounds.min(ROUNDS);
    let [floor, embedded, apart] = [Kind::BareFiles, Kind::Embedded, Kind::Apart].map(|kind| {
        let server = bench.server.clone();
        bench.runtime.block_on(async {
            let target = Target::start(kind, &server, 1).await;
            passes(&target, rounds).await
        })
    });
    for (kind, found, limit) in [("embedded", &embedded, 0.5), ("apart", &apart, 0.25)] {
        for (way, ours, floors) in [("up", &found.up, &floor.up), ("down", &found.down, &floor.down)] {
            let (ours, floors) = (median(ours.iter().copied()), median(floors.iter().copied()));
            let note = format!("{ours:.0} / {floors:.0} MiB/s");
            bench.noted(13, format!("2 GiB {way}: {kind} / axum"), ours / floors, Limit::AtLeast(limit), &note);
        }
        bench.row(13, format!("MiB of {kind} meanwhile, at most"), found.peak, Limit::AtMost(128.0));
    }
}

async fn passes(target: &Target, rounds: usize) -> Found {
    let mut found = Found::default();
    for _ in 0..rounds {
        let upload = opening(target).await;
        let began = Instant::now();
        let path = sends(upload).await;
        found.up.push(SIZE_MIB as f64 / began.elapsed().as_secs_f64());
        if let Some(person) = person(target) {
            // What the worker does with it is not part of the download.
            person.settled(path.trim_start_matches("/files/")).await;
        }
        let began = Instant::now();
        fetches(target, &path).await;
        found.down.push(SIZE_MIB as f64 / began.elapsed().as_secs_f64());
    }
    let peaks = target.own_pids().into_iter().map(|pid| status_mib(pid, "VmHWM"));
    found.peak = peaks.fold(0.0, f64::max);
    found
}

/// The one account; the floor has none.
fn person(target: &Target) -> Option<Person> {
    let account = target.accounts.first()?;
    let user = User { id: account.user_id.clone(), ..User::default() };
    Some(Person::returns(target.address, user, account.access_token.clone(), String::new()))
}

fn request(target: &Target, path: &str) -> http::request::Builder {
    let request = Request::builder().uri(format!("http://{}{path}", target.address));
    match target.accounts.first() {
        Some(account) => request.header(header::AUTHORIZATION, format!("Bearer {}", account.access_token)),
        None => request,
    }
}

/// A request that opens an upload and brings its bytes along.
async fn opening(target: &Target) -> http::request::Builder {
    let opening =
        request(target, "/files").method("POST").header(header::CONTENT_TYPE, "application/offset+octet-stream");
    let Some(person) = person(target) else {
        return opening;
    };
    let room = person.creates_room(&format!("files {}", mesh::ids::new_id())).await;
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let metadata = format!("filename {},room_id {}", encode("large.bin"), encode(&room.id));
    let opening = opening.header("tus-resumable", "1.0.0").header("upload-metadata", metadata);
    opening.header("upload-length", SIZE_MIB * MIB)
}

async fn sends(opening: http::request::Builder) -> String {
    // Different every time: bytes that are known are not stored again.
    let mut chunk: Vec<u8> = (0..CHUNK).map(|number| (number * 31 % 251) as u8).collect();
    chunk[..16].copy_from_slice(mesh::ids::new_id().as_bytes());
    let chunk = Bytes::from(chunk);
    let frames = (0..SIZE_MIB * MIB / CHUNK).map(move |_| Ok::<_, std::io::Error>(Frame::data(chunk.clone())));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let body = StreamBody::new(stream::iter(frames));
    let answer = client.request(opening.body(body).expect("a request")).await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    let path = answer.headers().get(header::LOCATION).and_then(|path| path.to_str().ok());
    path.unwrap_or("/files/kept").to_owned()
}

async fn fetches(target: &Target, path: &str) {
    let client = Client::builder(TokioExecutor::new()).build_http::<http_body_util::Empty<Bytes>>();
    let request = request(target, path).body(http_body_util::Empty::new()).expect("a request");
    let answer = client.request(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let (mut body, mut size) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        size += frame.expect("the whole file").into_data().map_or(0, |data| data.len());
    }
    assert_eq!(size, SIZE_MIB * MIB);
}
