//! Files in rooms: shared, counted, and gone with what refers to them.

use proto::{
    chat::v1::{self as chat, event::Body},
    file::v1 as file,
};
use tests::{Town, files::ready, op_id, within};
use tonic::Code;

use super::photo;

pub async fn a_file_goes_to_another_room_and_away(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let (here, there) = (alice.creates_room("here").await, bob.creates_private_room("there").await);
    bob.joins(&here).await;
    let mut listens = bob.listens().await;
    let photo = photo();
    let file = alice.brings(&here, "walk.jpg", &photo).await;
    let share = file::ShareFileRequest { op_id: op_id(), file_id: file.id.clone(), room_id: there.id.clone() };
    let refused = alice.files().share_file(share.clone()).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&refused), "ROOM_NOT_FOUND", "alice is not in that room");
    let shared = bob.files().share_file(share.clone()).await.unwrap().into_inner().file.unwrap();
    let again = bob.files().share_file(share).await.unwrap().into_inner().file.unwrap();
    assert_eq!((again.id, again.thumbnails.len()), (shared.id.clone(), 2));
    listens.waits_for("it is announced there", |event| ready(event).filter(|file| file.id == shared.id)).await;
    // The reference is for a message there.
    let send = chat::SendMessageRequest {
        room_id: there.id.clone(),
        op_id: op_id(),
        file_ids: vec![shared.reference.clone()],
        ..Default::default()
    };
    let sent = bob.messages().send_message(send).await.unwrap().into_inner().message.unwrap();

    let delete = |id: &str| file::DeleteFileRequest { file_id: id.into() };
    let refused = bob.files().delete_file(delete(&file.id)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "it is neither his file nor his room");
    alice.files().delete_file(delete(&file.id)).await.unwrap();
    let removed = |event: &chat::Event| match &event.body {
        Some(Body::FileRemoved(removed)) if event.feed_id == here.id => Some(removed.file_id.clone()),
        _ => None,
    };
    assert_eq!(listens.waits_for("the room is told", removed).await, file.id);
    for variant in ["", "w320"] {
        assert_eq!(bob.downloads(&file.id, variant).await.unwrap_err().code(), Code::NotFound);
    }
    assert_eq!(bob.downloads(&shared.id, "").await.unwrap(), photo, "the one in the other room is still there");
    // It can no longer be attached by its id.
    let attach = chat::SendMessageRequest {
        room_id: here.id.clone(),
        op_id: op_id(),
        file_ids: vec![file.id.clone()],
        ..Default::default()
    };
    assert_eq!(alice.messages().send_message(attach).await.unwrap_err().code(), Code::NotFound);
    // A message that is deleted takes its author's files along.
    let delete = chat::DeleteMessageRequest { room_id: there.id.clone(), message_id: sent.id, op_id: op_id() };
    bob.messages().delete_message(delete).await.unwrap();
    let gone = async {
        while bob.knows(&shared.id).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("the file went with its message", gone).await;
}

pub async fn limits_and_usage_are_told(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    let limits = alice.files().get_upload_limits(file::GetUploadLimitsRequest {}).await.unwrap().into_inner();
    assert_eq!((limits.max_bytes, limits.scanned, limits.direct), (1 << 30, false, false));
    alice.brings(&room, "a.bin", &[1; 3000]).await;
    let usage = alice.files().get_usage(file::GetUsageRequest {}).await.unwrap().into_inner().usage.unwrap();
    assert_eq!((usage.user_bytes, usage.workspace_bytes, usage.user_limit), (3000, 3000, 0));
    let list = file::ListUsageRequest::default();
    let all = alice.files().list_usage(list.clone()).await.unwrap().into_inner();
    assert_eq!((all.users.len(), all.users[0].user_id.as_str()), (1, alice.user.id.as_str()), "alice is the owner");
    assert_eq!(bob.files().list_usage(list).await.unwrap_err().code(), Code::PermissionDenied);
}

/// A file stays as long as a message refers to it, whoever brought it; and goes with the last one.
pub async fn several_messages_hold_a_file(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    let file = alice.brings(&room, "plan.txt", b"the plan").await;
    listens.waits_for("the file", |event| ready(event).filter(|known| known.id == file.id)).await;
    let send = |text: &str| chat::SendMessageRequest {
        room_id: room.id.clone(),
        text: text.into(),
        op_id: op_id(),
        file_ids: vec![file.id.clone()],
    };
    let first = alice.messages().send_message(send("first")).await.unwrap().into_inner().message.unwrap();
    let second = bob.messages().send_message(send("second")).await.unwrap().into_inner().message.unwrap();
    let third = alice.messages().send_message(send("third")).await.unwrap().into_inner().message.unwrap();
    let delete = |message: &chat::Message| chat::DeleteMessageRequest {
        room_id: room.id.clone(),
        message_id: message.id.clone(),
        op_id: op_id(),
    };
    let told = |seq: u64| {
        move |event: &chat::Event| match &event.body {
            Some(Body::MessageDeleted(deleted)) if event.seq == seq => Some(deleted.clone()),
            _ => None,
        }
    };
    for message in [&first, &third] {
        let seq = alice.messages().delete_message(delete(message)).await.unwrap().into_inner().seq;
        let deleted = listens.waits_for("a deletion", told(seq)).await;
        assert!(deleted.file_ids.is_empty(), "another message refers to it");
        assert_eq!((deleted.author_id.as_str(), deleted.ordinal), (alice.user.id.as_str(), message.ordinal));
        assert_eq!((deleted.message_seq, deleted.created_at), (message.seq, message.created_at));
        assert_eq!(alice.downloads(&file.id, "").await.unwrap(), b"the plan");
    }
    // The owner of the room takes away what is left of it.
    let seq = alice.messages().delete_message(delete(&second)).await.unwrap().into_inner().seq;
    let deleted = listens.waits_for("a deletion", told(seq)).await;
    assert_eq!((deleted.author_id, deleted.file_ids), (bob.user.id.clone(), vec![file.id.clone()]));
    let late = bob.messages().send_message(send("too late")).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&late), "FILE_NOT_FOUND", "it goes, so nobody can attach it any more");
    let removed = |event: &chat::Event| match &event.body {
        Some(Body::FileRemoved(removed)) if event.feed_id == room.id => Some(removed.file_id.clone()),
        _ => None,
    };
    assert_eq!(listens.waits_for("the room is told", removed).await, file.id);
    assert_eq!(bob.downloads(&file.id, "").await.unwrap_err().code(), Code::NotFound);
}
