//! Bytes: client frames written, server frames cut, and the fields of a `ServerFrame` that matter here.

use prost::Message as _;
use proto::{
    chat::v1::SendMessageRequest,
    edge::v1::{Call, ClientFrame, Cursor, SubscribeRequest, client_frame::Frame},
};

/// A binary frame from a client. The mask is zero, which is a mask: the payload stays as it is.
pub fn client_frame(payload: &[u8], into: &mut Vec<u8>) {
    header(payload.len(), 0x80, into);
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(payload);
}

/// A binary frame from a server.
pub fn server_frame(payload: &[u8], into: &mut Vec<u8>) {
    header(payload.len(), 0, into);
    into.extend_from_slice(payload);
}

fn header(length: usize, masked: u8, into: &mut Vec<u8>) {
    into.push(0x82);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => into.push(masked | short),
        (_, Ok(middle)) => {
            into.push(masked | 126);
            into.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            into.push(masked | 127);
            into.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// The answer to a ping.
pub fn pong(into: &mut Vec<u8>) {
    into.extend_from_slice(&[0x8a, 0x80, 0, 0, 0, 0]);
}

/// Cuts the first frame off: its opcode, its payload, and how many bytes it takes. Nothing while it is not whole.
pub fn cut(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (length, header) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?, 10),
        length => (usize::from(length), 2),
    };
    // Frames from clients have a mask, which here changes nothing.
    let start = header + if second & 0x80 == 0 { 0 } else { 4 };
    Some((first & 0x0f, bytes.get(start..start + length)?, start + length))
}

/// What a frame from the server says.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen<'f> {
    /// An event of a feed; `text` is empty unless it posts a message.
    Event {
        /// The feed's id.
        feed: &'f [u8],
        /// Its number.
        seq: u64,
        /// The message's text.
        text: &'f [u8],
    },
    /// The answer to a call.
    Reply(u64),
    /// The failure of a call.
    Failed(u64),
    /// A feed starts here.
    Snapshot {
        /// The feed's id.
        feed: &'f [u8],
        /// Its newest number.
        head: u64,
    },
    /// Everything that was there at the start has been sent.
    CaughtUp,
    /// Anything else.
    Other,
}

/// Reads a `ServerFrame` as far as it matters.
pub fn scan(frame: &[u8]) -> Seen<'_> {
    let Some((field, content)) = Fields(frame).next() else {
        return Seen::Other;
    };
    match (field, content) {
        (1, Value::Bytes(reply)) => Seen::Reply(number(reply, 1)),
        (2, Value::Bytes(error)) => Seen::Failed(number(error, 1)),
        (3, Value::Bytes(event)) => {
            let (mut feed, mut seq, mut text): (&[u8], u64, &[u8]) = (&[], 0, &[]);
            for (field, value) in Fields(event) {
                match (field, value) {
                    (1, Value::Bytes(id)) => feed = id,
                    (2, Value::Number(number)) => seq = number,
                    (MESSAGE_POSTED, Value::Bytes(posted)) => text = bytes(bytes(posted, 1), MESSAGE_TEXT),
                    _ => {}
                }
            }
            Seen::Event { feed, seq, text }
        }
        (4, Value::Bytes(snapshot)) => Seen::Snapshot { feed: bytes(snapshot, 1), head: number(snapshot, 2) },
        (6, _) => Seen::CaughtUp,
        _ => Seen::Other,
    }
}

/// `Event.message_posted`.
const MESSAGE_POSTED: u64 = 10;
/// `Message.text`.
const MESSAGE_TEXT: u64 = 6;

fn bytes(message: &[u8], wanted: u64) -> &[u8] {
    let found = Fields(message).find_map(|(field, value)| match value {
        Value::Bytes(bytes) if field == wanted => Some(bytes),
        _ => None,
    });
    found.unwrap_or_default()
}

fn number(message: &[u8], wanted: u64) -> u64 {
    let found = Fields(message).find_map(|(field, value)| match value {
        Value::Number(number) if field == wanted => Some(number),
        _ => None,
    });
    found.unwrap_or_default()
}

enum Value<'f> {
    Number(u64),
    Bytes(&'f [u8]),
}

/// The fields of a protobuf message, one after the other.
struct Fields<'f>(&'f [u8]);

impl<'f> Fields<'f> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (place, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.0 = &self.0[place + 1..];
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'f [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'f> Iterator for Fields<'f> {
    type Item = (u64, Value<'f>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

/// A frame that subscribes from cursors.
pub fn subscribe(cursors: &[(String, u64)]) -> Vec<u8> {
    let cursors = cursors.iter().map(|(feed_id, seq)| Cursor { feed_id: feed_id.clone(), seq: *seq }).collect();
    let request = SubscribeRequest { cursors, ..SubscribeRequest::default() };
    ClientFrame { frame: Some(Frame::Subscribe(request)) }.encode_to_vec()
}

/// A frame that sends a message.
pub fn send_message(id: u64, room: &str, text: String) -> Vec<u8> {
    let op_id = mesh::ids::new_id().to_string();
    let request = SendMessageRequest { room_id: room.to_owned(), text, op_id, file_ids: Vec::new() };
    let method = "/loquat.chat.v1.MessageService/SendMessage".to_owned();
    let call = Call { id, method, payload: request.encode_to_vec().into() };
    ClientFrame { frame: Some(Frame::Call(call)) }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use proto::{
        chat::v1::{Event, Message, MessagePosted, Snapshot, event::Body},
        edge::v1::{CaughtUp, Reply, ServerFrame, server_frame},
    };

    use super::*;

    fn encoded(frame: server_frame::Frame) -> Vec<u8> {
        ServerFrame { frame: Some(frame) }.encode_to_vec()
    }

    #[test]
    fn the_fields_that_matter_are_found_where_the_contract_puts_them() {
        let message = Message { text: "hello".into(), room_id: "r".into(), seq: 300, ..Message::default() };
        let body = Body::MessagePosted(MessagePosted { message: Some(message) });
        let event = Event { feed_id: "r".into(), seq: 300, body: Some(body), ..Event::default() };
        let frame = encoded(server_frame::Frame::Event(event));
        assert_eq!(scan(&frame), Seen::Event { feed: b"r", seq: 300, text: b"hello" });
        let frame = encoded(server_frame::Frame::Reply(Reply { id: 7, payload: vec![1; 200].into() }));
        assert_eq!(scan(&frame), Seen::Reply(7));
        let frame =
            encoded(server_frame::Frame::Snapshot(Snapshot { feed_id: "f".into(), head: 9, ..Default::default() }));
        assert_eq!(scan(&frame), Seen::Snapshot { feed: b"f", head: 9 });
        assert_eq!(scan(&encoded(server_frame::Frame::CaughtUp(CaughtUp { epoch: "e".into() }))), Seen::CaughtUp);
    }

    #[test]
    fn frames_are_cut_only_when_they_are_whole() {
        for length in [0, 125, 126, 70_000] {
            for write in [client_frame, server_frame] {
                let mut frame = Vec::new();
                write(&vec![7; length], &mut frame);
                assert!(cut(&frame[..frame.len() - 1]).is_none());
                frame.push(0);
                let (opcode, payload, taken) = cut(&frame).unwrap();
                assert_eq!((opcode, payload, taken), (2, vec![7; length].as_slice(), frame.len() - 1));
            }
        }
    }
}
