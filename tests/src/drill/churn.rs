//! Members who are put out of a room and brought back, again and again.

use std::{sync::Arc, time::Duration};

use proto::chat::v1::{AddMemberRequest, RemoveMemberRequest};
use rand::{Rng as _, rngs::StdRng};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::{
    link::PATIENCE,
    shared::{Backoff, Shared},
};
use crate::{Person, op_id};

/// Puts the member of a room out and brings them back, while there is load, for ever. They are in whenever it is quiet.
pub(super) async fn churns(shared: Arc<Shared>, room: usize, mut random: StdRng) {
    let mut load = shared.load.subscribe();
    let mut owner = Owner { shared: shared.clone(), room, turn: room, backoff: Backoff::new(random.clone()) };
    while load.wait_for(|on| *on).await.is_ok() {
        let _busy = shared.begins();
        while *load.borrow() {
            tokio::time::sleep(Duration::from_millis(random.random_range(200..1000))).await;
            owner.removes().await;
            tokio::time::sleep(Duration::from_millis(random.random_range(20..400))).await;
            shared.ledger().readd(shared.rooms[room].churned, room);
            owner.adds().await;
        }
    }
}

/// The maker of the rooms.
struct Owner {
    shared: Arc<Shared>,
    room: usize,
    turn: usize,
    backoff: Backoff,
}

impl Owner {
    async fn removes(&mut self) {
        let (room_id, user_id) = self.ids();
        self.until_answered(&Change::Remove(RemoveMemberRequest { room_id, user_id, op_id: op_id() })).await;
    }

    async fn adds(&mut self) {
        let (room_id, user_id) = self.ids();
        let request = AddMemberRequest { room_id, user_id, op_id: op_id(), ..AddMemberRequest::default() };
        self.until_answered(&Change::Add(request)).await;
    }

    fn ids(&self) -> (String, String) {
        let room = &self.shared.rooms[self.room];
        (room.id.clone(), self.shared.people[room.churned].user.id.clone())
    }

    async fn until_answered(&mut self, change: &Change) {
        loop {
            let person = self.shared.people[0].at(self.shared.door(self.turn));
            match timeout(PATIENCE, change.made_by(&person)).await {
                Ok(Ok(())) => return self.backoff.reset(),
                Ok(Err(status)) if is_final(status.code()) => {
                    let note = format!("a membership could not be changed: {status}");
                    return self.shared.ledger().wrong(|counts| &mut counts.tally.failed, note);
                }
                _ => {
                    self.turn += 1;
                    self.backoff.wait().await;
                }
            }
        }
    }
}

/// What the maker of the rooms does.
enum Change {
    Remove(RemoveMemberRequest),
    Add(AddMemberRequest),
}

impl Change {
    async fn made_by(&self, person: &Person) -> Result<(), Status> {
        match self {
            Self::Remove(request) => person.rooms().remove_member(request.clone()).await.map(drop),
            Self::Add(request) => person.rooms().add_member(request.clone()).await.map(drop),
        }
    }
}

/// Whether trying again cannot help.
fn is_final(code: Code) -> bool {
    matches!(code, Code::NotFound | Code::AlreadyExists | Code::InvalidArgument | Code::PermissionDenied)
}
