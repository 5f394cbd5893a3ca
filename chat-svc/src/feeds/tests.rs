use mesh::db::Db;
use proto::chat::v1::{RoomKind, RoomRole};

use super::*;
use crate::store::{member, room};

fn a_room(id: Uuid, archived_at: i64) -> room::Model {
    room::Model {
        id,
        name: "general".into(),
        sort_name: "general".into(),
        kind: RoomKind::Private.into(),
        topic: String::new(),
        history: 1,
        created_by: Uuid::nil(),
        created_at: 0,
        member_count: 1,
        permissions: 0,
        archived_at,
        retention_days: 0,
        expired_seq: 0,
        expired_ordinal: 0,
    }
}

fn a_member(room_id: Uuid, user_id: Uuid, first_visible_seq: i64) -> member::Model {
    member::Model { room_id, user_id, role: RoomRole::Member.into(), joined_at: 0, joined_seq: 1, first_visible_seq }
}

/// Everything that reads a feed, asked at once: whether it is begun, given by page, and proven.
async fn ways_in(db: &Db, user_id: Uuid, feed_id: Uuid) -> [bool; 3] {
    let db = db.reader();
    let opening = Opening { user_id, cursors: HashMap::new(), epoch: String::new(), only: HashSet::new() };
    let begun = open(db, &opening, "").await.unwrap();
    let begun = begun.iter().any(|start| start.feed_id == feed_id.to_string());
    let page = page(db, user_id, feed_id, 0, 10).await;
    // An empty range is wrong for who may read, and not there for others.
    let proven = verify(db, user_id, feed_id, 0, 0).await;
    for refused in [page.as_ref().err(), proven.as_ref().err()].into_iter().flatten() {
        assert!(matches!(refused, ChatError::FeedNotFound | ChatError::Invalid(_)), "{refused:?}");
    }
    [begun, page.is_ok(), matches!(proven, Err(ChatError::Invalid(_)))]
}

#[tokio::test]
async fn every_way_into_a_feed_asks_the_policy() {
    let (db, _folder) = store::database().await;
    let (user, other) = (mesh::ids::new_id(), mesh::ids::new_id());
    let [open, archived, ruleless] = [(); 3].map(|()| mesh::ids::new_id());
    let tx = db.begin().await.unwrap();
    room::insert(&tx, a_room(open, 0)).await.unwrap();
    room::insert(&tx, a_room(archived, 1)).await.unwrap();
    for room_id in [open, archived, ruleless] {
        member::insert(&tx, a_member(room_id, user, 1)).await.unwrap();
    }
    tx.commit().await.unwrap();
    for feed in [user, open, archived] {
        assert_eq!(ways_in(&db, user, feed).await, [true; 3], "one's own feed, and rooms that one is in");
    }
    for feed in [user, open, archived] {
        assert_eq!(ways_in(&db, other, feed).await, [false; 3], "somebody else's, and rooms that one is not in");
    }
    // Being a member is not enough by itself: where there are no rules to ask the policy about, nobody reads.
    assert_eq!(ways_in(&db, user, ruleless).await, [false; 3]);
}
