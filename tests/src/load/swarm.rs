//! Many sockets in one thread: connected, signed in, subscribed, then read in one loop through one shared buffer.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    ops::Range,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::{
    check::Member,
    wire::{self, Seen},
};

/// Bytes read from one socket at a time, into a buffer that all share.
const READ: usize = 256 * 1024;

/// What a client speaks.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// Loquat's `/ws`, with this access token.
    Loquat(String),
    /// A floor's.
    Floor,
}

/// One client.
pub struct Client {
    /// What it speaks.
    pub speaks: Speaks,
    /// The number of its room.
    pub room: usize,
    /// The id of its room.
    pub room_id: String,
    /// What it holds.
    pub member: Member,
    /// When it has caught up.
    pub ready: Option<Instant>,
    stream: Option<TcpStream>,
    state: State,
    /// The beginning of a frame whose rest has not come.
    rest: Vec<u8>,
    /// What the socket has not taken yet.
    out: Vec<u8>,
    /// It subscribed with its cursor.
    pub resumes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Away,
    Upgrading,
    Starting,
    Live,
}

/// Something that a client noticed.
#[derive(Debug)]
pub enum Noticed<'f> {
    /// An event of the client's room.
    Event {
        /// Its number.
        seq: u64,
        /// The text, if it posts a message.
        text: &'f [u8],
    },
    /// An event of a room that it is not in.
    Foreign,
    /// A call was answered.
    Reply(u64),
    /// A call failed.
    Failed(u64),
    /// The client has caught up.
    Ready,
    /// The connection ended.
    Ended,
}

/// All clients, and the loop over their sockets.
pub struct Swarm {
    /// The clients.
    pub clients: Vec<Client>,
    address: SocketAddr,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    /// How often something came.
    pub seen: u64,
}

impl Client {
    /// A client that is not connected.
    pub fn new(speaks: Speaks, room: usize, room_id: String) -> Self {
        Self {
            speaks,
            room,
            room_id,
            member: Member::default(),
            ready: None,
            stream: None,
            state: State::Away,
            rest: Vec::new(),
            out: Vec::new(),
            resumes: false,
        }
    }

    /// Whether it has caught up and is connected.
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }
}

impl Swarm {
    /// Nobody is connected yet.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(address: SocketAddr, clients: Vec<Client>) -> std::io::Result<Self> {
        let events = Events::with_capacity(4096);
        Ok(Self { clients, address, poll: Poll::new()?, events, buffer: vec![0; READ], seen: 0 })
    }

    /// Connects a client, which signs in and subscribes by itself.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn connect(&mut self, id: usize) -> std::io::Result<()> {
        let stream = std::net::TcpStream::connect(self.address)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(id), Interest::READABLE)?;
        let client = &mut self.clients[id];
        client.resumes = client.member.last > 0;
        client.stream = Some(stream);
        client.state = State::Upgrading;
        client.ready = None;
        client.rest.clear();
        client.out.clear();
        let authorization = match &client.speaks {
            Speaks::Loquat(token) => format!("Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: loquat.v1\r\n"),
            Speaks::Floor => String::new(),
        };
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n",
            self.address
        );
        client.out.extend_from_slice(request.as_bytes());
        self.push(id);
        Ok(())
    }

    /// Connects all; see [`Swarm::connect_some`].
    ///
    /// # Panics
    /// When it takes more than two minutes, or a connection is refused.
    pub fn connect_all(&mut self, at_once: usize) -> Duration {
        self.connect_some(0..self.clients.len(), at_once)
    }

    /// Connects some, so many at a time, and waits until they have caught up. Returns how long it took.
    ///
    /// # Panics
    /// When it takes more than two minutes, or a connection is refused.
    pub fn connect_some(&mut self, some: Range<usize>, at_once: usize) -> Duration {
        let began = Instant::now();
        let (mut started, mut ready) = (0, 0);
        while ready < some.len() {
            while started < some.len() && started - ready < at_once {
                self.connect(some.start + started).expect("the server accepts connections");
                started += 1;
            }
            self.turn(Duration::from_millis(10), |_, _, noticed, _| match noticed {
                Noticed::Ready => ready += 1,
                Noticed::Ended => panic!("the server ended a connection that was beginning"),
                _ => {}
            });
            assert!(began.elapsed() < Duration::from_secs(120), "{ready} of {} have caught up", some.len());
        }
        began.elapsed()
    }

    /// Cuts a connection without a word.
    pub fn cut(&mut self, id: usize) {
        let client = &mut self.clients[id];
        client.stream = None;
        client.state = State::Away;
    }

    /// Sends a message; `id` names the call.
    pub fn say(&mut self, id: usize, call: u64, text: String) {
        let client = &mut self.clients[id];
        let payload = wire::send_message(call, &client.room_id, text);
        wire::client_frame(&payload, &mut client.out);
        self.push(id);
    }

    /// Writes what waits, as far as the socket takes it.
    fn push(&mut self, id: usize) {
        let client = &mut self.clients[id];
        let Some(stream) = &mut client.stream else { return };
        while !client.out.is_empty() {
            match stream.write(&client.out) {
                Ok(taken) => drop(client.out.drain(..taken)),
                // The next turn tries again.
                Err(_) => return,
            }
        }
    }

    /// Reads what has come, waiting at most this long, and tells of it.
    pub fn turn(&mut self, wait: Duration, mut tell: impl FnMut(usize, &mut Client, Noticed<'_>, Instant)) {
        if self.poll.poll(&mut self.events, Some(wait)).is_err() {
            return;
        }
        let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        self.seen += ready.len() as u64;
        for id in ready {
            self.read(id, &mut tell);
            if !self.clients[id].out.is_empty() {
                self.push(id);
            }
        }
    }

    fn read(&mut self, id: usize, tell: &mut impl FnMut(usize, &mut Client, Noticed<'_>, Instant)) {
        let client = &mut self.clients[id];
        loop {
            let Some(stream) = &mut client.stream else { return };
            let kept = client.rest.len();
            if self.buffer.len() < kept + READ {
                self.buffer.resize(kept + READ, 0);
            }
            self.buffer[..kept].copy_from_slice(&client.rest);
            let taken = match stream.read(&mut self.buffer[kept..]) {
                Ok(0) => 0,
                Ok(taken) => taken,
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => 0,
            };
            // Once for what one read brought.
            let now = Instant::now();
            if taken == 0 {
                client.stream = None;
                client.state = State::Away;
                tell(id, client, Noticed::Ended, now);
                return;
            }
            client.rest.clear();
            let whole = take_in(id, client, &self.buffer[..kept + taken], now, tell);
            client.rest.extend_from_slice(&self.buffer[whole..kept + taken]);
            if taken < READ {
                return;
            }
        }
    }
}

/// Takes in what is whole; returns how many bytes that was.
fn take_in(
    id: usize,
    client: &mut Client,
    bytes: &[u8],
    now: Instant,
    tell: &mut impl FnMut(usize, &mut Client, Noticed<'_>, Instant),
) -> usize {
    let mut at = 0;
    if client.state == State::Upgrading {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return 0;
        };
        assert!(bytes.starts_with(b"HTTP/1.1 101"), "refused: {}", String::from_utf8_lossy(bytes));
        at = end + 4;
        client.state = State::Starting;
        let first = match &client.speaks {
            Speaks::Loquat(_) if client.resumes => wire::subscribe(&[(client.room_id.clone(), client.member.last)]),
            Speaks::Loquat(_) => wire::subscribe(&[]),
            // A floor knows no members: who asks for a room is in it.
            Speaks::Floor => wire::subscribe(&[(client.room_id.clone(), 0)]),
        };
        wire::client_frame(&first, &mut client.out);
    }
    while let Some((opcode, payload, taken)) = wire::cut(&bytes[at..]) {
        at += taken;
        match opcode {
            2 => frame(id, client, payload, now, tell),
            9 => wire::pong(&mut client.out),
            _ => {}
        }
    }
    at
}

fn frame(
    id: usize,
    client: &mut Client,
    payload: &[u8],
    now: Instant,
    tell: &mut impl FnMut(usize, &mut Client, Noticed<'_>, Instant),
) {
    match wire::scan(payload) {
        Seen::Event { feed, seq, text } => {
            if feed == client.room_id.as_bytes() {
                tell(id, client, Noticed::Event { seq, text }, now);
            } else if !text.is_empty() {
                tell(id, client, Noticed::Foreign, now);
            }
        }
        Seen::Reply(call) => tell(id, client, Noticed::Reply(call), now),
        Seen::Failed(call) => tell(id, client, Noticed::Failed(call), now),
        Seen::Snapshot { feed, head } => {
            if feed == client.room_id.as_bytes() {
                client.member.last = head;
            }
        }
        Seen::CaughtUp => {
            client.state = State::Live;
            client.ready = Some(now);
            tell(id, client, Noticed::Ready, now);
        }
        Seen::Other => {}
    }
}
