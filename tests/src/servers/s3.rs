//! An S3 server that checks signatures, on a folder, within the test's own process: s3s with s3s-fs, behind a door that can
//! be shut.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioExecutor, rt::TokioIo, server::conn::auto::Builder};
use mesh::{blobs::S3Config, config::Secret, lifecycle::Tasks};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The only key that it knows.
const KEY: &str = "loquat-test";
const SECRET: &str = "a secret that signs";
/// The region that signatures must name, as servers of several regions ask for.
const REGION: &str = "us-east-1";

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// It has no space left: puts are refused.
    Full,
    /// It ends every connection at once, as if it were not there.
    Away,
}

/// A running server. Its data go with it.
pub struct S3 {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    folder: TempDir,
    tasks: Tasks,
}

impl S3 {
    /// Starts one.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the objects");
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).expect("a file system"));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let (mood, tasks) = (Arc::new(Mutex::new(Mood::Well)), Tasks::new());
        tasks.spawn("test-s3", accept(listener, service, mood.clone(), tasks.clone()));
        Self { address, mood, folder, tasks }
    }

    /// How it behaves from now on.
    pub fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How it is reached.
    pub fn config(&self) -> S3Config {
        S3Config {
            endpoint: self.endpoint(),
            access_key: KEY.into(),
            secret_key: Secret::new(SECRET),
            ..S3Config::default()
        }
    }

    /// Where it keeps its objects: a folder for each bucket.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

async fn accept(listener: TcpListener, service: S3Service, mood: Arc<Mutex<Mood>>, tasks: Tasks) {
    let stop = tasks.stopping();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted.expect("a connection").0,
            () = stop.cancelled() => return,
        };
        if is(&mood, Mood::Away) {
            continue;
        }
        let (service, mood, stop) = (service.clone(), mood.clone(), stop.clone());
        tasks.spawn("test-s3-connection", async move {
            let (asked, kept) = (mood.clone(), service);
            let answers = service_fn(move |request| answer(kept.clone(), asked.clone(), request));
            let builder = Builder::new(TokioExecutor::new());
            let serving = builder.serve_connection(TokioIo::new(socket), answers);
            tokio::select! {
                _ = serving => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

fn is(mood: &Mutex<Mood>, wanted: Mood) -> bool {
    *mood.lock().unwrap_or_else(PoisonError::into_inner) == wanted
}

type Answer = Response<UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// An error ends the connection without an answer.
async fn answer(
    service: S3Service,
    mood: Arc<Mutex<Mood>>,
    request: Request<Incoming>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    if is(&mood, Mood::Away) {
        return Err("the store is away".into());
    }
    if is(&mood, Mood::Full) && request.method() == http::Method::PUT {
        request.into_body().collect().await?;
        return Ok(refusal(StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage"));
    }
    let signed = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if signed.is_some_and(|signed| !signed.contains(&format!("/{REGION}/s3/"))) {
        return Ok(refusal(StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed"));
    }
    let answer = hyper::service::Service::call(&service, request).await?;
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

fn refusal(status: StatusCode, code: &str) -> Answer {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>");
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}
