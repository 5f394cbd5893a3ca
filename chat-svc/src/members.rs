//! Who is in a room: joined, added, left, removed.

use bytes::Bytes;
use prost::Message as _;
use proto::chat::{
    internal::v1::AudienceChange,
    v1::{
        AddMemberResponse, JoinRoomResponse, LeaveRoomResponse, MemberLeft, MemberRoleChanged, Membership,
        RemoveMemberResponse, RoomHistory, RoomLeft, RoomRole, SetMemberRoleResponse, event::Body,
    },
};
use uuid::Uuid;

use crate::{
    append::Work,
    command::Actor,
    errors::ChatError,
    policy::Action,
    rooms::{self, Seen},
    store::{
        member,
        read_marker::{self, Marker},
        room,
    },
};

/// Enters a public room.
pub(crate) async fn join(work: &mut Work<'_>, actor: Actor, room_id: Uuid) -> Result<Bytes, ChatError> {
    let seen = rooms::open(work.tx().await?, room_id, actor, Action::Join).await?;
    let room = seen.room.to_proto();
    let (member, count) = match seen.member {
        Some(member) => (member, seen.room.member_count),
        None => {
            let member = admit(work, actor, &seen.room, actor.user_id, RoomRole::Member).await?;
            (member, seen.room.member_count + 1)
        }
    };
    let marker = read_marker::find(work.tx().await?, actor.user_id, room_id).await?;
    let membership = Membership {
        member_count: u32::try_from(count).unwrap_or(0),
        ..rooms::standing(&member, seen.room.expired(), work.head(room_id), marker)
    };
    Ok(JoinRoomResponse { room: Some(room), membership: Some(membership) }.encode_to_vec().into())
}

/// Brings somebody in. That they exist was asked before.
pub(crate) async fn add(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    user_id: Uuid,
    role: RoomRole,
) -> Result<Bytes, ChatError> {
    let seen = rooms::open(work.tx().await?, room_id, actor, Action::Add(role)).await?;
    let member = match member::find(work.tx().await?, room_id, user_id).await? {
        Some(member) => member,
        None => {
            let facts = [("user", user_id.to_string()), ("role", role.as_str_name().into())];
            work.audit(actor, "member.added", room_id, &facts);
            admit(work, actor, &seen.room, user_id, role).await?
        }
    };
    Ok(AddMemberResponse { member: Some(member.to_proto()) }.encode_to_vec().into())
}

/// Lets somebody in who was not there. What was posted before counts as read.
pub(crate) async fn admit(
    work: &mut Work<'_>,
    actor: Actor,
    room: &room::Model,
    user_id: Uuid,
    role: RoomRole,
) -> Result<member::Model, ChatError> {
    let seq = work.next_seq(room.id);
    let first_visible = if room.history() == RoomHistory::SinceJoined { seq } else { 1 };
    let marker = Marker { seq, ordinal: work.head(room.id).ordinal };
    read_marker::save(work.tx().await?, user_id, room.id, marker).await?;
    work.wrote();
    rooms::enter(work, actor, &room.to_proto(), user_id, role, first_visible).await
}

/// Leaves by oneself.
pub(crate) async fn leave(work: &mut Work<'_>, actor: Actor, room_id: Uuid) -> Result<Bytes, ChatError> {
    let Seen { room, member } = rooms::open(work.tx().await?, room_id, actor, Action::Leave).await?;
    let owns = member.is_some_and(|member| member.role() == RoomRole::Owner);
    if owns && room.member_count > 1 && member::owners(work.tx().await?, room_id).await? == 1 {
        return Err(ChatError::LastOwner);
    }
    part(work, actor, room_id, actor.user_id).await?;
    Ok(LeaveRoomResponse {}.encode_to_vec().into())
}

/// Puts somebody out.
pub(crate) async fn remove(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    user_id: Uuid,
) -> Result<Bytes, ChatError> {
    if user_id == actor.user_id {
        let left = leave(work, actor, room_id).await;
        return left.map(|_| RemoveMemberResponse {}.encode_to_vec().into());
    }
    rooms::open(work.tx().await?, room_id, actor, Action::Remove(RoomRole::Member)).await?;
    let theirs = member::find(work.tx().await?, room_id, user_id).await?.ok_or(ChatError::MemberNotFound)?;
    rooms::open(work.tx().await?, room_id, actor, Action::Remove(theirs.role())).await?;
    work.audit(actor, "member.removed", room_id, &[("user", user_id.to_string())]);
    part(work, actor, room_id, user_id).await?;
    Ok(RemoveMemberResponse {}.encode_to_vec().into())
}

/// Changes what somebody may do.
pub(crate) async fn set_role(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    user_id: Uuid,
    role: RoomRole,
) -> Result<Bytes, ChatError> {
    rooms::open(work.tx().await?, room_id, actor, Action::Promote(RoomRole::Member, RoomRole::Member)).await?;
    let mut theirs = member::find(work.tx().await?, room_id, user_id).await?.ok_or(ChatError::MemberNotFound)?;
    let before = theirs.role();
    rooms::open(work.tx().await?, room_id, actor, Action::Promote(before, role)).await?;
    if before == RoomRole::Owner && role != RoomRole::Owner && member::owners(work.tx().await?, room_id).await? == 1 {
        return Err(ChatError::LastOwner);
    }
    if before != role {
        theirs.role = role.into();
        member::set_role(work.tx().await?, room_id, user_id, role).await?;
        work.wrote();
        let (from, to) = (before.as_str_name().to_owned(), role.as_str_name().to_owned());
        let facts = [("user", user_id.to_string()), ("from", from), ("to", to)];
        work.audit(actor, "member.role_changed", room_id, &facts);
        let changed = MemberRoleChanged { member: Some(theirs.to_proto()), room_id: room_id.to_string() };
        work.append(room_id, actor.user_id, Body::MemberRoleChanged(changed), None);
    }
    Ok(SetMemberRoleResponse { member: Some(theirs.to_proto()) }.encode_to_vec().into())
}

/// Ends a membership. The event is the last that the user may see: it carries the change of audience itself.
async fn part(work: &mut Work<'_>, actor: Actor, room_id: Uuid, user_id: Uuid) -> Result<(), ChatError> {
    member::delete(work.tx().await?, room_id, user_id).await?;
    room::count_member(work.tx().await?, room_id, -1).await?;
    work.wrote();
    let left = MemberLeft { user_id: user_id.to_string(), room_id: room_id.to_string() };
    let audience = AudienceChange { added_user_ids: Vec::new(), removed_user_ids: vec![user_id.to_string()] };
    let left_seq = work.append(room_id, actor.user_id, Body::MemberLeft(left.clone()), Some(audience));
    work.publish(room_id, &left)?;
    work.append(user_id, actor.user_id, Body::RoomLeft(RoomLeft { room_id: room_id.to_string(), left_seq }), None);
    Ok(())
}
