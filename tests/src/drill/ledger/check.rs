//! Comparing: the log against what was sent and answered, and what members hold against the log.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{
    Answer, Ledger, Range,
    held::{Held, Stretch},
    log::{Log, Span},
};

impl Ledger {
    /// The number of the newest event of a room's log that was read.
    pub fn head(&self, room: usize) -> u64 {
        self.logs[room].head()
    }

    /// What the log has after [`Ledger::head`].
    pub fn read(&mut self, room: usize, events: &[Bytes]) {
        for bytes in events {
            let Some((message, key)) = self.logs[room].push(bytes) else { continue };
            let log = &mut self.logs[room];
            log.ordinal += 1;
            if message.ordinal != log.ordinal || message.seq != log.head() {
                let note = format!("message {} of {} is number {}", message.ordinal, log.id, message.seq);
                log.ordinal = message.ordinal;
                self.wrong(|counts| &mut counts.tally.holes, note);
            }
            match key {
                Some(key) => self.stored(room, key, message.seq),
                None => self.wrong(|counts| &mut counts.tally.unexpected, format!("nobody sent {:?}", message.text)),
            }
        }
    }

    fn stored(&mut self, room: usize, key: u64, seq: u64) {
        if !self.stored.insert(key) {
            return self.wrong(|counts| &mut counts.tally.duplicated, format!("{key:x} is stored again as {seq}"));
        }
        let answer = self.sends.get(&key).copied();
        let newest = self.logs[room].newest.entry(key >> 32).or_default();
        let late = key < *newest;
        *newest = key.max(*newest);
        match answer {
            None | Some(Answer::Refused { unknown: false }) => {
                self.wrong(|counts| &mut counts.tally.unexpected, format!("{key:x} is stored as {seq}: {answer:?}"));
            }
            // A try that was not answered may arrive long after.
            Some(Answer::Refused { unknown: true }) => {}
            Some(_) if late => self.wrong(|counts| &mut counts.reordered, format!("{key:x} came late, as {seq}")),
            Some(_) => {}
        }
    }

    /// How often a room's log announces a file.
    pub fn announced(&self, room: usize, file: &str) -> u64 {
        self.logs[room].files.get(file).copied().unwrap_or(0)
    }

    /// Members who do not hold all of a room that they are in: member, room, what they hold, and what there is.
    pub fn behind(&self) -> Vec<(usize, usize, Option<u64>, u64)> {
        let all = (0..self.users.len()).flat_map(|member| (0..self.logs.len()).map(move |room| (member, room)));
        let behind = all.filter(|(member, room)| self.logs[*room].has(&self.users[*member]));
        behind
            .map(|(member, room)| (member, room, self.held[member][room].cursor(), self.logs[room].head()))
            .filter(|(_, _, cursor, head)| *cursor != Some(*head))
            .collect()
    }

    /// Compares everything since the last time, once the log was read and all is quiet. Returns what each member received and
    /// holds, to be verified by the server.
    pub fn check(&mut self) -> Vec<(usize, Range)> {
        self.check_sends();
        let mut ranges = Vec::new();
        for member in 0..self.users.len() {
            for room in 0..self.logs.len() {
                let stretches = self.held[member][room].stretches.clone();
                for (before, stretch) in std::iter::once(None).chain(stretches.iter().map(Some)).zip(&stretches) {
                    self.check_start(member, room, before, stretch);
                    self.check_stretch(member, room, stretch);
                }
                self.check_end(member, room);
                let (log, user) = (&self.logs[room], &self.users[member]);
                let visible =
                    if log.since_joined { log.spans(user).last().map_or(1, |(joined, _)| *joined) } else { 1 };
                let range = range(&log.id, &mut self.held[member][room], visible);
                ranges.extend(range.map(|range| (member, range)));
            }
            ranges.extend(range(&self.users[member], &mut self.own[member], 1).map(|range| (member, range)));
        }
        self.logs.iter_mut().for_each(Log::settle);
        // A message of an earlier stretch that is stored again was not sent, as far as is known, and is counted as that.
        self.stored.clear();
        ranges
    }

    /// What was answered well is stored under its number; then it need not be remembered.
    fn check_sends(&mut self) {
        let mut sends = std::mem::take(&mut self.sends);
        for (key, answer) in &sends {
            match answer {
                Answer::Waiting => {
                    self.wrong(|counts| &mut counts.tally.failed, format!("{key:x} was never answered"));
                }
                Answer::Done(seq) => {
                    let kept = self.logs.iter().any(|log| log.at(*seq).is_some_and(|at| at.1 == Some(*key)));
                    if !kept {
                        self.wrong(|counts| &mut counts.tally.lost, format!("{key:x} was answered as {seq}"));
                    }
                }
                Answer::Refused { .. } => {}
            }
        }
        sends.retain(|_, answer| matches!(answer, Answer::Refused { .. }));
        self.sends = sends;
    }

    /// Whoever starts anew above what they held was out of the room in between.
    fn check_start(&mut self, member: usize, room: usize, before: Option<&Stretch>, stretch: &Stretch) {
        let Some(before) = before.filter(|before| before.end() < stretch.after) else { return };
        let (log, user) = (&self.logs[room], &self.users[member]);
        let came_back = |(joined, _): &Span| (before.end() + 1..=stretch.after).contains(joined);
        if !log.spans(user).iter().any(came_back) {
            let missed = log.messages(before.end(), stretch.after);
            let (from, to) = (before.end() + 1, stretch.after);
            let note = format!("member {member} has nothing of room {room} from {from} to {to}");
            self.counts.tally.lost += missed;
            self.note(note);
        }
    }

    /// What was received is what is stored, and was theirs to see.
    fn check_stretch(&mut self, member: usize, room: usize, stretch: &Stretch) {
        for (seq, (hash, step)) in (stretch.after + 1..).zip(&stretch.events) {
            match self.logs[room].at(seq) {
                Some((stored, _)) if stored == hash => {}
                Some(_) => {
                    let note = format!("member {member} holds other bytes of number {seq} in room {room}");
                    self.wrong(|counts| &mut counts.tally.disagreeing_rooms, note);
                }
                None => {
                    let note = format!("member {member} received number {seq} of room {room}, which is not stored");
                    self.wrong(|counts| &mut counts.not_stored, note);
                }
            }
            if !self.may_see(member, room, seq, *step) {
                let note = format!("member {member} received number {seq} of room {room} while they were out");
                self.wrong(|counts| &mut counts.tally.violations, note);
            }
        }
    }

    /// Whether an event that was received at `step` was theirs to see: they were a member at its number, or had been brought
    /// back since where the room shows everything.
    fn may_see(&self, member: usize, room: usize, seq: u64, step: u64) -> bool {
        let spans = self.logs[room].spans(&self.users[member]);
        if spans.iter().any(|(joined, left)| *joined <= seq && left.is_none_or(|left| seq <= left)) {
            return true;
        }
        let departures = spans.iter().filter(|(_, left)| left.is_some_and(|left| left < seq)).count();
        let returns = self.readded.get(&(member, room));
        let returned = departures.checked_sub(1).and_then(|nth| returns?.get(nth));
        !self.logs[room].since_joined && returned.is_some_and(|returned| *returned < step)
    }

    fn check_end(&mut self, member: usize, room: usize) {
        let (log, held) = (&self.logs[room], &self.held[member][room]);
        if !log.has(&self.users[member]) {
            return;
        }
        let (cursor, head) = (held.cursor(), log.head());
        let missed = cursor.map_or(1, |cursor| log.messages(cursor, head));
        if missed > 0 {
            self.counts.tally.lost += missed;
            self.note(format!("member {member} holds room {room} only up to {cursor:?} of {head}"));
        }
    }
}

/// What the last stretch holds of what the server still shows them; the rest is forgotten.
fn range(feed: &str, held: &mut Held, visible: u64) -> Option<Range> {
    let range = held.stretches.last().and_then(|stretch| {
        let (from, to) = (visible.max(stretch.after + 1), stretch.end());
        let mut digest = Sha256::new();
        let skipped = usize::try_from(from - stretch.after - 1).ok()?;
        stretch.events.iter().skip(skipped).for_each(|(hash, _)| digest.update(hash));
        (from <= to).then(|| Range { feed_id: feed.to_owned(), from, to, digest: digest.finalize().into() })
    });
    held.settle();
    range
}
