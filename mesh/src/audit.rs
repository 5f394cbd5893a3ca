//! An append-only log of what was done, by whom and from where. Each entry is written in the transaction of its change, numbered
//! without holes, and chained to the one before by a hash, so that nobody changes or removes one unseen.
//!
//! Owns the chain and nothing of what entries mean. The tables are `audit`, whose rows the database itself refuses to change, and
//! `audit_head`, the one row that entries are numbered by.

use std::collections::BTreeMap;

use sea_orm::{QueryOrder as _, QuerySelect as _, entity::prelude::*};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::{
    db::{Db, cut_page, micros, time_of},
    fields::Fields,
};

mod head;
mod migration;

pub use self::migration::migration;

/// The most bytes of a value; what is longer is cut.
const MAX_VALUE_BYTES: usize = 512;
/// How many entries are verified at a time.
const PAGE: u64 = 1000;

/// Something that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Who did it; nothing when nobody is signed in, or the server itself did.
    pub actor: Option<Uuid>,
    /// What was done, in the past tense and in parts: `user.role_changed`.
    pub action: &'static str,
    /// To whom or what; may be empty.
    pub subject: String,
    /// Facts by name. Never a secret.
    pub details: BTreeMap<&'static str, String>,
    /// From where, as far as that is known.
    pub address: String,
    /// The trace of the call, when it is written outside of the call.
    pub trace: Option<String>,
}

#[allow(clippy::needless_pass_by_value, reason = "whatever can be written down is")]
impl Entry {
    /// Says what was done, and to whom or what.
    pub fn new(action: &'static str, subject: impl ToString) -> Self {
        Self { action, subject: subject.to_string(), ..Self::default() }
    }

    /// Says who did it.
    #[must_use]
    pub fn by(mut self, actor: Uuid) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Says from where.
    #[must_use]
    pub fn from(mut self, address: impl ToString) -> Self {
        self.address = address.to_string();
        self
    }

    /// Says in which trace. For what is written by another task than the call's own.
    #[must_use]
    pub fn during(mut self, trace: impl ToString) -> Self {
        self.trace = Some(trace.to_string());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.details.insert(name, value.to_string());
        self
    }
}

/// An entry as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// 1, 2, 3… without holes.
    pub seq: u64,
    /// When.
    pub at: OffsetDateTime,
    /// Who did it.
    pub actor: Option<Uuid>,
    /// What was done.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// Facts by name.
    pub details: BTreeMap<String, String>,
    /// From where.
    pub address: String,
    /// The trace of the call that did it.
    pub trace: String,
    /// SHA-256 over the hash before and everything above.
    pub hash: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
#[doc(hidden)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    seq: i64,
    at: i64,
    actor: Option<Uuid>,
    action: String,
    subject: String,
    details: String,
    address: String,
    trace: String,
    previous: Vec<u8>,
    hash: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
#[doc(hidden)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Every field with its length before it, so that no two entries have the same text.
    fn digest(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        let actor = self.actor.map(|actor| actor.to_string()).unwrap_or_default();
        let (seq, at) = (self.seq.to_string(), self.at.to_string());
        let fields: [&[u8]; 9] = [
            &self.previous,
            seq.as_bytes(),
            at.as_bytes(),
            actor.as_bytes(),
            self.action.as_bytes(),
            self.subject.as_bytes(),
            self.details.as_bytes(),
            self.address.as_bytes(),
            self.trace.as_bytes(),
        ];
        for field in fields {
            digest.update((field.len() as u64).to_be_bytes());
            digest.update(field);
        }
        digest.finalize().to_vec()
    }

    fn record(self) -> Record {
        Record {
            seq: u64::try_from(self.seq).unwrap_or(0),
            at: time_of(self.at),
            actor: self.actor,
            action: self.action,
            subject: self.subject,
            details: serde_json::from_str(&self.details).unwrap_or_default(),
            address: self.address,
            trace: self.trace,
            hash: self.hash,
        }
    }
}

/// Writes entries in the caller's transaction, in this order. Transactions that write entries wait for each other from here on,
/// so this comes last in them.
///
/// # Errors
/// When the database refuses.
pub async fn append<C: ConnectionTrait>(tx: &C, entries: &[Entry], now: OffsetDateTime) -> Result<(), DbErr> {
    if entries.is_empty() {
        return Ok(());
    }
    let (mut seq, mut previous) = head::lock(tx).await?;
    let trace = crate::rpc::traceparent().unwrap_or_default();
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        seq += 1;
        let trace = entry.trace.clone().unwrap_or_else(|| trace.clone());
        let mut row = row(entry, seq, now, trace, previous)?;
        row.hash = row.digest();
        previous = row.hash.clone();
        rows.push(ActiveModel::from(row).reset_all());
    }
    Entity::insert_many(rows).exec_without_returning(tx).await?;
    head::advance(tx, seq, previous).await
}

fn row(entry: &Entry, seq: i64, now: OffsetDateTime, trace: String, previous: Vec<u8>) -> Result<Model, DbErr> {
    let details: BTreeMap<&str, String> = entry.details.iter().map(|(name, value)| (*name, line(value))).collect();
    Ok(Model {
        seq,
        at: micros(now),
        actor: entry.actor,
        action: entry.action.to_owned(),
        subject: line(&entry.subject),
        details: serde_json::to_string(&details).map_err(|cause| DbErr::Custom(cause.to_string()))?,
        address: line(&entry.address),
        trace,
        previous,
        hash: Vec::new(),
    })
}

/// Text from outside as one line of bounded length: it cannot look like another entry wherever the log is shown.
fn line(text: &str) -> String {
    let end = text.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= MAX_VALUE_BYTES);
    let kept = &text[..end.last().unwrap_or(0)];
    kept.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// Something that is written in the transaction of a change that another part makes, or in one of its own where that has none.
#[derive(Clone)]
pub struct Note {
    db: Db,
    entry: Entry,
    now: OffsetDateTime,
}

impl Note {
    /// `db` holds the log.
    pub const fn new(db: Db, entry: Entry, now: OffsetDateTime) -> Self {
        Self { db, entry, now }
    }

    /// Adds what is only known where the change is made.
    #[must_use]
    pub(crate) fn with(&self, name: &'static str, value: impl ToString) -> Self {
        Self { entry: self.entry.clone().with(name, value), ..self.clone() }
    }

    /// Writes it in the transaction of the change, which is one of the same database.
    pub(crate) async fn write<C: ConnectionTrait>(&self, tx: &C) -> Result<(), DbErr> {
        append(tx, std::slice::from_ref(&self.entry), self.now).await
    }

    /// Writes it in a transaction of its own.
    pub(crate) async fn commit(&self) -> Result<(), DbErr> {
        let tx = self.db.begin().await?;
        self.write(&tx).await?;
        tx.commit().await
    }
}

/// The longest text that entries are looked for by.
const MAX_FILTER_BYTES: usize = 128;

/// Which entries are looked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only entries before this one.
    pub before: Option<u64>,
    /// Only what this one did.
    pub actor: Option<Uuid>,
    /// Only what was done to this.
    pub subject: Option<String>,
    /// Only actions that begin like this.
    pub action: Option<String>,
}

/// Entries, the newest first.
///
/// # Errors
/// When the database refuses.
pub async fn list<C: ConnectionTrait>(db: &C, filter: &Filter, rows: u64) -> Result<Vec<Record>, DbErr> {
    let mut query = Entity::find().order_by_desc(Column::Seq).limit(rows);
    if let Some(before) = filter.before {
        query = query.filter(Column::Seq.lt(crate::db::signed(before)));
    }
    if let Some(actor) = filter.actor {
        query = query.filter(Column::Actor.eq(actor));
    }
    if let Some(subject) = &filter.subject {
        query = query.filter(Column::Subject.eq(subject));
    }
    if let Some(action) = &filter.action {
        // A range instead of LIKE: no wildcard in what somebody typed.
        query = query.filter(Column::Action.gte(action)).filter(Column::Action.lt(format!("{action}\u{10ffff}")));
    }
    Ok(query.all(db).await?.into_iter().map(Model::record).collect())
}

/// A text to filter by, as it stands in a field of a request: nothing when it is empty.
pub fn wanted(fields: &mut Fields, field: &str, text: String) -> Option<String> {
    if text.len() > MAX_FILTER_BYTES {
        fields.wrong(field, format!("must have at most {MAX_FILTER_BYTES} bytes"));
    }
    Some(text).filter(|text| !text.is_empty())
}

/// A page of entries, the newest first, and the `before` of the next page; 0 when there is none.
///
/// # Errors
/// When the database refuses.
pub async fn page<C: ConnectionTrait>(db: &C, filter: &Filter, rows: u64) -> Result<(Vec<Record>, u64), DbErr> {
    let mut records = list(db, filter, rows + 1).await?;
    let more = cut_page(&mut records, rows);
    let next = records.last().filter(|_| more).map_or(0, |record| record.seq);
    Ok((records, next))
}

/// What looking at the whole chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The first entry that is missing or was changed.
    pub first_broken: Option<u64>,
    /// How many entries were looked at.
    pub entries: u64,
    /// The newest entry that was written.
    pub head_seq: u64,
    /// Its hash.
    pub head_hash: Vec<u8>,
}

/// Computes the chain anew. Reads in pages; give it a transaction that sees one state.
///
/// # Errors
/// When the database refuses.
pub async fn verify<C: ConnectionTrait>(db: &C) -> Result<Verified, DbErr> {
    let (head_seq, head_hash) = head::read(db).await?;
    let (mut last, mut hash, mut entries, mut broken) = (0_i64, Vec::new(), 0, None);
    'pages: while broken.is_none() {
        let page = Entity::find().filter(Column::Seq.gt(last)).order_by_asc(Column::Seq).limit(PAGE).all(db).await?;
        if page.is_empty() {
            break;
        }
        for row in page {
            entries += 1;
            if row.seq != last + 1 || row.previous != hash || row.digest() != row.hash {
                broken = Some(last + 1);
                break 'pages;
            }
            last = row.seq;
            hash = row.hash;
        }
    }
    // What was cut off at the end is missing from there on.
    if broken.is_none() && (last != head_seq || hash != head_hash) {
        broken = Some(last.min(head_seq) + i64::from(last < head_seq));
    }
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Verified { first_broken: broken.map(unsigned), entries, head_seq: unsigned(head_seq), head_hash })
}
