//! Rooms and their members, made before anything is measured.

use futures::{StreamExt as _, TryStreamExt as _};
use proto::chat::v1::{CreateRoomRequest, JoinRoomRequest, RoomKind, room_service_client::RoomServiceClient};
use tonic::{Request, Status, transport::Channel};

use super::{
    swarm::{Client, Speaks, Swarm},
    target::{Account, Target},
};
use crate::town;

/// Calls under way at a time.
const AT_ONCE: usize = 32;

/// How many rooms, and how many members each has. Nobody is in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rooms.
    pub rooms: usize,
    /// Members of each.
    pub members: usize,
}

impl Shape {
    /// Members of all rooms.
    pub const fn people(self) -> usize {
        self.rooms * self.members
    }

    /// `20 x 50`.
    pub fn name(self) -> String {
        format!("{} x {}", self.rooms, self.members)
    }
}

/// A message with somebody's token.
///
/// # Panics
/// When the token is not one.
pub fn signed<T>(account: &Account, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", account.access_token).parse().expect("a token is a header");
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// Makes rooms of consecutive accounts from `first` on, and returns the clients that are their members, not yet connected.
///
/// # Panics
/// When the server refuses.
pub async fn rooms(target: &Target, shape: Shape, first: usize) -> Vec<Client> {
    let channel = town::channel(target.address);
    let mut clients = Vec::with_capacity(shape.people());
    for room in 0..shape.rooms {
        let Some(accounts) = target.accounts.get(first + room * shape.members..first + (room + 1) * shape.members)
        else {
            // A floor has no accounts and makes a room when somebody names it.
            let id = mesh::ids::new_id().to_string();
            clients.extend((0..shape.members).map(|_| Client::new(Speaks::Floor, room, id.clone())));
            continue;
        };
        let id = one(channel.clone(), accounts, room).await.expect("the room is made and joined");
        let speaks = |account: &Account| Speaks::Loquat(account.access_token.clone());
        clients.extend(accounts.iter().map(|account| Client::new(speaks(account), room, id.clone())));
    }
    clients
}

/// A room of its own for each pair of accounts would take long one after the other; members join side by side.
async fn one(channel: Channel, accounts: &[Account], number: usize) -> Result<String, Status> {
    let (owner, others) = accounts.split_first().ok_or_else(|| Status::invalid_argument("nobody"))?;
    let mut rooms = RoomServiceClient::new(channel);
    let request = CreateRoomRequest {
        name: format!("room {number}"),
        kind: RoomKind::Public.into(),
        ..CreateRoomRequest::default()
    };
    let room = rooms.create_room(signed(owner, request)).await?.into_inner().room.unwrap_or_default();
    let joins = others.iter().map(|account| {
        let mut rooms = rooms.clone();
        let request = JoinRoomRequest { room_id: room.id.clone(), ..JoinRoomRequest::default() };
        async move { rooms.join_room(signed(account, request)).await.map(|_| ()) }
    });
    futures::stream::iter(joins).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(room.id)
}

/// A swarm of the members of some rooms, connected.
///
/// # Panics
/// When the server refuses.
pub async fn swarm(target: &Target, shape: Shape) -> Swarm {
    let clients = rooms(target, shape, 0).await;
    let mut swarm = Swarm::new(target.address, clients).expect("the system has epoll");
    swarm.connect_all(200);
    swarm
}
