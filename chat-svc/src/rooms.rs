//! Rooms: made, changed, listed. What a caller may see of them is decided by `policy`.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message as _;
use proto::chat::{
    internal::v1::AudienceChange,
    v1::{
        ArchiveRoomResponse, CreateRoomResponse, Member, MemberJoined, Membership, Room, RoomArchived, RoomCreated,
        RoomJoined, RoomKind, RoomRole, RoomUnarchived, RoomUpdated, UnarchiveRoomResponse, UpdateRoomResponse,
        event::Body,
    },
};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{
    append::Work,
    command::{Actor, NewRoom, RoomChange},
    errors::ChatError,
    policy::{self, Action, Asker, Permission},
    store::{
        self,
        feed::Head,
        member,
        read_marker::{self, Marker},
        room,
    },
};

/// A room as somebody sees it.
pub(crate) struct Seen {
    pub(crate) room: room::Model,
    pub(crate) member: Option<member::Model>,
}

impl Seen {
    /// What the policy asks about.
    pub(crate) fn asker(&self, actor: Actor) -> Asker {
        Asker { role: self.member.as_ref().map(member::Model::role), rank: actor.rank }
    }

    /// The lowest number whose message and files exist for the caller: what is gone by retention exists for nobody.
    pub(crate) fn first_visible(&self) -> u64 {
        let joined = self.member.as_ref().map_or(u64::MAX, |member| store::unsigned(member.first_visible_seq));
        joined.max(self.room.expired().seq + 1)
    }
}

/// A room for somebody who wants to do something there, if they may.
pub(crate) async fn open<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    actor: Actor,
    action: Action,
) -> Result<Seen, ChatError> {
    let room = room::find(db, room_id).await?.ok_or(ChatError::RoomNotFound)?;
    let member = member::find(db, room_id, actor.user_id).await?;
    let seen = Seen { room, member };
    policy::allow(action, seen.room.rules(), seen.asker(actor))?;
    Ok(seen)
}

/// Makes a room with its maker in it.
pub(crate) async fn create(work: &mut Work<'_>, actor: Actor, new: &NewRoom) -> Result<Bytes, ChatError> {
    let row = room::Model {
        id: new.id,
        name: new.name.clone(),
        sort_name: sort_name(&new.name),
        kind: new.kind as i32,
        topic: new.topic.clone(),
        history: new.history as i32,
        created_by: actor.user_id,
        created_at: store::micros(work.now),
        member_count: 0,
        permissions: new.permissions.bits(),
        archived_at: 0,
        retention_days: 0,
        expired_seq: 0,
        expired_ordinal: 0,
    };
    let room = row.to_proto();
    room::insert(work.tx().await?, row).await?;
    work.wrote();
    let created = RoomCreated { room: Some(room.clone()) };
    work.append(new.id, actor.user_id, Body::RoomCreated(created.clone()), None);
    work.publish(new.id, &created)?;
    let kind = new.kind.as_str_name();
    work.audit(actor, "room.created", new.id, &[("name", new.name.clone()), ("kind", kind.into())]);
    let member = enter(work, actor, &room, actor.user_id, RoomRole::Owner, 1).await?;
    let membership =
        Membership { member_count: 1, ..standing(&member, Marker::default(), work.head(new.id), Marker::default()) };
    Ok(CreateRoomResponse { room: Some(room), membership: Some(membership) }.encode_to_vec().into())
}

/// Puts somebody into a room: the row, the event for those who are in it, and the one for the user.
pub(crate) async fn enter(
    work: &mut Work<'_>,
    actor: Actor,
    room: &Room,
    user_id: Uuid,
    role: RoomRole,
    first_visible: u64,
) -> Result<member::Model, ChatError> {
    let room_id = Uuid::try_parse(&room.id).map_err(ChatError::internal)?;
    let seq = work.next_seq(room_id);
    let row = member::Model {
        room_id,
        user_id,
        role: role as i32,
        joined_at: store::micros(work.now),
        joined_seq: store::signed(seq),
        first_visible_seq: store::signed(first_visible),
    };
    member::insert(work.tx().await?, row.clone()).await?;
    room::count_member(work.tx().await?, room_id, 1).await?;
    work.wrote();
    let joined = MemberJoined {
        member: Some(Member { joined_at: Some(work.at()), ..row.to_proto() }),
        room_id: room.id.clone(),
    };
    let audience = AudienceChange { added_user_ids: vec![user_id.to_string()], removed_user_ids: Vec::new() };
    work.append(room_id, actor.user_id, Body::MemberJoined(joined.clone()), Some(audience));
    work.publish(room_id, &joined)?;
    let entered = RoomJoined { room: Some(room.clone()), joined_seq: seq };
    work.append(user_id, actor.user_id, Body::RoomJoined(entered), None);
    Ok(row)
}

/// Changes what was given.
pub(crate) async fn update(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    change: &RoomChange,
) -> Result<Bytes, ChatError> {
    let Seen { mut room, member } = open(work.tx().await?, room_id, actor, Action::See).await?;
    let (rules, asker) = (room.rules(), Asker { role: member.as_ref().map(member::Model::role), rank: actor.rank });
    for action in wanted(&room, change) {
        policy::allow(action, rules, asker)?;
    }
    if let Some(name) = &change.name {
        room.name.clone_from(name);
        room.sort_name = sort_name(name);
    }
    if let Some(topic) = &change.topic {
        room.topic.clone_from(topic);
    }
    if let Some(history) = change.history {
        room.history = history as i32;
    }
    if let Some(days) = change.retention_days {
        room.retention_days = i32::try_from(days).unwrap_or(i32::MAX);
    }
    for (permission, role) in &change.permissions {
        room.permissions = room.permissions().with(*permission, *role).bits();
    }
    room::update(work.tx().await?, &room).await?;
    work.wrote();
    work.audit(actor, "room.updated", room_id, &facts(change));
    let updated = RoomUpdated { room: Some(room.to_proto()) };
    work.append(room_id, actor.user_id, Body::RoomUpdated(updated), None);
    Ok(UpdateRoomResponse { room: Some(room.to_proto()) }.encode_to_vec().into())
}

/// What a change asks of the policy. One that changes nothing asks what a change of the name does.
fn wanted(room: &room::Model, change: &RoomChange) -> Vec<Action> {
    let permit = |(permission, role): &(Permission, RoomRole)| {
        Action::Permit(room.permissions().needs(*permission, room.kind()), *role)
    };
    let mut actions: Vec<Action> = change.permissions.iter().map(permit).collect();
    actions.extend(change.history.map(|_| Action::SetHistory));
    actions.extend(change.retention_days.map(|_| Action::SetRetention));
    if change.name.is_some() || change.topic.is_some() || actions.is_empty() {
        actions.push(Action::Edit);
    }
    actions
}

/// What the audit log says of a change.
fn facts(change: &RoomChange) -> Vec<(&'static str, String)> {
    let mut facts: Vec<(&'static str, String)> = Vec::new();
    facts.extend(change.name.clone().map(|name| ("name", name)));
    facts.extend(change.topic.clone().map(|topic| ("topic", topic)));
    facts.extend(change.history.map(|history| ("history", history.as_str_name().into())));
    facts.extend(change.retention_days.map(|days| ("retention_days", days.to_string())));
    facts.extend(change.permissions.iter().map(|(what, role)| (what.name(), role.as_str_name().into())));
    facts
}

/// Lets a room be read and left, and nothing else.
pub(crate) async fn archive(work: &mut Work<'_>, actor: Actor, room_id: Uuid) -> Result<Bytes, ChatError> {
    let mut room = open(work.tx().await?, room_id, actor, Action::Archive).await?.room;
    if room.archived_at == 0 {
        room.archived_at = store::micros(work.now);
        room::update(work.tx().await?, &room).await?;
        work.wrote();
        let archived = RoomArchived { room: Some(room.to_proto()) };
        work.audit(actor, "room.archived", room_id, &[]);
        work.append(room_id, actor.user_id, Body::RoomArchived(archived.clone()), None);
        work.publish(room_id, &archived)?;
    }
    Ok(ArchiveRoomResponse { room: Some(room.to_proto()) }.encode_to_vec().into())
}

/// Makes an archived room an ordinary one again.
pub(crate) async fn unarchive(work: &mut Work<'_>, actor: Actor, room_id: Uuid) -> Result<Bytes, ChatError> {
    let mut room = open(work.tx().await?, room_id, actor, Action::Archive).await?.room;
    if room.archived_at != 0 {
        room.archived_at = 0;
        room::update(work.tx().await?, &room).await?;
        work.wrote();
        let unarchived = RoomUnarchived { room: Some(room.to_proto()) };
        work.audit(actor, "room.unarchived", room_id, &[]);
        work.append(room_id, actor.user_id, Body::RoomUnarchived(unarchived.clone()), None);
        work.publish(room_id, &unarchived)?;
    }
    Ok(UnarchiveRoomResponse { room: Some(room.to_proto()) }.encode_to_vec().into())
}

/// One page of the rooms that somebody may see.
pub(crate) struct Listed {
    pub(crate) rooms: Vec<Room>,
    pub(crate) memberships: Vec<Membership>,
    pub(crate) next_page_token: String,
}

/// The rooms that somebody is in and, unless `joined_only`, the public ones.
pub(crate) async fn list<C: ConnectionTrait>(
    db: &C,
    actor: Actor,
    joined_only: bool,
    rows: u64,
    page_token: &str,
) -> Result<Listed, ChatError> {
    let after = parse_token(page_token)?;
    let members = member::of_user(db, actor.user_id).await?;
    let mine: Vec<Uuid> = members.iter().map(|member| member.room_id).collect();
    let public = !joined_only && policy::finds(RoomKind::Public, actor.rank);
    let mut rooms = room::list(db, &mine, public, after, rows + 1).await?;
    let more = mesh::db::cut_page(&mut rooms, rows);
    let next_page_token = match rooms.last() {
        Some(last) if more => format!("{}/{}", last.id, last.sort_name),
        _ => String::new(),
    };
    let roles: HashMap<Uuid, RoomRole> = members.iter().map(|member| (member.room_id, member.role())).collect();
    rooms.retain(|room| {
        let asker = Asker { role: roles.get(&room.id).copied(), rank: actor.rank };
        policy::allow(Action::See, room.rules(), asker).is_ok()
    });
    let shown: Vec<member::Model> =
        members.into_iter().filter(|member| rooms.iter().any(|room| room.id == member.room_id)).collect();
    let memberships = standings(db, actor.user_id, &shown, &rooms).await?;
    Ok(Listed { rooms: rooms.iter().map(room::Model::to_proto).collect(), memberships, next_page_token })
}

fn parse_token(token: &str) -> Result<Option<(String, Uuid)>, ChatError> {
    if token.is_empty() {
        return Ok(None);
    }
    let wrong = || ChatError::invalid("page_token", "is not one that this call gave");
    let (id, name) = token.split_once('/').ok_or_else(wrong)?;
    Ok(Some((name.to_owned(), Uuid::try_parse(id).map_err(|_| wrong())?)))
}

/// A user's standing in some rooms.
pub(crate) async fn standings<C: ConnectionTrait>(
    db: &C,
    user_id: Uuid,
    members: &[member::Model],
    rooms: &[room::Model],
) -> Result<Vec<Membership>, ChatError> {
    let ids: Vec<Uuid> = members.iter().map(|member| member.room_id).collect();
    let heads = store::feed::heads(db, &ids).await?;
    let markers = read_marker::of_user(db, user_id).await?;
    let one = |member: &member::Model| {
        let room = rooms.iter().find(|room| room.id == member.room_id);
        let (expired, count) = room.map_or_else(Default::default, |room| (room.expired(), room.member_count));
        let head = heads.get(&member.room_id).copied().unwrap_or_default();
        let marker = markers.get(&member.room_id).copied().unwrap_or_default();
        let member_count = u32::try_from(count).unwrap_or(0);
        Membership { member_count, ..standing(member, expired, head, marker) }
    };
    Ok(members.iter().map(one).collect())
}

/// A standing without the number of members. What is gone by retention counts as read.
pub(crate) fn standing(member: &member::Model, expired: Marker, head: Head, marker: Marker) -> Membership {
    Membership {
        room_id: member.room_id.to_string(),
        role: member.role,
        first_visible_seq: store::unsigned(member.first_visible_seq),
        head: head.seq,
        head_ordinal: head.ordinal,
        read_seq: marker.seq.max(expired.seq),
        read_ordinal: marker.ordinal.max(expired.ordinal),
        member_count: 0,
        expired_seq: expired.seq,
        expired_ordinal: expired.ordinal,
    }
}

/// Rooms are listed without regard to case.
fn sort_name(name: &str) -> String {
    name.to_lowercase()
}
