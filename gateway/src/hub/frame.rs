//! Frames as bytes. An event's bytes become a `ServerFrame` by writing a key and a length before them: on the wire a nested
//! message and a `bytes` field are the same. Nothing is decoded.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, key_len},
};
use proto::edge::v1::{CaughtUp, GoAway, Reset, ResetReason, ServerFrame, server_frame::Frame};

/// The numbers of `ServerFrame`'s fields whose content comes from chat-svc as bytes.
const EVENT: u32 = 3;
const SNAPSHOT: u32 = 4;
const EPHEMERAL: u32 = 5;

/// A frame with an event.
pub(crate) fn event(bytes: &Bytes) -> Bytes {
    wrap(EVENT, bytes)
}

/// A frame with a snapshot.
pub(crate) fn snapshot(bytes: &Bytes) -> Bytes {
    wrap(SNAPSHOT, bytes)
}

/// A frame with something passing.
pub(crate) fn ephemeral(bytes: &Bytes) -> Bytes {
    wrap(EPHEMERAL, bytes)
}

/// Says that everything that was there at the start has been sent.
pub(crate) fn caught_up(epoch: &str) -> Bytes {
    encode(Frame::CaughtUp(CaughtUp { epoch: epoch.to_owned() }))
}

/// Says that what the client holds of a feed cannot be continued.
pub(crate) fn reset(feed_id: &str, reason: ResetReason) -> Bytes {
    encode(Frame::Reset(Reset { reason: reason.into(), feed_id: feed_id.to_owned() }))
}

/// Says that the server goes away.
pub(crate) fn go_away(after_ms: u32) -> Bytes {
    encode(Frame::GoAway(GoAway { after_ms }))
}

/// Any other frame.
pub(crate) fn encode(frame: Frame) -> Bytes {
    ServerFrame { frame: Some(frame) }.encode_to_vec().into()
}

fn wrap(field: u32, bytes: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(key_len(field) + 10 + bytes.len());
    encode_key(field, WireType::LengthDelimited, &mut frame);
    encode_varint(bytes.len() as u64, &mut frame);
    frame.put_slice(bytes);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use proto::chat::v1::{Ephemeral, Event, Snapshot};

    use super::*;

    #[test]
    fn wrapped_bytes_are_the_frame_that_the_contract_describes() {
        let inner = Event { feed_id: "f".into(), seq: 300, ..Event::default() };
        let frame = event(&inner.encode_to_vec().into());
        assert_eq!(ServerFrame::decode(frame).unwrap().frame, Some(Frame::Event(inner)));
        let inner = Snapshot { feed_id: "f".into(), head: 3, ..Snapshot::default() };
        let frame = snapshot(&inner.encode_to_vec().into());
        assert_eq!(ServerFrame::decode(frame).unwrap().frame, Some(Frame::Snapshot(inner)));
        let inner = Ephemeral { feed_id: "f".into(), body: None };
        let frame = ephemeral(&inner.encode_to_vec().into());
        assert_eq!(ServerFrame::decode(frame).unwrap().frame, Some(Frame::Ephemeral(inner)));
    }
}
