//! One transaction under way: numbers given out, events, projections, answers and outbox rows gathered for few statements.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use mesh::{audit::Entry, bus::Interest, db::Db, outbox::OutboxMessage};
use prost::{Message as _, Name};
use proto::chat::{
    internal::v1::AudienceChange,
    v1::{Event, event::Body},
};
use proto::file::v1::File;
use sea_orm::DatabaseTransaction;
use time::OffsetDateTime;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::Known;
use crate::{
    command::{Actor, Place},
    errors::ChatError,
    live::Committed,
    messages,
    policy::{self, Action},
    rooms::Seen,
    store::{
        self,
        feed::Head,
        member, message, message_file,
        op::{self, Answered, Op},
        room,
    },
};

/// A transaction of the writer. It is begun when something needs it: what is known already and only appends becomes one trip to
/// the database in the end.
pub(crate) struct Work<'t> {
    pub(super) db: &'t Db,
    pub(super) tx: OnceCell<DatabaseTransaction>,
    /// When it happens, for all of it.
    pub(crate) now: OffsetDateTime,
    pub(super) known: &'t mut Known,
    interest: &'t Interest,
    pub(super) heads: HashMap<Uuid, Head>,
    /// Where feeds are believed to stand, in a database that others write to as well: it is seen at the end whether they did.
    pub(super) believed: Option<HashMap<Uuid, Head>>,
    pub(super) moved: HashSet<Uuid>,
    pub(super) events: Vec<Committed>,
    /// The messages that `events` post, by their place in it.
    pub(super) posted: HashMap<usize, Uuid>,
    /// How many of `events` are written already.
    pub(super) written: usize,
    pub(super) messages: Vec<message::Model>,
    /// Answers of earlier transactions to operations of this batch, as far as they were looked up.
    before: HashMap<(Uuid, Uuid), op::Model>,
    /// All of them were.
    looked_up: bool,
    pub(super) answers: Vec<Answered>,
    /// Where in `answers` an operation of this transaction is.
    answered: HashMap<(Uuid, Uuid), usize>,
    /// The message that the answer under way consists of, and its event.
    answer: Option<(Uuid, u64)>,
    pub(super) outbox: Vec<OutboxMessage>,
    /// Files that appear in rooms: the room, the file, and the number.
    pub(super) shared: Vec<(Uuid, Uuid, u64)>,
    /// What new messages refer to.
    pub(super) message_files: Vec<message_file::Model>,
    /// From where the change under way is asked for.
    pub(super) place: Place,
    /// What those did who manage rooms.
    pub(super) audited: Vec<Entry>,
    /// Counts everything that was gathered or written.
    changes: u64,
}

/// What there is to tell once the transaction is committed.
pub(crate) struct Told {
    /// The events, in order.
    pub(crate) events: Vec<Committed>,
    /// Whether the relay has something to do.
    pub(crate) outbox: bool,
}

impl<'t> Work<'t> {
    /// Finds out where `feeds` stand, which must be sorted: from memory where nobody else writes, otherwise by locking their
    /// counters. Which of `ops` were answered before is looked up. Without them nothing is looked up or locked: one that was
    /// answered makes the whole transaction fail, and so does a feed that somebody else moved.
    pub(crate) async fn begin(
        db: &'t Db,
        now: OffsetDateTime,
        feeds: &[Uuid],
        ops: Option<&[&Op]>,
        known: &'t mut Known,
        interest: &'t Interest,
    ) -> Result<Self, ChatError> {
        let mut work = Self {
            db,
            tx: OnceCell::new(),
            now,
            known,
            interest,
            heads: HashMap::new(),
            believed: None,
            moved: HashSet::new(),
            events: Vec::new(),
            posted: HashMap::new(),
            written: 0,
            messages: Vec::new(),
            before: HashMap::new(),
            looked_up: ops.is_some(),
            answers: Vec::new(),
            answered: HashMap::new(),
            answer: None,
            outbox: Vec::new(),
            shared: Vec::new(),
            message_files: Vec::new(),
            place: Place::default(),
            audited: Vec::new(),
            changes: 0,
        };
        work.heads = match (db.is_shared(), ops) {
            (false, _) => work.remember_heads(feeds).await?,
            (true, Some(_)) => work.lock(feeds).await?,
            (true, None) => work.believe(feeds)?,
        };
        if let Some(ops) = ops.filter(|ops| !ops.is_empty()) {
            let before = op::some(work.tx().await?, ops).await?;
            work.before = before.into_iter().map(|row| ((row.user_id, row.op_id), row)).collect();
        }
        Ok(work)
    }

    /// Locks counters, and makes those that are missing.
    async fn lock(&mut self, feeds: &[Uuid]) -> Result<HashMap<Uuid, Head>, ChatError> {
        let new = self.known.new_feeds(feeds);
        store::feed::add(self.tx().await?, &new).await?;
        let heads = store::feed::lock(self.tx().await?, feeds).await?;
        self.known.learn_feeds(&new);
        Ok(heads)
    }

    /// Others move counters as well, but seldom those of a room that people speak in through this process.
    fn believe(&mut self, feeds: &[Uuid]) -> Result<HashMap<Uuid, Head>, ChatError> {
        let head = |feed: &Uuid| self.known.head(*feed).map(|head| (*feed, head));
        let heads: Option<HashMap<Uuid, Head>> = feeds.iter().map(head).collect();
        self.believed.clone_from(&heads);
        heads.ok_or_else(|| ChatError::internal("a feed of which nothing is known"))
    }

    /// Nobody else moves counters, so what was committed last still holds.
    async fn remember_heads(&mut self, feeds: &[Uuid]) -> Result<HashMap<Uuid, Head>, ChatError> {
        let (mut heads, mut missing) = (HashMap::with_capacity(feeds.len()), Vec::new());
        for feed in feeds {
            match self.known.head(*feed) {
                Some(head) => _ = heads.insert(*feed, head),
                None => missing.push(*feed),
            }
        }
        if !missing.is_empty() {
            let found = store::feed::heads(self.db.reader(), &missing).await?;
            let read = missing.into_iter().map(|feed| (feed, found.get(&feed).copied().unwrap_or_default()));
            let read: Vec<(Uuid, Head)> = read.collect();
            // What is remembered may be forgotten for it; what this transaction needs is taken out already.
            self.known.learn_heads(read.iter().copied());
            heads.extend(read);
        }
        Ok(heads)
    }

    /// The transaction, for queries and for writes that rules make themselves.
    pub(crate) async fn tx(&self) -> Result<&DatabaseTransaction, ChatError> {
        if self.believed.is_some() {
            return Err(ChatError::internal("what is only believed is nothing to read or write by"));
        }
        Ok(self.tx.get_or_try_init(|| self.db.begin()).await?)
    }

    /// A room for somebody who wants to do something there, if they may; from memory when nothing changed since.
    pub(crate) async fn open(&mut self, room_id: Uuid, actor: Actor, action: Action) -> Result<Seen, ChatError> {
        let changed = self.head(room_id).changed;
        let room = match self.known.room(room_id, changed) {
            Some(room) => room.clone(),
            None => {
                let room = room::find(self.tx().await?, room_id).await?.ok_or(ChatError::RoomNotFound)?;
                self.known.learn_room(changed, room.clone());
                room
            }
        };
        let member = match self.known.member(room_id, actor.user_id, changed) {
            Some(member) => member.clone(),
            None => {
                let member = member::find(self.tx().await?, room_id, actor.user_id).await?;
                self.known.learn_member(room_id, actor.user_id, changed, member.clone());
                member
            }
        };
        let seen = Seen { room, member };
        policy::allow(action, seen.room.rules(), seen.asker(actor))?;
        Ok(seen)
    }

    /// Where a feed stands, changes of this transaction included.
    pub(crate) fn head(&self, feed: Uuid) -> Head {
        self.heads.get(&feed).copied().unwrap_or_default()
    }

    /// The number that the next event of a feed will get.
    pub(crate) fn next_seq(&self, feed: Uuid) -> u64 {
        self.head(feed).seq + 1
    }

    /// `now` as the contracts have it.
    pub(crate) fn at(&self) -> prost_types::Timestamp {
        store::timestamp(store::micros(self.now))
    }

    /// Gives an event its number and encodes it, once for its whole life.
    pub(crate) fn append(&mut self, feed: Uuid, actor: Uuid, body: Body, audience: Option<AudienceChange>) -> u64 {
        let head = self.heads.entry(feed).or_default();
        head.seq += 1;
        let seq = head.seq;
        if audience.is_some() || changes_room(&body) {
            head.changed = seq;
        }
        self.moved.insert(feed);
        self.changes += 1;
        let about = store::event::about(Some(&body));
        let event = Event {
            feed_id: feed.to_string(),
            seq,
            at: Some(store::timestamp(store::micros(self.now))),
            actor_id: if actor.is_nil() { String::new() } else { actor.to_string() },
            body: Some(body),
        };
        self.events.push(Committed { feed_id: feed, seq, bytes: event.encode_to_vec().into(), audience, about });
        seq
    }

    /// Appends the event that posts a message, whose answer is that message.
    pub(crate) fn post(&mut self, row: message::Model, body: Body) {
        let seq = self.append(row.room_id, row.author_id, body, None);
        self.posted.insert(self.events.len() - 1, row.id);
        self.answered_with(row.id, seq);
        self.messages.push(row);
    }

    /// Says that the answer is the message as an event has it.
    pub(crate) fn answered_with(&mut self, message_id: Uuid, seq: u64) {
        self.answer = Some((message_id, seq));
    }

    /// Counts one more message in a feed.
    pub(crate) fn next_ordinal(&mut self, feed: Uuid) -> u64 {
        let head = self.heads.entry(feed).or_default();
        head.ordinal += 1;
        self.moved.insert(feed);
        self.changes += 1;
        head.ordinal
    }

    /// Sends an event to other services, once the transaction is committed.
    pub(crate) fn publish<M: prost::Message + Name>(&mut self, key: Uuid, event: &M) -> Result<(), ChatError> {
        let kind = proto::event_kind::<M>();
        if self.interest.wants(&kind) {
            let body = proto::to_json(event).map_err(ChatError::internal)?;
            self.outbox.push(OutboxMessage::new(kind, body, key));
        }
        self.changes += 1;
        Ok(())
    }

    /// Notes in the audit log what somebody did to a room.
    pub(crate) fn audit(&mut self, actor: Actor, action: &'static str, room: Uuid, facts: &[(&'static str, String)]) {
        let entry = Entry::new(action, room).by(actor.user_id).from(&self.place.address).during(&self.place.trace);
        self.audited.push(facts.iter().fold(entry, |entry, (name, value)| entry.with(name, value)));
    }

    /// Notes which files the event of a number brings into a room: whoever may read that event may read them.
    pub(crate) fn shares(&mut self, room: Uuid, seq: u64, files: &[File]) {
        let ids = files.iter().filter_map(|file| Uuid::try_parse(&file.id).ok());
        self.shared.extend(ids.map(|file| (room, file, seq)));
    }

    /// Notes which files a new message refers to.
    pub(crate) fn refers(&mut self, room_id: Uuid, message_id: Uuid, files: &[File]) {
        let ids = files.iter().filter_map(|file| Uuid::try_parse(&file.id).ok());
        self.message_files.extend(ids.map(|file_id| message_file::Model { message_id, file_id, room_id }));
    }

    /// Says that a rule has written something itself.
    pub(crate) fn wrote(&mut self) {
        self.changes += 1;
    }

    /// Grows with every change: a refusal must leave it as it was.
    pub(crate) fn mark(&self) -> u64 {
        self.changes
    }

    /// The first answer to an operation: from this very transaction or from an earlier one.
    pub(crate) async fn answered(&self, op: &Op) -> Result<Option<Bytes>, ChatError> {
        let key = (op.user_id, op.op_id);
        if let Some(first) = self.answered.get(&key).and_then(|place| self.answers.get(*place)) {
            return if first.op.hash == op.hash {
                Ok(Some(first.response.clone()))
            } else {
                Err(ChatError::OpIdReused)
            };
        }
        let Some(first) = self.before.get(&key) else {
            return Ok(None);
        };
        first.check(op)?;
        match (&first.response, first.message_id, first.seq) {
            (Some(response), ..) => Ok(Some(response.clone().into())),
            (None, Some(message_id), Some(seq)) => {
                messages::answer_again(self.db.reader(), message_id, seq).await.map(Some)
            }
            _ => Err(ChatError::internal("an operation without its answer")),
        }
    }

    /// The first answer to an operation that is refused now: its author may have been removed since.
    pub(crate) async fn answered_before(&mut self, op: &Op) -> Result<Option<Bytes>, ChatError> {
        if self.looked_up {
            return Ok(None);
        }
        let rows = op::some(self.db.reader(), &[op]).await?;
        self.before.extend(rows.into_iter().map(|row| ((row.user_id, row.op_id), row)));
        self.answered(op).await
    }

    /// Remembers the answer to an operation; also forgets what the answer consists of, which the next one must say anew.
    pub(crate) fn remember(&mut self, op: Option<&Op>, response: &Bytes) {
        let message = self.answer.take();
        if let Some(op) = op {
            self.answered.insert((op.user_id, op.op_id), self.answers.len());
            self.answers.push(Answered { op: op.clone(), response: response.clone(), message });
        }
    }
}

/// Whether an event changes what the writer remembers of a room and its members.
fn changes_room(body: &Body) -> bool {
    matches!(
        body,
        Body::RoomCreated(_)
            | Body::RoomUpdated(_)
            | Body::RoomArchived(_)
            | Body::RoomUnarchived(_)
            | Body::MemberJoined(_)
            | Body::MemberLeft(_)
            | Body::MemberRoleChanged(_)
            | Body::MessagesExpired(_)
    )
}
