use std::sync::Arc;

use mesh::{bus::Interest, outbox::Wake};
use proto::auth::v1::WorkspaceRole;

use super::*;
use crate::{append, live::Live, presence::Presence};

/// An auth-svc that is away: nobody listens there any more.
fn nobody() -> UserServiceClient<Upstream> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    UserServiceClient::new(mesh::rpc::connect(&format!("http://{address}")).unwrap())
}

#[tokio::test]
async fn what_is_due_waits_while_nobody_says_what_its_author_is() {
    let (db, _folder) = store::database().await;
    let clock = Clock::system();
    let (live, _work) = Live::new(false, Arc::new(Presence::new(Duration::from_secs(5))));
    let (appender, _) =
        append::appender(db.clone(), clock.clone(), Arc::new(live), Wake::default(), Interest::everything());
    let sender = Scheduled { db: db.clone(), appender, users: nobody(), clock: clock.clone() };
    let (user_id, op_id) = (mesh::ids::new_id(), mesh::ids::new_id());
    let request = SendMessageRequest {
        room_id: mesh::ids::new_id().to_string(),
        text: "good morning".into(),
        op_id: op_id.to_string(),
        file_ids: Vec::new(),
    };
    let row = scheduled::Model {
        user_id,
        op_id,
        rank: Rank::Owner.name().into(),
        request: request.encode_to_vec(),
        send_at: store::micros(clock.now()) - 1_000_000,
        error: String::new(),
    };
    let tx = db.begin().await.unwrap();
    scheduled::add(&tx, row.clone()).await.unwrap();
    tx.commit().await.unwrap();
    for _ in 0..2 {
        let sent = sender.send_due(&CancellationToken::new()).await;
        assert!(matches!(sent, Err(ChatError::ServiceUnavailable(_))), "auth-svc is away: {sent:?}");
        let waiting = scheduled::of(db.reader(), user_id).await.unwrap();
        assert_eq!(waiting, std::slice::from_ref(&row), "it waits as it was, to be tried again");
    }
    // What is not due asks nobody anything.
    let tx = db.begin().await.unwrap();
    assert!(scheduled::forget(&tx, user_id, op_id).await.unwrap());
    tx.commit().await.unwrap();
    sender.send_due(&CancellationToken::new()).await.unwrap();
}

#[test]
fn who_is_disabled_has_no_standing() {
    let id = mesh::ids::new_id();
    let user =
        |role: WorkspaceRole, disabled| User { id: id.to_string(), role: role.into(), disabled, ..User::default() };
    assert_eq!(active(&user(WorkspaceRole::Admin, false)), Some((id, Rank::Admin)));
    assert_eq!(active(&user(WorkspaceRole::Guest, false)), Some((id, Rank::Guest)), "as they are now");
    assert_eq!(active(&user(WorkspaceRole::Owner, true)), None);
}
