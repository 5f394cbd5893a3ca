//! Mentions: whom the text of a message names is told to worker-svc in the transaction of the message; and where people stand with
//! messages that mention them, for mail to those who are away. Knows nobody by name.

use proto::chat::{
    internal::v1::{Mention, MentionState},
    v1::{MembersMentioned, Message},
};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{
    append::Work,
    errors::ChatError,
    presence::Presence,
    said::Said,
    store::{self, member, message, read_marker, room},
};

/// Tells whom a message names that its text before did not, which is held by the event of this number.
pub(crate) fn tell(
    work: &mut Work<'_>,
    room_id: Uuid,
    message: &Message,
    seq: u64,
    said: &Said,
    before: &str,
) -> Result<(), ChatError> {
    if said.mentions.is_empty() {
        return Ok(());
    }
    let known = Said::from(before.to_owned()).mentions;
    let usernames: Vec<String> = said.mentions.iter().filter(|name| !known.contains(name)).cloned().collect();
    if usernames.is_empty() {
        return Ok(());
    }
    let (message_id, author_id) = (message.id.clone(), message.author_id.clone());
    work.publish(room_id, &MembersMentioned { room_id: room_id.to_string(), message_id, seq, author_id, usernames })
}

/// A mention whose ids were read.
pub(crate) struct Asked {
    pub(crate) user_id: Uuid,
    pub(crate) room_id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) seq: u64,
}

impl Asked {
    /// Reads one; nothing when it names no ids.
    pub(crate) fn read(mention: &Mention) -> Option<Self> {
        let id = |text: &String| Uuid::try_parse(text).ok();
        Some(Self {
            user_id: id(&mention.user_id)?,
            room_id: id(&mention.room_id)?,
            message_id: id(&mention.message_id)?,
            seq: mention.seq,
        })
    }
}

/// Where somebody stands with a message that mentions them.
pub(crate) async fn state<C: ConnectionTrait>(
    db: &C,
    presence: &Presence,
    asked: &Asked,
) -> Result<MentionState, ChatError> {
    let online = presence.is_online(asked.user_id);
    let room = if unread(db, asked).await? { room::find(db, asked.room_id).await? } else { None };
    Ok(MentionState { unread: room.is_some(), room_name: room.map(|room| room.name).unwrap_or_default(), online })
}

async fn unread<C: ConnectionTrait>(db: &C, asked: &Asked) -> Result<bool, ChatError> {
    let Asked { user_id, room_id, message_id, seq } = *asked;
    let Some(member) = member::find(db, room_id, user_id).await? else { return Ok(false) };
    let Some(message) = message::find(db, room_id, message_id).await? else { return Ok(false) };
    let there = message.deleted_at == 0 && message.author_id != user_id && message.seq >= member.first_visible_seq;
    Ok(there && read_marker::find(db, user_id, room_id).await?.seq < seq.max(store::unsigned(message.seq)))
}
