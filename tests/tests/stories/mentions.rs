//! Stories of people who are mentioned while they are away: one mail, and only to who is away, may read it and wants it.

use std::net::SocketAddr;

use mesh::config::Secret;
use proto::{
    auth::{
        internal::v1::{
            FindRecipientsRequest, MentionedIn, SendMentionMailRequest, mail_service_client::MailServiceClient,
        },
        v1::{
            ChangeEmailRequest, GetMeRequest, UpdateMeRequest, auth_service_client::AuthServiceClient,
            user_service_client::UserServiceClient,
        },
    },
    chat::v1::{DeleteMessageRequest, EditMessageRequest, MarkReadRequest, Message, Room},
    worker::v1::{ListJobsRequest, ListQueuesRequest, job_service_client::JobServiceClient},
};
use server::config::{Config, Role};
use tests::{Forge, Person, Shape, Town, op_id, person::PASSWORD, post::post_office, within};
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
};
use tonic_types::StatusExt as _;

tests::stories!(
    by super::Post::opens;
    several_mentions_are_one_mail, only_who_is_away_and_may_read_it_gets_one);

/// A town whose mail comes here.
struct Post {
    town: Town,
    mails: mpsc::Receiver<String>,
    _office: JoinSet<()>,
}

fn sends_mail(config: &mut Config, post: SocketAddr) {
    config.public_url = "https://chat.example.org".into();
    config.auth.mail.url = Secret::new(format!("smtp://{post}"));
    config.auth.mail.from = "Loquat <chat@example.org>".into();
    config.worker.mention_mail_after_seconds = 3;
    config.chat.presence_seconds = 1.try_into().unwrap();
}

impl Post {
    async fn opens(shape: Shape) -> Self {
        let (post, mails, office) = post_office().await;
        let town = Town::start_with(shape, |config| sends_mail(config, post)).await;
        Self { town, mails, _office: office }
    }

    /// Somebody with an address.
    async fn registers(&self, name: &str) -> Person {
        let person = self.town.registers(name).await;
        let email = ChangeEmailRequest { current_password: PASSWORD.into(), email: format!("{name}@example.org") };
        AuthServiceClient::new(person.channel()).change_email(email).await.unwrap();
        person
    }

    /// The next mail: its recipient, and the whole of it with its lines made whole again.
    async fn next(&mut self) -> (String, String) {
        let mail = within("a mail", self.mails.recv()).await.unwrap();
        let to = mail.lines().find_map(|line| line.strip_prefix("To: ")).unwrap().to_owned();
        (to, mail.replace("=\n", "").replace("=3D", "="))
    }
}

async fn reads(person: &Person, message: &Message) {
    let request = MarkReadRequest { room_id: message.room_id.clone(), seq: message.seq, op_id: op_id() };
    person.rooms().mark_read(request).await.unwrap();
}

async fn enters(room: &Room, people: &[&Person]) {
    for person in people {
        person.joins(room).await;
    }
}

async fn several_mentions_are_one_mail(mut post: Post) {
    let (alice, bob, carol) =
        (post.registers("alice").await, post.registers("bob").await, post.registers("carol").await);
    let (general, attic) = (alice.creates_room("general").await, alice.creates_room("attic").await);
    enters(&general, &[&bob, &carol]).await;
    enters(&attic, &[&bob]).await;
    alice.says(&general, "@bob are you there?").await;
    let edited = alice.says(&general, "hello").await;
    alice.says(&attic, "And here, @Bob, @bob!").await;
    let edit = EditMessageRequest {
        room_id: general.id.clone(),
        message_id: edited.id.clone(),
        text: "hello @bob".into(),
        op_id: op_id(),
    };
    alice.messages().edit_message(edit.clone()).await.unwrap();
    let again = EditMessageRequest { text: "hello there, @bob".into(), op_id: op_id(), ..edit };
    alice.messages().edit_message(again).await.unwrap();
    carol.says(&general, "I also ask @bob, `@alice`").await;
    let (to, mail) = post.next().await;
    assert_eq!(to, "bob@example.org");
    assert!(mail.contains("Subject: You were mentioned 4 times"), "{mail}");
    for line in ["alice in general, 2 times", "alice in attic", "carol in general", "https://chat.example.org/r/"] {
        assert!(mail.contains(line), "{line}: {mail}");
    }
    assert!(!mail.contains("are you there"), "what was said stays here");
    // The next mail is about what came after it: nothing of the first is told again.
    alice.says(&general, "@bob, once more").await;
    let (to, mail) = post.next().await;
    assert_eq!(to, "bob@example.org");
    assert!(mail.contains("Subject: alice mentioned you in general"), "{mail}");
}

async fn only_who_is_away_and_may_read_it_gets_one(mut post: Post) {
    let alice = post.registers("alice").await;
    let (away, reader, present) =
        (post.registers("away").await, post.registers("reader").await, post.registers("present").await);
    let (removed, muted, outside) =
        (post.registers("removed").await, post.registers("muted").await, post.registers("outside").await);
    let nowhere = post.town.registers("nowhere").await;
    let room = alice.creates_room("general").await;
    enters(&room, &[&away, &reader, &present, &removed, &muted, &nowhere]).await;
    let off = UpdateMeRequest { mention_mail: Some(false), ..UpdateMeRequest::default() };
    UserServiceClient::new(muted.channel()).update_me(off).await.unwrap();
    let me = UserServiceClient::new(muted.channel()).get_me(GetMeRequest {}).await.unwrap().into_inner();
    assert!(!me.mention_mail);
    let me = UserServiceClient::new(outside.channel()).get_me(GetMeRequest {}).await.unwrap().into_inner();
    assert!(me.mention_mail, "it is on until somebody switches it off");
    let _stream = present.listens().await;
    let everybody = "@away @reader @present @removed @muted @outside @nowhere @nobody @alice";
    let first = alice.says(&room, everybody).await;
    let deleted = alice.says(&room, "@away this is a mistake").await;
    let request = DeleteMessageRequest { room_id: room.id.clone(), message_id: deleted.id.clone(), op_id: op_id() };
    alice.messages().delete_message(request).await.unwrap();
    reads(&reader, &first).await;
    alice.removes(&room, &removed).await;
    let (to, mail) = post.next().await;
    assert_eq!(to, "away@example.org");
    assert!(mail.contains("Subject: alice mentioned you in general"), "the deleted one is not told of: {mail}");
    // Whoever else would have been sent one was to be sent it before this.
    alice.says(&room, "@away again").await;
    let (to, _) = post.next().await;
    assert_eq!(to, "away@example.org");
    assert!(post.mails.try_recv().is_err(), "nobody else gets one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_mail_server_nothing_waits() {
    let town = Town::start_with(Shape::Embedded, |config| config.worker.mention_mail_after_seconds = 3600).await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let email = ChangeEmailRequest { current_password: PASSWORD.into(), email: "bob@example.org".into() };
    AuthServiceClient::new(bob.channel()).change_email(email).await.unwrap();
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    alice.says(&room, "@bob?").await;
    let mut jobs = JobServiceClient::new(alice.channel());
    let mut handled = async || {
        let queues = jobs.list_queues(ListQueuesRequest {}).await.unwrap().into_inner().queues;
        queues.into_iter().find(|queue| queue.name == "WorkerMembersMentioned").unwrap().handled
    };
    let done = async {
        while handled().await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    within("the mention is handled", done).await;
    let mut jobs = JobServiceClient::new(alice.channel());
    let waiting = jobs.list_jobs(ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    assert!(waiting.iter().all(|job| !job.cron.is_empty()), "only what is planned: {waiting:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_of_one_id_is_sent_once() {
    let mut post = Post::opens(Shape::Split).await;
    let (alice, bob) = (post.registers("alice").await, post.registers("bob").await);
    let token: MetadataValue<Ascii> =
        format!("Bearer {}", Forge::of(&post.town).service_token("worker")).parse().unwrap();
    let auth = tests::town::channel(post.town.service(Role::Auth));
    let mut auth = MailServiceClient::with_interceptor(auth, move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", token.clone());
        Ok(request)
    });
    let asked = FindRecipientsRequest { usernames: ["bob", "nobody"].map(str::to_owned).to_vec() };
    assert_eq!(auth.find_recipients(asked).await.unwrap().into_inner().user_ids, std::slice::from_ref(&bob.user.id));
    let mention = MentionedIn {
        author_id: alice.user.id.clone(),
        room_id: op_id(),
        room_name: "a room\r\nBcc: eve@example.org".into(),
    };
    let request =
        SendMentionMailRequest { mail_id: op_id(), user_id: bob.user.id.clone(), mentions: vec![mention.clone()] };
    for sent in [true, false, false] {
        assert_eq!(auth.send_mention_mail(request.clone()).await.unwrap().into_inner().sent, sent);
    }
    let (to, mail) = post.next().await;
    assert_eq!(to, "bob@example.org");
    assert!(mail.contains(&format!("Message-ID: <{}@example.org>", request.mail_id)), "{mail}");
    assert!(!mail.contains("\nBcc:"), "a name is no header: {mail}");
    for (wrong, field) in [
        (SendMentionMailRequest { mail_id: "x".into(), ..request.clone() }, "mail_id"),
        (SendMentionMailRequest { user_id: String::new(), ..request.clone() }, "user_id"),
        (SendMentionMailRequest { mentions: Vec::new(), ..request.clone() }, "mentions"),
        (SendMentionMailRequest { mentions: vec![mention; 101], ..request.clone() }, "mentions"),
    ] {
        let refused = auth.send_mention_mail(wrong).await.unwrap_err();
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    // A mail server that is away: it is sent by whoever tries again.
    post._office.shutdown().await;
    let other = SendMentionMailRequest { mail_id: op_id(), ..request };
    for _ in 0..2 {
        let refused = auth.send_mention_mail(other.clone()).await.unwrap_err();
        assert_eq!(mesh::errors::reason(&refused), "MAIL_UNAVAILABLE");
    }
}
