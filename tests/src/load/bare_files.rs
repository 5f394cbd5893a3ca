//! The floor of files: axum that writes a body to a file, hashes and syncs it; and that streams a file.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncWriteExt as _, net::TcpListener};
use tokio_util::io::ReaderStream;

/// How much is read at a time; larger steps were no faster.
const STEP: usize = 256 * 1024;

/// Serves until the process is ended. The file lies beside `file`.
///
/// # Errors
/// When the address is taken.
pub async fn serve(listen: SocketAddr, file: &Path) -> std::io::Result<()> {
    let kept = file.with_extension("upload");
    let routes = Router::new().route("/files", post(upload)).route("/files/kept", get(download)).with_state(kept);
    axum::serve(TcpListener::bind(listen).await?, routes).await
}

async fn upload(State(kept): State<PathBuf>, body: Body) -> Result<String, StatusCode> {
    take(&kept, body).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn take(kept: &Path, body: Body) -> Result<String, Box<dyn std::error::Error>> {
    let (mut file, mut hash) = (File::create(kept).await?, Sha256::new());
    file.set_max_buf_size(STEP);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        hash.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    file.sync_all().await?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn download(State(kept): State<PathBuf>) -> Result<Body, StatusCode> {
    let file = File::open(kept).await.map_err(|_| StatusCode::NOT_FOUND)?;
    Ok(Body::from_stream(ReaderStream::with_capacity(file, STEP)))
}
