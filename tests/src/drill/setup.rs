//! The rooms and people of a drill, and who does what in them.

use std::{sync::Arc, time::Duration};

use proto::chat::v1::{CreateRoomRequest, RoomHistory, RoomKind};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;

use super::{
    account::Account,
    churn, member,
    sender::Sender,
    shared::{Room, Shared},
    uploader,
    world::World,
};
use crate::{op_id, within};

/// Rooms.
const ROOMS: usize = 3;
/// People besides the one who made the rooms.
const MEMBERS: usize = 9;
/// Senders of each room; the first of them is the one who is put out and brought back.
const SENDERS: usize = 3;

/// Makes accounts, starts the servers, and makes the rooms.
pub(super) async fn shared(world: &mut World, pause: Duration) -> Arc<Shared> {
    let names: Vec<String> = (0..=MEMBERS).map(|number| format!("member{number}")).collect();
    let people = Account::read(&world.import(&names));
    world.start().await;
    let mut rooms = Vec::new();
    for number in 0..ROOMS {
        rooms.push(within("a room is made", room(world, &people, number)).await);
    }
    Arc::new(Shared::new(world.doors.clone(), people, rooms, pause))
}

/// Everybody is in all rooms but every third. In every second room one sees only what happened since one joined.
async fn room(world: &World, people: &[Account], number: usize) -> Room {
    let owner = people[0].at(world.doors[0]);
    let since_joined = number % 2 == 1;
    let history = if since_joined { RoomHistory::SinceJoined } else { RoomHistory::All };
    let request = CreateRoomRequest {
        name: format!("room{number}"),
        kind: RoomKind::Private.into(),
        history: history.into(),
        op_id: op_id(),
        ..CreateRoomRequest::default()
    };
    // A process that has just started may not have found the others yet.
    let made = loop {
        match owner.rooms().create_room(request.clone()).await {
            Ok(made) => break made.into_inner().room.expect("the answer has the room"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let members: Vec<usize> = (1..=MEMBERS).filter(|member| member % ROOMS != number).collect();
    for member in &members {
        owner.adds(&made, &people[*member].at(world.doors[0])).await;
    }
    let churned = members[number];
    let members = std::iter::once(0).chain(members).collect();
    Room { id: made.id, since_joined, members, churned }
}

/// Lets everybody do what they do; it begins with the load.
pub(super) fn actors(shared: &Arc<Shared>, random: &mut StdRng) -> JoinSet<()> {
    let mut actors = JoinSet::new();
    let mut fresh = || StdRng::seed_from_u64(random.random());
    for member in 0..shared.people.len() {
        actors.spawn(member::listens(shared.clone(), member, fresh()));
    }
    let mut number = 0;
    for (index, room) in shared.rooms.iter().enumerate() {
        actors.spawn(churn::churns(shared.clone(), index, fresh()));
        let stable = room.members.iter().filter(|member| **member != room.churned).skip(1);
        for sender in std::iter::once(&room.churned).chain(stable).take(SENDERS) {
            number += 1;
            actors.spawn(Sender::new(shared.clone(), number, *sender, index, fresh()).run());
        }
    }
    let uploader = shared.rooms[0].members.last().copied().unwrap_or(0);
    actors.spawn(uploader::uploads(shared.clone(), uploader, 0, fresh()));
    actors
}

/// How many senders there are.
pub(super) fn senders(shared: &Shared) -> usize {
    shared.rooms.len() * SENDERS
}
