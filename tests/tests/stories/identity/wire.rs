//! HTTP/1.1 as it is written: what no library of ours would send.

use std::net::SocketAddr;

use tests::within;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Sends bytes and reads until the server ends the connection; empty when it gave the connection up without a word.
pub(super) async fn sends(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server need not take all of it, and what it said may be lost with the rest.
    let _ = within("the request", stream.write_all(bytes)).await;
    let mut answer = Vec::new();
    let _ = within("the end of the answer", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request without a body, with these lines among its headers.
pub(super) async fn asks(address: SocketAddr, request: &str, lines: &[String]) -> String {
    let head = format!("{request} HTTP/1.1\r\nhost: {address}\r\n{}\r\n", ended(lines));
    sends(address, head.as_bytes()).await
}

/// Calls a method by gRPC-Web with an empty message, and with these lines among its headers.
pub(super) async fn calls(address: SocketAddr, method: &str, lines: &[String]) -> String {
    let head = format!(
        "POST {method} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/grpc-web+proto\r\n\
         content-length: 5\r\n{}\r\n",
        ended(lines)
    );
    // No compression, and a message of no bytes.
    sends(address, &[head.as_bytes(), [0; 5].as_slice()].concat()).await
}

fn ended(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}
