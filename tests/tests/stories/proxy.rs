//! The proxy that other tests break: each fault does what its name says, and `heal` ends it.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tests::{proxy::Proxy, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const SHORT: Duration = Duration::from_millis(200);

/// A server that sends back what it gets, and ends when its peer does.
struct Echo {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Self { address, _serving: serving }
    }
}

async fn connects(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn echoes(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    stream.write_all(text).await?;
    let mut back = vec![0; text.len()];
    within("the echo", stream.read_exact(&mut back)).await?;
    assert_eq!(back, text);
    Ok(())
}

async fn comes(stream: &mut TcpStream, expected: &[u8]) {
    let mut back = vec![0; expected.len()];
    within("the echo", stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, expected);
}

async fn nothing_comes(stream: &mut TcpStream) {
    assert!(tokio::time::timeout(SHORT, stream.read(&mut [0])).await.is_err(), "something came");
}

#[tokio::test]
async fn bytes_pass_both_ways_and_so_does_the_end() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.address).await;
    let mut stream = connects(&proxy).await;
    let large: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (mut from, mut to) = stream.split();
    let sends = async {
        to.write_all(&large).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut back = Vec::new();
    let receives = from.read_to_end(&mut back);
    let (_, received) = within("all of it", async { tokio::join!(sends, receives) }).await;
    received.unwrap();
    assert!(back == large, "{} of {} bytes came back", back.len(), large.len());
}

#[tokio::test]
async fn delay_makes_bytes_late_and_keeps_their_order() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.address).await;
    let mut stream = connects(&proxy).await;
    echoes(&mut stream, b"quick").await.unwrap();
    proxy.delay(SHORT);
    let started = Instant::now();
    stream.write_all(b"one ").await.unwrap();
    stream.write_all(b"two").await.unwrap();
    comes(&mut stream, b"one two").await;
    assert!(started.elapsed() >= SHORT * 2, "once in each direction: {:?}", started.elapsed());
    proxy.delay(Duration::from_secs(3600));
    stream.write_all(b"late").await.unwrap();
    nothing_comes(&mut stream).await;
    proxy.heal().await;
    comes(&mut stream, b"late").await;
}

#[tokio::test]
async fn a_stall_takes_everything_and_passes_nothing_until_it_heals() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.address).await;
    let mut old = connects(&proxy).await;
    echoes(&mut old, b"before").await.unwrap();
    proxy.stall();
    old.write_all(b"old").await.unwrap();
    let mut new = connects(&proxy).await;
    new.write_all(b"new").await.unwrap();
    nothing_comes(&mut old).await;
    nothing_comes(&mut new).await;
    proxy.heal().await;
    comes(&mut old, b"old").await;
    comes(&mut new, b"new").await;
}

#[tokio::test]
async fn a_cut_ends_in_order_and_refuses() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.address).await;
    let mut stream = connects(&proxy).await;
    echoes(&mut stream, b"before").await.unwrap();
    proxy.cut().await;
    assert_eq!(within("the end", stream.read(&mut [0])).await.unwrap(), 0, "a FIN");
    assert_eq!(TcpStream::connect(proxy.address()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    proxy.heal().await;
    echoes(&mut connects(&proxy).await, b"after").await.unwrap();
}

#[tokio::test]
async fn a_stalled_connection_is_cut_in_order_too() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.address).await;
    let mut stream = connects(&proxy).await;
    echoes(&mut stream, b"before").await.unwrap();
    proxy.stall();
    stream.write_all(b"lost").await.unwrap();
    proxy.cut().await;
    assert_eq!(within("the end", stream.read(&mut [0])).await.unwrap(), 0, "a FIN");
}

#[tokio::test]
async fn a_reset_breaks_off_old_and_new() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.address).await;
    let mut stream = connects(&proxy).await;
    echoes(&mut stream, b"before").await.unwrap();
    proxy.reset().await;
    let broken = within("the end", stream.read(&mut [0])).await.unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
    // A connection is made before it is broken off, or while: both are a reset to who uses it.
    let new = async {
        let mut stream = TcpStream::connect(proxy.address()).await?;
        stream.read(&mut [0]).await
    };
    assert_eq!(within("the end", new).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.heal().await;
    echoes(&mut connects(&proxy).await, b"after").await.unwrap();
}

#[tokio::test]
async fn a_limit_slows_bytes_down() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.address).await;
    let mut stream = connects(&proxy).await;
    proxy.limit(100_000);
    let started = Instant::now();
    echoes(&mut stream, &[7; 50_000]).await.unwrap();
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(400), "{took:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_broken_connection() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::to(nobody).await;
    let read = async { connects(&proxy).await.read(&mut [0]).await };
    assert_eq!(within("the end", read).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
