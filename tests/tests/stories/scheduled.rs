//! Stories of messages that were put off, in every shape, by a clock that is moved by hand: they are sent as their authors may send
//! when they are due, whatever they could do before.

use std::time::Duration;

use mesh::clock::Clock;
use proto::{
    auth::v1::{
        DisableUserRequest, EnableUserRequest, SetUserRoleRequest, WorkspaceRole,
        admin_service_client::AdminServiceClient,
    },
    chat::v1::{
        self as chat, ListScheduledMessagesRequest, Room, RoomPermissions, RoomRole, ScheduleMessageRequest,
        ScheduledMessage, SendMessageRequest, scheduled_message_service_client::ScheduledMessageServiceClient,
    },
};
use tests::{Person, Shape, Town, op_id, person::Signed};
use time::macros::datetime;

// By hand: each says how its town is begun.
tests::stories!(by std::future::ready; who_was_disabled_says_nothing_more, what_an_author_is_by_then_decides);

async fn town(shape: Shape) -> Town {
    Town::start_by(Clock::manual(datetime!(2026-01-01 0:00 UTC)), shape, |_| {}).await
}

fn scheduled(person: &Person) -> ScheduledMessageServiceClient<Signed> {
    ScheduledMessageServiceClient::new(person.channel())
}

fn admin(person: &Person) -> AdminServiceClient<Signed> {
    AdminServiceClient::new(person.channel())
}

/// Somebody puts a message off for so many seconds.
async fn puts_off(town: &Town, person: &Person, room: &Room, text: &str, seconds: i64) {
    let request =
        SendMessageRequest { room_id: room.id.clone(), text: text.into(), op_id: op_id(), file_ids: Vec::new() };
    let at = prost_types::Timestamp { seconds: town.clock.now().unix_timestamp() + seconds, nanos: 0 };
    let request = ScheduleMessageRequest { request: Some(request), send_at: Some(at) };
    scheduled(person).schedule_message(request).await.unwrap();
}

/// What somebody has put off that waits or could not be sent.
async fn waiting(person: &Person) -> Vec<ScheduledMessage> {
    scheduled(person).list_scheduled_messages(ListScheduledMessagesRequest {}).await.unwrap().into_inner().scheduled
}

async fn who_was_disabled_says_nothing_more(shape: Shape) {
    let town = town(shape).await;
    let (owner, bob) = (town.registers("owner").await, town.registers("bob").await);
    let room = owner.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = owner.listens().await;
    puts_off(&town, &bob, &room, "from somebody who is gone", 60).await;
    puts_off(&town, &owner, &room, "from somebody who is there", 61).await;
    let user_id = bob.user.id.clone();
    admin(&owner).disable_user(DisableUserRequest { user_id: user_id.clone() }).await.unwrap();
    town.clock.advance(Duration::from_secs(62));
    // They are sent in the order of their times: once the later one is there, the earlier one was decided.
    listens.sees("from somebody who is there").await;
    assert_eq!(owner.reads(&room).await, ["from somebody who is there"]);
    // Who comes back finds what was not sent, and why; it is not sent after all.
    admin(&owner).enable_user(EnableUserRequest { user_id }).await.unwrap();
    let bob = Person::signs_in(town.public, "bob").await;
    let kept = waiting(&bob).await;
    let errors: Vec<&str> = kept.iter().map(|one| one.error.as_str()).collect();
    assert_eq!(errors, ["Your account was disabled when it was due."]);
    puts_off(&town, &bob, &room, "back again", 1).await;
    town.clock.advance(Duration::from_secs(2));
    listens.sees("back again").await;
    assert_eq!(owner.reads(&room).await, ["from somebody who is there", "back again"]);
}

async fn what_an_author_is_by_then_decides(shape: Shape) {
    let town = town(shape).await;
    let (owner, bob) = (town.registers("owner").await, town.registers("bob").await);
    let (general, news) = (owner.creates_room("general").await, owner.creates_room("news").await);
    for room in [&general, &news] {
        bob.joins(room).await;
    }
    let permissions = Some(RoomPermissions { post: RoomRole::Moderator.into(), ..Default::default() });
    let (room_id, user_id) = (news.id.clone(), bob.user.id.clone());
    let few = chat::UpdateRoomRequest { room_id: room_id.clone(), permissions, ..Default::default() };
    owner.rooms().update_room(few).await.unwrap();
    let role = RoomRole::Moderator.into();
    let up = chat::SetMemberRoleRequest { room_id, user_id: user_id.clone(), role, op_id: String::new() };
    owner.rooms().set_member_role(up).await.unwrap();
    let mut listens = owner.listens().await;
    puts_off(&town, &bob, &news, "as a moderator", 60).await;
    puts_off(&town, &bob, &general, "as anybody there", 61).await;
    puts_off(&town, &owner, &news, "as the owner", 62).await;
    // A guest is at most a member of a room, whatever the room says.
    let down = SetUserRoleRequest { user_id, role: WorkspaceRole::Guest.into() };
    admin(&owner).set_user_role(down).await.unwrap();
    town.clock.advance(Duration::from_secs(63));
    listens.sees("as the owner").await;
    assert_eq!(owner.reads(&news).await, ["as the owner"], "what a guest may not say is not said");
    assert_eq!(owner.reads(&general).await, ["as anybody there"], "and what they may is");
    let bob = Person::signs_in(town.public, "bob").await;
    let kept = waiting(&bob).await;
    let kept: Vec<(&str, &str)> = kept
        .iter()
        .map(|one| (one.request.as_ref().map_or("", |request| request.text.as_str()), one.error.as_str()))
        .collect();
    assert_eq!(kept, [("as a moderator", "Your role in this room does not allow that.")]);
}
