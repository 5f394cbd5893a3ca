//! What needs which role in a room, in the bits of one number: it stands in the room's row and is in memory with it.

use proto::chat::v1::{RoomKind, RoomPermissions, RoomRole};

/// What a room can give to a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    Post,
    AddMembers,
    RemoveMembers,
    EditRoom,
    DeleteMessages,
}

impl Permission {
    /// As the contracts call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::AddMembers => "add_members",
            Self::RemoveMembers => "remove_members",
            Self::EditRoom => "edit_room",
            Self::DeleteMessages => "delete_messages",
        }
    }
}

/// Each permission in the order of its place, with its field's name.
const ALL: [(Permission, &str); 5] = [
    (Permission::Post, "permissions.post"),
    (Permission::AddMembers, "permissions.add_members"),
    (Permission::RemoveMembers, "permissions.remove_members"),
    (Permission::EditRoom, "permissions.edit_room"),
    (Permission::DeleteMessages, "permissions.delete_messages"),
];

/// How many bits a role takes.
const BITS: u32 = 4;

/// The lowest role for each permission, where a room's differs from what rooms have at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permissions(i64);

impl Permissions {
    /// As they stand in a row.
    pub(crate) const fn from_bits(bits: i64) -> Self {
        Self(bits)
    }

    /// For a row.
    pub(crate) const fn bits(self) -> i64 {
        self.0
    }

    /// The lowest role that has a permission.
    pub(crate) fn needs(self, permission: Permission, kind: RoomKind) -> RoomRole {
        let bits = self.0 >> (permission as u32 * BITS) & ((1 << BITS) - 1);
        match i32::try_from(bits).ok().and_then(|role| RoomRole::try_from(role).ok()) {
            None | Some(RoomRole::Unspecified) => at_first(permission, kind),
            Some(role) => role,
        }
    }

    /// The same with one permission changed.
    #[must_use]
    pub(crate) const fn with(self, permission: Permission, role: RoomRole) -> Self {
        let place = permission as u32 * BITS;
        let others = self.0 & !(((1 << BITS) - 1) << place);
        Self(others | (role as i64) << place)
    }

    /// As the contracts have them.
    pub(crate) fn to_proto(self, kind: RoomKind) -> RoomPermissions {
        let needs = |permission| self.needs(permission, kind).into();
        RoomPermissions {
            post: needs(Permission::Post),
            add_members: needs(Permission::AddMembers),
            remove_members: needs(Permission::RemoveMembers),
            edit_room: needs(Permission::EditRoom),
            delete_messages: needs(Permission::DeleteMessages),
        }
    }
}

/// The permissions that a request sets, with the names of fields that hold no role.
pub(crate) fn asked(asked: &RoomPermissions) -> (Vec<(Permission, RoomRole)>, Vec<&'static str>) {
    let values = [asked.post, asked.add_members, asked.remove_members, asked.edit_room, asked.delete_messages];
    let (mut set, mut wrong) = (Vec::new(), Vec::new());
    for ((permission, field), value) in ALL.into_iter().zip(values) {
        match RoomRole::try_from(value) {
            Ok(RoomRole::Unspecified) => {}
            Ok(role) => set.push((permission, role)),
            Err(_) => wrong.push(field),
        }
    }
    (set, wrong)
}

/// What rooms have at first.
const fn at_first(permission: Permission, kind: RoomKind) -> RoomRole {
    match (permission, kind) {
        (Permission::Post, _) | (Permission::AddMembers, RoomKind::Public) => RoomRole::Member,
        (Permission::DeleteMessages, _) => RoomRole::Moderator,
        (Permission::AddMembers | Permission::RemoveMembers | Permission::EditRoom, _) => RoomRole::Admin,
    }
}
