//! Reading the database back: the log of each room as its bytes, the pages of messages, and the server's own digests.

use bytes::Bytes;
use prost::Message as _;
use proto::{
    chat::v1::{
        Event, ListMessagesRequest, Message, VerifyRangeRequest, event::Body, feed_service_client::FeedServiceClient,
    },
    edge::v1::server_frame::Frame,
};
use tokio::time::timeout;

use super::{
    ledger::Range,
    link::{Broken, Link, PATIENCE, subscribe},
    shared::Shared,
};
use crate::Person;

/// Reads every room's log on from where it was read to.
pub(super) async fn read(shared: &Shared) -> Result<(), Broken> {
    for room in 0..shared.rooms.len() {
        let head = shared.ledger().head(room);
        let events = read_room(shared, room, head).await?;
        shared.ledger().read(room, &events);
    }
    Ok(())
}

/// The events of a room after a number, as the maker of the room is sent them.
async fn read_room(shared: &Shared, room: usize, after: u64) -> Result<Vec<Bytes>, Broken> {
    let request = subscribe(vec![(shared.rooms[room].id.clone(), after)], "", true);
    let mut link = Link::socket(shared.door(room), &shared.people[0].token(), request).await?;
    let mut events = Vec::new();
    loop {
        let incoming = link.next().await?;
        match incoming.frame {
            Frame::Event(event) if event.seq == after + 1 + events.len() as u64 => events.push(incoming.event),
            Frame::Event(event) => panic!("the log of room {room} has number {} after {after}", event.seq),
            Frame::CaughtUp(_) => return Ok(events),
            Frame::Snapshot(_) | Frame::Reset(_) => panic!("the log of room {room} is not replayed after {after}"),
            _ => {}
        }
    }
}

/// Compares the pages of messages after a number with what the log has there.
pub(super) async fn compare_pages(shared: &Shared, room: usize, after: u64) {
    let person = shared.people[0].at(shared.door(room));
    let events = read_room(shared, room, after).await.unwrap_or_default();
    let posted = |event: &Bytes| match Event::decode(event.clone()).ok()?.body? {
        Body::MessagePosted(posted) => posted.message,
        _ => None,
    };
    let logged: Vec<Message> = events.iter().filter_map(posted).collect();
    let paged = pages(&person, &shared.rooms[room].id, after).await;
    if logged != paged {
        let at = logged.iter().zip(&paged).position(|(logged, paged)| logged != paged);
        let note = format!("pages of room {room}: {} messages, log: {}, first at {at:?}", paged.len(), logged.len());
        shared.ledger().wrong(|counts| &mut counts.not_stored, note);
    }
}

async fn pages(person: &Person, room: &str, after: u64) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    loop {
        let after_seq = all.last().map_or(after.max(1), |message| message.seq);
        let request = ListMessagesRequest { room_id: room.to_owned(), after_seq, page_size: 200, before_seq: 0 };
        let Ok(page) = person.messages().list_messages(request).await else { return all };
        let page = page.into_inner();
        all.extend(page.messages);
        if !page.more {
            return all;
        }
    }
}

/// Asks the server for the digest of what a member holds.
pub(super) async fn verify(shared: &Shared, member: usize, range: &Range) {
    let request = VerifyRangeRequest { feed_id: range.feed_id.clone(), from_seq: range.from, to_seq: range.to };
    let mut client = FeedServiceClient::new(shared.people[member].at(shared.door(member)).channel());
    let verified = match timeout(PATIENCE, client.verify_range(request)).await {
        Ok(Ok(answer)) => {
            let answer = answer.into_inner();
            if *answer.digest == range.digest && answer.count == range.to - range.from + 1 {
                return;
            }
            "differs".to_owned()
        }
        Ok(Err(status)) => format!("is refused: {status}"),
        Err(_) => "takes too long".to_owned(),
    };
    let note =
        format!("the digest of {} to {} of {} for member {member} {verified}", range.from, range.to, range.feed_id);
    shared.ledger().wrong(|counts| &mut counts.digests, note);
}
