//! One connection through the proxy: two directions, each read at once and written when it is time.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    time::Instant,
};

/// How much is read at once.
const CHUNK: usize = 16 * 1024;
/// How many chunks may be under way in one direction: beyond that the sender feels the fault as pressure.
const UNDER_WAY: usize = 256;
/// A limited direction passes on so many pieces a second.
const PIECES: u32 = 20;

/// How bytes pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    pub(super) stalled: bool,
    pub(super) delay: Duration,
    pub(super) bytes_per_second: Option<u32>,
}

/// How a connection ends on command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Close,
    Reset,
}

/// Bytes and when they arrived.
type Chunk = (Instant, Vec<u8>);

/// Forwards until both sides have ended, one fails, or `ending` says how to end.
pub(super) async fn run(
    mut client: TcpStream,
    target: SocketAddr,
    mut flow: watch::Receiver<Flow>,
    mut ending: watch::Receiver<Option<Ending>>,
) {
    let connecting = async {
        // A stalled network does not carry the first packet either.
        flow.wait_for(|flow| !flow.stalled).await.map_err(io::Error::other)?;
        TcpStream::connect(target).await
    };
    let mut server = tokio::select! {
        server = connecting => match server {
            Ok(server) => server,
            Err(_) => return finish(client, Ending::Reset).await,
        },
        how = told(&mut ending) => return finish(client, how).await,
    };
    let how = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let there = pump(from_client, to_server, flow.clone());
        let back = pump(from_server, to_client, flow);
        tokio::select! {
            passed = async { tokio::try_join!(there, back) } => {
                if passed.is_ok() { Ending::Close } else { Ending::Reset }
            }
            how = told(&mut ending) => how,
        }
    };
    tokio::join!(finish(client, how), finish(server, how));
}

/// How to end, when that is commanded.
async fn told(ending: &mut watch::Receiver<Option<Ending>>) -> Ending {
    match ending.wait_for(Option::is_some).await {
        Ok(how) => (*how).unwrap_or(Ending::Close),
        // The proxy is gone.
        Err(_) => Ending::Close,
    }
}

async fn finish(mut stream: TcpStream, how: Ending) {
    // An error says that the other side was quicker to end it.
    match how {
        Ending::Reset => _ = stream.set_zero_linger(),
        Ending::Close => {
            let _ = stream.shutdown().await;
            // Closing with unread bytes would be a reset.
            let mut rest = [0; 4096];
            while stream.try_read(&mut rest).is_ok_and(|length| length > 0) {}
        }
    }
}

async fn pump(from: ReadHalf<'_>, to: WriteHalf<'_>, flow: watch::Receiver<Flow>) -> io::Result<()> {
    let (arrived, due) = mpsc::channel(UNDER_WAY);
    tokio::try_join!(read(from, arrived), write(to, due, flow))?;
    Ok(())
}

async fn read(mut from: ReadHalf<'_>, arrived: mpsc::Sender<Chunk>) -> io::Result<()> {
    loop {
        let mut bytes = vec![0; CHUNK];
        let length = from.read(&mut bytes).await?;
        bytes.truncate(length);
        // An end is passed on like bytes: as late, and after them.
        if arrived.send((Instant::now(), bytes)).await.is_err() || length == 0 {
            return Ok(());
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut due: mpsc::Receiver<Chunk>,
    mut flow: watch::Receiver<Flow>,
) -> io::Result<()> {
    while let Some((arrived, bytes)) = due.recv().await {
        if bytes.is_empty() {
            time_to_pass(arrived, &mut flow).await?;
            return to.shutdown().await;
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let limit = time_to_pass(arrived, &mut flow).await?;
            let most = limit.map_or(rest.len(), |limit| (limit / PIECES).max(1) as usize);
            let (piece, after) = rest.split_at(most.min(rest.len()));
            to.write_all(piece).await?;
            rest = after;
            if let Some(limit) = limit {
                tokio::time::sleep(Duration::from_secs_f64(piece.len() as f64 / f64::from(limit))).await;
            }
        }
    }
    Ok(())
}

/// Waits until bytes that arrived then may pass, by the flow as it is and becomes; tells the limit that holds.
async fn time_to_pass(arrived: Instant, flow: &mut watch::Receiver<Flow>) -> io::Result<Option<u32>> {
    loop {
        let now = *flow.borrow_and_update();
        let due = arrived + now.delay;
        if !now.stalled && due <= Instant::now() {
            return Ok(now.bytes_per_second);
        }
        tokio::select! {
            () = tokio::time::sleep_until(due), if !now.stalled => {}
            changed = flow.changed() => changed.map_err(io::Error::other)?,
        }
    }
}
