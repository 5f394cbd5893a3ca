//! Plays a story on a real server and on the reference at once, and compares every answer.

use std::collections::BTreeMap;

use prost::Message as _;
use proto::{
    auth::v1::{SearchUsersRequest, User},
    chat::{
        internal::v1::{
            CheckAccessRequest, FeedCursor, OpenFeedsRequest, ReadFeedRequest, RoomAction,
            access_service_client::AccessServiceClient, feed_service_client::FeedServiceClient as LogClient,
            feed_start::Start,
        },
        v1::{
            self as chat, Event, RoomHistory, RoomKind, RoomPermissions, RoomRole,
            feed_service_client::FeedServiceClient, message_service_client::MessageServiceClient,
            people_service_client::PeopleServiceClient, room_service_client::RoomServiceClient,
        },
    },
    edge::v1::{Cursor, ResetReason, SubscribeRequest, server_frame::Frame},
};
use tests::op_id;
use tonic::{Response, Status};

use super::{
    files, kind_of,
    people::{Ears, People},
    reference::{Entry, Refusal, Room},
    steps::{Does, ROOMS, Step},
    text_of,
};

/// A page of messages has so many.
const PAGE: usize = 3;

/// A world under way.
pub struct World<'p> {
    people: &'p People,
    pub rooms: Vec<Room>,
}

/// The difference between the server and the reference, in words.
pub type Difference = String;

/// That a step was played that has nothing to act on: [`World::asks`] should have said so.
pub const NOTHING: &str = "there is nothing to act on, and so nothing was asked";

/// What an event of a log is, by its number: its kind and its text.
type Told = (u64, &'static str, String);

fn role(level: u8) -> i32 {
    match level {
        1 => RoomRole::Member,
        2 => RoomRole::Moderator,
        3 => RoomRole::Admin,
        _ => RoomRole::Owner,
    }
    .into()
}

fn history(since_joined: bool) -> i32 {
    if since_joined { RoomHistory::SinceJoined } else { RoomHistory::All }.into()
}

/// Both agree that it is done, or why not. What the server answered, if it is done.
pub fn agree<T>(expected: Result<(), Refusal>, answer: Result<Response<T>, Status>) -> Result<Option<T>, Difference> {
    match (expected, answer) {
        (Ok(()), Ok(answer)) => Ok(Some(answer.into_inner())),
        (Err(why), Err(status)) if mesh::errors::reason(&status) == why => Ok(None),
        (expected, Ok(_)) => Err(format!("expected {expected:?}, and it was done")),
        (expected, Err(status)) => Err(format!("expected {expected:?}, and it was refused: {status:?}")),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what is compared is often made for it")]
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, found: T) -> Result<(), Difference> {
    if expected == found { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}

impl<'p> World<'p> {
    pub fn new(people: &'p People) -> Self {
        Self { people, rooms: Vec::new() }
    }

    /// Whether a step asks the server something: not without a room, a message or a file to act on, or when there are rooms enough.
    pub fn asks(&self, step: Step) -> bool {
        let room = step.room.checked_rem(self.rooms.len()).map(|room| &self.rooms[room]);
        match step.does {
            Does::Create { .. } => self.rooms.len() < ROOMS,
            Does::SeeRooms { .. } | Does::SearchPeople { .. } => true,
            Does::Edit { .. } | Does::Delete { .. } => room.is_some_and(|room| !room.messages.is_empty()),
            Does::ReadFile { .. } | Does::ShareFile { .. } | Does::DeleteFile { .. } => {
                room.is_some_and(|room| !room.files.is_empty())
            }
            _ => room.is_some(),
        }
    }

    /// Plays a step that asks something.
    pub async fn play(&mut self, step: Step) -> Result<(), Difference> {
        let Step { by, does, .. } = step;
        if let Does::Create { private, since_joined } = does {
            return self.create(by, private, since_joined).await;
        }
        if let Does::SeeRooms { joined_only } = does {
            return self.see_rooms(by, joined_only).await;
        }
        if let Does::SearchPeople { whom } = does {
            return search(self.people, &self.rooms, by, whom).await;
        }
        let people = self.people;
        let count = self.rooms.len();
        if count == 0 {
            return Err(NOTHING.into());
        }
        if let Does::ShareFile { file, to } = does {
            return files::share(people, &mut self.rooms, by, (step.room % count, file), to % count).await;
        }
        let room = &mut self.rooms[step.room % count];
        match does {
            Does::Create { .. } | Does::SeeRooms { .. } | Does::SearchPeople { .. } | Does::ShareFile { .. } => {
                Err(NOTHING.into())
            }
            Does::Upload { content } => files::upload(people, room, by, content).await,
            Does::ReadFile { file } => files::read(people, room, by, file).await,
            Does::DeleteFile { file } => files::delete(people, room, by, file).await,
            Does::ListFiles { named } => files::list(people, room, by, named).await,
            Does::Join | Does::Leave | Does::Add { .. } | Does::Remove { .. } | Does::Promote { .. } => {
                membership(people, room, by, does).await
            }
            Does::Rename | Does::SetHistory { .. } | Does::Permit { .. } | Does::Archive { .. } => {
                settings(people, room, by, does).await
            }
            Does::Send | Does::Edit { .. } | Does::Delete { .. } => messages(people, room, by, does).await,
            Does::MarkRead { back } => mark(people, room, by, back, true).await,
            Does::MarkUnread { back } => mark(people, room, by, back, false).await,
            Does::Page { before, back } => page(people, room, by, before, back).await,
            Does::SeeMembers => see_members(people, room, by).await,
            Does::SeeRoom => see_room(people, room, by).await,
            Does::Verify { from, length } => verify(people, room, by, from, length).await,
            Does::ReadLog { after } => read_log(people, room, by, after).await,
            Does::OpenFeed { cursor } => open_feed(people, room, by, cursor).await,
            Does::Check { post } => check(people, room, by, post).await,
        }
    }

    async fn create(&mut self, by: usize, private: bool, since_joined: bool) -> Result<(), Difference> {
        let request = chat::CreateRoomRequest {
            name: "a room".into(),
            kind: if private { RoomKind::Private } else { RoomKind::Public }.into(),
            history: history(since_joined),
            ..Default::default()
        };
        let expected = if self.people.is_guest(by) { Err("ROLE_TOO_LOW") } else { Ok(()) };
        let answer = RoomServiceClient::new(self.people.calls(by)).create_room(request).await;
        if let Some(created) = agree(expected, answer)? {
            let id = created.room.map(|room| room.id).unwrap_or_default();
            self.rooms.push(Room::new(id, by, private, since_joined));
        }
        Ok(())
    }

    async fn see_rooms(&self, by: usize, joined_only: bool) -> Result<(), Difference> {
        let mut rooms = RoomServiceClient::new(self.people.calls(by));
        let (mut found, mut page_token) = (BTreeMap::new(), String::new());
        loop {
            let request = chat::ListRoomsRequest { page_size: 500, page_token, joined_only };
            let page = rooms.list_rooms(request).await.map_err(|status| format!("rooms: {status:?}"))?.into_inner();
            found.extend(page.rooms.into_iter().map(|room| (room.id, None)));
            for standing in page.memberships {
                found.insert(standing.room_id, Some((standing.role, standing.first_visible_seq)));
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        for room in &self.rooms {
            let standing = room.members.get(&by).map(|member| (role(member.level), member.first));
            let listed = if joined_only { room.in_it(by) } else { room.known_to(by) };
            same("a room in the list", listed.then_some(standing), found.get(&room.id).copied())?;
        }
        Ok(())
    }

    /// Looks at everything once more, through streams: those that were open all the time, and new ones from the beginning.
    pub async fn look_back(&self, ears: &Ears, who: usize) -> Result<(), Difference> {
        for listener in ears.listeners() {
            for room in &self.rooms {
                ears.agree(listener, room).await?;
            }
        }
        let cursors = self.rooms.iter().map(|room| Cursor { feed_id: room.id.clone(), seq: 0 }).collect();
        let request = SubscribeRequest { cursors, only_listed: true, ..Default::default() };
        let mut stream = self.people.subscribes(who, request).await?;
        let (mut events, mut hidden) = (BTreeMap::<String, Vec<Told>>::new(), Vec::new());
        loop {
            match stream
                .message()
                .await
                .map_err(|status| format!("a stream ended: {status:?}"))?
                .and_then(|it| it.frame)
            {
                Some(Frame::Event(event)) => {
                    events.entry(event.feed_id.clone()).or_default().push(told(&event));
                }
                Some(Frame::Reset(reset)) if reset.reason() == ResetReason::NotFound => hidden.push(reset.feed_id),
                Some(Frame::CaughtUp(_)) => break,
                other => return Err(format!("an unexpected frame: {other:?}")),
            }
        }
        for room in &self.rooms {
            same("a hidden room", !room.in_it(who), hidden.contains(&room.id))?;
            let first = room.members.get(&who).map_or(u64::MAX, |member| member.first);
            let expected = log_from(room, first.saturating_sub(1), first);
            same("a replay", expected, events.remove(&room.id).unwrap_or_default())?;
        }
        Ok(())
    }
}

fn told(event: &Event) -> Told {
    (event.seq, kind_of(event), text_of(event).to_owned())
}

/// What of a room's log comes after a number, for somebody who reads it from another on.
fn log_from(room: &Room, after: u64, first: u64) -> Vec<Told> {
    let told = |(seq, entry): (u64, &Entry)| {
        let (kind, text) = if room.changes_older(seq, first) { ("redacted", "") } else { entry.shown() };
        (seq, kind, text.to_owned())
    };
    (1..).zip(&room.log).filter(|(seq, _)| *seq > after).map(told).collect()
}

/// Members of the workspace find everybody; guests find nobody, and know those whom they share a room with.
async fn search(people: &People, rooms: &[Room], by: usize, whom: usize) -> Result<(), Difference> {
    let request = SearchUsersRequest { query: people.username(whom).to_owned(), ..Default::default() };
    let expected = if people.is_guest(by) { Err("ROLE_TOO_LOW") } else { Ok(()) };
    if let Some(found) = agree(expected, people.directory(by).search_users(request).await)? {
        return same("who was searched for", vec![people.id(whom)], ids(found.users));
    }
    let request = chat::GetPeopleRequest { user_ids: vec![people.id(whom)] };
    let known = PeopleServiceClient::new(people.calls(by)).get_people(request).await;
    let known = ids(known.map_err(|status| format!("people: {status:?}"))?.into_inner().users);
    // They may share a room in another world.
    let shares = by == whom || rooms.iter().any(|room| room.in_it(by) && room.in_it(whom));
    same("whom a guest knows", true, !shares || known == [people.id(whom)])
}

fn ids(users: Vec<User>) -> Vec<String> {
    users.into_iter().map(|user| user.id).collect()
}

async fn membership(people: &People, room: &mut Room, by: usize, does: Does) -> Result<(), Difference> {
    let mut rooms = RoomServiceClient::new(people.calls(by));
    let (room_id, op_id) = (room.id.clone(), String::new());
    match does {
        Does::Leave => {
            agree(room.leave(by), rooms.leave_room(chat::LeaveRoomRequest { room_id, op_id }).await)?;
        }
        Does::Add { whom, level } => {
            let user_id = people.id(whom);
            let request = chat::AddMemberRequest { room_id, user_id, role: role(level), op_id };
            agree(room.add(by, whom, level), rooms.add_member(request).await)?;
        }
        Does::Remove { whom } => {
            let request = chat::RemoveMemberRequest { room_id, user_id: people.id(whom), op_id };
            agree(room.remove(by, whom), rooms.remove_member(request).await)?;
        }
        Does::Promote { whom, level } => {
            let user_id = people.id(whom);
            let request = chat::SetMemberRoleRequest { room_id, user_id, role: role(level), op_id };
            agree(room.promote(by, whom, level), rooms.set_member_role(request).await)?;
        }
        _ => {
            agree(room.join(by), rooms.join_room(chat::JoinRoomRequest { room_id, op_id }).await)?;
        }
    }
    Ok(())
}

async fn settings(people: &People, room: &mut Room, by: usize, does: Does) -> Result<(), Difference> {
    let mut rooms = RoomServiceClient::new(people.calls(by));
    let (room_id, op_id) = (room.id.clone(), String::new());
    let request = chat::UpdateRoomRequest { room_id: room_id.clone(), ..Default::default() };
    match does {
        Does::SetHistory { since_joined } => {
            let request = chat::UpdateRoomRequest { history: Some(history(since_joined)), ..request };
            agree(room.set_history(by, since_joined), rooms.update_room(request).await)?;
        }
        Does::Permit { permission, level } => {
            let (role, mut permissions) = (role(level), RoomPermissions::default());
            *[
                &mut permissions.post,
                &mut permissions.add_members,
                &mut permissions.remove_members,
                &mut permissions.edit_room,
                &mut permissions.delete_messages,
            ][permission] = role;
            let request = chat::UpdateRoomRequest { permissions: Some(permissions), ..request };
            agree(room.permit(by, permission, level), rooms.update_room(request).await)?;
        }
        Does::Archive { on: true } => {
            let request = chat::ArchiveRoomRequest { room_id, op_id };
            agree(room.archive(by, true), rooms.archive_room(request).await)?;
        }
        Does::Archive { on: false } => {
            let request = chat::UnarchiveRoomRequest { room_id, op_id };
            agree(room.archive(by, false), rooms.unarchive_room(request).await)?;
        }
        _ => {
            let request = chat::UpdateRoomRequest { name: Some("another name".into()), ..request };
            agree(room.rename(by), rooms.update_room(request).await)?;
        }
    }
    Ok(())
}

async fn messages(people: &People, room: &mut Room, by: usize, does: Does) -> Result<(), Difference> {
    let mut messages = MessageServiceClient::new(people.calls(by));
    let (room_id, op_id) = (room.id.clone(), op_id());
    let text = format!("text at {}", room.head());
    match does {
        Does::Edit { message } if !room.messages.is_empty() => {
            let message = message % room.messages.len();
            let message_id = room.messages[message].id.clone();
            let request = chat::EditMessageRequest { room_id, message_id, text: text.clone(), op_id };
            agree(room.edit(by, message, text), messages.edit_message(request).await)?;
        }
        Does::Delete { message } if !room.messages.is_empty() => {
            let message = message % room.messages.len();
            let message_id = room.messages[message].id.clone();
            let request = chat::DeleteMessageRequest { room_id, message_id, op_id };
            agree(room.delete(by, message), messages.delete_message(request).await)?;
        }
        Does::Send => {
            let request = chat::SendMessageRequest { room_id, text: text.clone(), op_id, file_ids: Vec::new() };
            let answer = messages.send_message(request).await;
            if let Some(sent) = agree(room.may_post(by), answer)? {
                let sent = sent.message.unwrap_or_default();
                let seq = room.send(by, sent.id, text);
                same("a number", (seq, room.messages.len() as u64), (sent.seq, sent.ordinal))?;
            }
        }
        _ => return Err(NOTHING.into()),
    }
    Ok(())
}

async fn mark(people: &People, room: &mut Room, by: usize, back: u64, read: bool) -> Result<(), Difference> {
    let mut rooms = RoomServiceClient::new(people.calls(by));
    // One beyond the newest as well.
    let seq = (room.head() + 1).saturating_sub(back);
    let (room_id, op_id) = (room.id.clone(), String::new());
    let (expected, answer) = if read {
        let answer = rooms.mark_read(chat::MarkReadRequest { room_id, seq, op_id }).await;
        (room.mark_read(by, seq), answer.map(|answer| answer.map(|marker| (marker.seq, marker.ordinal))))
    } else {
        let answer = rooms.mark_unread(chat::MarkUnreadRequest { room_id, seq, op_id }).await;
        (room.mark_unread(by, seq), answer.map(|answer| answer.map(|marker| (marker.seq, marker.ordinal))))
    };
    match agree(expected.map(drop), answer)? {
        Some(marker) => same("a marker", expected.unwrap_or_default(), marker),
        None => Ok(()),
    }
}

async fn page(people: &People, room: &Room, by: usize, before: bool, back: u64) -> Result<(), Difference> {
    let bound = (room.head() + 1).saturating_sub(back);
    let request = chat::ListMessagesRequest {
        room_id: room.id.clone(),
        before_seq: if before { bound } else { 0 },
        after_seq: if before { 0 } else { bound },
        page_size: u32::try_from(PAGE).unwrap_or(u32::MAX),
    };
    let member = room.reads(by);
    let answer = MessageServiceClient::new(people.calls(by)).list_messages(request).await;
    let Some(page) = agree(member.map(drop), answer)? else { return Ok(()) };
    let first = member.map_or(u64::MAX, |member| member.first);
    let seen: Vec<_> = if bound == 0 || before {
        let below = room.history(first).filter(|message| bound == 0 || message.seq < bound);
        below.rev().take(PAGE + 1).collect()
    } else {
        room.history(first).filter(|message| message.seq > bound).take(PAGE + 1).collect()
    };
    let more = seen.len() > PAGE;
    let mut expected: Vec<(u64, String, bool)> = seen
        .into_iter()
        .take(PAGE)
        .map(|message| (message.seq, message.text.clone().unwrap_or_default(), message.text.is_none()))
        .collect();
    expected.sort();
    let found = page.messages.into_iter().map(|message| (message.seq, message.text, message.deleted_at.is_some()));
    same("a page", (expected, more), (found.collect(), page.more))
}

async fn see_members(people: &People, room: &Room, by: usize) -> Result<(), Difference> {
    let request = chat::ListMembersRequest { room_id: room.id.clone(), ..Default::default() };
    let answer = RoomServiceClient::new(people.calls(by)).list_members(request).await;
    let Some(listed) = agree(room.sees_members(by), answer)? else { return Ok(()) };
    let expected: BTreeMap<String, i32> =
        room.members.iter().map(|(who, member)| (people.id(*who), role(member.level))).collect();
    same("the members", expected, listed.members.into_iter().map(|member| (member.user_id, member.role)).collect())
}

async fn see_room(people: &People, room: &Room, by: usize) -> Result<(), Difference> {
    let request = chat::GetRoomRequest { room_id: room.id.clone() };
    let expected = if room.known_to(by) { Ok(()) } else { Err("ROOM_NOT_FOUND") };
    let answer = RoomServiceClient::new(people.calls(by)).get_room(request).await;
    let Some(got) = agree(expected, answer)? else { return Ok(()) };
    same("archived", room.archived, got.room.is_some_and(|room| room.archived_at.is_some()))?;
    let expected =
        room.members.get(&by).map(|member| (role(member.level), member.first, room.head(), room.messages.len() as u64));
    let found = got.membership.map(|it| (it.role, it.first_visible_seq, it.head, it.head_ordinal));
    same("the standing", expected, found)
}

async fn verify(people: &People, room: &Room, by: usize, from: u64, length: u64) -> Result<(), Difference> {
    let to = from + length;
    let request = chat::VerifyRangeRequest { feed_id: room.id.clone(), from_seq: from, to_seq: to };
    let expected = match room.members.get(&by) {
        None => Err("FEED_NOT_FOUND"),
        Some(member) if from < member.first => Err("FEED_NOT_FOUND"),
        Some(_) if to > room.head() => Err("INVALID_REQUEST"),
        Some(_) => Ok(()),
    };
    let answer = FeedServiceClient::new(people.calls(by)).verify_range(request).await;
    match agree(expected, answer)? {
        Some(proof) => same("a range", (length + 1, 32), (proof.count, proof.digest.len())),
        None => Ok(()),
    }
}

async fn read_log(people: &People, room: &Room, by: usize, after: u64) -> Result<(), Difference> {
    let request =
        ReadFeedRequest { user_id: people.id(by), feed_id: room.id.clone(), after_seq: after, page_size: 1000 };
    let expected = if room.in_it(by) { Ok(()) } else { Err("FEED_NOT_FOUND") };
    let answer = LogClient::new(people.as_gateway()).read_feed(request).await;
    let Some(page) = agree(expected, answer)? else { return Ok(()) };
    let first = room.members.get(&by).map_or(u64::MAX, |member| member.first);
    let mut found = Vec::new();
    for stored in page.events {
        let event = Event::decode(stored.event).map_err(|cause| format!("an event: {cause}"))?;
        same("a number in the log", stored.seq, event.seq)?;
        found.push(told(&event));
    }
    same("the log", log_from(room, after.max(first - 1), first), found)
}

async fn open_feed(people: &People, room: &Room, by: usize, cursor: Option<u64>) -> Result<(), Difference> {
    let cursors = cursor.iter().map(|seq| FeedCursor { feed_id: room.id.clone(), seq: *seq }).collect();
    let request =
        OpenFeedsRequest { user_id: people.id(by), cursors, epoch: String::new(), feed_ids: vec![room.id.clone()] };
    let opened = LogClient::new(people.as_gateway()).open_feeds(request).await;
    let opened = opened.map_err(|status| format!("feeds: {status:?}"))?.into_inner();
    let found: Vec<String> = opened
        .feeds
        .into_iter()
        .map(|feed| match feed.start {
            Some(Start::Snapshot(bytes)) => {
                let snapshot = chat::Snapshot::decode(bytes).unwrap_or_default();
                format!("snapshot at {} from {}", snapshot.head, snapshot.first_visible_seq)
            }
            Some(Start::ReplayAfter(seq)) => format!("replay after {seq}"),
            Some(Start::Reset(reason)) => format!("reset {reason}"),
            None => "nothing".into(),
        })
        .collect();
    let expected = match room.members.get(&by) {
        None => vec!["reset 3".to_owned()],
        Some(member) => {
            let snapshot = format!("snapshot at {} from {}", room.head(), member.first);
            match cursor {
                None => vec![snapshot],
                Some(seq) if seq > room.head() => vec!["reset 2".into(), snapshot],
                // A replay would have a hole where others spoke.
                Some(seq) if seq > 0 && seq + 1 < member.first => vec![snapshot],
                Some(seq) => vec![format!("replay after {}", seq.max(member.first - 1))],
            }
        }
    };
    same("where a feed begins", expected, found)
}

async fn check(people: &People, room: &Room, by: usize, post: bool) -> Result<(), Difference> {
    let action = if post { RoomAction::Post } else { RoomAction::Read };
    let request = CheckAccessRequest {
        user_id: people.id(by),
        room_id: room.id.clone(),
        action: action.into(),
        workspace_role: people.rank(by).into(),
        ..CheckAccessRequest::default()
    };
    let answer = AccessServiceClient::new(people.as_gateway()).check_access(request).await;
    let decision = answer.map_err(|status| format!("access: {status:?}"))?.into_inner();
    let expected = if post { room.may_post(by) } else { room.reads(by).map(drop) };
    let reason = expected.err().unwrap_or_default();
    let visible = reason != "ROOM_NOT_FOUND";
    let found = (decision.allowed, decision.visible, decision.reason.as_str());
    same("access", (expected.is_ok(), visible, reason), found)
}
