//! Stories of rooms and who is in them.

use std::collections::BTreeMap;

use proto::chat::v1::{
    self as chat, RoomHistory, RoomKind, RoomRole, event::Body, feed_service_client::FeedServiceClient,
};
use tests::{Person, Town, op_id, person::Listener, stories};
use tonic::{Code, Status};

stories!(
    history_may_begin_with_joining,
    an_edit_of_what_was_before_joining_is_a_stub,
    roles_decide_who_manages_a_room,
    the_only_owner_cannot_leave_others_behind,
    rooms_are_listed_by_page,
    joining_twice_changes_nothing,
    a_room_made_twice_under_one_id_is_one_room,
    a_range_is_proven_only_to_those_who_see_it,
    history_is_read_both_ways,
);

fn reason(status: &Status) -> String {
    mesh::errors::reason(status)
}

async fn since_joined(alice: &Person) -> chat::Room {
    let request = chat::CreateRoomRequest {
        name: "quiet".into(),
        kind: RoomKind::Private.into(),
        history: RoomHistory::SinceJoined.into(),
        ..Default::default()
    };
    alice.rooms().create_room(request).await.unwrap().into_inner().room.unwrap()
}

async fn history_may_begin_with_joining(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = since_joined(&alice).await;
    let before = alice.says(&room, "before bob").await;
    alice.adds(&room, &bob).await;
    alice.says(&room, "with bob").await;
    assert_eq!(bob.reads(&room).await, ["with bob"]);
    assert_eq!(alice.reads(&room).await, ["before bob", "with bob"]);
    let mut all = bob.resumes(BTreeMap::from([(room.id.clone(), before.seq)]), "").await;
    all.catches_up().await;
    assert_eq!(all.texts(&room.id), ["with bob"]);
    let request = chat::VerifyRangeRequest { feed_id: room.id.clone(), from_seq: 1, to_seq: before.seq };
    let refused = FeedServiceClient::new(bob.channel()).verify_range(request).await.unwrap_err();
    assert_eq!(reason(&refused), "FEED_NOT_FOUND");
    // Coming back begins anew.
    alice.removes(&room, &bob).await;
    alice.says(&room, "without bob").await;
    alice.adds(&room, &bob).await;
    assert!(bob.reads(&room).await.is_empty());
    let again = alice.says(&room, "with bob again").await;
    let mut resumed = bob.resumes(BTreeMap::from([(room.id.clone(), before.seq + 1)]), "").await;
    resumed.catches_up().await;
    assert!(resumed.log.is_empty() && resumed.resets.is_empty(), "a snapshot instead of a replay with a hole");
    assert_eq!(resumed.cursors[&room.id], again.seq);
    let mut all = bob.resumes(BTreeMap::from([(room.id.clone(), again.seq - 1)]), "").await;
    all.catches_up().await;
    assert_eq!(all.texts(&room.id), ["with bob again"]);
}

/// What somebody got as the event of a number.
async fn got(listens: &mut Listener, room: &chat::Room, seq: u64) -> Body {
    let event = |event: &chat::Event| (event.feed_id == room.id && event.seq == seq).then(|| event.body.clone());
    listens.waits_for("the event", event).await.unwrap()
}

async fn an_edit_of_what_was_before_joining_is_a_stub(town: Town) {
    let (alice, bob, carol) =
        (town.registers("alice").await, town.registers("bob").await, town.registers("carol").await);
    let room = since_joined(&alice).await;
    alice.adds(&room, &carol).await;
    let early = alice.says(&room, "early").await;
    alice.adds(&room, &bob).await;
    let late = alice.says(&room, "late").await;
    let (mut carols, mut bobs) = (carol.listens().await, bob.listens().await);
    for (message, text) in [(&early, "early, and secret"), (&late, "late, and for all")] {
        let (room_id, message_id) = (room.id.clone(), message.id.clone());
        let edit = chat::EditMessageRequest { room_id, message_id, text: text.into(), op_id: op_id() };
        alice.messages().edit_message(edit).await.unwrap();
    }
    let last = alice.says(&room, "last").await;
    let text = |body: Body| match body {
        Body::MessageEdited(edited) => edited.message.unwrap().text,
        Body::Redacted(_) => "redacted".into(),
        other => panic!("{other:?}"),
    };
    let (secret, open) = (last.seq - 2, last.seq - 1);
    // Live, and from the log.
    let (mut carol_reads, mut bob_reads) = (
        carol.resumes(BTreeMap::from([(room.id.clone(), late.seq)]), "").await,
        bob.resumes(BTreeMap::from([(room.id.clone(), late.seq)]), "").await,
    );
    for (carols, bobs) in [(&mut carols, &mut bobs), (&mut carol_reads, &mut bob_reads)] {
        assert_eq!(text(got(carols, &room, secret).await), "early, and secret");
        assert_eq!(text(got(bobs, &room, secret).await), "redacted");
        assert_eq!(text(got(carols, &room, open).await), "late, and for all");
        assert_eq!(text(got(bobs, &room, open).await), "late, and for all");
        assert_eq!(bobs.sees("last").await.seq, last.seq, "and it goes on");
    }
    // Both can prove that they hold the same.
    let range = chat::VerifyRangeRequest { feed_id: room.id.clone(), from_seq: late.seq, to_seq: last.seq };
    let proof = async |person: &Person| {
        FeedServiceClient::new(person.channel()).verify_range(range.clone()).await.unwrap().into_inner().digest
    };
    assert_eq!(proof(&bob).await, proof(&carol).await);
    let Body::Redacted(stub) = got(&mut bobs, &room, secret).await else { panic!("it is a stub") };
    let whole = carols.log.iter().find(|event| event.feed_id == room.id && event.seq == secret).unwrap();
    assert_eq!(stub.hash, sha256(&prost::Message::encode_to_vec(whole)), "the hash of what stands in the log");
}

async fn roles_decide_who_manages_a_room(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_private_room("board").await;
    alice.adds(&room, &bob).await;
    let mut listens = bob.listens().await;
    let rename = |name: &str| chat::UpdateRoomRequest {
        room_id: room.id.clone(),
        name: Some(name.into()),
        ..Default::default()
    };
    assert_eq!(reason(&bob.rooms().update_room(rename("mine")).await.unwrap_err()), "ROLE_TOO_LOW");
    let remove =
        chat::RemoveMemberRequest { room_id: room.id.clone(), user_id: alice.user.id.clone(), op_id: String::new() };
    assert_eq!(reason(&bob.rooms().remove_member(remove).await.unwrap_err()), "ROLE_TOO_LOW");
    let add = chat::AddMemberRequest { room_id: room.id.clone(), user_id: bob.user.id.clone(), ..Default::default() };
    assert_eq!(reason(&bob.rooms().add_member(add.clone()).await.unwrap_err()), "ROLE_TOO_LOW");
    let unknown = chat::AddMemberRequest { user_id: op_id(), ..add };
    assert_eq!(reason(&alice.rooms().add_member(unknown).await.unwrap_err()), "USER_NOT_FOUND");
    alice.rooms().update_room(rename("council")).await.unwrap();
    let renamed = |event: &chat::Event| match &event.body {
        Some(Body::RoomUpdated(updated)) => updated.room.clone(),
        _ => None,
    };
    assert_eq!(listens.waits_for("the new name", renamed).await.name, "council");
    // An admin deletes what others wrote.
    let said = bob.says(&room, "rude").await;
    let delete = chat::DeleteMessageRequest { room_id: room.id.clone(), message_id: said.id.clone(), op_id: op_id() };
    alice.messages().delete_message(delete.clone()).await.unwrap();
    let again = chat::DeleteMessageRequest { op_id: op_id(), ..delete };
    assert_eq!(reason(&alice.messages().delete_message(again).await.unwrap_err()), "MESSAGE_NOT_FOUND");
}

async fn the_only_owner_cannot_leave_others_behind(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let leave = chat::LeaveRoomRequest { room_id: room.id.clone(), op_id: String::new() };
    let refused = alice.rooms().leave_room(leave.clone()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::FailedPrecondition, "LAST_OWNER".into()));
    let role = |user_id: &str, role: RoomRole| chat::SetMemberRoleRequest {
        room_id: room.id.clone(),
        user_id: user_id.into(),
        role: role.into(),
        op_id: String::new(),
    };
    let down = alice.rooms().set_member_role(role(&alice.user.id, RoomRole::Member)).await.unwrap_err();
    assert_eq!(reason(&down), "LAST_OWNER");
    let up = bob.rooms().set_member_role(role(&bob.user.id, RoomRole::Owner)).await.unwrap_err();
    assert_eq!(reason(&up), "ROLE_TOO_LOW");
    let nobody = alice.rooms().set_member_role(role(&op_id(), RoomRole::Admin)).await.unwrap_err();
    assert_eq!(reason(&nobody), "MEMBER_NOT_FOUND");
    let mut listens = bob.listens().await;
    alice.rooms().set_member_role(role(&bob.user.id, RoomRole::Owner)).await.unwrap();
    let promoted = |event: &chat::Event| match &event.body {
        Some(Body::MemberRoleChanged(changed)) => changed.member.clone(),
        _ => None,
    };
    assert_eq!(listens.waits_for("the promotion", promoted).await.role(), RoomRole::Owner);
    alice.rooms().leave_room(leave.clone()).await.unwrap();
    bob.rooms().leave_room(leave.clone()).await.unwrap();
    assert_eq!(reason(&alice.rooms().leave_room(leave).await.unwrap_err()), "ROOM_NOT_FOUND");
}

async fn rooms_are_listed_by_page(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    for name in ["delta", "Alpha", "charlie", "Bravo", "echo"] {
        alice.creates_room(name).await;
    }
    let hidden = alice.creates_private_room("hidden").await;
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = chat::ListRoomsRequest { page_size: 2, page_token, joined_only: false };
        let page = bob.rooms().list_rooms(request).await.unwrap().into_inner();
        assert!(page.memberships.is_empty() && page.rooms.len() <= 2);
        names.extend(page.rooms.into_iter().map(|room| room.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["Alpha", "Bravo", "charlie", "delta", "echo"]);
    alice.adds(&hidden, &bob).await;
    let joined = chat::ListRoomsRequest { joined_only: true, ..Default::default() };
    let mine = bob.rooms().list_rooms(joined).await.unwrap().into_inner();
    assert_eq!(mine.rooms.len(), 1);
    assert_eq!((mine.memberships[0].role(), mine.memberships[0].member_count), (RoomRole::Member, 2));
    let wrong = chat::ListRoomsRequest { page_token: "nonsense".into(), ..Default::default() };
    assert_eq!(bob.rooms().list_rooms(wrong).await.unwrap_err().code(), Code::InvalidArgument);
}

async fn joining_twice_changes_nothing(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    bob.joins(&room).await;
    alice.adds(&room, &bob).await;
    let request = chat::ListMembersRequest { room_id: room.id.clone(), ..Default::default() };
    let members = alice.rooms().list_members(request).await.unwrap().into_inner().members;
    let ids: Vec<&str> = members.iter().map(|member| member.user_id.as_str()).collect();
    assert_eq!(ids, [alice.user.id.as_str(), bob.user.id.as_str()]);
    let said = alice.says(&room, "number four").await;
    assert_eq!(said.seq, 4, "made, alice joined, bob joined once");
}

async fn a_room_made_twice_under_one_id_is_one_room(town: Town) {
    let alice = town.registers("alice").await;
    let request = chat::CreateRoomRequest {
        name: "once".into(),
        kind: RoomKind::Public.into(),
        op_id: op_id(),
        ..Default::default()
    };
    let first = alice.rooms().create_room(request.clone()).await.unwrap().into_inner();
    assert_eq!(alice.rooms().create_room(request.clone()).await.unwrap().into_inner(), first);
    let other = chat::CreateRoomRequest { name: "twice".into(), ..request.clone() };
    assert_eq!(reason(&alice.rooms().create_room(other).await.unwrap_err()), "OP_ID_REUSED");
    // One id is one operation, whatever the method.
    let room = first.room.unwrap();
    let refused = alice.tries_to_say(&room, "x", &request.op_id).await.unwrap_err();
    assert_eq!(reason(&refused), "OP_ID_REUSED");
    for wrong in [
        chat::CreateRoomRequest { name: " ".into(), ..Default::default() },
        chat::CreateRoomRequest { kind: 77, ..Default::default() },
    ] {
        assert_eq!(alice.rooms().create_room(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

async fn a_range_is_proven_only_to_those_who_see_it(town: Town) {
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let room = alice.creates_private_room("secret").await;
    let last = alice.says(&room, "x").await.seq;
    let verify = async |person: &Person, from_seq: u64, to_seq: u64| {
        let request = chat::VerifyRangeRequest { feed_id: room.id.clone(), from_seq, to_seq };
        FeedServiceClient::new(person.channel()).verify_range(request).await.map(tonic::Response::into_inner)
    };
    let whole = verify(&alice, 1, last).await.unwrap();
    assert_eq!((whole.count, whole.digest.len()), (last, 32));
    // The digest is that of the hashes of the bytes that clients get.
    let mut log = alice.resumes(BTreeMap::from([(room.id.clone(), 0)]), "").await;
    log.catches_up().await;
    let events = log.log.iter().filter(|event| event.feed_id == room.id);
    let hashes: Vec<u8> = events.flat_map(|event| sha256(&prost::Message::encode_to_vec(event))).collect();
    assert_eq!(sha256(&hashes), whole.digest.as_ref());
    for (from, to) in [(0, 1), (2, 1), (1, last + 1)] {
        assert_eq!(verify(&alice, from, to).await.unwrap_err().code(), Code::InvalidArgument, "{from}..{to}");
    }
    assert_eq!(reason(&verify(&eve, 1, last).await.unwrap_err()), "FEED_NOT_FOUND");
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).to_vec()
}

async fn history_is_read_both_ways(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let mut seqs = Vec::new();
    for number in 0..25 {
        seqs.push(alice.says(&room, &format!("{number}")).await.seq);
    }
    let page = async |before_seq: u64, after_seq: u64| {
        let request = chat::ListMessagesRequest { room_id: room.id.clone(), before_seq, after_seq, page_size: 10 };
        let page = alice.messages().list_messages(request).await.unwrap().into_inner();
        (page.messages.into_iter().map(|message| message.seq).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(page(0, 0).await, (seqs[15..].to_vec(), true));
    assert_eq!(page(seqs[15], 0).await, (seqs[5..15].to_vec(), true));
    assert_eq!(page(seqs[5], 0).await, (seqs[..5].to_vec(), false));
    assert_eq!(page(0, seqs[4]).await, (seqs[5..15].to_vec(), true));
    assert_eq!(page(0, seqs[14]).await, (seqs[15..].to_vec(), false));
    assert_eq!(page(0, seqs[24]).await, (Vec::new(), false));
    let both = chat::ListMessagesRequest { room_id: room.id.clone(), before_seq: 5, after_seq: 2, page_size: 10 };
    assert_eq!(alice.messages().list_messages(both).await.unwrap_err().code(), Code::InvalidArgument);
}
