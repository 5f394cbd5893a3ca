//! The reference: what everybody may see and do, written down as simply as possible, and apart from how the server decides.

use std::collections::BTreeMap;

use super::steps::{GUESTS, PEOPLE};

/// Why something is refused.
pub type Refusal = &'static str;

/// In a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// 1 for a member to 4 for an owner.
    pub level: u8,
    /// The lowest number that they may read.
    pub first: u64,
}

/// Of a room's log. The first one has the number 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: &'static str,
    /// The text that it brought, also when it was taken away since; empty for what brings none.
    pub text: String,
    /// The message that it posted, edited or deleted.
    message: Option<usize>,
}

impl Entry {
    /// What is left of it in the log: its kind, and its text unless that was taken away.
    pub fn shown(&self) -> (&'static str, &str) {
        (self.kind, if self.kind == "redacted" { "" } else { &self.text })
    }
}

pub struct Message {
    pub id: String,
    pub seq: u64,
    pub author: usize,
    /// Nothing once it is deleted.
    pub text: Option<String>,
}

/// A stay of somebody: from the number of their joining up to that of their leaving.
#[derive(Clone, Copy, Debug)]
pub struct Stay {
    pub who: usize,
    pub from: u64,
    pub to: Option<u64>,
    /// The lowest number that they might read meanwhile.
    first: u64,
}

/// A file of a room.
pub struct File {
    pub id: String,
    pub name: String,
    uploader: usize,
    /// Where it appeared.
    seq: u64,
    gone: bool,
}

/// A room as it should be.
pub struct Room {
    pub id: String,
    private: bool,
    since_joined: bool,
    pub archived: bool,
    /// The least levels to post, add, remove, edit and delete.
    permits: [u8; 5],
    pub members: BTreeMap<usize, Member>,
    pub log: Vec<Entry>,
    pub messages: Vec<Message>,
    pub stays: Vec<Stay>,
    pub files: Vec<File>,
    /// How far everybody has read: a number, and how many messages.
    markers: BTreeMap<usize, (u64, u64)>,
}

fn guest(who: usize) -> bool {
    who >= PEOPLE - GUESTS
}

impl Room {
    pub fn new(id: String, owner: usize, private: bool, since_joined: bool) -> Self {
        let permits = [1, if private { 3 } else { 1 }, 3, 3, 2];
        let (members, stays) = (BTreeMap::new(), Vec::new());
        let (log, messages, files, markers) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        let mut room =
            Self { id, private, since_joined, archived: false, permits, members, log, messages, stays, files, markers };
        room.happens("created");
        room.enters(owner, 4, 1);
        room
    }

    pub fn head(&self) -> u64 {
        self.log.len() as u64
    }

    fn happens(&mut self, kind: &'static str) -> u64 {
        self.log.push(Entry { kind, text: String::new(), message: None });
        self.head()
    }

    fn happens_to(&mut self, message: usize, kind: &'static str, text: String) -> u64 {
        self.log.push(Entry { kind, text, message: Some(message) });
        self.head()
    }

    fn enters(&mut self, who: usize, level: u8, first: u64) {
        let from = self.happens("joined");
        self.members.insert(who, Member { level, first });
        self.stays.push(Stay { who, from, to: None, first });
    }

    pub fn in_it(&self, who: usize) -> bool {
        self.members.contains_key(&who)
    }

    /// Whether they may know that it is there.
    pub fn known_to(&self, who: usize) -> bool {
        self.in_it(who) || (!self.private && !guest(who))
    }

    /// The owner and the admin of the workspace, in a public room.
    fn run_by(&self, who: usize) -> bool {
        !self.private && who < 2
    }

    fn level(&self, who: usize) -> u8 {
        let in_room = self.members.get(&who).map_or(0, |member| member.level);
        match who {
            0 if !self.private => 4,
            1 if !self.private => in_room.max(3),
            _ if guest(who) => in_room.min(1),
            _ => in_room,
        }
    }

    fn managed_by(&self, who: usize) -> Result<(), Refusal> {
        if self.in_it(who) || self.run_by(who) { Ok(()) } else { Err("ROOM_NOT_FOUND") }
    }

    fn inside(&self, who: usize) -> Result<Member, Refusal> {
        self.members.get(&who).copied().ok_or("ROOM_NOT_FOUND")
    }

    fn open(&self) -> Result<(), Refusal> {
        if self.archived { Err("ROOM_ARCHIVED") } else { Ok(()) }
    }

    fn high(&self, who: usize, level: u8) -> Result<(), Refusal> {
        if self.level(who) >= level { Ok(()) } else { Err("ROLE_TOO_LOW") }
    }

    fn owners(&self) -> usize {
        self.members.values().filter(|member| member.level == 4).count()
    }

    fn ordinal_at(&self, seq: u64) -> u64 {
        self.messages.iter().filter(|message| message.seq <= seq).count() as u64
    }

    // What they do.

    pub fn join(&mut self, who: usize) -> Result<(), Refusal> {
        if !self.known_to(who) {
            return Err("ROOM_NOT_FOUND");
        }
        if !self.in_it(who) {
            self.open()?;
            self.admit(who, 1);
        }
        Ok(())
    }

    fn admit(&mut self, who: usize, level: u8) {
        let next = self.head() + 1;
        self.markers.insert(who, (next, self.messages.len() as u64));
        self.enters(who, level, if self.since_joined { next } else { 1 });
    }

    pub fn leave(&mut self, who: usize) -> Result<(), Refusal> {
        let member = self.inside(who)?;
        if member.level == 4 && self.members.len() > 1 && self.owners() == 1 {
            return Err("LAST_OWNER");
        }
        self.parts(who);
        Ok(())
    }

    fn parts(&mut self, who: usize) {
        let seq = self.happens("left");
        self.members.remove(&who);
        for stay in self.stays.iter_mut().filter(|stay| stay.who == who && stay.to.is_none()) {
            stay.to = Some(seq);
        }
    }

    pub fn add(&mut self, by: usize, whom: usize, level: u8) -> Result<(), Refusal> {
        self.managed_by(by)?;
        self.open()?;
        if guest(by) {
            return Err("ROLE_TOO_LOW");
        }
        self.high(by, self.permits[1].max(level))?;
        if !self.in_it(whom) {
            self.admit(whom, level);
        }
        Ok(())
    }

    pub fn remove(&mut self, by: usize, whom: usize) -> Result<(), Refusal> {
        if by == whom {
            return self.leave(by);
        }
        self.managed_by(by)?;
        self.high(by, self.permits[2])?;
        let theirs = self.members.get(&whom).ok_or("MEMBER_NOT_FOUND")?.level;
        self.high(by, theirs)?;
        self.parts(whom);
        Ok(())
    }

    pub fn promote(&mut self, by: usize, whom: usize, level: u8) -> Result<(), Refusal> {
        self.managed_by(by)?;
        self.open()?;
        self.high(by, 3)?;
        let before = self.members.get(&whom).ok_or("MEMBER_NOT_FOUND")?.level;
        self.high(by, before.max(level))?;
        if before == 4 && level != 4 && self.owners() == 1 {
            return Err("LAST_OWNER");
        }
        if before != level {
            self.happens("promoted");
            self.members.entry(whom).and_modify(|member| member.level = level);
        }
        Ok(())
    }

    pub fn rename(&mut self, by: usize) -> Result<(), Refusal> {
        self.managed_by(by)?;
        self.open()?;
        self.high(by, self.permits[3])?;
        self.happens("updated");
        Ok(())
    }

    pub fn set_history(&mut self, by: usize, since_joined: bool) -> Result<(), Refusal> {
        self.managed_by(by)?;
        self.open()?;
        self.high(by, 3)?;
        self.since_joined = since_joined;
        self.happens("updated");
        Ok(())
    }

    pub fn permit(&mut self, by: usize, permission: usize, level: u8) -> Result<(), Refusal> {
        self.managed_by(by)?;
        self.open()?;
        self.high(by, level.max(self.permits[permission]).max(3))?;
        self.permits[permission] = level;
        self.happens("updated");
        Ok(())
    }

    pub fn archive(&mut self, by: usize, on: bool) -> Result<(), Refusal> {
        self.managed_by(by)?;
        self.high(by, 3)?;
        if self.archived != on {
            self.archived = on;
            self.happens(if on { "archived" } else { "unarchived" });
        }
        Ok(())
    }

    pub fn may_post(&self, by: usize) -> Result<(), Refusal> {
        self.inside(by)?;
        self.open()?;
        self.high(by, self.permits[0])
    }

    /// The id is known when it was posted.
    pub fn send(&mut self, by: usize, id: String, text: String) -> u64 {
        let seq = self.happens_to(self.messages.len(), "posted", text.clone());
        self.messages.push(Message { id, seq, author: by, text: Some(text) });
        seq
    }

    fn living(&self, by: usize, message: usize) -> Result<(), Refusal> {
        let first = self.inside(by)?.first;
        let message = &self.messages[message];
        if message.text.is_some() && message.seq >= first { Ok(()) } else { Err("MESSAGE_NOT_FOUND") }
    }

    pub fn edit(&mut self, by: usize, message: usize, text: String) -> Result<(), Refusal> {
        self.may_post(by)?;
        self.living(by, message)?;
        if self.messages[message].author != by {
            return Err("NOT_THE_AUTHOR");
        }
        self.messages[message].text = Some(text.clone());
        self.happens_to(message, "edited", text);
        Ok(())
    }

    pub fn delete(&mut self, by: usize, message: usize) -> Result<(), Refusal> {
        self.inside(by)?;
        self.open()?;
        self.living(by, message)?;
        if self.messages[message].author != by {
            self.high(by, self.permits[4])?;
        }
        self.messages[message].text = None;
        for entry in self.log.iter_mut().filter(|entry| entry.message == Some(message)) {
            entry.kind = "redacted";
        }
        self.happens_to(message, "deleted", String::new());
        Ok(())
    }

    /// A file arrives, from whoever may post.
    pub fn brings(&mut self, by: usize, id: String, name: String) {
        let seq = self.happens("file_ready");
        self.files.push(File { id, name, uploader: by, seq, gone: false });
    }

    pub fn delete_file(&mut self, by: usize, file: usize) -> Result<(), Refusal> {
        self.reads_file(by, file)?;
        if self.files[file].uploader != by {
            self.open()?;
            self.high(by, self.permits[4])?;
        }
        self.files[file].gone = true;
        self.happens("file_removed");
        Ok(())
    }

    pub fn mark_read(&mut self, by: usize, seq: u64) -> Result<(u64, u64), Refusal> {
        self.inside(by)?;
        let known = self.markers.get(&by).copied().unwrap_or_default();
        let seq = seq.min(self.head());
        let marker = if seq <= known.0 { known } else { (seq, self.ordinal_at(seq)) };
        self.markers.insert(by, marker);
        Ok(marker)
    }

    pub fn mark_unread(&mut self, by: usize, seq: u64) -> Result<(u64, u64), Refusal> {
        let seq = seq.max(self.inside(by)?.first - 1);
        let known = self.markers.get(&by).copied().unwrap_or_default();
        let marker = if seq < known.0 { (seq, self.ordinal_at(seq)) } else { known };
        self.markers.insert(by, marker);
        Ok(marker)
    }

    // What they see.

    pub fn reads(&self, who: usize) -> Result<Member, Refusal> {
        self.inside(who)
    }

    pub fn sees_members(&self, who: usize) -> Result<(), Refusal> {
        self.managed_by(who)
    }

    /// The messages that somebody may read, by rising numbers.
    pub fn history(&self, first: u64) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.iter().filter(move |message| message.seq >= first)
    }

    pub fn reads_file(&self, who: usize, file: usize) -> Result<(), Refusal> {
        let file = &self.files[file];
        let member = self.inside(who).map_err(|_| "FILE_NOT_FOUND")?;
        let seen = file.uploader == who || file.seq >= member.first;
        if seen && !file.gone { Ok(()) } else { Err("FILE_NOT_FOUND") }
    }

    /// What has a number.
    pub fn entry(&self, seq: u64) -> Option<&Entry> {
        usize::try_from(seq).ok().and_then(|seq| self.log.get(seq.checked_sub(1)?))
    }

    /// Whether the event of a number edits or deletes a message from before another, and so tells who reads from there nothing.
    pub fn changes_older(&self, seq: u64, first: u64) -> bool {
        let message = self.entry(seq).and_then(|entry| entry.message).map(|message| &self.messages[message]);
        message.is_some_and(|message| message.seq != seq && message.seq < first)
    }

    /// Whether who got the event of a number as it happened got a stub, because it edits or deletes what was before them.
    pub fn is_stub_to(&self, who: usize, seq: u64) -> bool {
        self.stay(who, seq).is_some_and(|stay| self.changes_older(seq, stay.first))
    }

    /// Whether what somebody got as the event of a number is what they might get; otherwise what is wrong with it.
    pub fn heard(&self, who: usize, seq: u64, kind: &str, text: &str) -> Result<(), String> {
        let entry = self.entry(seq).ok_or("what never happened")?;
        if self.is_stub_to(who, seq) {
            let hidden = kind == "redacted" && text.is_empty();
            return if hidden { Ok(()) } else { Err(format!("{kind} {text:?}, about what was before them")) };
        }
        // A message that was deleted since was heard as it was, or as what is left of it.
        let as_it_was = kind == entry.kind || (entry.kind == "redacted" && matches!(kind, "posted" | "edited"));
        let said = if kind == "redacted" { "" } else { entry.text.as_str() };
        if as_it_was && text == said { Ok(()) } else { Err(format!("{kind} {text:?}, where {entry:?} is")) }
    }

    fn stay(&self, who: usize, seq: u64) -> Option<&Stay> {
        let heard = |stay: &&Stay| stay.who == who && stay.from <= seq && stay.to.is_none_or(|to| seq <= to);
        self.stays.iter().find(heard)
    }

    /// Whether somebody may have got the event of a number as it happened.
    pub fn may_hear(&self, who: usize, seq: u64) -> bool {
        self.stay(who, seq).is_some()
    }
}
