//! One transaction under way: numbers given out, events, projections, answers and outbox rows gathered for few statements.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use mesh::outbox::{self, OutboxMessage};
use prost::{Message as _, Name};
use proto::chat::{
    internal::v1::AudienceChange,
    v1::{Event, event::Body},
};
use sea_orm::DatabaseTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    errors::ChatError,
    live::Committed,
    store::{
        self,
        event::NewEvent,
        feed::Head,
        message,
        op::{self, Op},
    },
};

/// A transaction of the writer.
pub(crate) struct Work<'t> {
    /// The transaction, for queries and for writes that rules make themselves.
    pub(crate) tx: &'t DatabaseTransaction,
    /// When it happens, for all of it.
    pub(crate) now: OffsetDateTime,
    heads: HashMap<Uuid, Head>,
    moved: HashSet<Uuid>,
    events: Vec<Committed>,
    /// How many of `events` are written already.
    written: usize,
    messages: Vec<message::Model>,
    answers: Vec<(Op, Bytes)>,
    outbox: Vec<OutboxMessage>,
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
    pub(crate) fn new(tx: &'t DatabaseTransaction, now: OffsetDateTime, heads: HashMap<Uuid, Head>) -> Self {
        Self {
            tx,
            now,
            heads,
            moved: HashSet::new(),
            events: Vec::new(),
            written: 0,
            messages: Vec::new(),
            answers: Vec::new(),
            outbox: Vec::new(),
            changes: 0,
        }
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
        self.moved.insert(feed);
        self.changes += 1;
        let event = Event {
            feed_id: feed.to_string(),
            seq,
            at: Some(store::timestamp(store::micros(self.now))),
            actor_id: if actor.is_nil() { String::new() } else { actor.to_string() },
            body: Some(body),
        };
        self.events.push(Committed { feed_id: feed, seq, bytes: event.encode_to_vec().into(), audience });
        seq
    }

    /// Counts one more message in a feed.
    pub(crate) fn next_ordinal(&mut self, feed: Uuid) -> u64 {
        let head = self.heads.entry(feed).or_default();
        head.ordinal += 1;
        self.moved.insert(feed);
        self.changes += 1;
        head.ordinal
    }

    /// Keeps a new message's row for the end of the transaction.
    pub(crate) fn insert_message(&mut self, row: message::Model) {
        self.messages.push(row);
        self.changes += 1;
    }

    /// Sends an event to other services, once the transaction is committed.
    pub(crate) fn publish<M: prost::Message + Name>(&mut self, key: Uuid, event: &M) -> Result<(), ChatError> {
        let body = proto::to_json(event).map_err(ChatError::internal)?;
        self.outbox.push(OutboxMessage::new(proto::event_kind::<M>(), body, key));
        self.changes += 1;
        Ok(())
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
        let here = self.answers.iter().find(|(known, _)| known.user_id == op.user_id && known.op_id == op.op_id);
        match here {
            Some((known, first)) if known.method == op.method && known.hash == op.hash => Ok(Some(first.clone())),
            Some(_) => Err(ChatError::OpIdReused),
            None => op::answered(self.tx, op).await,
        }
    }

    /// Remembers the answer to an operation.
    pub(crate) fn remember(&mut self, op: Op, response: Bytes) {
        self.answers.push((op, response));
    }

    /// Writes the events and messages gathered so far, for rules that look at them.
    pub(crate) async fn flush(&mut self) -> Result<(), ChatError> {
        let new: Vec<NewEvent> = self.events[self.written..]
            .iter()
            .map(|event| NewEvent { feed_id: event.feed_id, seq: event.seq, bytes: event.bytes.clone() })
            .collect();
        self.written = self.events.len();
        store::event::insert(self.tx, &new).await?;
        let rows = std::mem::take(&mut self.messages);
        message::insert(self.tx, rows).await?;
        Ok(())
    }

    /// Writes everything that is still only gathered.
    pub(crate) async fn finish(mut self) -> Result<Told, ChatError> {
        self.flush().await?;
        let mut heads: Vec<(Uuid, Head)> = self.moved.iter().map(|feed| (*feed, self.head(*feed))).collect();
        heads.sort_unstable_by_key(|(feed, _)| *feed);
        if !heads.is_empty() {
            store::feed::save(self.tx, &heads).await?;
        }
        op::save(self.tx, &self.answers).await?;
        if !self.outbox.is_empty() {
            outbox::add(self.tx, &self.outbox, self.now).await?;
        }
        Ok(Told { outbox: !self.outbox.is_empty(), events: self.events })
    }
}
