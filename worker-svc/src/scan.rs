//! A virus scanner: clamd, which gets the bytes over TCP by its command INSTREAM (see clamd(8)): chunks, each after its length in
//! four bytes, the last one with the length 0, and then one answer that ends with a zero.
//!
//! The answer is listened for from the beginning: a file that is longer than clamd takes is answered, and the connection closed,
//! while bytes are still being sent.

use std::{io, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    time::timeout,
};

/// What begins a stream, in the form that is answered with a zero at the end.
const COMMAND: &[u8] = b"zINSTREAM\0";
/// The longest chunk that is sent at once.
const CHUNK: usize = 128 * 1024;
/// An answer is a line.
const MAX_ANSWER: u64 = 4096;

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    connect: Duration,
    /// One chunk on its way.
    chunk: Duration,
    /// Looking at everything, once it is there.
    answer: Duration,
    /// The answer of a scanner that takes no more bytes.
    last_words: Duration,
}

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    chunk: Duration::from_secs(30),
    answer: Duration::from_secs(120),
    last_words: Duration::from_secs(2),
};

/// What the scanner says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was found.
    Clean,
    /// This was.
    Infected(String),
    /// It will not look at this file, however often it is asked, and this is why.
    Refused(String),
}

/// Why there are no more bytes to send.
enum Unsent {
    /// Where they come from failed.
    Source(io::Error),
    /// The scanner takes no more.
    Scanner(anyhow::Error),
}

/// Lets the scanner look at bytes. An error is one of the scanner or of where the bytes come from, and says nothing of the file.
pub(crate) async fn scan(address: &str, bytes: impl Stream<Item = io::Result<Bytes>>) -> anyhow::Result<Verdict> {
    scan_within(PATIENCE, address, bytes).await
}

async fn scan_within(
    patience: Patience,
    address: &str,
    bytes: impl Stream<Item = io::Result<Bytes>>,
) -> anyhow::Result<Verdict> {
    let connected = timeout(patience.connect, TcpStream::connect(address)).await;
    let socket = connected.context("the virus scanner does not answer")?.context("the virus scanner")?;
    let (from, to) = socket.into_split();
    let mut answer = std::pin::pin!(answer(from));
    let sent = tokio::select! {
        early = &mut answer => return verdict(&early?),
        sent = send(to, patience, bytes) => sent,
    };
    // The half that sends is kept until the end: clamd takes a closed one for somebody who went away.
    match sent {
        Ok(_to) => {
            let said = timeout(patience.answer, answer).await.context("the virus scanner takes too long")?;
            verdict(&said?)
        }
        Err(Unsent::Source(cause)) => Err(cause).context("what was to be scanned"),
        // It may have said why before it closed.
        Err(Unsent::Scanner(cause)) => match timeout(patience.last_words, answer).await {
            Ok(Ok(said)) if !said.is_empty() => verdict(&said),
            _ => Err(cause),
        },
    }
}

async fn send(
    mut to: OwnedWriteHalf,
    patience: Patience,
    bytes: impl Stream<Item = io::Result<Bytes>>,
) -> Result<OwnedWriteHalf, Unsent> {
    put(&mut to, patience, COMMAND).await?;
    let mut bytes = std::pin::pin!(bytes);
    while let Some(piece) = bytes.next().await {
        for chunk in piece.map_err(Unsent::Source)?.chunks(CHUNK) {
            let length = u32::try_from(chunk.len()).unwrap_or(0).to_be_bytes();
            put(&mut to, patience, &length).await?;
            put(&mut to, patience, chunk).await?;
        }
    }
    put(&mut to, patience, &[0; 4]).await?;
    Ok(to)
}

async fn put(to: &mut OwnedWriteHalf, patience: Patience, bytes: &[u8]) -> Result<(), Unsent> {
    match timeout(patience.chunk, to.write_all(bytes)).await {
        Ok(written) => written.context("the virus scanner takes no more").map_err(Unsent::Scanner),
        Err(_) => Err(Unsent::Scanner(anyhow::anyhow!("the virus scanner takes nothing any more"))),
    }
}

/// Everything that is said until the zero or the end.
async fn answer(from: OwnedReadHalf) -> io::Result<Vec<u8>> {
    let (mut from, mut said) = (from.take(MAX_ANSWER), Vec::new());
    while from.read_buf(&mut said).await? > 0 && !said.contains(&0) {}
    Ok(said)
}

/// `stream: OK`, `stream: NAME FOUND`, or `REASON ERROR`.
fn verdict(answer: &[u8]) -> anyhow::Result<Verdict> {
    let answer = String::from_utf8_lossy(answer);
    let answer = answer.trim_matches(|letter: char| letter == '\0' || letter.is_whitespace());
    let said = answer.strip_prefix("stream: ").unwrap_or(answer);
    if said == "OK" {
        return Ok(Verdict::Clean);
    }
    if let Some(name) = said.strip_suffix(" FOUND") {
        return Ok(Verdict::Infected(name.chars().take(100).collect()));
    }
    if said.contains("size limit exceeded") {
        return Ok(Verdict::Refused("it is larger than the scanner takes (its StreamMaxLength)".into()));
    }
    anyhow::bail!("the virus scanner said {said:.100?}")
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use mesh::lifecycle::Tasks;
    use tokio::net::TcpListener;

    use super::*;

    const SHORT: Patience = Patience {
        connect: Duration::from_secs(5),
        chunk: Duration::from_millis(300),
        answer: Duration::from_millis(300),
        last_words: Duration::from_millis(300),
    };

    /// How a scanner behaves.
    #[derive(Clone, Copy)]
    enum Clamd {
        /// Answers like this, once it has everything.
        Says(&'static [u8]),
        /// Takes so many bytes, then says that it is too much, and closes.
        Takes(usize),
        /// Takes the connection and nothing more.
        Sleeps,
        /// Closes when it has everything.
        Hangs,
    }

    async fn scans(clamd: Clamd, pieces: Vec<io::Result<Bytes>>) -> (anyhow::Result<Verdict>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (got, heard) = tokio::sync::oneshot::channel();
        let tasks = Tasks::new();
        tasks.spawn("clamd", async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = got.send(serve(&mut socket, clamd).await);
        });
        let verdict = scan_within(SHORT, &address, stream::iter(pieces)).await;
        let heard = if matches!(clamd, Clamd::Sleeps) { Vec::new() } else { heard.await.unwrap() };
        tasks.stop(Duration::ZERO).await;
        (verdict, heard)
    }

    /// What it took; up to where the other side went away.
    async fn serve(socket: &mut TcpStream, clamd: Clamd) -> Vec<u8> {
        if matches!(clamd, Clamd::Sleeps) {
            std::future::pending::<()>().await;
        }
        let (mut command, mut bytes) = ([0; COMMAND.len()], Vec::new());
        socket.read_exact(&mut command).await.unwrap();
        assert_eq!(command, COMMAND);
        while let Ok(size) = socket.read_u32().await {
            if size == 0 {
                if let Clamd::Says(answer) = clamd {
                    socket.write_all(answer).await.unwrap();
                }
                bytes.extend(b"END");
                break;
            }
            let mut chunk = vec![0; usize::try_from(size).unwrap()];
            if socket.read_exact(&mut chunk).await.is_err() {
                break;
            }
            bytes.extend(chunk);
            if matches!(clamd, Clamd::Takes(most) if bytes.len() > most) {
                socket.write_all(b"INSTREAM size limit exceeded. ERROR\0").await.unwrap();
                break;
            }
        }
        bytes
    }

    fn pieces(count: usize, size: usize) -> Vec<io::Result<Bytes>> {
        (0..count).map(|_| Ok(Bytes::from(vec![7; size]))).collect()
    }

    #[tokio::test]
    async fn a_scanner_is_given_everything_and_understood() {
        let (verdict, heard) = scans(Clamd::Says(b"stream: OK\0"), pieces(3, 200_000)).await;
        assert_eq!((verdict.unwrap(), heard.len()), (Verdict::Clean, 600_003));
        let (verdict, _) = scans(Clamd::Says(b"stream: Eicar-Test FOUND\0"), pieces(1, 10)).await;
        assert_eq!(verdict.unwrap(), Verdict::Infected("Eicar-Test".into()));
        let (verdict, heard) = scans(Clamd::Says(b"stream: OK\0"), Vec::new()).await;
        assert_eq!((verdict.unwrap(), heard.as_slice()), (Verdict::Clean, b"END".as_slice()));
    }

    #[tokio::test]
    async fn trouble_of_the_scanner_says_nothing_of_the_file() {
        for answer in [b"stream: Can't allocate memory ERROR\0".as_slice(), b"UNKNOWN COMMAND\0", b"stre"] {
            let (verdict, _) = scans(Clamd::Says(answer), pieces(1, 10)).await;
            assert!(verdict.is_err(), "{verdict:?}");
        }
        for clamd in [Clamd::Sleeps, Clamd::Hangs] {
            let (verdict, _) = scans(clamd, pieces(400, 100_000)).await;
            assert!(verdict.is_err(), "{verdict:?}");
        }
        let nobody = scan_within(SHORT, "127.0.0.1:1", stream::iter(pieces(1, 1))).await;
        assert!(nobody.is_err());
    }

    #[tokio::test]
    async fn a_file_that_is_too_long_is_refused_while_it_is_sent() {
        let (verdict, heard) = scans(Clamd::Takes(1_000_000), pieces(400, 100_000)).await;
        assert!(matches!(&verdict, Ok(Verdict::Refused(why)) if why.contains("StreamMaxLength")), "{verdict:?}");
        assert!(heard.len() < 2_000_000, "{}", heard.len());
    }

    #[tokio::test]
    async fn bytes_that_break_off_are_not_taken_for_all() {
        let broken = vec![Ok(Bytes::from_static(b"half")), Err(io::Error::other("the store is away"))];
        let (verdict, heard) = scans(Clamd::Says(b"stream: OK\0"), broken).await;
        assert!(verdict.is_err());
        assert!(!heard.ends_with(b"END"));
    }
}
