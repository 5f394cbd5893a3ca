//! Stories of work in the background: the operator's view of it, webhooks, messages for later.

use std::time::Duration;

use mesh::{clock::Clock, errors::reason};
use proto::{
    chat::v1::{
        CancelScheduledMessageRequest, ListScheduledMessagesRequest, ScheduleMessageRequest, SendMessageRequest,
        scheduled_message_service_client::ScheduledMessageServiceClient,
    },
    worker::v1::{
        CancelJobRequest, CreateWebhookRequest, DeleteWebhookRequest, ListDeliveriesRequest, ListJobsRequest,
        ListWebhooksRequest, RunJobRequest, WatchQueuesRequest, job_service_client::JobServiceClient,
        webhook_service_client::WebhookServiceClient,
    },
};
use tests::{Shape, Town, op_id, process::free_address, stories, within};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::receiver::receives_at;

stories!(queues_and_jobs_are_watched, a_message_waits_for_its_time);

async fn queues_and_jobs_are_watched(town: Town) {
    let (owner, member) = (town.registers("owner").await, town.registers("member").await);
    let mut jobs = JobServiceClient::new(owner.channel());
    let mut watching = jobs.watch_queues(WatchQueuesRequest {}).await.unwrap().into_inner();
    let first = within("it is told", watching.message()).await.unwrap().unwrap();
    assert!(first.bus_available && first.bus_problem.is_empty(), "{first:?}");
    assert!(first.queues.iter().any(|queue| queue.name == "scheduler"));
    let mut plans: Vec<&str> = first.jobs.iter().map(|job| job.cron.as_str()).collect();
    plans.sort_unstable();
    assert_eq!(plans, ["*/10 * * * *", "0 4 * * *", "15 3 * * *", "30 3 * * *", "45 3 * * *"]);
    let name = "forget-deliveries";
    jobs.run_job(RunJobRequest { id: name.into() }).await.unwrap();
    let ran = async {
        loop {
            let told = watching.message().await.unwrap().unwrap();
            if told.jobs.iter().any(|job| job.id == name && job.last_at.is_some()) {
                return told;
            }
        }
    };
    let told = within("it runs", ran).await;
    assert!(told.jobs.iter().all(|job| job.last_error.is_empty()));
    assert_eq!(jobs.list_jobs(ListJobsRequest::default()).await.unwrap().into_inner().jobs.len(), 5);
    for refused in [
        jobs.run_job(RunJobRequest { id: "other".into() }).await.unwrap_err(),
        jobs.cancel_job(CancelJobRequest { id: name.into() }).await.unwrap_err(),
    ] {
        assert_eq!((refused.code(), reason(&refused)), (Code::NotFound, "JOB_NOT_FOUND".into()));
    }
    let refused = JobServiceClient::new(member.channel()).watch_queues(WatchQueuesRequest {}).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_TOO_LOW");
}

fn later(room_id: &str, text: &str, seconds: i64) -> ScheduleMessageRequest {
    let request =
        SendMessageRequest { room_id: room_id.into(), text: text.into(), op_id: op_id(), ..Default::default() };
    let at = Clock::system().now().unix_timestamp() + seconds;
    ScheduleMessageRequest { request: Some(request), send_at: Some(prost_types::Timestamp { seconds: at, nanos: 0 }) }
}

async fn a_message_waits_for_its_time(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = alice.listens().await;
    let mut scheduled = ScheduledMessageServiceClient::new(bob.channel());
    let soon = later(&room.id, "good morning", 1);
    let first = scheduled.schedule_message(soon.clone()).await.unwrap().into_inner();
    assert_eq!(scheduled.schedule_message(soon.clone()).await.unwrap().into_inner(), first, "once");
    let reused = ScheduleMessageRequest { send_at: None, ..soon.clone() };
    assert_eq!(scheduled.schedule_message(reused).await.unwrap_err().code(), Code::InvalidArgument);
    let cancelled = scheduled.schedule_message(later(&room.id, "never", 3600)).await.unwrap().into_inner();
    let waiting = scheduled.list_scheduled_messages(ListScheduledMessagesRequest {}).await.unwrap().into_inner();
    assert_eq!(waiting.scheduled.len(), 2);
    let id = cancelled.scheduled.unwrap().id;
    scheduled.cancel_scheduled_message(CancelScheduledMessageRequest { id: id.clone() }).await.unwrap();
    let again = scheduled.cancel_scheduled_message(CancelScheduledMessageRequest { id }).await.unwrap_err();
    assert_eq!(reason(&again), "SCHEDULED_MESSAGE_NOT_FOUND");
    let seen = listens.sees("good morning").await;
    assert_eq!((seen.author_id, seen.op_id), (bob.user.id.clone(), soon.request.unwrap().op_id));

    // Who may not post when the time comes learns it.
    scheduled.schedule_message(later(&room.id, "too late", 1)).await.unwrap();
    alice.removes(&room, &bob).await;
    let refused = async {
        loop {
            let mine = scheduled.list_scheduled_messages(ListScheduledMessagesRequest {}).await.unwrap().into_inner();
            if mine.scheduled.iter().any(|one| one.error == "There is no such room.") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the refusal is told", refused).await;
    let outside = scheduled.schedule_message(later(&room.id, "outside", 60)).await.unwrap_err();
    assert_eq!(reason(&outside), "ROOM_NOT_FOUND");
    let wrong = ScheduleMessageRequest { request: Some(SendMessageRequest::default()), send_at: None };
    let refused = scheduled.schedule_message(wrong).await.unwrap_err();
    let named = refused.get_details_bad_request().unwrap().field_violations;
    let named: Vec<&str> = named.iter().map(|wrong| wrong.field.as_str()).collect();
    assert_eq!(named, ["request.room_id", "request.op_id", "text", "send_at"]);
    assert_eq!(alice.reads(&room).await, ["good morning"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_told_in_one_process() {
    a_webhook_is_told(Shape::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_told_over_the_broker() {
    a_webhook_is_told(Shape::Full).await;
}

async fn a_webhook_is_told(shape: Shape) {
    let allow = |config: &mut server::config::Config| {
        config.worker.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    };
    let town = Town::start_with(shape, allow).await;
    let (owner, member) = (town.registers("owner").await, town.registers("member").await);
    let room = owner.creates_room("general").await;
    let address = free_address();
    let (url, got) = (format!("http://{address}/hook"), receives_at(address).await);
    let mut webhooks = WebhookServiceClient::new(owner.channel());
    let request = CreateWebhookRequest { url, room_id: room.id.clone(), events: vec!["message_posted".into()] };
    let made = webhooks.create_webhook(request.clone()).await.unwrap().into_inner();
    assert!(made.secret.starts_with("whsec_"));
    let webhook = made.webhook.unwrap();
    let listed = webhooks.list_webhooks(ListWebhooksRequest {}).await.unwrap().into_inner().webhooks;
    assert_eq!(listed, std::slice::from_ref(&webhook));
    let refused = WebhookServiceClient::new(member.channel()).create_webhook(request.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_TOO_LOW");
    for (wrong, field) in [
        (CreateWebhookRequest { url: "file:///etc/passwd".into(), ..request.clone() }, "url"),
        (CreateWebhookRequest { room_id: "x".into(), ..request.clone() }, "room_id"),
        (CreateWebhookRequest { events: vec!["all".into()], ..request.clone() }, "events"),
    ] {
        let refused = webhooks.create_webhook(wrong).await.unwrap_err();
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    owner.says(&room, "hi").await;
    let list = ListDeliveriesRequest { webhook_id: webhook.id.clone(), ..Default::default() };
    let delivered = async {
        loop {
            let log = webhooks.list_deliveries(list.clone()).await.unwrap().into_inner().deliveries;
            if let Some(delivery) = log.into_iter().find(|delivery| delivery.status == 200) {
                return delivery;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let delivery = within("it is delivered", delivered).await;
    assert_eq!((delivery.event.as_str(), delivery.error.as_str()), ("message_posted", ""));
    let (_, told) = got.lock().unwrap().remove(0);
    assert!(told.contains(&delivery.message_id) && told.contains("webhook-signature: v1,"), "{told}");
    assert!(told.contains(r#""text":"hi""#) && told.contains(&room.id), "{told}");
    webhooks.delete_webhook(DeleteWebhookRequest { id: webhook.id.clone() }).await.unwrap();
    let gone = webhooks.list_deliveries(list).await.unwrap_err();
    assert_eq!(reason(&gone), "WEBHOOK_NOT_FOUND");
}
