//! The live stream as a client gets it, the same over both transports, with everything that it must not do checked on the way.

use std::collections::BTreeMap;

use proto::{
    chat::v1::{Ephemeral, Event, Presence, ephemeral, event::Body},
    edge::v1::{
        Cursor, Look, ServerFrame, SubscribeRequest, client_frame, edge_service_client::EdgeServiceClient,
        server_frame::Frame,
    },
};
use tonic::{Status, Streaming};

use crate::{Person, socket::Socket, within};

/// How frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket.
    Socket,
    /// A stream over gRPC.
    Grpc,
}

/// Both.
pub const TRANSPORTS: [Transport; 2] = [Transport::Socket, Transport::Grpc];

/// What a stream ended with.
#[derive(Debug)]
pub enum Ended {
    /// A socket was closed with this code (0: none) and reason.
    Closed(u16, String),
    /// A stream over gRPC ended with this status.
    Status(Status),
}

#[allow(clippy::large_enum_variant, reason = "there are few")]
enum Line {
    Socket(Socket),
    Grpc(Streaming<ServerFrame>),
}

/// Somebody's live stream. Nothing is read until it is asked for.
pub struct Ear {
    line: Line,
    /// The newest number of each feed.
    pub cursors: BTreeMap<String, u64>,
    /// The epoch that `caught_up` told.
    pub epoch: String,
    /// Every event, in the order it came.
    pub log: Vec<Event>,
    /// Everything passing, in the order it came.
    pub passing: Vec<Ephemeral>,
}

impl Ear {
    /// Opens the stream with nothing in hand, and waits until it has caught up.
    ///
    /// # Panics
    /// When it does not.
    pub async fn opens(person: &Person, transport: Transport) -> Self {
        let mut ear = Self::asks(person, transport, SubscribeRequest::default()).await;
        ear.catches_up().await;
        ear
    }

    /// Opens the stream from cursors.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn resumes(person: &Person, transport: Transport, cursors: &BTreeMap<String, u64>) -> Self {
        let listed = cursors.iter().map(|(feed_id, seq)| Cursor { feed_id: feed_id.clone(), seq: *seq }).collect();
        let mut ear =
            Self::asks(person, transport, SubscribeRequest { cursors: listed, ..SubscribeRequest::default() }).await;
        ear.cursors.clone_from(cursors);
        ear
    }

    /// Opens the stream as a request says.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn asks(person: &Person, transport: Transport, request: SubscribeRequest) -> Self {
        let line = match transport {
            Transport::Socket => {
                let mut socket = Socket::signed_in(person.address, &person.token).await;
                socket.send(client_frame::Frame::Subscribe(request)).await;
                Line::Socket(socket)
            }
            Transport::Grpc => {
                let opened = EdgeServiceClient::new(person.channel()).subscribe(request).await;
                Line::Grpc(opened.expect("the stream opens").into_inner())
            }
        };
        Self { line, cursors: BTreeMap::new(), epoch: String::new(), log: Vec::new(), passing: Vec::new() }
    }

    /// The socket, for what only sockets can do.
    ///
    /// # Panics
    /// When it is a stream over gRPC.
    pub fn socket(&mut self) -> &mut Socket {
        match &mut self.line {
            Line::Socket(socket) => socket,
            Line::Grpc(_) => panic!("a stream over gRPC is no socket"),
        }
    }

    /// Looks at these rooms instead of others.
    ///
    /// # Panics
    /// When it is a stream over gRPC, or closed.
    pub async fn looks_at(&mut self, room_ids: &[&str]) {
        let room_ids = room_ids.iter().map(|id| (*id).to_owned()).collect();
        self.socket().send(client_frame::Frame::Look(Look { room_ids })).await;
    }

    /// The next frame.
    ///
    /// # Errors
    /// What the stream ended with.
    ///
    /// # Panics
    /// When nothing comes in time, or a number has a hole before it or came before.
    pub async fn next(&mut self) -> Result<Frame, Ended> {
        let frame = match &mut self.line {
            Line::Socket(socket) => match socket.next().await {
                Ok(frame) => frame,
                Err(closed) => return Err(Ended::Closed(closed.code, socket.close_reason.clone())),
            },
            Line::Grpc(stream) => {
                let next = within("the next frame", stream.message()).await.map_err(Ended::Status)?;
                let ended = || Ended::Status(Status::cancelled("the stream ended"));
                next.and_then(|frame| frame.frame).ok_or_else(ended)?
            }
        };
        self.takes(&frame);
        Ok(frame)
    }

    fn takes(&mut self, frame: &Frame) {
        match frame {
            Frame::Event(event) => {
                let newest = self.cursors.insert(event.feed_id.clone(), event.seq);
                let next = newest.map(|newest| newest + 1);
                assert_eq!(next, Some(event.seq), "a hole or a repetition in feed {}", event.feed_id);
                self.log.push(event.clone());
            }
            Frame::Snapshot(snapshot) => _ = self.cursors.insert(snapshot.feed_id.clone(), snapshot.head),
            Frame::CaughtUp(caught_up) => self.epoch.clone_from(&caught_up.epoch),
            Frame::Reset(reset) => _ = self.cursors.remove(&reset.feed_id),
            Frame::Ephemeral(ephemeral) => self.passing.push(ephemeral.clone()),
            _ => {}
        }
    }

    /// Reads on until a frame satisfies a condition.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&Frame) -> Option<T>) -> T {
        loop {
            match self.next().await {
                Ok(frame) => {
                    if let Some(found) = wanted(&frame) {
                        return found;
                    }
                }
                Err(ended) => panic!("the stream ended before {what}: {ended:?}"),
            }
        }
    }

    /// Waits for `caught_up`.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn catches_up(&mut self) {
        self.until("caught_up", |frame| matches!(frame, Frame::CaughtUp(_)).then_some(())).await;
    }

    /// Reads on until a feed has reached a number.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn reaches(&mut self, feed_id: &str, seq: u64) {
        while self.cursors.get(feed_id).copied().unwrap_or(0) < seq {
            let next = self.next().await;
            assert!(next.is_ok(), "the stream ended before number {seq}: {next:?}");
        }
    }

    /// Reads on until an event says that one was removed from a room, and returns the number that it was in the room.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn learns_of_removal(&mut self, room_id: &str) -> u64 {
        let left = |frame: &Frame| match frame {
            Frame::Event(Event { body: Some(Body::RoomLeft(left)), .. }) if left.room_id == room_id => {
                Some(left.left_seq)
            }
            _ => None,
        };
        self.until("the removal", left).await
    }

    /// Reads on until the stream ends.
    ///
    /// # Panics
    /// When it does not.
    pub async fn until_ended(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.next().await {
                return ended;
            }
        }
    }

    /// Reads on until a digest of a room names exactly these people as online.
    ///
    /// # Panics
    /// When the stream ends before, or none comes.
    pub async fn sees_online(&mut self, room_id: &str, people: &[&Person]) {
        let mut ids: Vec<&str> = people.iter().map(|person| person.user.id.as_str()).collect();
        ids.sort_unstable();
        let wanted = |frame: &Frame| {
            let digest = digest_of(frame, room_id)?;
            (digest.online_user_ids == ids && digest.online_count as usize == ids.len()).then_some(())
        };
        within("who is online", self.until("who is online", wanted)).await;
    }
}

/// The digest of a room in a frame.
pub fn digest_of<'a>(frame: &'a Frame, room_id: &str) -> Option<&'a Presence> {
    match frame {
        Frame::Ephemeral(Ephemeral { feed_id, body: Some(ephemeral::Body::Presence(digest)) })
            if feed_id == room_id =>
        {
            Some(digest)
        }
        _ => None,
    }
}
