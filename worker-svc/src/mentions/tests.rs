use std::sync::{Arc, Mutex};

use mesh::{db::DbConfig, lifecycle::Tasks};
use proto::{
    auth::internal::v1::{
        FindRecipientsResponse, SendMentionMailResponse,
        mail_service_server::{MailService, MailServiceServer},
    },
    chat::internal::v1::{
        CheckMentionsResponse,
        mention_service_server::{MentionService, MentionServiceServer},
    },
};
use time::macros::datetime;
use tonic::{Request, Response, Status, service::Routes};

use super::*;
use crate::schedule::Schedule;

const AFTER: Duration = Duration::from_secs(300);

/// What the other services know, and what they were asked to send.
#[derive(Clone, Default)]
struct Others(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    people: Vec<Uuid>,
    read: Vec<Uuid>,
    online: Option<bool>,
    /// How many mails the mail server refuses before it takes one.
    refuses: u32,
    mails: Vec<SendMentionMailRequest>,
}

#[tonic::async_trait]
impl MailService for Others {
    async fn find_recipients(
        &self,
        request: Request<FindRecipientsRequest>,
    ) -> Result<Response<FindRecipientsResponse>, Status> {
        // Somebody is called by the number of their place.
        let people = &self.0.lock().unwrap().people;
        let named =
            request.into_inner().usernames.into_iter().filter_map(|name| people.get(name.parse::<usize>().ok()?));
        Ok(Response::new(FindRecipientsResponse { user_ids: named.map(Uuid::to_string).collect() }))
    }

    async fn send_mention_mail(
        &self,
        request: Request<SendMentionMailRequest>,
    ) -> Result<Response<SendMentionMailResponse>, Status> {
        let mut known = self.0.lock().unwrap();
        known.mails.push(request.into_inner());
        if known.refuses > 0 {
            known.refuses -= 1;
            return Err(Status::unavailable("not now"));
        }
        Ok(Response::new(SendMentionMailResponse { sent: true }))
    }
}

#[tonic::async_trait]
impl MentionService for Others {
    async fn check_mentions(
        &self,
        request: Request<CheckMentionsRequest>,
    ) -> Result<Response<CheckMentionsResponse>, Status> {
        let known = self.0.lock().unwrap();
        let state = |mention: Mention| MentionState {
            unread: known.read.iter().all(|message| message.to_string() != mention.message_id),
            room_name: "general".into(),
            online: known.online,
        };
        let states = request.into_inner().mentions.into_iter().map(state).collect();
        Ok(Response::new(CheckMentionsResponse { states }))
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    bus: Bus,
    mentions: Mentions,
    others: Others,
    tasks: Tasks,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("worker.db").display());
    let db = Db::open(&DbConfig { url, ..DbConfig::default() }).await.unwrap();
    db.migrate::<crate::Migrator>().await.unwrap();
    let clock = Clock::manual(datetime!(2026-01-01 0:00 UTC));
    let bus = Bus::open_memory(db.clone(), clock.clone()).await.unwrap();
    for queue in queues() {
        bus.declare(&queue).await.unwrap();
    }
    let others = Others::default();
    {
        let mut known = others.0.lock().unwrap();
        known.people = (0..3).map(|_| ids::new_id()).collect();
        known.online = Some(false);
    }
    let auth = MailServiceClient::new(mesh::rpc::local(Routes::new(MailServiceServer::new(others.clone()))));
    let chat = MentionServiceClient::new(mesh::rpc::local(Routes::new(MentionServiceServer::new(others.clone()))));
    let mentions = Mentions { after: Some(AFTER), db: db.clone(), clock: clock.clone(), auth, chat };
    let tasks = Tasks::new();
    tasks.spawn("mentions", mentions.clone().run(bus.clone(), tasks.stopping()));
    tasks.spawn("schedule", Schedule::new(db, bus.clone(), clock, Vec::new()).run(tasks.stopping()));
    Bench { _folder: folder, bus, mentions, others, tasks }
}

impl Bench {
    fn mention(&self, usernames: &[&str]) -> (Uuid, Envelope) {
        let message_id = ids::new_id();
        let event = MembersMentioned {
            room_id: ids::new_id().to_string(),
            message_id: message_id.to_string(),
            seq: 7,
            author_id: ids::new_id().to_string(),
            usernames: usernames.iter().map(ToString::to_string).collect(),
        };
        let (kind, body) = (proto::event_kind::<MembersMentioned>(), proto::to_json(&event).unwrap());
        (message_id, Envelope::new(ids::new_id(), kind, body, self.mentions.clock.now()))
    }

    async fn publish(&self, envelope: &Envelope) {
        self.bus.publish(vec![envelope.clone()]).await.unwrap();
        self.until("the queues are empty", async || self.waiting().await == 0).await;
    }

    async fn waiting(&self) -> u64 {
        let queues = self.bus.queues().await.unwrap();
        assert!(queues.iter().all(|queue| queue.failed + queue.skipped == 0), "{queues:?}");
        queues.iter().map(|queue| queue.ready + queue.in_flight + queue.delayed).sum()
    }

    async fn put_off(&self) -> Vec<put_off::Model> {
        put_off::list(self.mentions.db.reader(), 100).await.unwrap()
    }

    /// Lets the time of everything come, and waits until it is done.
    async fn ends(&self) {
        self.mentions.clock.advance(AFTER);
        let done = async || {
            // Also what is tried again.
            self.mentions.clock.advance(Duration::from_secs(10));
            self.put_off().await.is_empty() && self.waiting().await == 0
        };
        self.until("everything is done", done).await;
    }

    async fn until(&self, what: &str, mut reached: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !reached().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "{what}");
    }

    fn mails(&self) -> Vec<SendMentionMailRequest> {
        self.others.0.lock().unwrap().mails.clone()
    }
}

#[tokio::test]
async fn a_round_is_one_mail_however_often_anything_is_delivered() {
    let bench = bench().await;
    let ((_, first), (_, second), (_, other)) =
        (bench.mention(&["0"]), bench.mention(&["0", "x"]), bench.mention(&["1"]));
    for envelope in [&first, &first, &second, &other, &second] {
        bench.publish(envelope).await;
    }
    let put_off = bench.put_off().await;
    assert_eq!(put_off.len(), 2, "a round for each of the two");
    assert!(put_off.iter().all(|row| row.kind == ROUND));
    bench.ends().await;
    let people = bench.others.0.lock().unwrap().people.clone();
    let mails = bench.mails();
    let told = |person: Uuid| {
        let of = mails.iter().filter(|mail| mail.user_id == person.to_string());
        of.map(|mail| mail.mentions.len()).collect::<Vec<_>>()
    };
    assert_eq!((told(people[0]), told(people[1])), (vec![2], vec![1]));
    assert_eq!(mails[0].mentions[0].room_name, "general");
    // What comes again when the mail was sent brings no other one, and neither does the round.
    bench.publish(&first).await;
    let round: Envelope = Envelope::read(put_off[0].envelope.as_bytes(), Some(put_off[0].token)).unwrap();
    bench.bus.send(&Destination::Queue(ROUNDS.into()), &round).await.unwrap();
    bench.ends().await;
    assert_eq!(bench.mails().len(), 2);
    // A later mention begins another round.
    bench.publish(&bench.mention(&["0"]).1).await;
    bench.ends().await;
    let mails = bench.mails();
    assert_eq!((mails.len(), mails[2].mentions.len()), (3, 1));
    assert_ne!(mails[2].mail_id, mails[0].mail_id);
    bench.tasks.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn who_has_read_or_is_there_gets_none() {
    let bench = bench().await;
    let ((message, read), (_, unread)) = (bench.mention(&["0"]), bench.mention(&["0"]));
    bench.publish(&read).await;
    bench.publish(&unread).await;
    bench.others.0.lock().unwrap().read.push(message);
    bench.ends().await;
    assert_eq!(bench.mails().iter().map(|mail| mail.mentions.len()).collect::<Vec<_>>(), [1], "only what is unread");
    let (message, envelope) = bench.mention(&["0"]);
    bench.publish(&envelope).await;
    bench.others.0.lock().unwrap().read.push(message);
    bench.ends().await;
    bench.publish(&bench.mention(&["0"]).1).await;
    bench.others.0.lock().unwrap().online = Some(true);
    bench.ends().await;
    assert_eq!(bench.mails().len(), 1);
    let left = mention::of_round(bench.mentions.db.reader(), Uuid::nil(), 10).await.unwrap();
    assert!(left.is_empty());
    // Somebody who read it before it was even looked at is not waited for.
    let (message, envelope) = bench.mention(&["0"]);
    bench.others.0.lock().unwrap().read.push(message);
    bench.publish(&envelope).await;
    assert!(bench.put_off().await.is_empty());
    bench.tasks.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_mail_that_cannot_be_sent_now_is_sent_later_under_the_same_id() {
    let bench = bench().await;
    bench.publish(&bench.mention(&["0"]).1).await;
    {
        let mut known = bench.others.0.lock().unwrap();
        known.online = None;
        known.refuses = 1;
    }
    let others = bench.others.clone();
    let known_later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        others.0.lock().unwrap().online = Some(false);
    };
    tokio::join!(bench.ends(), known_later);
    let mails = bench.mails();
    assert_eq!(mails.len(), 2, "refused once, and taken then");
    assert_eq!(mails[0].mail_id, mails[1].mail_id);
    bench.tasks.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_round_that_was_taken_back_takes_nobody_in() {
    let bench = bench().await;
    bench.publish(&bench.mention(&["0"]).1).await;
    let token = bench.put_off().await[0].token;
    let schedule =
        Schedule::new(bench.mentions.db.clone(), bench.bus.clone(), bench.mentions.clock.clone(), Vec::new());
    let entry = mesh::audit::Entry::new("job.cancelled", token);
    assert!(schedule.cancel(token, entry).await.unwrap());
    bench.publish(&bench.mention(&["0"]).1).await;
    bench.ends().await;
    assert_eq!(bench.mails().iter().map(|mail| mail.mentions.len()).collect::<Vec<_>>(), [1]);
    let off = Mentions { after: None, ..bench.mentions.clone() };
    off.gather(Delivery { envelope: bench.mention(&["0"]).1, redelivery: 0, last: false }).await.unwrap();
    assert!(bench.put_off().await.is_empty(), "none are to be sent");
    bench.tasks.stop(Duration::from_secs(1)).await;
}
