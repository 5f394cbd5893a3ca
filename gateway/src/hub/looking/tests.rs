use super::*;

fn client(id: u64, rooms: &[Uuid]) -> Arc<Session> {
    let session = Arc::new(Session::new(id, Uuid::nil(), Uuid::nil(), None, 0));
    rooms.iter().for_each(|room| session.begins(*room, 0, 0, 1));
    session
}

fn users(ids: &[Uuid]) -> HashMap<Uuid, ()> {
    ids.iter().map(|id| (*id, ())).collect()
}

fn count(bytes: &Bytes) -> usize {
    bytes.len() / 16
}

/// Of each word about who is online: whether it is whole, how many came and how many went.
fn online(asks: &[Action]) -> Vec<(bool, usize, usize)> {
    let one = |ask: &Action| match ask {
        Action::Online(change) => Some((change.whole, count(&change.came), count(&change.gone))),
        _ => None,
    };
    asks.iter().filter_map(one).collect()
}

#[test]
fn as_long_as_nobody_looks_nothing_is_noted_or_told() {
    let mut looking = Looking::default();
    looking.user_changed(mesh::ids::new_id());
    looking.tick(&mut Vec::new());
    assert!(looking.asks(&users(&[mesh::ids::new_id()])).is_empty() && looking.online.changed.is_empty());
}

#[test]
fn everybody_is_told_before_the_first_look_and_changes_once_a_second() {
    let mut looking = Looking::default();
    let (room, one, two) = (mesh::ids::new_id(), mesh::ids::new_id(), mesh::ids::new_id());
    looking.enter(room, &client(1, &[room]), &mut Vec::new());
    let asks = looking.asks(&users(&[one, two]));
    assert_eq!(online(&asks), [(true, 2, 0)]);
    let [_, Action::Look(look)] = asks.as_slice() else { panic!("{asks:?}") };
    assert_eq!((&look.added_room_ids, look.removed_room_ids.len()), (&vec![room.to_string()], 0));
    let three = mesh::ids::new_id();
    for user in [one, three, three] {
        looking.user_changed(user);
    }
    assert!(looking.asks(&users(&[two, three])).is_empty(), "not yet");
    looking.tick(&mut Vec::new());
    assert_eq!(online(&looking.asks(&users(&[two, three]))), [(false, 1, 1)]);
}

#[test]
fn a_new_stream_is_told_everything_again() {
    let mut looking = Looking::default();
    let room = mesh::ids::new_id();
    let here = users(&[mesh::ids::new_id()]);
    looking.enter(room, &client(1, &[room]), &mut Vec::new());
    looking.asks(&here);
    looking.attached();
    let asks = looking.asks(&here);
    assert!(online(&asks) == [(true, 1, 0)] && matches!(asks[1], Action::Look(_)) && asks.len() == 2);
    looking.leave(room, 1);
    looking.attached();
    assert!(looking.asks(&here).is_empty(), "nobody looks any more");
    looking.tell_online();
    assert_eq!(online(&looking.asks(&users(&[]))), [(true, 0, 0)], "somebody looks elsewhere");
}

#[test]
fn a_client_that_looks_away_and_back_is_no_matter_of_others() {
    let mut looking = Looking::default();
    let (room, here) = (mesh::ids::new_id(), users(&[]));
    let (session, mut dirty) = (client(1, &[room]), Vec::new());
    looking.enter(room, &session, &mut dirty);
    looking.digest(room, Bytes::from_static(b"digest"), &mut dirty);
    looking.asks(&here);
    for _ in 0..3 {
        looking.leave(room, 1);
        looking.enter(room, &session, &mut dirty);
        assert!(looking.asks(&here).is_empty());
    }
    assert_eq!(session.take_frames().len(), 4, "it is given what is there");
    looking.leave(room, 1);
    looking.tick(&mut dirty);
    let [Action::Look(look)] = &looking.asks(&here)[..] else { panic!("a word") };
    assert_eq!(look.removed_room_ids, [room.to_string()]);
}

#[test]
fn more_changes_than_are_noted_become_everybody() {
    let mut looking = Looking::default();
    looking.tell_online();
    let mut here = users(&[]);
    looking.asks(&here);
    for _ in 0..=MAX_CHANGES {
        let user = mesh::ids::new_id();
        here.insert(user, ());
        looking.user_changed(user);
    }
    assert!(looking.online.changed.is_empty());
    let told = online(&looking.asks(&here));
    assert_eq!(told, [(true, AT_ONCE, 0), (false, AT_ONCE, 0), (false, 1, 0)]);
}

#[test]
fn a_digest_is_given_once_and_to_those_that_come_later() {
    let mut looking = Looking::default();
    let room = mesh::ids::new_id();
    let (one, two) = (client(1, &[room]), client(2, &[room]));
    let mut dirty = Vec::new();
    looking.enter(room, &one, &mut dirty);
    looking.digest(room, Bytes::from_static(b"one"), &mut dirty);
    looking.digest(room, Bytes::from_static(b"one"), &mut dirty);
    looking.tick(&mut dirty);
    looking.enter(room, &one, &mut dirty);
    assert_eq!(one.take_frames().len(), 1);
    looking.enter(room, &two, &mut dirty);
    assert_eq!(two.take_frames().len(), 1, "without asking");
    // A client without room for it gets the newest one when it has.
    while two.ephemeral(room, &frame::go_away(0)).is_some() {}
    looking.digest(room, Bytes::from_static(b"two"), &mut dirty);
    looking.digest(room, Bytes::from_static(b"three"), &mut dirty);
    two.take_frames();
    looking.tick(&mut dirty);
    assert_eq!(two.take_frames(), [frame::ephemeral(&Bytes::from_static(b"three"))]);
    assert_eq!(one.take_frames().len(), 2);
    looking.leave(room, 2);
    looking.digest(room, Bytes::from_static(b"four"), &mut dirty);
    assert_eq!((one.take_frames().len(), two.take_frames().len()), (1, 0));
}
