//! Frames as bytes, made once and shared by all who get them. An event's bytes become a `ServerFrame` by writing a key and a
//! length before them: on the wire a nested message and a `bytes` field are the same. Before that stands the header of the
//! WebSocket frame, which is the same for every socket as well. Nothing is decoded.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};
use proto::edge::v1::{
    CaughtUp, Cursor, GoAway, Pong, Reset, ResetReason, ServerFrame, server_frame::Frame as Content,
};

/// The numbers of `ServerFrame`'s fields whose content comes from chat-svc as bytes.
const EVENT: u32 = 3;
const SNAPSHOT: u32 = 4;
const EPHEMERAL: u32 = 5;

/// The first byte of a WebSocket frame that is a whole message (RFC 6455 section 5.2), by opcode.
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// A frame for any transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    bytes: Bytes,
    /// How many of `bytes` are the WebSocket header.
    header: u8,
}

impl Frame {
    /// As it goes over a WebSocket.
    pub(crate) fn wire(&self) -> &Bytes {
        &self.bytes
    }

    /// The `ServerFrame` alone, as it goes over gRPC.
    pub(crate) fn body(&self) -> Bytes {
        self.bytes.slice(usize::from(self.header)..)
    }

    /// Bytes on a WebSocket.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What a WebSocket library wrote: whole frames with their headers.
    pub(crate) fn of_wire(bytes: &[u8]) -> Self {
        Self { bytes: Bytes::copy_from_slice(bytes), header: 0 }
    }
}

/// A frame with an event.
pub(crate) fn event(bytes: &Bytes) -> Frame {
    wrap(EVENT, bytes)
}

/// A frame with a snapshot.
pub(crate) fn snapshot(bytes: &Bytes) -> Frame {
    wrap(SNAPSHOT, bytes)
}

/// A frame with something passing.
pub(crate) fn ephemeral(bytes: &Bytes) -> Frame {
    wrap(EPHEMERAL, bytes)
}

/// Says that everything that was there at the start has been sent.
pub(crate) fn caught_up(epoch: &str) -> Frame {
    encode(Content::CaughtUp(CaughtUp { epoch: epoch.to_owned() }))
}

/// Says that what the client holds of a feed cannot be continued.
pub(crate) fn reset(feed_id: &str, reason: ResetReason) -> Frame {
    encode(Content::Reset(Reset { reason: reason.into(), feed_id: feed_id.to_owned() }))
}

/// Says that the server goes away.
pub(crate) fn go_away(after_ms: u32) -> Frame {
    encode(Content::GoAway(GoAway { after_ms }))
}

/// Says what was sent so far, unasked.
pub(crate) fn heartbeat(cursors: Vec<Cursor>) -> Frame {
    encode(Content::Pong(Pong { nonce: 0, cursors }))
}

/// Any other frame.
pub(crate) fn encode(content: Content) -> Frame {
    let message = ServerFrame { frame: Some(content) };
    let (mut frame, header) = begin(BINARY, message.encoded_len());
    // A buffer of the right size is never too small.
    let _ = message.encode(&mut frame);
    Frame { bytes: frame.freeze(), header }
}

/// Asks a WebSocket client whether it is there. It answers by itself.
pub(crate) fn ping() -> Frame {
    Frame { bytes: Bytes::from_static(&[PING, 0]), header: 0 }
}

/// Ends a WebSocket; `reason` is at most 123 bytes.
pub(crate) fn close(code: u16, reason: &str) -> Frame {
    let (mut frame, header) = begin(CLOSE, 2 + reason.len());
    frame.put_u16(code);
    frame.put_slice(reason.as_bytes());
    Frame { bytes: frame.freeze(), header }
}

fn wrap(field: u32, bytes: &Bytes) -> Frame {
    let length = key_len(field) + encoded_len_varint(bytes.len() as u64) + bytes.len();
    let (mut frame, header) = begin(BINARY, length);
    encode_key(field, WireType::LengthDelimited, &mut frame);
    encode_varint(bytes.len() as u64, &mut frame);
    frame.put_slice(bytes);
    Frame { bytes: frame.freeze(), header }
}

/// The header of a WebSocket frame without a mask, as servers send it, in a buffer with room for the rest.
fn begin(first: u8, length: usize) -> (BytesMut, u8) {
    let mut frame = BytesMut::with_capacity(10 + length);
    frame.put_u8(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => frame.put_u8(short),
        (_, Ok(middle)) => {
            frame.put_u8(126);
            frame.put_u16(middle);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    let header = u8::try_from(frame.len()).unwrap_or(0);
    (frame, header)
}

#[cfg(test)]
mod tests {
    use proto::chat::v1::{Ephemeral, Event, Snapshot};
    use tokio_tungstenite::tungstenite::{
        Message,
        protocol::{Role, WebSocket},
    };

    use super::*;

    #[test]
    fn wrapped_bytes_are_the_frame_that_the_contract_describes() {
        let inner = Event { feed_id: "f".into(), seq: 300, ..Event::default() };
        let frame = event(&inner.encode_to_vec().into());
        assert_eq!(ServerFrame::decode(frame.body()).unwrap().frame, Some(Content::Event(inner)));
        let inner = Snapshot { feed_id: "f".into(), head: 3, ..Snapshot::default() };
        let frame = snapshot(&inner.encode_to_vec().into());
        assert_eq!(ServerFrame::decode(frame.body()).unwrap().frame, Some(Content::Snapshot(inner)));
        let inner = Ephemeral { feed_id: "f".into(), body: None };
        let frame = ephemeral(&inner.encode_to_vec().into());
        assert_eq!(ServerFrame::decode(frame.body()).unwrap().frame, Some(Content::Ephemeral(inner)));
    }

    /// Reads a frame with the library that clients use.
    fn read(frame: &Frame) -> Message {
        let stream = std::io::Cursor::new(frame.wire().to_vec());
        WebSocket::from_raw_socket(stream, Role::Client, None).read().unwrap()
    }

    #[test]
    fn a_websocket_client_understands_frames_of_every_length() {
        for length in [0, 1, 110, 125, 126, 127, 300, 65_520, 65_535, 65_536, 70_000] {
            let frame = event(&vec![7; length].into());
            assert_eq!(read(&frame), Message::Binary(frame.body()), "{length}");
        }
        assert_eq!(read(&ping()), Message::Ping(Bytes::new()));
        let Message::Close(Some(told)) = read(&close(4008, "too slow")) else { panic!("a close frame") };
        assert_eq!((u16::from(told.code), told.reason.as_str()), (4008, "too slow"));
    }
}
