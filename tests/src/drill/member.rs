//! A member who listens: connects, resumes from what the ledger says they hold, and comes back whenever that breaks.

use std::sync::Arc;

use proto::edge::v1::{ResetReason, server_frame::Frame};
use rand::rngs::StdRng;

use super::{
    link::{Incoming, Link, subscribe},
    shared::{Backoff, Shared},
};

/// Listens for ever. Half of the members use sockets, the others gRPC.
pub(super) async fn listens(shared: Arc<Shared>, member: usize, random: StdRng) {
    let mut backoff = Backoff::new(random);
    for turn in member.. {
        let cursors = shared.ledger().cursors(member);
        let resumes = !cursors.is_empty();
        let request = subscribe(cursors, &shared.epoch(), false);
        let (door, token) = (shared.door(turn), shared.people[member].token());
        let link = match member % 2 {
            0 => Link::socket(door, &token, request).await,
            _ => Link::stream(door, &token, request).await,
        };
        if let Ok(mut link) = link {
            let mut caught_up = false;
            while let Ok(incoming) = link.next().await {
                caught_up |= matches!(incoming.frame, Frame::CaughtUp(_));
                receive(&shared, member, &incoming, resumes && !caught_up);
                if caught_up {
                    backoff.reset();
                }
            }
        }
        backoff.wait().await;
    }
}

fn receive(shared: &Shared, member: usize, incoming: &Incoming, resumed: bool) {
    match &incoming.frame {
        Frame::Event(event) => {
            shared.ledger().event(member, &event.feed_id, event.seq, &incoming.event, resumed);
        }
        Frame::Snapshot(snapshot) => shared.ledger().snapshot(member, &snapshot.feed_id, snapshot.head),
        Frame::Reset(reset) => {
            let churned = shared.rooms.iter().any(|room| room.id == reset.feed_id && room.churned == member);
            let expected = churned && reset.reason() == ResetReason::NotFound;
            shared.ledger().reset(member, &reset.feed_id, expected);
        }
        Frame::CaughtUp(caught_up) => shared.epoch().clone_from(&caught_up.epoch),
        _ => {}
    }
}
