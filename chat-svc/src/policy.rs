//! Who may do what in a room, and whom they see: pure functions over what is known of the room and the caller. Used by every RPC,
//! by the log, by the beginnings and pages of streams, by lists and by CheckAccess, so that there is one answer.
//!
//! A level is how much somebody may do in a room: their role there, at most a member's for guests of the workspace; in public
//! rooms owners and admins of the workspace stand at least where owners and admins of the room do.

mod permissions;

#[cfg(test)]
mod tests;

use mesh::authn::Rank;
use proto::{
    auth::v1::WorkspaceRole,
    chat::v1::{RoomKind, RoomRole},
};
use uuid::Uuid;

pub(crate) use self::permissions::{Permission, Permissions, asked};
use crate::errors::ChatError;

/// What somebody wants to do in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Know that the room is there.
    See,
    /// Read messages, events and files; say how far one has read.
    Read,
    /// See who is in it.
    SeeMembers,
    /// Post, upload, edit one's own, type.
    Post,
    /// Delete one's own message.
    DeleteOwn,
    /// Delete somebody else's message.
    DeleteOthers,
    /// Enter by oneself.
    Join,
    /// Leave.
    Leave,
    /// Rename, set the topic.
    Edit,
    /// Say how far back those who join may read.
    SetHistory,
    /// Say how long messages are kept.
    SetRetention,
    /// Change what needs the first role so that it needs the second.
    Permit(RoomRole, RoomRole),
    /// Archive, or the reverse.
    Archive,
    /// Bring somebody in with this role.
    Add(RoomRole),
    /// Put somebody with this role out.
    Remove(RoomRole),
    /// Give somebody with the first role the second.
    Promote(RoomRole, RoomRole),
    /// Let another program post here, or call it something else.
    AddWebhook,
    /// See which programs may post here, and take that away.
    ManageWebhooks,
}

/// What a room says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) kind: RoomKind,
    pub(crate) permissions: Permissions,
    pub(crate) archived: bool,
}

/// Who asks, as far as the room is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The role in the room; nothing when not in it.
    pub(crate) role: Option<RoomRole>,
    /// The standing in the workspace.
    pub(crate) rank: Rank,
}

impl Asker {
    /// Who is in the room, when nobody said what they are in the workspace, as gateways do not. It counts as the least, and decides
    /// nothing about seeing and reading a room that one is in.
    pub(crate) const fn inside(role: RoomRole) -> Self {
        Self { role: Some(role), rank: Rank::Guest }
    }
}

/// The standing that a role in the workspace gives.
pub(crate) const fn rank_of(role: WorkspaceRole) -> Rank {
    match role {
        WorkspaceRole::Owner => Rank::Owner,
        WorkspaceRole::Admin => Rank::Admin,
        WorkspaceRole::Member => Rank::Member,
        WorkspaceRole::Guest | WorkspaceRole::Unspecified => Rank::Guest,
    }
}

/// Decides. What one may not see looks like what does not exist.
pub(crate) fn allow(action: Action, rules: Rules, asker: Asker) -> Result<(), ChatError> {
    let inside = asker.role.is_some();
    if !(inside || found_from_outside(action, rules.kind, asker.rank)) {
        return Err(ChatError::RoomNotFound);
    }
    if rules.archived && changes_archived(action, inside) {
        return Err(ChatError::RoomArchived);
    }
    if permits(action, rules, asker) { Ok(()) } else { Err(ChatError::RoleTooLow) }
}

/// Whether a webhook of a room may post in it: who may not, need not get around it, and who let it in could.
pub(crate) fn allow_webhook(rules: Rules) -> Result<(), ChatError> {
    if rules.archived { Err(ChatError::RoomArchived) } else { Ok(()) }
}

/// Whether somebody finds rooms of a kind that they are not in: what a list asks the database for.
pub(crate) fn finds(kind: RoomKind, rank: Rank) -> bool {
    found_from_outside(Action::See, kind, rank)
}

/// Whether somebody sees every account, whoever they meet in rooms.
pub(crate) fn sees_everybody(rank: Rank) -> bool {
    rank > Rank::Guest
}

/// Whether somebody meets another: themselves always, and whom they share a room with, for who is in a room sees who else is.
pub(crate) fn meets(by: Uuid, other: Uuid, shares_a_room: bool) -> bool {
    by == other || shares_a_room
}

/// What can be asked of a room that one is not in. Reading a public room needs membership, so that it answers as if it were
/// not there: there is no second way to learn about rooms.
fn found_from_outside(action: Action, kind: RoomKind, rank: Rank) -> bool {
    if kind != RoomKind::Public || rank == Rank::Guest {
        return false;
    }
    match action {
        Action::See | Action::Join => true,
        Action::SeeMembers
        | Action::Edit
        | Action::SetHistory
        | Action::SetRetention
        | Action::Permit(..)
        | Action::Archive
        | Action::Add(_)
        | Action::Remove(_)
        | Action::Promote(..)
        | Action::AddWebhook
        | Action::ManageWebhooks => rank >= Rank::Admin,
        Action::Read | Action::Post | Action::DeleteOwn | Action::DeleteOthers | Action::Leave => false,
    }
}

/// Whether it changes a room that can only be read. Access can always be taken away, and an archive be opened.
fn changes_archived(action: Action, inside: bool) -> bool {
    match action {
        Action::See
        | Action::Read
        | Action::SeeMembers
        | Action::Leave
        | Action::Remove(_)
        | Action::Archive
        | Action::ManageWebhooks => false,
        // Who is in already joins without a change.
        Action::Join => !inside,
        Action::Post
        | Action::DeleteOwn
        | Action::DeleteOthers
        | Action::Edit
        | Action::SetHistory
        | Action::SetRetention
        | Action::Permit(..)
        | Action::Add(_)
        | Action::Promote(..)
        | Action::AddWebhook => true,
    }
}

/// Whether somebody who may know of the room stands high enough.
fn permits(action: Action, rules: Rules, asker: Asker) -> bool {
    let mine = level(rules, asker);
    let holds = |permission| mine >= of_role(rules.permissions.needs(permission, rules.kind));
    let admin = of_role(RoomRole::Admin);
    match action {
        Action::See | Action::Read | Action::SeeMembers | Action::DeleteOwn | Action::Join | Action::Leave => true,
        Action::Post => holds(Permission::Post),
        Action::DeleteOthers => holds(Permission::DeleteMessages),
        Action::Edit | Action::ManageWebhooks => holds(Permission::EditRoom),
        // Nobody gets around a room that only some may post in.
        Action::AddWebhook => holds(Permission::EditRoom) && holds(Permission::Post),
        Action::SetHistory | Action::SetRetention | Action::Archive => mine >= admin,
        Action::Add(given) => asker.rank > Rank::Guest && holds(Permission::AddMembers) && mine >= of_role(given),
        Action::Remove(theirs) => holds(Permission::RemoveMembers) && mine >= of_role(theirs),
        Action::Permit(from, to) | Action::Promote(from, to) => mine >= admin.max(of_role(from)).max(of_role(to)),
    }
}

fn level(rules: Rules, asker: Asker) -> u8 {
    let in_room = asker.role.map_or(0, of_role);
    if asker.rank == Rank::Guest {
        return in_room.min(of_role(RoomRole::Member));
    }
    let in_workspace = match asker.rank {
        Rank::Owner if rules.kind == RoomKind::Public => of_role(RoomRole::Owner),
        Rank::Admin if rules.kind == RoomKind::Public => of_role(RoomRole::Admin),
        _ => 0,
    };
    in_room.max(in_workspace)
}

/// The level that a role gives.
const fn of_role(role: RoomRole) -> u8 {
    match role {
        RoomRole::Unspecified => 0,
        RoomRole::Member => 1,
        RoomRole::Moderator => 2,
        RoomRole::Admin => 3,
        RoomRole::Owner => 4,
    }
}
