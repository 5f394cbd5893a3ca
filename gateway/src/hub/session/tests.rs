use bytes::Bytes;

use super::*;

fn client() -> Session {
    Session::new(1, Uuid::nil(), Uuid::nil(), None, 0)
}

fn frame_of(text: &'static [u8]) -> Frame {
    frame::event(&Bytes::from_static(text))
}

#[test]
fn what_does_not_fit_is_read_from_the_log() {
    let session = client();
    let (one, two) = (mesh::ids::new_id(), mesh::ids::new_id());
    session.begins(one, 0, 0, 1);
    session.begins(two, 0, 0, 1);
    for seq in 1..=out::MAX_EVENTS as u64 {
        session.event(one, seq, 0, &frame_of(b"x"));
    }
    session.event(two, 1, 0, &frame_of(b"x"));
    session.event(two, 2, 0, &frame_of(b"x"));
    assert!(session.todo().read.is_none(), "the client must take something first");
    assert_eq!(session.take_frames().len(), out::MAX_EVENTS);
    assert_eq!(session.todo().read, Some((two, 0)));
    session.page(two, 0, vec![frame_of(b"x"), frame_of(b"x")], 2, 2);
    session.event(two, 3, 0, &frame_of(b"x"));
    assert_eq!(session.take_frames().len(), 3, "live again");
}

#[test]
fn nothing_is_passed_on_until_it_is_known_again_who_may_see_what() {
    let session = client();
    let feed = mesh::ids::new_id();
    session.begins(feed, 7, 7, 1);
    session.suspend();
    session.event(feed, 8, 0, &frame_of(b"x"));
    assert!(session.take_frames().is_empty());
    assert!(matches!(session.todo().words.make_contiguous(), [Word::Resync]));
    session.begins(feed, 7, 7, 1);
    assert_eq!(session.todo().read, Some((feed, 7)), "8 was heard of meanwhile");
}

#[test]
fn a_client_that_takes_nothing_is_noticed_and_one_that_has_nothing_to_take_is_not() {
    let session = client();
    assert_eq!((session.stuck(), session.stuck()), (0, 0));
    session.send(frame_of(b"x"));
    assert_eq!((session.stuck(), session.stuck()), (1, 2));
    session.take_frames();
    assert_eq!(session.stuck(), 0);
}

#[tokio::test]
async fn a_socket_gets_everything_in_order_also_when_it_takes_little_at_a_time() {
    use tokio::io::AsyncReadExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let session = Session::new(1, Uuid::nil(), Uuid::nil(), Some(Arc::new(socket)), 0);
    let feed = mesh::ids::new_id();
    session.begins(feed, 0, 0, 1);
    let mut expected = Vec::new();
    let mut seq = 0;
    // Far more than the kernel buffers, so that writes stop in the middle of frames.
    while seq < 200 {
        let frame = frame::event(&vec![seq as u8; 50_000].into());
        seq += 1;
        if session.event(feed, seq, 0, &frame) {
            session.flush();
        }
        if session.sent(feed) == Some(seq) {
            expected.extend_from_slice(frame.wire());
        }
    }
    let reading = async {
        let mut got = vec![0; expected.len()];
        peer.read_exact(&mut got).await.unwrap();
        got
    };
    let writing = async {
        while !session.is_flushed() {
            session.unblock().await;
        }
    };
    let (got, ()) = tokio::join!(reading, writing);
    assert!(got == expected);
    assert!(session.todo().read.is_some(), "the rest is read from the log");
}

#[tokio::test]
async fn a_client_that_says_too_much_is_not_read_until_it_is_done() {
    let session = client();
    (0..MAX_WORDS).for_each(|_| session.tell(Word::Holds(Vec::new())));
    let full = tokio::time::timeout(std::time::Duration::from_millis(20), session.room_for_answers()).await;
    assert!(full.is_err());
    let room = async {
        session.room_for_answers().await;
    };
    let (words, ()) = tokio::join!(async { session.todo().words.len() }, room);
    assert_eq!(words, MAX_WORDS);
}

#[test]
fn something_passing_is_dropped_first() {
    let session = client();
    let feed = mesh::ids::new_id();
    session.begins(feed, 0, 0, 1);
    let mut taken = 0;
    while session.ephemeral(feed, &frame_of(b"typing")).is_some() {
        taken += 1;
    }
    assert!(taken < out::MAX_EVENTS / 2);
    session.event(feed, 1, 0, &frame_of(b"x"));
    assert_eq!((session.sent(feed), session.take_frames().len()), (Some(1), taken + 1), "events still have room");
}

#[test]
fn what_was_lost_is_read_again_after_two_heartbeats() {
    let session = client();
    let feed = mesh::ids::new_id();
    session.begins(feed, 0, 0, 1);
    session.event(feed, 1, 0, &frame_of(b"x"));
    session.take_frames();
    session.heartbeat();
    assert_eq!(session.take_frames().len(), 1, "the numbers");
    session.holds(feed, 0);
    assert!(session.todo().read.is_none(), "it may be on its way");
    session.heartbeat();
    assert!(session.take_frames().is_empty(), "nothing moved");
    session.holds(feed, 0);
    assert_eq!(session.todo().read, Some((feed, 0)));
}
