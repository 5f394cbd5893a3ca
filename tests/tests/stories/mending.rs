//! Stories of what fails between services: an operator sees it, puts it back or throws it away, and that stands in a log; what waits
//! for its next try outlives a kill.

use std::{net::SocketAddr, time::Duration};

use mesh::{bus::Destination, errors::reason};
use proto::worker::v1::{
    self as worker, AuditServiceListRequest, AuditServiceVerifyRequest, CreateWebhookRequest,
    DiscardFailedMessageRequest, FailedMessage, FailedReason, GetFailedMessageRequest, ListFailedMessagesRequest,
    ListQueuesRequest, RetryFailedMessageRequest, audit_service_client::AuditServiceClient,
    job_service_client::JobServiceClient, webhook_service_client::WebhookServiceClient,
};
use tests::{
    Person, Shape, Town, op_id,
    person::Signed,
    process::{Process, free_address},
    stories, within,
};
use tokio::time::Instant;
use tonic::Code;

use super::receiver::{Received, receives_at};

stories!(what_another_make_wrote_by_hand_is_handled, what_failed_is_seen_and_mended_by_an_operator);

/// The queue of what auth-svc tells chat-svc of invitations.
const INVITES: &str = "ChatInviteAccepted";
/// The queue of requests to other programs.
const REQUESTS: &str = "WorkerWebhookRequests";

fn jobs(person: &Person) -> JobServiceClient<Signed> {
    JobServiceClient::new(person.channel())
}

async fn sends(town: &Town, queue: &str, bytes: &str) {
    let to = Destination::Queue(queue.into());
    town.bus().send_bytes(&to, None, bytes.to_owned().into()).await.expect("the bus takes it");
}

/// Waits until the failed messages of a queue are as they should be.
async fn failed_until(person: &Person, queue: &str, wanted: impl Fn(&[FailedMessage]) -> bool) -> Vec<FailedMessage> {
    let looking = async {
        loop {
            let request = ListFailedMessagesRequest { queue: queue.into(), ..Default::default() };
            let messages = jobs(person).list_failed_messages(request).await.unwrap().into_inner().messages;
            if wanted(&messages) {
                return messages;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the failed messages are as they should be", looking).await
}

/// As .NET writes it: indented, with names in capitals, and without a host.
async fn what_another_make_wrote_by_hand_is_handled(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_private_room("lobby").await;
    let mut listens = bob.listens().await;
    let by_hand = format!(
        "{{\r\n  \"MessageId\": \"6d0f0000-5dd2-0015-9d11-08dc6a2f4c01\",\r\n  \"CorrelationId\": null,\r\n  \
         \"MessageType\": [\r\n    \"urn:message:Loquat.Auth.V1:InviteAccepted\",\r\n    \"urn:message:Some.Other:Base\"\r\n  ],\r\n  \
         \"Message\": {{\r\n    \"InvitedBy\": \"{}\",\r\n    \"InvitedByRole\": \"WORKSPACE_ROLE_OWNER\",\r\n    \
         \"UserId\": \"{}\",\r\n    \"Rooms\": [\r\n      {{\r\n        \"RoomId\": \"{}\",\r\n        \"RoomRole\": 3\r\n      }}\r\n    ],\r\n    \
         \"SomethingNew\": 1.5\r\n  }}\r\n}}",
        alice.user.id, bob.user.id, room.id
    );
    sends(&town, INVITES, &by_hand).await;
    within("bob is in the room", listens.opens(&room.id)).await;
    // Sent again, it has happened already.
    sends(&town, INVITES, &by_hand).await;
    alice.says(&room, "welcome").await;
    listens.sees("welcome").await;
    let handled = async {
        loop {
            let queues = jobs(&alice).list_queues(ListQueuesRequest {}).await.unwrap().into_inner().queues;
            let queue = queues.into_iter().find(|queue| queue.name == INVITES).unwrap();
            if queue.ready + queue.in_flight + queue.delayed == 0 {
                return queue;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let queue = within("both are handled", handled).await;
    assert_eq!((queue.failed, queue.skipped), (0, 0));
    let bobs = alice.reads(&room).await;
    assert_eq!(bobs, ["welcome"]);
}

async fn what_failed_is_seen_and_mended_by_an_operator(town: Town) {
    let (owner, member) = (town.registers("owner").await, town.registers("member").await);
    let poison =
        "{ \"messageType\": [\"urn:message:Loquat.Auth.V1:InviteAccepted\"],\n \"message\": {\"userId\": \"nobody\"} }";
    let unknown = "{\"messageType\":[\"urn:message:Some.Other:Thing\"],\"message\":{\"a\":1}}";
    sends(&town, INVITES, poison).await;
    sends(&town, INVITES, unknown).await;
    let failed = failed_until(&owner, "", |failed| failed.len() == 2).await;
    let told = |failed: &[FailedMessage], reason: FailedReason| {
        failed.iter().find(|message| message.reason() == reason).cloned().expect("there is one")
    };
    for (reason, came, kind) in [
        (FailedReason::Fault, poison, "urn:message:Loquat.Auth.V1:InviteAccepted"),
        (FailedReason::Skipped, unknown, "urn:message:Some.Other:Thing"),
    ] {
        let message = told(&failed, reason);
        assert_eq!((message.queue.as_str(), message.message_type.as_str()), (INVITES, kind));
        assert!(!message.error.is_empty() && message.envelope_json.is_empty(), "{message:?}");
        let request = GetFailedMessageRequest { id: message.id };
        let whole = jobs(&owner).get_failed_message(request).await.unwrap().into_inner().message.unwrap();
        assert_eq!(whole.envelope_json, came, "as it came");
    }

    // Put back, both fail again: nobody has mended what is wrong with them.
    for message in &failed {
        jobs(&owner).retry_failed_message(RetryFailedMessageRequest { id: message.id.clone() }).await.unwrap();
    }
    let first = failed.iter().map(|message| message.failed_at.map(|at| (at.seconds, at.nanos))).max().unwrap();
    let again = failed_until(&owner, INVITES, |failed| {
        failed.len() == 2 && failed.iter().all(|one| one.failed_at.map(|at| (at.seconds, at.nanos)) > first)
    })
    .await;
    assert_eq!(told(&again, FailedReason::Fault).error, told(&failed, FailedReason::Fault).error);
    told(&again, FailedReason::Skipped);

    let refused =
        jobs(&member).retry_failed_message(RetryFailedMessageRequest { id: again[0].id.clone() }).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, "ROLE_TOO_LOW".into()));
    for message in &again {
        let discard = DiscardFailedMessageRequest { id: message.id.clone() };
        jobs(&owner).discard_failed_message(discard.clone()).await.unwrap();
        let refused = jobs(&owner).discard_failed_message(discard).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused)), (Code::NotFound, "FAILED_MESSAGE_NOT_FOUND".into()));
    }
    failed_until(&owner, "", <[FailedMessage]>::is_empty).await;
    the_log_tells_of_it(&owner, &member, &failed, &again).await;
}

/// Each change stands in the log of worker-svc once, and what was refused does not.
async fn the_log_tells_of_it(owner: &Person, member: &Person, retried: &[FailedMessage], discarded: &[FailedMessage]) {
    let mut audit = AuditServiceClient::new(owner.channel());
    let entries = audit.list(AuditServiceListRequest::default()).await.unwrap().into_inner().entries;
    let newest_first: Vec<(&str, &str)> = discarded
        .iter()
        .rev()
        .map(|message| ("message.discarded", message.id.as_str()))
        .chain(retried.iter().rev().map(|message| ("message.retried", message.id.as_str())))
        .collect();
    let told: Vec<(&str, &str)> =
        entries.iter().map(|entry| (entry.action.as_str(), entry.subject_id.as_str())).collect();
    assert_eq!(told, newest_first);
    for entry in &entries {
        assert_eq!((&entry.actor_id, entry.address.as_str()), (&owner.user.id, "127.0.0.1"));
        assert_eq!((entry.details["queue"].as_str(), entry.details.contains_key("failed")), (INVITES, false));
        assert!(!entry.trace.is_empty() && !entry.details["message"].is_empty());
    }
    let only = AuditServiceListRequest { action: "message.retried".into(), page_size: 1, ..Default::default() };
    let page = audit.list(only.clone()).await.unwrap().into_inner();
    assert_eq!((page.entries[0].seq, page.next_before_seq), (2, 2));
    let next = AuditServiceListRequest { before_seq: page.next_before_seq, ..only };
    let page = audit.list(next).await.unwrap().into_inner();
    assert_eq!((page.entries[0].seq, page.next_before_seq), (1, 0));
    let verified = audit.verify(AuditServiceVerifyRequest {}).await.unwrap().into_inner();
    assert_eq!((verified.intact, verified.entries, verified.head_seq), (true, 4, 4));
    let refused = AuditServiceClient::new(member.channel()).list(AuditServiceListRequest::default()).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_TOO_LOW");
}

/// Who else is told of what is said in a room.
async fn asks_to_be_told(owner: &Person, room: &proto::chat::v1::Room, at: SocketAddr) -> worker::Webhook {
    let url = format!("http://{at}/hook");
    let request = CreateWebhookRequest { url, room_id: room.id.clone(), events: vec!["message_posted".into()] };
    let made = WebhookServiceClient::new(owner.channel()).create_webhook(request).await.unwrap().into_inner();
    made.webhook.unwrap()
}

async fn received(got: &Received) -> (Instant, String) {
    let coming = async {
        loop {
            if let Some(first) = got.lock().unwrap().first().cloned() {
                return first;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("it is told", coming).await
}

async fn what_failed_for_good_is_done_when_it_is_mended(shape: Shape) {
    let town = Town::start_with(shape, |config| {
        config.worker.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
        config.bus.retry_seconds = vec![1];
    })
    .await;
    let owner = town.registers("owner").await;
    let room = owner.creates_room("general").await;
    // Nobody is there yet.
    let address = free_address();
    asks_to_be_told(&owner, &room, address).await;
    owner.says(&room, "is anybody there?").await;
    let failed = failed_until(&owner, REQUESTS, |failed| failed.len() == 1).await.remove(0);
    // Four at once, and four a second later.
    assert_eq!((failed.attempts, failed.reason()), (8, FailedReason::Fault));
    let got = receives_at(address).await;
    jobs(&owner).retry_failed_message(RetryFailedMessageRequest { id: failed.id }).await.unwrap();
    let (_, told) = received(&got).await;
    assert!(told.contains("is anybody there?"), "{told}");
    failed_until(&owner, "", <[FailedMessage]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_for_good_is_done_when_it_is_mended_in_one_process() {
    what_failed_for_good_is_done_when_it_is_mended(Shape::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_for_good_is_done_when_it_is_mended_over_the_broker() {
    what_failed_for_good_is_done_when_it_is_mended(Shape::Full).await;
}

/// Killed while jobs wait for their last and longest retry: they run after the restart, when their time has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_its_longest_retry_outlives_the_kill() {
    const LONGEST: Duration = Duration::from_secs(8);
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("LOQUAT_WORKER__ALLOW_NETWORKS", r#"["127.0.0.0/8"]"#.to_owned()),
        ("LOQUAT_BUS__RETRY_SECONDS", format!("[1, 1, {}]", LONGEST.as_secs())),
    ];
    let process = Process::start(folder.path(), &environment).await;
    let owner = Person::registers(process.public, "owner").await;
    let room = owner.creates_room("general").await;
    let address = free_address();
    asks_to_be_told(&owner, &room, address).await;
    for number in 0..3 {
        owner.tries_to_say(&room, &format!("job {number}"), &op_id()).await.unwrap();
    }
    let queue = async |wanted: &(dyn Fn(&worker::Queue) -> bool + Sync)| {
        loop {
            let queues = jobs(&owner).list_queues(ListQueuesRequest {}).await.unwrap().into_inner().queues;
            if queues.iter().any(|queue| queue.name == REQUESTS && wanted(queue)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // Each has failed four times at once, and twice more four times a second later.
    within("all wait for the longest retry", queue(&|queue| queue.failures == 36 && queue.delayed == 3)).await;
    let waiting_since = Instant::now();
    process.kill();
    let got = receives_at(address).await;
    let process = Process::start(folder.path(), &environment).await;
    let owner = owner.at(process.public);
    let (first, _) = received(&got).await;
    assert!(first - waiting_since > LONGEST / 2, "they wait for their time: {:?}", first - waiting_since);
    let all = async {
        while got.lock().unwrap().len() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("all have run", all).await;
    for number in 0..3 {
        let text = format!("job {number}");
        let told = got.lock().unwrap().iter().filter(|(_, told)| told.contains(&text)).count();
        assert_eq!(told, 1, "{text}");
    }
    failed_until(&owner, "", <[FailedMessage]>::is_empty).await;
}
