//! How a transaction ends: what was gathered is written in few statements, or everything with one trip to the database.

use mesh::{
    audit, crash,
    db::{Expected, Rows},
    outbox,
};
use sea_orm::{ConnectionTrait as _, Statement};
use uuid::Uuid;

use super::work::{Told, Work};
use crate::{
    errors::ChatError,
    store::{
        self,
        event::NewEvent,
        feed::{self, Head},
        message, message_file, op, signed,
    },
};

impl Work<'_> {
    /// Writes the events and messages gathered so far, for rules that look at them.
    pub(crate) async fn flush(&mut self) -> Result<(), ChatError> {
        let rows = self.gathered();
        self.write(self.statements(rows)).await
    }

    /// The events and messages gathered so far.
    fn gathered(&mut self) -> Vec<Rows> {
        let new: Vec<NewEvent> = self.events[self.written..]
            .iter()
            .zip(self.written..)
            .map(|(event, place)| NewEvent {
                feed_id: event.feed_id,
                seq: event.seq,
                bytes: event.bytes.clone(),
                message_id: self.posted.get(&place).copied(),
            })
            .collect();
        self.written = self.events.len();
        let messages = std::mem::take(&mut self.messages);
        let files = std::mem::take(&mut self.message_files);
        vec![store::event::insert(&new), message::insert(&messages), message_file::insert(&files)]
    }

    fn statements(&self, rows: Vec<Rows>) -> Vec<Statement> {
        rows.into_iter().flat_map(|rows| rows.statements(self.db.backend())).collect()
    }

    async fn write(&self, statements: Vec<Statement>) -> Result<(), ChatError> {
        for statement in statements {
            self.tx().await?.execute_raw(statement).await?;
        }
        Ok(())
    }

    /// Writes everything that is still only gathered, and commits. Nothing has happened, and nothing is told, when a feed stands
    /// elsewhere than was believed.
    pub(crate) async fn finish(mut self) -> Result<Option<Told>, ChatError> {
        let gathered = self.gathered();
        // In one order everywhere: two processes that were sent the same operations must not wait for each other.
        self.answers.sort_unstable_by_key(|answered| (answered.op.op_id, answered.op.user_id));
        let outbox = outbox::rows(&self.outbox, self.now);
        let rest = [op::save(&self.answers), store::shared_file::save(&self.shared), outbox];
        if self.believed.is_some() {
            let rows = gathered.into_iter().chain(rest).collect();
            if !self.commit_as_believed(rows).await? {
                return Ok(None);
            }
        } else {
            let mut moved: Vec<(Uuid, Head)> = self.moved.iter().map(|feed| (*feed, self.head(*feed))).collect();
            moved.sort_unstable_by_key(|(feed, _)| *feed);
            let rows = gathered.into_iter().chain([feed::save(&moved)]).chain(rest).collect();
            self.commit_everything(rows).await?;
        }
        // What was read is known as well, whether it moved or not.
        self.known.learn_heads(self.heads);
        Ok(Some(Told { outbox: !self.outbox.is_empty(), events: self.events }))
    }

    /// One trip, in which the database itself sees whether feeds stand where they are believed to.
    async fn commit_as_believed(&self, rows: Vec<Rows>) -> Result<bool, ChatError> {
        let believed = self.believed.iter().flatten();
        let expected: Vec<Expected> = believed
            .map(|(id, was)| {
                let Head { seq, ordinal, changed } = self.head(*id);
                Expected { id: *id, version: signed(was.seq), then: [signed(seq), signed(ordinal), signed(changed)] }
            })
            .collect();
        Ok(self.db.commit_if(&feed::COUNTERS, &expected, rows).await?)
    }

    async fn commit_everything(&mut self, rows: Vec<Rows>) -> Result<(), ChatError> {
        if !self.audited.is_empty() {
            self.tx().await?;
        }
        // A crash point needs a moment between the writes and the commit, which one trip does not have.
        if self.tx.get().is_some() || crash::is_armed("chat.inserted") {
            self.write(self.statements(rows)).await?;
        } else {
            self.db.commit_at_once(&store::APPENDED, rows).await?;
        }
        crash::point("chat.inserted");
        if let Some(tx) = self.tx.take() {
            // Last, because from here on transactions wait for each other.
            audit::append(&tx, &self.audited, self.now).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}
