//! A TCP proxy that breaks on command: what a network between two servers does to them.
//!
//! It works on bytes and knows no protocol. A fault holds for open and new connections until [`Proxy::heal`]; connections
//! that were cut or reset stay so.

mod connection;

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use self::connection::{Ending, Flow};
use crate::servers::free_port;

/// A proxy to one address. It ends when it is dropped, and its connections with it.
pub struct Proxy {
    address: SocketAddr,
    flow: watch::Sender<Flow>,
    door: watch::Sender<Door>,
    applied: watch::Receiver<u64>,
    /// Dropped with the proxy, which aborts what is in it.
    _accepting: JoinSet<()>,
}

/// What happens to connections; `step` counts the commands.
#[derive(Clone, Copy, Debug)]
struct Door {
    mode: Mode,
    step: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    Refusing,
    Resetting,
}

impl Proxy {
    /// Listens on a free port of loopback and forwards to `target`, which need not be there yet.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn to(target: SocketAddr) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (flow, door) = (watch::Sender::default(), watch::Sender::new(Door { mode: Mode::Open, step: 0 }));
        let (tell, applied) = watch::channel(0);
        let listener = TcpListener::bind(address).await.expect("the port is still free");
        let acceptor = Acceptor { address, target, flow: flow.clone(), door: door.subscribe(), tell };
        let mut accepting = JoinSet::new();
        accepting.spawn(acceptor.run(listener));
        Self { address, flow, door, applied, _accepting: accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes every byte on this much later, in both directions. The order stays, and nothing is lost.
    pub fn delay(&self, delay: Duration) {
        self.flow.send_modify(|flow| flow.delay = delay);
    }

    /// Lets this many bytes a second through each direction of each connection.
    pub fn limit(&self, bytes_per_second: u32) {
        self.flow.send_modify(|flow| flow.bytes_per_second = Some(bytes_per_second.max(1)));
    }

    /// Takes connections and bytes and passes nothing on, as a switch that died would. What waits goes on after `heal`.
    pub fn stall(&self) {
        self.flow.send_modify(|flow| flow.stalled = true);
    }

    /// Closes every connection in order (FIN) and refuses new ones. Returns when that is done.
    pub async fn cut(&self) {
        self.set(Mode::Refusing).await;
    }

    /// Breaks every connection off (RST), new ones as soon as they are made. Returns when that is done.
    pub async fn reset(&self) {
        self.set(Mode::Resetting).await;
    }

    /// Ends every fault. Returns when new connections are taken again.
    pub async fn heal(&self) {
        self.flow.send_replace(Flow::default());
        self.set(Mode::Open).await;
    }

    async fn set(&self, mode: Mode) {
        let mut step = 0;
        self.door.send_modify(|door| {
            *door = Door { mode, step: door.step + 1 };
            step = door.step;
        });
        self.applied.clone().wait_for(|applied| *applied >= step).await.expect("the proxy runs");
    }
}

/// Takes connections, and ends them when the door closes.
struct Acceptor {
    address: SocketAddr,
    target: SocketAddr,
    flow: watch::Sender<Flow>,
    door: watch::Receiver<Door>,
    tell: watch::Sender<u64>,
}

impl Acceptor {
    async fn run(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        let mut connections = JoinSet::new();
        let mut ending = watch::Sender::new(None);
        loop {
            let door = *self.door.borrow_and_update();
            if door.mode != Mode::Open {
                let how = if door.mode == Mode::Resetting { Ending::Reset } else { Ending::Close };
                ending.send_replace(Some(how));
                while connections.join_next().await.is_some() {}
                ending = watch::Sender::new(None);
            }
            match door.mode {
                Mode::Refusing => listener = None,
                _ if listener.is_none() => {
                    listener = Some(TcpListener::bind(self.address).await.expect("nobody took the port"));
                }
                Mode::Open | Mode::Resetting => {}
            }
            self.tell.send_replace(door.step);
            tokio::select! {
                biased;
                changed = self.door.changed() => if changed.is_err() { return },
                Some(_) = connections.join_next() => {}
                stream = accept(listener.as_ref()) => {
                    let flow = self.flow.subscribe();
                    connections.spawn(connection::run(stream, self.target, flow, ending.subscribe()));
                }
            }
        }
    }
}

/// The next connection; none ever when nobody listens.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        // A client that gave up before it was accepted is an error that concerns nobody else.
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
    }
}
