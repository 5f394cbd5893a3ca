//! The floors: what a broadcast costs when there is nothing behind it, and when each message is made durable first.
//!
//! One thread, plain sockets, one frame a message, one write a member for what one turn of the loop brought. Speaks as much of
//! `/ws` as the generator needs, so that the generator does the same work whatever it measures. Who is allowed to do what is
//! not asked.

mod store;

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
};

use bytes::Bytes;
use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream},
};
use prost::Message as _;
use proto::{
    chat::v1::{Event, Message, MessagePosted, SendMessageRequest, event::Body},
    edge::v1::{CaughtUp, ClientFrame, Reply, ServerFrame, client_frame, server_frame::Frame},
};

use self::store::Store;
use super::wire;

const LISTENER: Token = Token(usize::MAX);
const STORED: Token = Token(usize::MAX - 1);
const READ: usize = 64 * 1024;

/// What a floor does with a message before it passes it on.
#[derive(Clone, Debug)]
pub enum Durability {
    /// Nothing.
    None,
    /// It is committed to SQLite, together with all that wait.
    Group(PathBuf),
    /// It is committed to SQLite by itself.
    Each(PathBuf),
}

/// A message on its way.
#[derive(Debug)]
struct Posted {
    sender: usize,
    call: u64,
    room: usize,
    seq: u64,
    event: Vec<u8>,
}

#[derive(Default)]
struct Room {
    id: String,
    seq: u64,
    members: Vec<usize>,
    /// Frames of this turn, one behind the other.
    frames: Vec<u8>,
    /// How many of them.
    messages: u64,
}

struct Peer {
    stream: TcpStream,
    upgraded: bool,
    user: String,
    rest: Vec<u8>,
    out: Vec<u8>,
}

/// A floor.
pub struct Floor {
    poll: Poll,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    rooms: Vec<Room>,
    by_id: HashMap<String, usize>,
    store: Option<Store>,
    waiting: Vec<Posted>,
    /// Writes to sockets that carried events, and events that they carried.
    writes: u64,
    deliveries: u64,
}

/// Serves until the process is ended.
///
/// # Errors
/// When the system refuses.
pub fn serve(listen: SocketAddr, durability: Durability) -> std::io::Result<()> {
    let poll = Poll::new()?;
    let mut listener = TcpListener::bind(listen)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Waker::new(poll.registry(), STORED)?;
    let store = match durability {
        Durability::None => None,
        Durability::Group(file) => Some(Store::open(&file, usize::MAX, waker)),
        Durability::Each(file) => Some(Store::open(&file, 1, waker)),
    };
    let mut floor = Floor {
        poll,
        listener,
        peers: Vec::new(),
        rooms: Vec::new(),
        by_id: HashMap::new(),
        store,
        waiting: Vec::new(),
        writes: 0,
        deliveries: 0,
    };
    let mut events = Events::with_capacity(4096);
    loop {
        floor.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => floor.accept()?,
                STORED => {}
                Token(peer) => {
                    if event.is_writable() {
                        floor.push(peer);
                    }
                    floor.read(peer);
                }
            }
        }
        floor.turn();
    }
}

impl Floor {
    fn accept(&mut self) -> std::io::Result<()> {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let _ = stream.set_nodelay(true);
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(self.peers.len()), both)?;
            let user = mesh::ids::new_id().to_string();
            self.peers.push(Some(Peer { stream, upgraded: false, user, rest: Vec::new(), out: Vec::new() }));
        }
        Ok(())
    }

    fn read(&mut self, id: usize) {
        let mut buffer = [0; READ];
        loop {
            let Some(peer) = connected(&mut self.peers, id) else { return };
            let taken = match peer.stream.read(&mut buffer) {
                Ok(taken) => taken,
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => 0,
            };
            if taken == 0 {
                self.peers[id] = None;
                for room in &mut self.rooms {
                    room.members.retain(|member| *member != id);
                }
                return;
            }
            peer.rest.extend_from_slice(&buffer[..taken]);
            self.take_in(id);
        }
    }

    fn take_in(&mut self, id: usize) {
        let Some(peer) = connected(&mut self.peers, id) else { return };
        if !peer.upgraded {
            let Some(end) = peer.rest.windows(4).position(|four| four == b"\r\n\r\n") else { return };
            if peer.rest.starts_with(b"GET /counts") {
                let counts = format!("writes {}\ndeliveries {}\n", self.writes, self.deliveries);
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{counts}", counts.len());
                return self.send(id, answer.as_bytes());
            }
            peer.rest.drain(..end + 4);
            peer.upgraded = true;
            self.send(id, b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        }
        let Some(peer) = connected(&mut self.peers, id) else { return };
        let rest = std::mem::take(&mut peer.rest);
        let mut at = 0;
        while let Some((opcode, payload, taken)) = wire::cut(&rest[at..]) {
            at += taken;
            if opcode == 2
                && let Ok(ClientFrame { frame: Some(frame) }) = ClientFrame::decode(payload)
            {
                self.frame(id, frame);
            }
        }
        if let Some(peer) = connected(&mut self.peers, id) {
            peer.rest = rest[at..].to_vec();
        }
    }

    fn frame(&mut self, id: usize, frame: client_frame::Frame) {
        match frame {
            client_frame::Frame::Subscribe(request) => {
                for cursor in request.cursors {
                    let room = self.room(&cursor.feed_id);
                    self.rooms[room].members.push(id);
                }
                self.send(id, &server_frame(Frame::CaughtUp(CaughtUp::default())));
            }
            client_frame::Frame::Call(call) => {
                if let Ok(request) = SendMessageRequest::decode(call.payload) {
                    self.post(id, call.id, request);
                }
            }
            _ => {}
        }
    }

    fn room(&mut self, id: &str) -> usize {
        if let Some(known) = self.by_id.get(id) {
            return *known;
        }
        self.rooms.push(Room { id: id.to_owned(), ..Room::default() });
        self.by_id.insert(id.to_owned(), self.rooms.len() - 1);
        self.rooms.len() - 1
    }

    fn post(&mut self, sender: usize, call: u64, request: SendMessageRequest) {
        let place = self.room(&request.room_id);
        let user = connected(&mut self.peers, sender).map(|peer| peer.user.clone()).unwrap_or_default();
        let room = &mut self.rooms[place];
        room.seq += 1;
        let message = Message {
            id: request.op_id.clone(),
            room_id: request.room_id,
            seq: room.seq,
            ordinal: room.seq,
            author_id: user.clone(),
            text: request.text,
            created_at: Some(proto::timestamp(1_700_000_000_000_000)),
            op_id: request.op_id,
            ..Message::default()
        };
        let event = Event {
            feed_id: room.id.clone(),
            seq: room.seq,
            at: message.created_at,
            actor_id: user,
            body: Some(Body::MessagePosted(MessagePosted { message: Some(message) })),
        };
        let event = event.encode_to_vec();
        self.waiting.push(Posted { sender, call, room: place, seq: room.seq, event });
    }

    /// Passes on what this turn brought, or has it stored first.
    fn turn(&mut self) {
        let Some(store) = &mut self.store else {
            let posted = std::mem::take(&mut self.waiting);
            return self.broadcast(posted);
        };
        let stored = store.stored();
        store.store(&mut self.waiting, &self.rooms);
        if let Some(stored) = stored {
            self.broadcast(stored);
        }
    }

    fn broadcast(&mut self, posted: Vec<Posted>) {
        let mut replies: HashMap<usize, Vec<u8>> = HashMap::new();
        let mut touched = Vec::new();
        for one in posted {
            let reply = server_frame(Frame::Reply(Reply { id: one.call, payload: Bytes::new() }));
            replies.entry(one.sender).or_default().extend_from_slice(&reply);
            let room = &mut self.rooms[one.room];
            if room.frames.is_empty() {
                touched.push(one.room);
            }
            event_frame(&one.event, &mut room.frames);
            room.messages += 1;
        }
        for (sender, replies) in replies {
            self.send(sender, &replies);
        }
        for room in touched {
            let frames = std::mem::take(&mut self.rooms[room].frames);
            let messages = std::mem::take(&mut self.rooms[room].messages);
            let members = std::mem::take(&mut self.rooms[room].members);
            for member in &members {
                self.send(*member, &frames);
            }
            self.writes += members.len() as u64;
            self.deliveries += members.len() as u64 * messages;
            self.rooms[room].members = members;
        }
    }

    fn send(&mut self, id: usize, bytes: &[u8]) {
        let Some(peer) = connected(&mut self.peers, id) else { return };
        if !peer.out.is_empty() {
            return peer.out.extend_from_slice(bytes);
        }
        let taken = peer.stream.write(bytes).unwrap_or(0);
        peer.out.extend_from_slice(&bytes[taken..]);
    }

    fn push(&mut self, id: usize) {
        let Some(peer) = connected(&mut self.peers, id) else { return };
        while !peer.out.is_empty() {
            match peer.stream.write(&peer.out) {
                Ok(taken) => drop(peer.out.drain(..taken)),
                Err(_) => return,
            }
        }
    }
}

fn connected(peers: &mut [Option<Peer>], id: usize) -> Option<&mut Peer> {
    peers.get_mut(id)?.as_mut()
}

fn server_frame(content: Frame) -> Vec<u8> {
    let mut frame = Vec::new();
    wire::server_frame(&ServerFrame { frame: Some(content) }.encode_to_vec(), &mut frame);
    frame
}

/// `ServerFrame.event` around an event's bytes.
fn event_frame(event: &[u8], into: &mut Vec<u8>) {
    let mut payload = Vec::with_capacity(event.len() + 8);
    prost::encoding::encode_key(3, prost::encoding::WireType::LengthDelimited, &mut payload);
    prost::encoding::encode_varint(event.len() as u64, &mut payload);
    payload.extend_from_slice(event);
    wire::server_frame(&payload, into);
}
