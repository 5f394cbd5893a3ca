//! The durable floor's store: a thread that commits, one transaction at a time.

use std::{
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use mio::Waker;
use rusqlite::Connection;

use super::{Posted, Room};

/// One transaction is under way, or none.
pub(super) struct Store {
    at_once: usize,
    busy: bool,
    to_store: SyncSender<Vec<(Posted, String)>>,
    stored: Receiver<Vec<Posted>>,
}

impl Store {
    /// Commits at most so many messages together.
    pub(super) fn open(file: &Path, at_once: usize, waker: Waker) -> Self {
        let (to_store, jobs) = sync_channel(1);
        let (done, stored) = sync_channel(1);
        let connection = Connection::open(file).expect("SQLite opens a file");
        let schema = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000;
            CREATE TABLE event (room TEXT, seq INTEGER, bytes BLOB, PRIMARY KEY (room, seq)) WITHOUT ROWID;";
        connection.execute_batch(schema).expect("SQLite makes a table");
        std::thread::spawn(move || run(connection, &jobs, &done, &waker));
        Self { at_once, busy: false, to_store, stored }
    }

    /// What was committed since.
    pub(super) fn stored(&mut self) -> Option<Vec<Posted>> {
        let stored = self.stored.try_recv().ok()?;
        self.busy = false;
        Some(stored)
    }

    /// Takes what waits, unless a transaction is under way.
    pub(super) fn store(&mut self, waiting: &mut Vec<Posted>, rooms: &[Room]) {
        if self.busy || waiting.is_empty() {
            return;
        }
        let taken = waiting.len().min(self.at_once);
        let batch = waiting.drain(..taken).map(|posted| {
            let room = rooms[posted.room].id.clone();
            (posted, room)
        });
        self.busy = self.to_store.send(batch.collect()).is_ok();
    }
}

fn run(
    mut connection: Connection,
    jobs: &Receiver<Vec<(Posted, String)>>,
    done: &SyncSender<Vec<Posted>>,
    waker: &Waker,
) {
    while let Ok(batch) = jobs.recv() {
        let transaction = connection.transaction().expect("SQLite begins");
        {
            let insert = "INSERT INTO event (room, seq, bytes) VALUES (?1, ?2, ?3)";
            let mut insert = transaction.prepare_cached(insert).expect("SQLite prepares");
            for (posted, room) in &batch {
                let seq = i64::try_from(posted.seq).unwrap_or(i64::MAX);
                insert.execute((room, seq, &posted.event)).expect("SQLite inserts");
            }
        }
        transaction.commit().expect("SQLite commits");
        let stored = batch.into_iter().map(|(posted, _)| posted).collect();
        if done.send(stored).is_err() || waker.wake().is_err() {
            return;
        }
    }
}
