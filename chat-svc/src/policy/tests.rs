use super::*;

/// One row an action: what a stranger, a guest who is a stranger, a guest who is in, a member, a moderator, an admin and an
/// owner get; then an admin and an owner of the workspace from outside, and an admin of the workspace who is a member. In a
/// public and in a private room. `+` allowed, `?` not found, `-` denied.
const TABLE: &[(Action, &str, &str)] = &[
    (Action::See, "+?+++++ +++", "??+++++ ??+"),
    (Action::Read, "??+++++ ??+", "??+++++ ??+"),
    (Action::SeeMembers, "??+++++ +++", "??+++++ ??+"),
    (Action::Post, "??+++++ ??+", "??+++++ ??+"),
    (Action::DeleteOwn, "??+++++ ??+", "??+++++ ??+"),
    (Action::DeleteOthers, "??--+++ ??+", "??--+++ ??-"),
    (Action::Join, "+?+++++ +++", "??+++++ ??+"),
    (Action::Leave, "??+++++ ??+", "??+++++ ??+"),
    (Action::Edit, "??---++ +++", "??---++ ??-"),
    (Action::AddWebhook, "??---++ +++", "??---++ ??-"),
    (Action::ManageWebhooks, "??---++ +++", "??---++ ??-"),
    (Action::SetHistory, "??---++ +++", "??---++ ??-"),
    (Action::SetRetention, "??---++ +++", "??---++ ??-"),
    (Action::Permit(RoomRole::Member, RoomRole::Admin), "??---++ +++", "??---++ ??-"),
    (Action::Permit(RoomRole::Admin, RoomRole::Owner), "??----+ -+-", "??----+ ??-"),
    (Action::Permit(RoomRole::Owner, RoomRole::Member), "??----+ -+-", "??----+ ??-"),
    (Action::Archive, "??---++ +++", "??---++ ??-"),
    (Action::Add(RoomRole::Member), "??-++++ +++", "??---++ ??-"),
    (Action::Add(RoomRole::Moderator), "??--+++ +++", "??---++ ??-"),
    (Action::Add(RoomRole::Admin), "??---++ +++", "??---++ ??-"),
    (Action::Add(RoomRole::Owner), "??----+ -+-", "??----+ ??-"),
    (Action::Remove(RoomRole::Member), "??---++ +++", "??---++ ??-"),
    (Action::Remove(RoomRole::Admin), "??---++ +++", "??---++ ??-"),
    (Action::Remove(RoomRole::Owner), "??----+ -+-", "??----+ ??-"),
    (Action::Promote(RoomRole::Member, RoomRole::Admin), "??---++ +++", "??---++ ??-"),
    (Action::Promote(RoomRole::Admin, RoomRole::Owner), "??----+ -+-", "??----+ ??-"),
    (Action::Promote(RoomRole::Owner, RoomRole::Member), "??----+ -+-", "??----+ ??-"),
];

const fn asker(role: Option<RoomRole>, rank: Rank) -> Asker {
    Asker { role, rank }
}

const ASKERS: [Asker; 10] = [
    asker(None, Rank::Member),
    asker(None, Rank::Guest),
    // Whatever their role in the room.
    asker(Some(RoomRole::Owner), Rank::Guest),
    asker(Some(RoomRole::Member), Rank::Member),
    asker(Some(RoomRole::Moderator), Rank::Member),
    asker(Some(RoomRole::Admin), Rank::Member),
    asker(Some(RoomRole::Owner), Rank::Member),
    asker(None, Rank::Admin),
    asker(None, Rank::Owner),
    asker(Some(RoomRole::Member), Rank::Admin),
];

fn rules(kind: RoomKind) -> Rules {
    Rules { kind, permissions: Permissions::default(), archived: false }
}

fn decided(action: Action, rules: Rules) -> String {
    let one = |asker: &Asker| match allow(action, rules, *asker) {
        Ok(()) => '+',
        Err(ChatError::RoomNotFound) => '?',
        Err(ChatError::RoomArchived) => 'a',
        Err(_) => '-',
    };
    ASKERS.iter().map(one).collect()
}

#[test]
fn the_policy_is_this_table() {
    for (action, public, private) in TABLE {
        for (kind, row) in [(RoomKind::Public, public), (RoomKind::Private, private)] {
            assert_eq!(decided(*action, rules(kind)), row.replace(' ', ""), "{action:?} in a {kind:?} room");
        }
    }
}

#[test]
fn who_is_in_a_room_sees_and_reads_it_whatever_they_are_in_the_workspace() {
    // Streams, the log and the people of a room are asked for by membership alone: this is what they go by.
    let roles = [RoomRole::Member, RoomRole::Moderator, RoomRole::Admin, RoomRole::Owner];
    let ranks = [Rank::Guest, Rank::Member, Rank::Admin, Rank::Owner];
    for (kind, archived) in
        [(RoomKind::Public, false), (RoomKind::Private, false), (RoomKind::Public, true), (RoomKind::Private, true)]
    {
        let rules = Rules { archived, ..rules(kind) };
        for action in [Action::See, Action::Read, Action::SeeMembers] {
            for role in roles {
                assert!(allow(action, rules, Asker::inside(role)).is_ok(), "{action:?} as {role:?} in {rules:?}");
                for rank in ranks {
                    assert!(allow(action, rules, asker(Some(role), rank)).is_ok(), "{action:?} as {rank:?}");
                }
            }
        }
        for rank in ranks {
            assert!(allow(Action::Read, rules, asker(None, rank)).is_err(), "nobody reads from outside, as {rank:?}");
        }
    }
}

#[test]
fn what_is_listed_from_outside_is_what_may_be_seen() {
    for kind in [RoomKind::Public, RoomKind::Private] {
        for rank in [Rank::Guest, Rank::Member, Rank::Admin, Rank::Owner] {
            let seen = allow(Action::See, rules(kind), asker(None, rank)).is_ok();
            assert_eq!(finds(kind, rank), seen, "a {kind:?} room as {rank:?}");
        }
    }
}

#[test]
fn guests_see_whom_they_meet_and_others_everybody() {
    assert_eq!([Rank::Guest, Rank::Member, Rank::Admin, Rank::Owner].map(sees_everybody), [false, true, true, true]);
    let (me, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert!(meets(me, me, false), "everybody meets themselves");
    assert!(meets(me, other, true), "and whom they share a room with");
    assert!(!meets(me, other, false), "and nobody else");
}

#[test]
fn a_role_in_the_workspace_gives_a_standing() {
    let known = [WorkspaceRole::Guest, WorkspaceRole::Member, WorkspaceRole::Admin, WorkspaceRole::Owner];
    assert_eq!(known.map(rank_of), [Rank::Guest, Rank::Member, Rank::Admin, Rank::Owner]);
    assert_eq!(rank_of(WorkspaceRole::Unspecified), Rank::Guest, "what is not known counts as the least");
}

#[test]
fn an_archived_room_is_read_and_left_and_nothing_else() {
    for (action, ..) in TABLE {
        for kind in [RoomKind::Public, RoomKind::Private] {
            let open = decided(*action, rules(kind));
            let archived = decided(*action, Rules { archived: true, ..rules(kind) });
            let stays = matches!(
                action,
                Action::See
                    | Action::Read
                    | Action::SeeMembers
                    | Action::Leave
                    | Action::Archive
                    | Action::Remove(_)
                    | Action::ManageWebhooks
            );
            let expected: String = open
                .chars()
                .zip(ASKERS)
                .map(|(open, asker)| match (open, action) {
                    ('?', _) => '?',
                    (_, Action::Join) if asker.role.is_some() => '+',
                    _ if stays => open,
                    _ => 'a',
                })
                .collect();
            assert_eq!(archived, expected, "{action:?} in an archived {kind:?} room");
        }
    }
}

#[test]
fn a_permission_is_the_lowest_role_that_has_it() {
    let cases = [
        (Permission::Post, Action::Post),
        (Permission::DeleteMessages, Action::DeleteOthers),
        (Permission::EditRoom, Action::Edit),
        (Permission::AddMembers, Action::Add(RoomRole::Member)),
        (Permission::RemoveMembers, Action::Remove(RoomRole::Member)),
    ];
    let lowest = [
        (RoomRole::Member, "++++"),
        (RoomRole::Moderator, "-+++"),
        (RoomRole::Admin, "--++"),
        (RoomRole::Owner, "---+"),
    ];
    for (permission, action) in cases {
        for (role, row) in lowest {
            let permissions = Permissions::default().with(permission, role);
            assert_eq!(permissions.needs(permission, RoomKind::Private), role);
            for (other, _) in cases.into_iter().filter(|(other, _)| *other != permission) {
                let at_first = Permissions::default().needs(other, RoomKind::Private);
                assert_eq!(permissions.needs(other, RoomKind::Private), at_first, "{other:?} beside {permission:?}");
            }
            let rules = Rules { permissions, ..rules(RoomKind::Private) };
            assert_eq!(&decided(action, rules)[3..7], row, "{action:?} from {role:?} on");
        }
    }
}

#[test]
fn a_webhook_is_made_by_who_may_change_the_room_and_post_in_it() {
    let lowest = |edit, post| Permissions::default().with(Permission::EditRoom, edit).with(Permission::Post, post);
    for (permissions, adds, manages) in [
        (lowest(RoomRole::Member, RoomRole::Member), "++++", "++++"),
        // A room that is only read by most is not written to by them in another way.
        (lowest(RoomRole::Member, RoomRole::Admin), "--++", "++++"),
        (lowest(RoomRole::Owner, RoomRole::Member), "---+", "---+"),
    ] {
        let rules = Rules { permissions, ..rules(RoomKind::Private) };
        assert_eq!(&decided(Action::AddWebhook, rules)[3..7], adds, "{permissions:?}");
        assert_eq!(&decided(Action::ManageWebhooks, rules)[3..7], manages, "{permissions:?}");
        assert!(allow_webhook(rules).is_ok());
        assert!(matches!(allow_webhook(Rules { archived: true, ..rules }), Err(ChatError::RoomArchived)));
    }
}

#[test]
fn what_a_request_does_not_say_stays() {
    let request =
        proto::chat::v1::RoomPermissions { post: RoomRole::Admin.into(), edit_room: 77, ..Default::default() };
    let (set, wrong) = asked(&request);
    assert_eq!((set, wrong), (vec![(Permission::Post, RoomRole::Admin)], vec!["permissions.edit_room"]));
}
