use super::*;

fn event(feed_id: Uuid, seq: u64, added: &[Uuid]) -> Committed {
    let audience =
        AudienceChange { added_user_ids: added.iter().map(Uuid::to_string).collect(), removed_user_ids: Vec::new() };
    let audience = (!added.is_empty()).then_some(audience);
    Committed { feed_id, seq, bytes: Bytes::from_static(b"e"), audience, about: 0 }
}

fn seqs(received: &mut mpsc::Receiver<AttachResponse>) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Ok(AttachResponse { item: Some(Item::Event(event)) }) = received.try_recv() {
        seqs.push(event.seq);
    }
    seqs
}

fn live(shared: bool) -> (Arc<Live>, Work) {
    let (live, work) = Live::new(shared, Arc::new(Presence::new(Duration::from_secs(5))));
    (Arc::new(live), work)
}

#[test]
fn the_event_that_brings_a_user_in_starts_the_rooms_stream() {
    for shared in [false, true] {
        let (live, _work) = live(shared);
        let (room, user) = (mesh::ids::new_id(), mesh::ids::new_id());
        let (attachment, mut received) = live.attach();
        attachment.add(&[user]);
        live.tell(vec![event(room, 1, &[]), event(room, 2, &[user]), event(room, 3, &[])]);
        assert_eq!(seqs(&mut received), [2, 3]);
    }
}

#[test]
fn a_gateway_that_reads_too_slowly_loses_its_stream() {
    let (live, _work) = live(false);
    let room = mesh::ids::new_id();
    let (attachment, mut received) = live.attach();
    attachment.add(&[room]);
    live.tell((1..=QUEUE as u64 + 1).map(|seq| event(room, seq, &[])).collect());
    assert_eq!(seqs(&mut received).len(), QUEUE);
    live.tell(vec![event(room, 1, &[])]);
    assert!(received.try_recv().is_err(), "nothing follows a hole");
}

#[test]
fn what_is_missing_between_processes_is_read_from_the_log_once() {
    let (live, mut work) = live(true);
    let room = mesh::ids::new_id();
    let (attachment, mut received) = live.attach();
    attachment.add(&[room]);
    attachment.stood(&HashMap::from([(room, 4)]));
    live.pass(vec![event(room, 6, &[]), event(room, 7, &[])]);
    assert!(seqs(&mut received).is_empty(), "5 is missing");
    assert_eq!((work.missing.try_recv(), work.missing.try_recv().is_err()), (Ok(room), true));
    live.pass(vec![event(room, 4, &[]), event(room, 5, &[]), event(room, 5, &[]), event(room, 6, &[])]);
    assert_eq!(seqs(&mut received), [5, 6]);
}

#[test]
fn an_event_of_which_only_the_number_is_known_is_read_from_the_log() {
    let (live, mut work) = live(true);
    let room = mesh::ids::new_id();
    let (attachment, mut received) = live.attach();
    attachment.add(&[room]);
    attachment.stood(&HashMap::from([(room, 4)]));
    live.pass(vec![Committed { bytes: Bytes::new(), ..event(room, 5, &[]) }]);
    assert!(seqs(&mut received).is_empty());
    assert_eq!(work.missing.try_recv(), Ok(room));
}

#[test]
fn others_hear_of_what_was_committed_here_and_not_of_what_they_told() {
    let (live, mut work) = live(true);
    let room = mesh::ids::new_id();
    live.tell(vec![event(room, 1, &[])]);
    assert!(matches!(work.hints.try_recv(), Ok(Hint::Event(Committed { seq: 1, .. }))));
    live.pass(vec![event(room, 2, &[])]);
    assert!(work.hints.try_recv().is_err());
}

#[test]
fn feeds_that_no_stream_needs_are_forgotten() {
    let (live, _work) = live(true);
    let (one, two) = (mesh::ids::new_id(), mesh::ids::new_id());
    let (first, _items) = live.attach();
    let (second, _more) = live.attach();
    first.add(&[one, two]);
    second.add(&[one]);
    first.drop_feeds(&[two]);
    drop(first);
    assert_eq!(live.state().told.keys().copied().collect::<Vec<_>>(), [one]);
    drop(second);
    assert!(live.state().told.is_empty());
}
