//! Five events beside our own, under the names by which programs of another make know them: the flow of an upload, and messages.
//!
//! Where ours has one event for two of theirs, both are published. Names of people live with auth-svc and are not asked for: where
//! theirs has a username, ours has the id of the account or the room.

use std::sync::Arc;

use mesh::bus::{Envelope, Translate};
use proto::{
    chat::v1::MessagePosted,
    file::v1::{FileReady, FileUploaded},
};
use serde_json::{Value, json};
use uuid::Uuid;

/// What all of them are as well.
const BASE: &str = "Domain.Common:BaseEvent";

/// Makes them.
pub(crate) fn translation() -> Translate {
    Arc::new(|envelope| {
        let events = theirs(envelope);
        events.into_iter().map(|(name, body)| event(envelope, name, body)).collect()
    })
}

fn theirs(envelope: &Envelope) -> Vec<(&'static str, Value)> {
    let kind = envelope.kinds().next().unwrap_or_default();
    let body = &envelope.body;
    if kind == proto::event_kind::<MessagePosted>() {
        let message = &body["message"];
        return vec![(
            "MessageCreatedEvent",
            json!({
                "id": message["id"],
                "text": message["text"].as_str().unwrap_or_default(),
                "fileId": message["files"][0]["id"],
                "createdAt": message["createdAt"],
                "senderUsername": message["authorId"],
                "receiverUsername": message["roomId"],
            }),
        )];
    }
    if kind == proto::event_kind::<FileUploaded>() {
        let request = json!({"requestId": body["opId"]});
        return vec![
            ("FileUploadedEvent", request.clone()),
            ("FileMetadataUploadedEvent", request.clone()),
            ("FileAndMetadataUploadedEvent", request),
        ];
    }
    if kind == proto::event_kind::<FileReady>() && body["file"]["state"] == "FILE_STATE_READY" {
        let request = envelope.correlation_id;
        return vec![("UploadFinishedEvent", json!({"requestId": request, "fileId": body["file"]["id"]}))];
    }
    Vec::new()
}

fn event(ours: &Envelope, name: &str, body: Value) -> Envelope {
    let sent = ours.sent_time.unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let kind = format!("Domain.Events:{name}");
    let mut event = ours.followed_by(beside(ours.message_id, name), kind, body, sent).also([BASE]);
    event.correlation_id = ours.correlation_id;
    event
}

/// An id that is the same whenever the same event is published again.
fn beside(id: Uuid, name: &str) -> Uuid {
    let mut bytes = *id.as_bytes();
    for (place, byte) in name.bytes().enumerate() {
        let at = 8 + place % 8;
        bytes[at] = bytes[at].rotate_left(3) ^ byte;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(kind: String, body: Value) -> Envelope {
        let mut envelope = Envelope::new(mesh::ids::new_id(), kind, body, time::OffsetDateTime::UNIX_EPOCH);
        envelope.correlation_id = Some(envelope.message_id);
        envelope
    }

    #[test]
    fn an_upload_and_a_message_become_the_five_events() {
        let translate = translation();
        let mut names = Vec::new();
        let mut ids = std::collections::HashSet::new();
        for event in [
            ours(
                proto::event_kind::<MessagePosted>(),
                json!({"message": {"id": "m", "text": "hi", "authorId": "a", "roomId": "r"}}),
            ),
            ours(proto::event_kind::<FileUploaded>(), json!({"opId": "o", "fileId": "f"})),
            ours(proto::event_kind::<FileReady>(), json!({"file": {"id": "f", "state": "FILE_STATE_READY"}})),
            ours(proto::event_kind::<FileReady>(), json!({"file": {"id": "f", "state": "FILE_STATE_FAILED"}})),
            ours("Other:Thing".into(), json!({})),
        ] {
            assert_eq!(translate(&event), translate(&event), "the same again");
            for theirs in translate(&event) {
                assert!(ids.insert(theirs.message_id), "ids differ");
                assert_eq!(theirs.message_type[1], "urn:message:Domain.Common:BaseEvent");
                names.push(theirs.kinds().next().unwrap().to_owned());
            }
        }
        let wanted =
            ["MessageCreated", "FileUploaded", "FileMetadataUploaded", "FileAndMetadataUploaded", "UploadFinished"];
        assert_eq!(names, wanted.map(|name| format!("Domain.Events:{name}Event")));
    }
}
