//! Stories of who may do what: permissions of rooms, archives, guests, those who run the workspace, and programs.

use mesh::errors::reason;
use proto::{
    auth::v1::{
        InviteAccepted, InvitedRoom, SearchUsersRequest, WorkspaceRole, user_service_client::UserServiceClient,
    },
    chat::v1::{
        self as chat, Event, RoomHistory, RoomKind, RoomPermissions, RoomRole,
        audit_service_client::AuditServiceClient, event::Body, feed_service_client::FeedServiceClient,
        people_service_client::PeopleServiceClient,
    },
    edge::v1::{SubscribeRequest, edge_service_client::EdgeServiceClient},
    file::v1::{
        CreateUploadRequest, File, FileMetadata, UploadFileRequest, UploadHeader, upload_file_request::Part,
        upload_header::Target,
    },
};
use tests::{Forge, Person, Town, op_id};
use tonic::{Code, Status};

/// Each story in the shapes whose key is in a file.
macro_rules! stories {
    ($($story:ident),+ $(,)?) => {
        mod embedded_with_key {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story(tests::Town::start(tests::Shape::Embedded).await).await;
            })+
        }
        mod split_with_key {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story(tests::Town::start(tests::Shape::Split).await).await;
            })+
        }
    };
}

stories!(
    a_guest_is_where_they_were_brought_and_sees_whom_they_meet,
    those_who_run_the_workspace_moderate_public_rooms,
    a_program_does_what_its_scopes_name,
    an_invitation_leads_where_its_maker_may_bring_people,
);

tests::stories!(
    a_read_only_room_is_written_by_those_who_may,
    nobody_changes_permissions_above_their_own,
    an_archived_room_can_be_read_and_left,
    what_was_before_joining_does_not_exist,
    a_deletion_of_what_was_before_joining_tells_nothing,
    what_those_do_who_manage_rooms_is_audited,
);

fn refusal<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.unwrap_err();
    (status.code(), reason(&status))
}

fn denied(reason: &str) -> (Code, String) {
    (Code::PermissionDenied, reason.into())
}

fn no_such_room() -> (Code, String) {
    (Code::NotFound, "ROOM_NOT_FOUND".into())
}

fn permits(room: &chat::Room, permissions: RoomPermissions) -> chat::UpdateRoomRequest {
    chat::UpdateRoomRequest { room_id: room.id.clone(), permissions: Some(permissions), ..Default::default() }
}

async fn promotes(person: &Person, room: &chat::Room, other: &Person, role: RoomRole) -> Result<(), Status> {
    let (room_id, user_id) = (room.id.clone(), other.user.id.clone());
    let request = chat::SetMemberRoleRequest { room_id, user_id, role: role.into(), op_id: String::new() };
    person.rooms().set_member_role(request).await.map(drop)
}

async fn archives(person: &Person, room: &chat::Room) -> Result<chat::Room, Status> {
    let request = chat::ArchiveRoomRequest { room_id: room.id.clone(), op_id: String::new() };
    person.rooms().archive_room(request).await.map(|answer| answer.into_inner().room.unwrap())
}

async fn deletes(person: &Person, message: &chat::Message) -> Result<(), Status> {
    let (room_id, message_id) = (message.room_id.clone(), message.id.clone());
    let request = chat::DeleteMessageRequest { room_id, message_id, op_id: op_id() };
    person.messages().delete_message(request).await.map(drop)
}

async fn edits(person: &Person, message: &chat::Message, text: &str) -> Result<(), Status> {
    let (room_id, message_id) = (message.room_id.clone(), message.id.clone());
    let request = chat::EditMessageRequest { room_id, message_id, text: text.into(), op_id: op_id() };
    person.messages().edit_message(request).await.map(drop)
}

async fn says(person: &Person, room: &chat::Room, text: &str) -> Result<chat::Message, Status> {
    person.tries_to_say(room, text, &op_id()).await
}

/// A file that was uploaded and announced.
async fn file_arrives(person: &Person, room: &chat::Room) -> File {
    let mut listens = person.listens().await;
    let create = CreateUploadRequest {
        room_id: room.id.clone(),
        op_id: op_id(),
        size: Some(8),
        metadata: Some(FileMetadata { name: "plan.txt".into(), ..Default::default() }),
    };
    let target = Some(Target::Create(create));
    let header = UploadHeader { target, offset: 0, last: true, sha256: Vec::new().into(), stream_checksum: None };
    let parts = [Part::Header(header), Part::Chunk(b"the plan".to_vec().into())];
    let parts = parts.map(|part| UploadFileRequest { part: Some(part) });
    person.files().upload_file(futures::stream::iter(parts)).await.unwrap();
    let ready = |event: &Event| match &event.body {
        Some(Body::FileReady(ready)) if event.feed_id == room.id => ready.file.clone(),
        _ => None,
    };
    listens.waits_for("the file", ready).await
}

fn updated(event: &Event) -> Option<chat::Room> {
    match &event.body {
        Some(Body::RoomUpdated(updated)) => updated.room.clone(),
        _ => None,
    }
}

async fn a_read_only_room_is_written_by_those_who_may(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("news").await;
    let first = room.permissions.unwrap();
    assert_eq!((first.post(), first.add_members()), (RoomRole::Member, RoomRole::Member));
    assert_eq!((first.delete_messages(), first.edit_room()), (RoomRole::Moderator, RoomRole::Admin));
    bob.joins(&room).await;
    let before = bob.says(&room, "while everybody may").await;
    let mut listens = bob.listens().await;
    let readers = RoomPermissions { post: RoomRole::Moderator.into(), ..Default::default() };
    assert_eq!(refusal(bob.rooms().update_room(permits(&room, readers)).await), denied("ROLE_TOO_LOW"));
    alice.rooms().update_room(permits(&room, readers)).await.unwrap();
    let told = listens.waits_for("the permissions", updated).await.permissions.unwrap();
    assert_eq!((told.post(), told.add_members()), (RoomRole::Moderator, RoomRole::Member));
    // At once, for whoever the writer has in memory as well.
    assert_eq!(refusal(says(&bob, &room, "no more").await), denied("ROLE_TOO_LOW"));
    assert_eq!(refusal(edits(&bob, &before, "no more").await), denied("ROLE_TOO_LOW"));
    let typing = chat::SetTypingRequest { room_id: room.id.clone() };
    assert_eq!(refusal(bob.rooms().set_typing(typing).await), denied("ROLE_TOO_LOW"));
    // One takes one's own back all the same.
    deletes(&bob, &before).await.unwrap();
    promotes(&alice, &room, &bob, RoomRole::Moderator).await.unwrap();
    says(&bob, &room, "as a moderator").await.unwrap();
    promotes(&alice, &room, &bob, RoomRole::Member).await.unwrap();
    assert_eq!(refusal(says(&bob, &room, "no more").await), denied("ROLE_TOO_LOW"));
    assert_eq!(bob.reads(&room).await, ["", "as a moderator"]);
    // A room can begin so.
    let request = chat::CreateRoomRequest {
        name: "orders".into(),
        kind: RoomKind::Private.into(),
        permissions: Some(RoomPermissions { post: RoomRole::Owner.into(), ..Default::default() }),
        ..Default::default()
    };
    let orders = alice.rooms().create_room(request).await.unwrap().into_inner().room.unwrap();
    let add = chat::AddMemberRequest {
        room_id: orders.id.clone(),
        user_id: bob.user.id.clone(),
        role: RoomRole::Admin.into(),
        ..Default::default()
    };
    alice.rooms().add_member(add).await.unwrap();
    assert_eq!(refusal(says(&bob, &orders, "as an admin").await), denied("ROLE_TOO_LOW"));
    says(&alice, &orders, "as the owner").await.unwrap();
}

async fn nobody_changes_permissions_above_their_own(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    promotes(&alice, &room, &bob, RoomRole::Admin).await.unwrap();
    let edit = |role: RoomRole| RoomPermissions { edit_room: role.into(), ..Default::default() };
    assert_eq!(refusal(bob.rooms().update_room(permits(&room, edit(RoomRole::Owner))).await), denied("ROLE_TOO_LOW"));
    bob.rooms().update_room(permits(&room, edit(RoomRole::Member))).await.unwrap();
    alice.rooms().update_room(permits(&room, edit(RoomRole::Owner))).await.unwrap();
    assert_eq!(refusal(bob.rooms().update_room(permits(&room, edit(RoomRole::Admin))).await), denied("ROLE_TOO_LOW"));
    let rename = chat::UpdateRoomRequest { room_id: room.id.clone(), name: Some("mine".into()), ..Default::default() };
    assert_eq!(refusal(bob.rooms().update_room(rename).await), denied("ROLE_TOO_LOW"));
    let wrong = RoomPermissions { post: 99, ..Default::default() };
    let refused = alice.rooms().update_room(permits(&room, wrong)).await.unwrap_err();
    let details = tonic_types::StatusExt::get_details_bad_request(&refused).unwrap();
    assert_eq!(details.field_violations[0].field, "permissions.post");
}

async fn an_archived_room_can_be_read_and_left(town: Town) {
    let (alice, bob, carol) =
        (town.registers("alice").await, town.registers("bob").await, town.registers("carol").await);
    let room = alice.creates_room("old").await;
    bob.joins(&room).await;
    let said = bob.says(&room, "then").await;
    let mut listens = bob.listens().await;
    assert_eq!(refusal(archives(&bob, &room).await), denied("ROLE_TOO_LOW"));
    let archived = archives(&alice, &room).await.unwrap();
    assert!(archived.archived_at.is_some());
    assert_eq!(archives(&alice, &room).await.unwrap(), archived, "once more changes nothing");
    let told = |event: &Event| match &event.body {
        Some(Body::RoomArchived(archived)) => archived.room.clone(),
        _ => None,
    };
    assert_eq!(listens.waits_for("the archive", told).await, archived);
    let closed = (Code::FailedPrecondition, "ROOM_ARCHIVED".to_owned());
    assert_eq!(refusal(says(&bob, &room, "now").await), closed);
    assert_eq!(refusal(edits(&bob, &said, "now").await), closed);
    assert_eq!(refusal(deletes(&bob, &said).await), closed);
    assert_eq!(refusal(promotes(&alice, &room, &bob, RoomRole::Admin).await), closed);
    let room_id = room.id.clone();
    let rename = chat::UpdateRoomRequest { room_id, name: Some("new".into()), ..Default::default() };
    assert_eq!(refusal(alice.rooms().update_room(rename).await), closed);
    let join = chat::JoinRoomRequest { room_id: room.id.clone(), op_id: String::new() };
    assert_eq!(refusal(carol.rooms().join_room(join).await), closed);
    let (room_id, user_id) = (room.id.clone(), carol.user.id.clone());
    let add = chat::AddMemberRequest { room_id, user_id, ..Default::default() };
    assert_eq!(refusal(alice.rooms().add_member(add).await), closed);
    assert_eq!(refusal(alice.rooms().set_typing(chat::SetTypingRequest { room_id: room.id.clone() }).await), closed);
    let upload = CreateUploadRequest { room_id: room.id.clone(), op_id: op_id(), size: Some(1), metadata: None };
    assert_eq!(refusal(alice.files().create_upload(upload).await), closed);
    assert_eq!(bob.reads(&room).await, ["then"]);
    let read = chat::MarkReadRequest { room_id: room.id.clone(), seq: said.seq, op_id: String::new() };
    bob.rooms().mark_read(read).await.unwrap();
    alice.removes(&room, &bob).await;
    assert_eq!(refusal(says(&bob, &room, "gone").await), no_such_room());
    let open = chat::UnarchiveRoomRequest { room_id: room.id.clone(), op_id: String::new() };
    let opened = alice.rooms().unarchive_room(open).await.unwrap().into_inner().room.unwrap();
    assert!(opened.archived_at.is_none());
    carol.joins(&room).await;
    says(&carol, &room, "again").await.unwrap();
}

/// A room that is read from one's joining on.
async fn creates_quiet_room(person: &Person) -> chat::Room {
    let request = chat::CreateRoomRequest {
        name: "quiet".into(),
        kind: RoomKind::Public.into(),
        history: RoomHistory::SinceJoined.into(),
        ..Default::default()
    };
    person.rooms().create_room(request).await.unwrap().into_inner().room.unwrap()
}

async fn a_deletion_of_what_was_before_joining_tells_nothing(town: Town) {
    let (alice, bob, carol) =
        (town.registers("alice").await, town.registers("bob").await, town.registers("carol").await);
    let room = creates_quiet_room(&alice).await;
    carol.joins(&room).await;
    let early = carol.says(&room, "early").await;
    bob.joins(&room).await;
    let late = carol.says(&room, "late").await;
    let (mut carols, mut bobs) = (carol.listens().await, bob.listens().await);
    // By somebody else than the author, who must not be told of.
    deletes(&alice, &early).await.unwrap();
    deletes(&alice, &late).await.unwrap();
    let last = alice.says(&room, "last").await;
    let (hidden, open) = (last.seq - 2, last.seq - 1);
    let body = |seq: u64| {
        let room_id = room.id.clone();
        move |event: &Event| (event.feed_id == room_id && event.seq == seq).then(|| event.clone())
    };
    // Live, and from the log.
    let after = |seq: u64| std::collections::BTreeMap::from([(room.id.clone(), seq)]);
    let (mut carol_reads, mut bob_reads) =
        (carol.resumes(after(late.seq), "").await, bob.resumes(after(late.seq), "").await);
    for (carols, bobs) in [(&mut carols, &mut bobs), (&mut carol_reads, &mut bob_reads)] {
        for (seq, message) in [(hidden, &early), (open, &late)] {
            let Some(Body::MessageDeleted(told)) = carols.waits_for("the deletion", body(seq)).await.body else {
                panic!("carol was there when {message:?} was posted");
            };
            assert_eq!((told.message_seq, told.author_id), (message.seq, carol.user.id.clone()));
        }
        let stub = bobs.waits_for("a stub", body(hidden)).await;
        let Some(Body::Redacted(redacted)) = &stub.body else { panic!("it tells of what bob may not know: {stub:?}") };
        let whole = carols.waits_for("the deletion", body(hidden)).await;
        let hash = <sha2::Sha256 as sha2::Digest>::digest(prost::Message::encode_to_vec(&whole));
        assert_eq!(redacted.hash, hash.to_vec(), "the hash of what stands in the log");
        let told = bobs.waits_for("the deletion", body(open)).await;
        assert!(matches!(told.body, Some(Body::MessageDeleted(_))), "what bob could read is told: {told:?}");
        assert_eq!(bobs.sees("last").await.seq, last.seq, "and it goes on");
    }
    // Both can prove that they hold the same.
    let range = chat::VerifyRangeRequest { feed_id: room.id.clone(), from_seq: late.seq, to_seq: last.seq };
    let proof = async |person: &Person| {
        FeedServiceClient::new(person.channel()).verify_range(range.clone()).await.unwrap().into_inner().digest
    };
    assert_eq!(proof(&bob).await, proof(&carol).await);
}

async fn what_was_before_joining_does_not_exist(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = creates_quiet_room(&alice).await;
    bob.joins(&room).await;
    let early = bob.says(&room, "early").await;
    let leave = chat::LeaveRoomRequest { room_id: room.id.clone(), op_id: String::new() };
    bob.rooms().leave_room(leave).await.unwrap();
    let between = alice.says(&room, "between").await;
    bob.joins(&room).await;
    promotes(&alice, &room, &bob, RoomRole::Admin).await.unwrap();
    // Not even one's own, nor with the right to delete what others wrote.
    let hidden = (Code::NotFound, "MESSAGE_NOT_FOUND".to_owned());
    assert_eq!(refusal(edits(&bob, &early, "late").await), hidden);
    assert_eq!(refusal(deletes(&bob, &early).await), hidden);
    assert_eq!(refusal(deletes(&bob, &between).await), hidden);
    assert!(bob.reads(&room).await.is_empty());
    let page =
        chat::ListMessagesRequest { room_id: room.id.clone(), before_seq: between.seq + 1, ..Default::default() };
    assert!(bob.messages().list_messages(page).await.unwrap().into_inner().messages.is_empty());
    // What one may not read is not unread either.
    let back = chat::MarkUnreadRequest { room_id: room.id.clone(), seq: 1, op_id: String::new() };
    let marker = bob.rooms().mark_unread(back).await.unwrap().into_inner();
    let get = chat::GetRoomRequest { room_id: room.id.clone() };
    let standing = bob.rooms().get_room(get).await.unwrap().into_inner().membership.unwrap();
    assert_eq!(marker.ordinal, standing.head_ordinal);
    assert!(standing.first_visible_seq > between.seq && marker.seq >= standing.first_visible_seq - 1);
    // A file that appeared before is not there, until it appears again.
    let file = file_arrives(&alice, &room).await;
    let carol = town.registers("carol").await;
    carol.joins(&room).await;
    let get = proto::file::v1::GetFileRequest { file_id: file.id.clone() };
    let no_file = (Code::NotFound, "FILE_NOT_FOUND".to_owned());
    assert_eq!(refusal(carol.files().get_file(get.clone()).await), no_file);
    bob.files().get_file(get.clone()).await.unwrap();
    let list = proto::file::v1::ListFilesRequest { room_id: room.id.clone(), ..Default::default() };
    assert!(carol.files().list_files(list.clone()).await.unwrap().into_inner().files.is_empty());
    let share = |op_id: String| chat::SendMessageRequest {
        room_id: room.id.clone(),
        text: "look".into(),
        op_id,
        file_ids: vec![file.id.clone()],
    };
    assert_eq!(refusal(carol.messages().send_message(share(op_id())).await), no_file);
    alice.messages().send_message(share(op_id())).await.unwrap();
    carol.files().get_file(get).await.unwrap();
    assert_eq!(carol.files().list_files(list).await.unwrap().into_inner().files.len(), 1);
    carol.messages().send_message(share(op_id())).await.unwrap();
}

async fn a_guest_is_where_they_were_brought_and_sees_whom_they_meet(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let forge = Forge::of(&town);
    let guest = forge.in_role(&town.registers("guest").await, "guest");
    let public = alice.creates_room("public").await;
    let join = chat::JoinRoomRequest { room_id: public.id.clone(), op_id: String::new() };
    assert_eq!(refusal(guest.rooms().join_room(join).await), no_such_room());
    let get = chat::GetRoomRequest { room_id: public.id.clone() };
    assert_eq!(refusal(guest.rooms().get_room(get.clone()).await), no_such_room());
    let listed = guest.rooms().list_rooms(chat::ListRoomsRequest::default()).await.unwrap().into_inner();
    assert!(listed.rooms.is_empty());
    let create = chat::CreateRoomRequest { name: "mine".into(), kind: RoomKind::Private.into(), ..Default::default() };
    assert_eq!(refusal(guest.rooms().create_room(create).await), denied("ROLE_TOO_LOW"));
    let search = UserServiceClient::new(guest.channel()).search_users(SearchUsersRequest::default()).await;
    assert_eq!(refusal(search), denied("ROLE_TOO_LOW"));
    let sees = async |person: &Person| {
        let mut people = PeopleServiceClient::new(person.channel());
        let all = people.list_people(chat::ListPeopleRequest::default()).await.unwrap().into_inner().users;
        let user_ids = vec![alice.user.id.clone(), bob.user.id.clone(), guest.user.id.clone()];
        let asked = people.get_people(chat::GetPeopleRequest { user_ids }).await.unwrap().into_inner().users;
        let names = |users: Vec<proto::auth::v1::User>| {
            let mut names: Vec<String> = users.into_iter().map(|user| user.username).collect();
            names.sort();
            names
        };
        assert_eq!(names(all.clone()), names(asked));
        names(all)
    };
    assert_eq!(sees(&guest).await, ["guest"]);
    alice.adds(&public, &guest).await;
    assert_eq!(sees(&guest).await, ["alice", "guest"]);
    says(&guest, &public, "hello").await.unwrap();
    guest.rooms().get_room(get).await.unwrap();
    bob.joins(&public).await;
    assert_eq!(sees(&guest).await, ["alice", "bob", "guest"]);
    // Whatever their role in the room: they bring nobody in and manage nothing.
    promotes(&alice, &public, &guest, RoomRole::Owner).await.unwrap();
    let add = chat::AddMemberRequest {
        room_id: public.id.clone(),
        user_id: town.registers("dora").await.user.id,
        ..Default::default()
    };
    assert_eq!(refusal(guest.rooms().add_member(add).await), denied("ROLE_TOO_LOW"));
    assert_eq!(refusal(archives(&guest, &public).await), denied("ROLE_TOO_LOW"));
    assert_eq!(refusal(deletes(&guest, &bob.says(&public, "mine").await).await), denied("ROLE_TOO_LOW"));
    alice.removes(&public, &guest).await;
    assert_eq!(refusal(says(&guest, &public, "bye").await), no_such_room());
}

async fn those_who_run_the_workspace_moderate_public_rooms(town: Town) {
    let owner = town.registers("founder").await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let admin = Forge::of(&town).in_role(&town.registers("admin").await, "admin");
    let (public, private) = (alice.creates_room("public").await, alice.creates_private_room("private").await);
    bob.joins(&public).await;
    let said = alice.says(&public, "rude").await;
    alice.says(&private, "secret").await;
    // A private room that they are not in is not there for them either.
    assert_eq!(refusal(archives(&owner, &private).await), no_such_room());
    let members = |room: &chat::Room| chat::ListMembersRequest { room_id: room.id.clone(), ..Default::default() };
    assert_eq!(refusal(admin.rooms().list_members(members(&private)).await), no_such_room());
    // A public one they manage, and read once they are in.
    assert_eq!(admin.rooms().list_members(members(&public)).await.unwrap().into_inner().members.len(), 2);
    let page = chat::ListMessagesRequest { room_id: public.id.clone(), ..Default::default() };
    assert_eq!(refusal(admin.messages().list_messages(page).await), no_such_room());
    assert_eq!(refusal(bob.rooms().list_members(members(&private)).await), no_such_room());
    archives(&admin, &public).await.unwrap();
    let open = chat::UnarchiveRoomRequest { room_id: public.id.clone(), op_id: String::new() };
    admin.rooms().unarchive_room(open).await.unwrap();
    promotes(&admin, &public, &bob, RoomRole::Admin).await.unwrap();
    assert_eq!(refusal(promotes(&admin, &public, &bob, RoomRole::Owner).await), denied("ROLE_TOO_LOW"));
    promotes(&owner, &public, &bob, RoomRole::Owner).await.unwrap();
    admin.joins(&public).await;
    deletes(&admin, &said).await.unwrap();
    assert_eq!(admin.reads(&public).await, [""]);
    let (room_id, user_id) = (public.id.clone(), bob.user.id.clone());
    let remove = chat::RemoveMemberRequest { room_id, user_id, op_id: String::new() };
    assert_eq!(refusal(admin.rooms().remove_member(remove).await), denied("ROLE_TOO_LOW"));
    owner.removes(&public, &bob).await;
}

async fn a_program_does_what_its_scopes_name(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let forge = Forge::of(&town);
    let reader = forge.program(&alice, "messages:read files:read");
    assert!(reader.reads(&room).await.is_empty());
    assert_eq!(refusal(says(&reader, &room, "x").await), denied("SCOPE_MISSING"));
    let listed = reader.rooms().list_rooms(chat::ListRoomsRequest::default()).await;
    assert_eq!(refusal(listed), denied("SCOPE_MISSING"));
    let writer = forge.program(&alice, "messages:write");
    says(&writer, &room, "from a program").await.unwrap();
    let subscribe = async |person: &Person| {
        let request = SubscribeRequest::default();
        EdgeServiceClient::new(person.channel()).subscribe(request).await.map(|_| ())
    };
    assert_eq!(refusal(subscribe(&writer).await), denied("SCOPE_MISSING"));
    subscribe(&reader).await.unwrap();
}

/// Puts an event on its way to the bus, as auth-svc does.
fn announces(town: &Town, event: &InviteAccepted) {
    let db = rusqlite::Connection::open(town.folder().join("auth.db")).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    let row = (
        mesh::ids::new_id().as_bytes().to_vec(),
        proto::event_kind::<InviteAccepted>(),
        proto::to_json(event).unwrap().to_string(),
        event.user_id.clone(),
    );
    let insert = "INSERT INTO outbox (message_id, kind, body, key, sent_at) VALUES (?1, ?2, ?3, ?4, 0)";
    db.execute(insert, row).unwrap();
}

async fn an_invitation_leads_where_its_maker_may_bring_people(town: Town) {
    town.registers("founder").await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let guest = Forge::of(&town).in_role(&town.registers("guest").await, "guest");
    let (hers, theirs) = (alice.creates_private_room("hers").await, bob.creates_private_room("theirs").await);
    let (public, archived) = (alice.creates_room("public").await, alice.creates_private_room("archived").await);
    archives(&alice, &archived).await.unwrap();
    let mut listens = guest.listens().await;
    // Where alice is not, or may give no such role, or nobody may do anything, the invitation does not count.
    let rooms = [(&theirs, 0), (&archived, 0), (&hers, 2), (&public, 0)];
    let invited =
        |(room, room_role): &(&chat::Room, u32)| InvitedRoom { room_id: room.id.clone(), room_role: *room_role };
    let accepted = InviteAccepted {
        invite_id: op_id(),
        invited_by: alice.user.id.clone(),
        invited_by_role: WorkspaceRole::Member.into(),
        user_id: guest.user.id.clone(),
        user_role: WorkspaceRole::Guest.into(),
        rooms: rooms.iter().map(invited).collect(),
        at: None,
    };
    announces(&town, &accepted);
    announces(&town, &accepted);
    listens.opens(&public.id).await;
    let joined = chat::ListRoomsRequest { joined_only: true, ..Default::default() };
    let joined = guest.rooms().list_rooms(joined).await.unwrap().into_inner();
    let mut ids: Vec<String> = joined.rooms.into_iter().map(|room| room.id).collect();
    ids.sort();
    let mut expected = [hers.id, public.id.clone()];
    expected.sort();
    assert_eq!(ids, expected);
    assert_eq!(joined.memberships.iter().filter(|standing| standing.role() == RoomRole::Admin).count(), 1);
    says(&guest, &public, "thank you").await.unwrap();
}

async fn what_those_do_who_manage_rooms_is_audited(town: Town) {
    let founder = town.registers("founder").await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_private_room("board").await;
    alice.adds(&room, &bob).await;
    let said = bob.says(&room, "rude").await;
    deletes(&bob, &bob.says(&room, "one's own is not audited").await).await.unwrap();
    deletes(&alice, &said).await.unwrap();
    promotes(&alice, &room, &bob, RoomRole::Moderator).await.unwrap();
    let readers = RoomPermissions { post: RoomRole::Moderator.into(), ..Default::default() };
    alice.rooms().update_room(permits(&room, readers)).await.unwrap();
    assert_eq!(refusal(archives(&bob, &room).await), denied("ROLE_TOO_LOW"));
    archives(&alice, &room).await.unwrap();
    archives(&alice, &room).await.unwrap();
    alice.removes(&room, &bob).await;
    let mut audit = AuditServiceClient::new(founder.channel());
    let request = chat::AuditServiceListRequest { room_id: room.id.clone(), ..Default::default() };
    let entries = audit.list(request.clone()).await.unwrap().into_inner().entries;
    let actions: Vec<&str> = entries.iter().rev().map(|entry| entry.action.as_str()).collect();
    let expected = [
        "room.created",
        "member.added",
        "message.deleted",
        "member.role_changed",
        "room.updated",
        "room.archived",
        "member.removed",
    ];
    assert_eq!(actions, expected);
    assert!(entries.iter().all(|entry| entry.actor_id == alice.user.id && entry.subject_id == room.id));
    assert!(entries.iter().all(|entry| entry.address == "127.0.0.1" && entry.trace.len() == 55), "{entries:?}");
    let permitted = &entries.iter().find(|entry| entry.action == "room.updated").unwrap().details;
    assert_eq!(permitted.get("post").map(String::as_str), Some("ROOM_ROLE_MODERATOR"));
    let whole = audit.verify(chat::AuditServiceVerifyRequest {}).await.unwrap().into_inner();
    assert!(whole.intact && whole.entries == whole.head_seq && whole.head_seq >= 7);
    let listed = AuditServiceClient::new(alice.channel()).list(request).await;
    assert_eq!(refusal(listed), denied("ROLE_TOO_LOW"));
}
