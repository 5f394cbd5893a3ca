//! A sender: one message after the other, each tried again under its operation id until there is an answer.

use std::sync::Arc;

use prost::Message as _;
use proto::chat::v1::{Message, SendMessageRequest, SendMessageResponse};
use rand::{Rng as _, rngs::StdRng};
use tokio::time::timeout;
use tonic::Code;

use super::{
    link::{PATIENCE, Socket},
    shared::{Backoff, Shared},
};
use crate::{Person, load::check, op_id};

/// One answered send in so many is repeated: the answer must be the same.
const REPEATED: f64 = 0.1;
const METHOD: &str = "/loquat.chat.v1.MessageService/SendMessage";

/// Somebody who sends to one room.
pub(super) struct Sender {
    pub(super) shared: Arc<Shared>,
    /// Which sender of the drill.
    pub(super) number: u32,
    pub(super) member: usize,
    pub(super) room: usize,
    way: Way,
    turn: usize,
    backoff: Backoff,
    random: StdRng,
}

/// How a sender reaches the server.
enum Way {
    Calls(Option<Box<Person>>),
    Socket(Option<Box<Socket>>),
}

/// What became of a try.
enum Answer {
    Done(Box<Message>),
    Refused(Code),
    Unknown,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, number: u32, member: usize, room: usize, random: StdRng) -> Self {
        let way = if number.is_multiple_of(2) { Way::Calls(None) } else { Way::Socket(None) };
        let backoff = Backoff::new(random.clone());
        Self { shared, number, member, room, way, turn: member, backoff, random }
    }

    /// Sends while there is load, for ever.
    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        let mut load = shared.load.subscribe();
        let mut count = 0;
        while load.wait_for(|on| *on).await.is_ok() {
            let _busy = shared.begins();
            while *load.borrow() {
                count += 1;
                self.sends(count).await;
                shared.pause(&mut self.random).await;
            }
        }
    }

    async fn sends(&mut self, count: u32) {
        let key = u64::from(self.number) << 32 | u64::from(count);
        let request = SendMessageRequest {
            room_id: self.shared.rooms[self.room].id.clone(),
            text: check::text(key, 0, 40 + self.random.random_range(0..200)),
            op_id: op_id(),
            file_ids: Vec::new(),
        };
        self.shared.ledger().attempt(key);
        let mut unknown = false;
        loop {
            match self.tries(&request).await {
                Answer::Done(message) => return self.done(key, &request, *message).await,
                Answer::Refused(code) => return self.refused(key, code, unknown),
                Answer::Unknown => {
                    unknown = true;
                    self.turn += 1;
                    self.backoff.wait().await;
                }
            }
        }
    }

    async fn done(&mut self, key: u64, request: &SendMessageRequest, message: Message) {
        self.backoff.reset();
        if message.text != request.text || message.op_id != request.op_id {
            let note = format!("{key:x} was answered with another message: {message:?}");
            self.shared.ledger().wrong(|counts| &mut counts.tally.unexpected, note);
        }
        self.shared.ledger().acknowledge(key, &message);
        if self.random.random_bool(REPEATED)
            && let Answer::Done(again) = self.tries(request).await
            && *again != message
        {
            let note = format!("{key:x} was answered with {message:?}, and again with {again:?}");
            self.shared.ledger().wrong(|counts| &mut counts.tally.duplicated, note);
        }
    }

    /// Only somebody who is out of the room may be refused, and only for that.
    fn refused(&mut self, key: u64, code: Code, unknown: bool) {
        let mut ledger = self.shared.ledger();
        ledger.refuse(key, unknown);
        if code != Code::NotFound || self.shared.rooms[self.room].churned != self.member {
            ledger.wrong(|counts| &mut counts.tally.failed, format!("{key:x} was refused: {code:?}"));
        }
    }

    async fn tries(&mut self, request: &SendMessageRequest) -> Answer {
        let (door, account) = (self.shared.door(self.turn), &self.shared.people[self.member]);
        let answer = match &mut self.way {
            Way::Calls(person) => {
                let person = person.get_or_insert_with(|| Box::new(account.at(door)));
                let call = async { person.messages().send_message(request.clone()).await };
                match timeout(PATIENCE, call).await {
                    Ok(Ok(answer)) => done(answer.into_inner()),
                    Ok(Err(status)) => refusal(status.code()),
                    Err(_) => Answer::Unknown,
                }
            }
            Way::Socket(socket) => socket_tries(socket, door, &account.token(), request).await,
        };
        if matches!(answer, Answer::Unknown) {
            match &mut self.way {
                Way::Calls(person) => *person = None,
                Way::Socket(socket) => *socket = None,
            }
        }
        answer
    }
}

async fn socket_tries(
    socket: &mut Option<Box<Socket>>,
    door: std::net::SocketAddr,
    token: &str,
    request: &SendMessageRequest,
) -> Answer {
    if socket.is_none() {
        *socket = Socket::connect(door, token).await.ok().map(Box::new);
    }
    let Some(socket) = socket else { return Answer::Unknown };
    match socket.call(METHOD, request.encode_to_vec()).await {
        Ok(Ok(payload)) => SendMessageResponse::decode(payload).map_or(Answer::Unknown, done),
        Ok(Err(code)) => refusal(Code::from_i32(code)),
        Err(_) => Answer::Unknown,
    }
}

fn done(answer: SendMessageResponse) -> Answer {
    answer.message.map_or(Answer::Unknown, |message| Answer::Done(Box::new(message)))
}

/// A refusal is final when trying again cannot help.
fn refusal(code: Code) -> Answer {
    match code {
        Code::NotFound | Code::InvalidArgument | Code::AlreadyExists | Code::PermissionDenied => Answer::Refused(code),
        _ => Answer::Unknown,
    }
}
