//! Files as chat sees them: references that senders bring, and announcements from file-svc.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use mesh::{
    authn::MeshSecret,
    bus::{Delivery, Envelope, HandlerError, QueueSpec},
};
use prost::Message as _;
use proto::{
    chat::v1::{self as chat, event::Body},
    file::{
        internal::v1::FileReference,
        v1::{File, FileDeleted, FileReady},
    },
};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    append::{Appender, Work},
    command::{Action, Actor, Command, FileClaim, Place},
    errors::ChatError,
    store,
};

/// What file-svc signs references for.
const PURPOSE: &str = "file-reference";
/// The name under which handled announcements are remembered, and of the queue.
const CONSUMER: &str = "ChatFileReady";

/// Reads one entry of `file_ids`: a signed reference of this sender for this room, or the id of an announced file.
pub(crate) fn claim(
    text: &str,
    room_id: Uuid,
    sender: Uuid,
    secret: &MeshSecret,
    now: OffsetDateTime,
) -> Result<FileClaim, ChatError> {
    if let Ok(id) = Uuid::try_parse(text) {
        return Ok(FileClaim::Announced(id));
    }
    let unknown = || ChatError::FileNotFound(text.chars().take(64).collect());
    let (bytes, signature) = text.split_once('.').ok_or_else(unknown)?;
    let bytes = BASE64.decode(bytes).map_err(|_| unknown())?;
    let signature = BASE64.decode(signature).map_err(|_| unknown())?;
    if !secret.verify(PURPOSE, &bytes, &signature) {
        return Err(unknown());
    }
    let reference = FileReference::decode(bytes.as_slice()).map_err(|_| unknown())?;
    let file = File::decode(reference.file).map_err(|_| unknown())?;
    let fits = file.room_id == room_id.to_string()
        && file.uploader_id == sender.to_string()
        && reference.expires_at > now.unix_timestamp();
    if fits { Ok(FileClaim::Proven(Box::new(file))) } else { Err(unknown()) }
}

/// The queue on which file-svc's announcements wait: one for both kinds, so that a file is not removed before it is ready.
pub(crate) fn queue() -> QueueSpec {
    QueueSpec::new(CONSUMER, [proto::event_kind::<FileReady>(), proto::event_kind::<FileDeleted>()])
}

/// Hands an announcement to the append path.
pub(crate) async fn announce(appender: Appender, delivery: Delivery) -> Result<(), HandlerError> {
    let envelope = &delivery.envelope;
    let deleted = proto::event_kind::<FileDeleted>();
    let action = if envelope.kinds().any(|kind| kind == deleted) { removal(envelope)? } else { readiness(envelope)? };
    let done = appender.commit(Command { actor: Actor::SYSTEM, op: None, action, place: Place::default() }).await;
    done.map(drop).map_err(|cause| HandlerError::Retry(cause.into()))
}

fn removal(envelope: &Envelope) -> Result<Action, HandlerError> {
    let deleted: FileDeleted = proto::from_json(&envelope.body).map_err(poison)?;
    Ok(Action::FileRemoved {
        message_id: envelope.message_id,
        room_id: Uuid::try_parse(&deleted.room_id).map_err(poison)?,
        file_id: Uuid::try_parse(&deleted.file_id).map_err(poison)?,
        actor_id: Uuid::try_parse(&deleted.actor_id).map_err(poison)?,
    })
}

fn readiness(envelope: &Envelope) -> Result<Action, HandlerError> {
    let ready: FileReady = proto::from_json(&envelope.body).map_err(poison)?;
    let file = ready.file.ok_or_else(|| poison("an announcement without a file"))?;
    Ok(Action::FileReady {
        message_id: envelope.message_id,
        room_id: Uuid::try_parse(&file.room_id).map_err(poison)?,
        file_id: Uuid::try_parse(&file.id).map_err(poison)?,
        file: Box::new(File { reference: String::new(), ..file }),
    })
}

fn poison(cause: impl std::fmt::Display) -> HandlerError {
    HandlerError::Poison(anyhow::anyhow!("{cause}"))
}

/// Those of some announced files that somebody who reads a room from a number on may read.
pub(crate) async fn visible<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    first_visible: u64,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, File>, ChatError> {
    let hidden = hidden(db, room_id, first_visible, ids).await?;
    let mut files = store::file::some(db, room_id, ids).await?;
    files.retain(|id, _| !hidden.contains(id));
    Ok(files)
}

/// Those of some files that somebody who reads a room from a number on may not read.
pub(crate) async fn hidden<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    first_visible: u64,
    ids: &[Uuid],
) -> Result<Vec<Uuid>, ChatError> {
    if first_visible <= 1 || ids.is_empty() {
        return Ok(Vec::new());
    }
    let seen = store::shared_file::since(db, room_id, first_visible, ids).await?;
    Ok(ids.iter().filter(|id| !seen.contains(id)).copied().collect())
}

/// Announces a file to its room and to its uploader, once however often it is delivered.
pub(crate) async fn ready(
    work: &mut Work<'_>,
    message_id: Uuid,
    room_id: Uuid,
    file_id: Uuid,
    file: &File,
) -> Result<Bytes, ChatError> {
    if !mesh::inbox::claim(work.tx().await?, CONSUMER, message_id, work.now).await? {
        return Ok(Bytes::new());
    }
    work.wrote();
    if store::room::find(work.tx().await?, room_id).await?.is_none() {
        tracing::warn!(%room_id, %file_id, "a file was announced for a room that does not exist");
        return Ok(Bytes::new());
    }
    store::file::save(work.tx().await?, room_id, file_id, file).await?;
    let uploader = Uuid::try_parse(&file.uploader_id).map_err(ChatError::internal)?;
    let seq = work.next_seq(room_id);
    work.shares(room_id, seq, std::slice::from_ref(file));
    for feed in [room_id, uploader] {
        let body = Body::FileReady(chat::FileReady { file: Some(file.clone()) });
        work.append(feed, uploader, body, None);
    }
    Ok(Bytes::new())
}

/// Those files of a message just deleted that go with it: nothing that is left refers to them, and who uploaded them had brought
/// them into the room with a message of their own. From now on nobody can attach them by their ids.
pub(crate) async fn released(
    work: &mut Work<'_>,
    room_id: Uuid,
    author: Uuid,
    files: &[File],
) -> Result<Vec<Uuid>, ChatError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let parsed = |file: &File| Some((Uuid::try_parse(&file.id).ok()?, Uuid::try_parse(&file.uploader_id).ok()?));
    let uploaded: Vec<(Uuid, Uuid)> = files.iter().filter_map(parsed).collect();
    let ids: Vec<Uuid> = uploaded.iter().map(|(id, _)| *id).collect();
    let held = store::message_file::held(work.tx().await?, room_id, &ids).await?;
    let brought = store::message_file::brought(work.tx().await?, room_id, &ids).await?;
    let goes = |(id, uploader): &(Uuid, Uuid)| {
        !held.contains(id) && (*uploader == author || brought.contains(&(*id, *uploader)))
    };
    let released: Vec<Uuid> = uploaded.into_iter().filter(goes).map(|(id, _)| id).collect();
    store::file::forget(work.tx().await?, room_id, &released).await?;
    work.wrote();
    Ok(released)
}

/// Tells a room that a file is gone, once however often it is delivered.
pub(crate) async fn removed(
    work: &mut Work<'_>,
    message_id: Uuid,
    room_id: Uuid,
    file_id: Uuid,
    actor_id: Uuid,
) -> Result<Bytes, ChatError> {
    if !mesh::inbox::claim(work.tx().await?, CONSUMER, message_id, work.now).await? {
        return Ok(Bytes::new());
    }
    work.wrote();
    // One that went with its message can no longer be attached, but nobody was told.
    let announced = store::file::forget(work.tx().await?, room_id, &[file_id]).await?;
    let appeared = store::shared_file::forget(work.tx().await?, room_id, file_id).await?;
    if announced || appeared {
        work.append(room_id, actor_id, Body::FileRemoved(chat::FileRemoved { file_id: file_id.to_string() }), None);
    }
    Ok(Bytes::new())
}

/// Signs a reference as file-svc does, for tests.
#[cfg(test)]
pub(crate) fn sign(file: &File, expires_at: i64, secret: &MeshSecret) -> String {
    let bytes = FileReference { file: file.encode_to_vec().into(), expires_at }.encode_to_vec();
    format!("{}.{}", BASE64.encode(&bytes), BASE64.encode(secret.sign(PURPOSE, &bytes)))
}

#[cfg(test)]
mod tests {
    use mesh::{config::Secret, ids};

    use super::*;

    #[test]
    fn a_reference_counts_for_its_room_and_uploader_until_it_ends() {
        let secret = MeshSecret::open(&Secret::new("0123456789abcdef0123456789abcdef"), "/nowhere".as_ref()).unwrap();
        let (room, user) = (ids::new_id(), ids::new_id());
        let now = time::macros::datetime!(2026-01-01 0:00 UTC);
        let file = File {
            id: ids::new_id().to_string(),
            room_id: room.to_string(),
            uploader_id: user.to_string(),
            ..File::default()
        };
        let end = now.unix_timestamp() + 10;
        let text = sign(&file, end, &secret);
        assert!(matches!(claim(&text, room, user, &secret, now), Ok(FileClaim::Proven(_))));
        assert!(claim(&text, ids::new_id(), user, &secret, now).is_err());
        assert!(claim(&text, room, ids::new_id(), &secret, now).is_err());
        assert!(claim(&text, room, user, &secret, now + time::Duration::seconds(11)).is_err());
        let mut forged = text.clone();
        forged.insert(3, 'A');
        assert!(claim(&forged, room, user, &secret, now).is_err());
        assert!(claim("nonsense", room, user, &secret, now).is_err());
    }
}
