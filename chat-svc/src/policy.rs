//! Who may do what in a room: pure functions over what is known of the room and the caller. Used by every RPC, by the log,
//! by the live stream and by CheckAccess, so that there is one answer.

use proto::chat::v1::{RoomKind, RoomRole};

use crate::errors::ChatError;

/// What somebody wants to do in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Know that the room is there.
    See,
    /// Read messages, members, events and files.
    Read,
    /// Post, upload, edit one's own, type.
    Post,
    /// Enter by oneself.
    Join,
    /// Leave.
    Leave,
    /// Rename, set the topic.
    Update,
    /// Bring somebody in with this role.
    Add(RoomRole),
    /// Put somebody with this role out.
    Remove(RoomRole),
    /// Give somebody with the first role the second.
    Promote(RoomRole, RoomRole),
    /// Delete somebody else's message.
    DeleteOthers,
}

/// Who asks, as far as the room is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The role in the room; nothing when not in it.
    pub(crate) role: Option<RoomRole>,
    /// Guests see only rooms that they were added to.
    pub(crate) guest: bool,
}

/// Decides. What one may not see looks like what does not exist.
pub(crate) fn allow(action: Action, kind: RoomKind, asker: Asker) -> Result<(), ChatError> {
    let visible = asker.role.is_some() || (kind == RoomKind::Public && !asker.guest);
    if !visible {
        return Err(ChatError::RoomNotFound);
    }
    let Some(role) = asker.role else {
        return match action {
            Action::See | Action::Join => Ok(()),
            // A public room is known, but reading it needs membership; it answers as if it were not there, so that there
            // is no second way to learn about rooms.
            _ => Err(ChatError::RoomNotFound),
        };
    };
    let allowed = match action {
        Action::See | Action::Read | Action::Post | Action::Join | Action::Leave => true,
        Action::Update | Action::DeleteOthers => rank(role) >= rank(RoomRole::Admin),
        Action::Add(given) => {
            let may_bring = kind == RoomKind::Public || rank(role) >= rank(RoomRole::Admin);
            may_bring && rank(given) <= rank(role)
        }
        Action::Remove(theirs) => rank(role) >= rank(RoomRole::Admin) && rank(theirs) <= rank(role),
        Action::Promote(from, to) => rank(role) >= rank(RoomRole::Admin) && rank(from).max(rank(to)) <= rank(role),
    };
    if allowed { Ok(()) } else { Err(ChatError::RoleTooLow) }
}

fn rank(role: RoomRole) -> u8 {
    match role {
        RoomRole::Unspecified => 0,
        RoomRole::Member => 1,
        RoomRole::Admin => 2,
        RoomRole::Owner => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row an action: what a stranger, a guest stranger, a member, an admin and an owner get, in a public and in a
    /// private room. `+` allowed, `?` not found, `-` denied.
    const TABLE: &[(Action, &str, &str)] = &[
        (Action::See, "+?+++", "??+++"),
        (Action::Read, "??+++", "??+++"),
        (Action::Post, "??+++", "??+++"),
        (Action::Join, "+?+++", "??+++"),
        (Action::Leave, "??+++", "??+++"),
        (Action::Update, "??-++", "??-++"),
        (Action::Add(RoomRole::Member), "??+++", "??-++"),
        (Action::Add(RoomRole::Admin), "??-++", "??-++"),
        (Action::Add(RoomRole::Owner), "??--+", "??--+"),
        (Action::Remove(RoomRole::Member), "??-++", "??-++"),
        (Action::Remove(RoomRole::Admin), "??-++", "??-++"),
        (Action::Remove(RoomRole::Owner), "??--+", "??--+"),
        (Action::Promote(RoomRole::Member, RoomRole::Admin), "??-++", "??-++"),
        (Action::Promote(RoomRole::Admin, RoomRole::Owner), "??--+", "??--+"),
        (Action::Promote(RoomRole::Owner, RoomRole::Member), "??--+", "??--+"),
        (Action::DeleteOthers, "??-++", "??-++"),
    ];

    const ASKERS: [Asker; 5] = [
        Asker { role: None, guest: false },
        Asker { role: None, guest: true },
        Asker { role: Some(RoomRole::Member), guest: false },
        Asker { role: Some(RoomRole::Admin), guest: false },
        Asker { role: Some(RoomRole::Owner), guest: false },
    ];

    #[test]
    fn the_policy_is_this_table() {
        for (action, public, private) in TABLE {
            for (kind, row) in [(RoomKind::Public, public), (RoomKind::Private, private)] {
                let decided: String = ASKERS
                    .iter()
                    .map(|asker| match allow(*action, kind, *asker) {
                        Ok(()) => '+',
                        Err(ChatError::RoomNotFound) => '?',
                        Err(_) => '-',
                    })
                    .collect();
                assert_eq!(&decided, row, "{action:?} in a {kind:?} room");
            }
        }
    }
}
