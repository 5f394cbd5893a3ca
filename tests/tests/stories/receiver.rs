//! A program that is told of things over HTTP.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::Instant,
};

/// What came, and when.
pub(super) type Received = Arc<Mutex<Vec<(Instant, String)>>>;

/// Answers every request with 200 and keeps it, with when it came.
pub(super) async fn receives_at(address: SocketAddr) -> Received {
    let listener = TcpListener::bind(address).await.unwrap();
    let got = Received::default();
    let kept = got.clone();
    mesh::lifecycle::Tasks::new().spawn("receiver", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            let mut buffer = [0; 8192];
            while !text.ends_with('}') {
                let read = stream.read(&mut buffer).await.unwrap();
                text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            kept.lock().unwrap().push((Instant::now(), text));
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    got
}
