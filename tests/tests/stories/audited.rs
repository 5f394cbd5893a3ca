//! What is done is written down: each thing once, by whom and to what, in the log of the service that did it, and in no other. What
//! changes nothing, and what is refused for its form, is not; and no text from outside is ever more than one line.
//!
//! What commands on the server itself write is not here, nor are failed messages, which the suites of the bus have.

use std::{collections::BTreeMap, time::Duration};

use mesh::{config::Secret, errors::reason};
use proto::{
    auth::v1::{
        self as auth, AuditEntry, WorkspaceRole, audit_service_client::AuditServiceClient as AuthAudit,
        auth_service_client::AuthServiceClient,
    },
    chat::v1::{
        self as chat, Room, RoomRole, audit_service_client::AuditServiceClient as ChatAudit,
        incoming_webhook_service_client::IncomingWebhookServiceClient,
    },
    worker::v1::{
        self as worker, audit_service_client::AuditServiceClient as WorkerAudit, job_service_client::JobServiceClient,
        webhook_service_client::WebhookServiceClient,
    },
};
use tests::{Person, Shape, Town, op_id, person::PASSWORD, post::post_office, within};
use tokio::sync::mpsc;
use tonic_types::StatusExt as _;

use super::identity::{Accounts as _, mail::token};

/// Text that looks like an entry of its own, where a log is read line by line.
const TWO_LINES: &str = "well\r\n9 root logged in";
/// The same as a log has it.
const ONE_LINE: &str = "well\u{fffd}\u{fffd}9 root logged in";

/// Whose log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Log {
    Auth,
    Chat,
    Worker,
}

use Log::{Auth, Chat, Worker};

/// An entry: in which log, what was done, by whom, and to what.
type Line<'t> = (Log, &'t str, &'t str, &'t str);

/// Who reads the logs, and up to where they have read each.
struct Reader {
    owner: Person,
    read: BTreeMap<Log, u64>,
}

impl Reader {
    /// What is new in a log.
    async fn unread(&self, log: Log) -> Vec<(Log, AuditEntry)> {
        let channel = self.owner.channel();
        let page_size = 200;
        let entries = match log {
            Auth => {
                let request = auth::AuditServiceListRequest { page_size, ..Default::default() };
                AuthAudit::new(channel).list(request).await.unwrap().into_inner().entries
            }
            Chat => {
                let request = chat::AuditServiceListRequest { page_size, ..Default::default() };
                ChatAudit::new(channel).list(request).await.unwrap().into_inner().entries
            }
            Worker => {
                let request = worker::AuditServiceListRequest { page_size, ..Default::default() };
                WorkerAudit::new(channel).list(request).await.unwrap().into_inner().entries
            }
        };
        let read = self.read.get(&log).copied().unwrap_or_default();
        entries.into_iter().filter(|entry| entry.seq > read).map(|entry| (log, entry)).collect()
    }

    /// Asserts that exactly this was written since the last time. What is done by way of a queue may be so a moment later, and what
    /// would be written once too often shows the next time at the latest.
    async fn finds(&mut self, wanted: &[Line<'_>]) -> Vec<AuditEntry> {
        let reading = async {
            loop {
                let mut all = self.unread(Auth).await;
                all.extend(self.unread(Chat).await);
                all.extend(self.unread(Worker).await);
                if all.len() >= wanted.len() {
                    return all;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let mut all = within(&format!("{wanted:?} are written down"), reading).await;
        all.sort_by(|one, other| (one.0, &one.1.action).cmp(&(other.0, &other.1.action)));
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        let found: Vec<Line<'_>> = all.iter().map(|(log, entry)| line(*log, entry)).collect();
        assert_eq!(found, wanted);
        for (log, entry) in &all {
            is_on_one_line(entry);
            // Who was brought in by an invitation was so by the server, for whoever made it.
            let by_server = entry.details.get("by").is_some_and(|by| by == "invitation");
            assert_eq!(entry.address, if by_server { "" } else { "127.0.0.1" }, "{entry:?}");
            let read = self.read.entry(*log).or_default();
            *read = entry.seq.max(*read);
        }
        all.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The last look: nothing more has come, and each log is whole.
    async fn ends(mut self) {
        self.finds(&[]).await;
        let channel = self.owner.channel();
        let auth =
            AuthAudit::new(channel.clone()).verify(auth::AuditServiceVerifyRequest {}).await.unwrap().into_inner();
        let chat =
            ChatAudit::new(channel.clone()).verify(chat::AuditServiceVerifyRequest {}).await.unwrap().into_inner();
        let worker = WorkerAudit::new(channel).verify(worker::AuditServiceVerifyRequest {}).await.unwrap().into_inner();
        assert!(auth.intact && chat.intact && worker.intact);
        let heads = BTreeMap::from([(Auth, auth.head_seq), (Chat, chat.head_seq), (Worker, worker.head_seq)]);
        assert_eq!(self.read, heads, "everything was looked at");
    }
}

fn line(log: Log, entry: &AuditEntry) -> Line<'_> {
    (log, &entry.action, &entry.actor_id, &entry.subject_id)
}

fn is_on_one_line(entry: &AuditEntry) {
    let texts = [&entry.action, &entry.subject_id, &entry.address, &entry.trace];
    let broken = |text: &&String| text.chars().any(char::is_control);
    assert!(!texts.into_iter().chain(entry.details.values()).any(|text| broken(&text)), "{entry:?}");
}

async fn session(person: &Person) -> String {
    person.users().get_me(auth::GetMeRequest {}).await.unwrap().into_inner().session_id
}

/// Somebody new, of whom that is written down.
async fn registers(town: &Town, reader: &mut Reader, name: &str) -> Person {
    let person = town.registers(name).await;
    reader.finds(&[(Auth, "user.registered", &person.user.id, &person.user.id)]).await;
    person
}

/// Somebody who signs in once more, of which that is written down; and the session.
async fn signs_in(town: &Town, reader: &mut Reader, name: &str) -> (Person, String) {
    let person = Person::signs_in(town.public, name).await;
    let session = session(&person).await;
    reader.finds(&[(Auth, "session.started", &person.user.id, &session)]).await;
    (person, session)
}

async fn of_sessions(town: &Town, reader: &mut Reader) {
    let alice = registers(town, reader, "alice").await;
    let id = alice.user.id.as_str();
    let mut auth = AuthServiceClient::new(town.channel());
    let login = |name: &str, device: &str| auth::LoginRequest {
        username: name.into(),
        password: "wrong password".into(),
        device: device.into(),
    };
    assert_eq!(reason(&auth.login(login("alice", "")).await.unwrap_err()), "BAD_CREDENTIALS");
    reader.finds(&[(Auth, "login.failed", "", id)]).await;
    // What was typed for a name may have been a password.
    assert_eq!(reason(&auth.login(login("hunter2", "")).await.unwrap_err()), "BAD_CREDENTIALS");
    reader.finds(&[(Auth, "login.failed", "", "")]).await;
    let refused = auth.login(login("alice", TWO_LINES)).await.unwrap_err();
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "device");
    reader.finds(&[]).await;

    let (laptop, on_laptop) = signs_in(town, reader, "alice").await;
    laptop.auth().logout(auth::LogoutRequest::default()).await.unwrap();
    auth.logout(auth::LogoutRequest { refresh_token: laptop.refresh_token }).await.unwrap();
    reader.finds(&[(Auth, "session.ended", id, &on_laptop)]).await;

    let (_, on_phone) = signs_in(town, reader, "alice").await;
    for _ in 0..2 {
        let revoke = auth::RevokeSessionRequest { session_id: on_phone.clone() };
        alice.sessions().revoke_session(revoke).await.unwrap();
    }
    reader.finds(&[(Auth, "session.revoked", id, &on_phone)]).await;

    let (tablet, on_tablet) = signs_in(town, reader, "alice").await;
    let first = auth::RefreshRequest { refresh_token: tablet.refresh_token };
    let second = auth.refresh(first.clone()).await.unwrap().into_inner().refresh_token;
    auth.refresh(auth::RefreshRequest { refresh_token: second }).await.unwrap();
    reader.finds(&[]).await;
    for _ in 0..2 {
        assert_eq!(reason(&auth.refresh(first.clone()).await.unwrap_err()), "SESSION_ENDED");
    }
    reader.finds(&[(Auth, "session.replayed", "", &on_tablet)]).await;

    signs_in(town, reader, "alice").await;
    alice.sessions().revoke_other_sessions(auth::RevokeOtherSessionsRequest {}).await.unwrap();
    reader.finds(&[(Auth, "session.others_revoked", id, id)]).await;
}

async fn of_passwords(town: &Town, reader: &mut Reader, mails: &mut mpsc::Receiver<String>) {
    let ann = registers(town, reader, "ann").await;
    let id = ann.user.id.as_str();
    let change = |current: &str| auth::ChangePasswordRequest {
        current_password: current.into(),
        new_password: "a new password".into(),
    };
    ann.auth().change_password(change("wrong password")).await.unwrap_err();
    reader.finds(&[(Auth, "password.wrong", id, id)]).await;
    ann.auth().change_password(change(PASSWORD)).await.unwrap();
    reader.finds(&[(Auth, "password.changed", id, id)]).await;
    let email = auth::ChangeEmailRequest { current_password: "a new password".into(), email: "ann@example.org".into() };
    ann.auth().change_email(email).await.unwrap();
    reader.finds(&[(Auth, "email.changed", id, id)]).await;

    let mut auth = AuthServiceClient::new(town.channel());
    for account in ["ann", "nobody"] {
        auth.request_password_reset(auth::RequestPasswordResetRequest { account: account.into() }).await.unwrap();
    }
    reader.finds(&[(Auth, "password.reset_requested", "", id)]).await;
    let reset_token = token(&within("the mail", mails.recv()).await.unwrap());
    let reset = auth::ResetPasswordRequest { reset_token, new_password: PASSWORD.into() };
    auth.reset_password(reset.clone()).await.unwrap();
    auth.reset_password(reset).await.unwrap_err();
    reader.finds(&[(Auth, "password.reset", "", id)]).await;
}

async fn of_programs(town: &Town, reader: &mut Reader) {
    let (bea, owner) = (registers(town, reader, "bea").await, reader.owner.clone());
    let (id, owner_id) = (bea.user.id.as_str(), owner.user.id.as_str());
    let (name, scopes) = ("a program".to_owned(), vec!["users:read".to_owned()]);
    let request = auth::CreateTokenRequest { name: name.clone(), scopes: scopes.clone(), expires_in_days: 0 };
    let made = bea.tokens().create_token(request).await.unwrap().into_inner();
    let token = made.token.unwrap().id;
    reader.finds(&[(Auth, "token.created", id, &token)]).await;
    for _ in 0..2 {
        bea.tokens().revoke_token(auth::RevokeTokenRequest { token_id: token.clone() }).await.unwrap();
    }
    reader.finds(&[(Auth, "token.revoked", id, &token)]).await;
    // A program that was left running asks again and again.
    let program = Person::returns(town.public, bea.user.clone(), made.secret, String::new());
    for _ in 0..2 {
        program.users().get_me(auth::GetMeRequest {}).await.unwrap_err();
    }
    reader.finds(&[(Auth, "token.refused", "", &token)]).await;
    let two = auth::CreateTokenRequest { name: TWO_LINES.into(), scopes: scopes.clone(), expires_in_days: 0 };
    bea.tokens().create_token(two).await.unwrap_err();
    reader.finds(&[]).await;

    let request = auth::CreateBotRequest { username: "robot".into(), ..Default::default() };
    let bot = owner.bots().create_bot(request).await.unwrap().into_inner().bot.unwrap().id;
    reader.finds(&[(Auth, "bot.created", owner_id, &bot)]).await;
    let request = auth::CreateBotTokenRequest { bot_id: bot.clone(), name, scopes, expires_in_days: 0 };
    let token = owner.bots().create_bot_token(request).await.unwrap().into_inner().token.unwrap().id;
    reader.finds(&[(Auth, "token.created", owner_id, &token)]).await;
    for _ in 0..2 {
        owner.bots().disable_bot(auth::DisableBotRequest { bot_id: bot.clone() }).await.unwrap();
    }
    reader.finds(&[(Auth, "user.disabled", owner_id, &bot)]).await;
    for _ in 0..2 {
        owner.bots().enable_bot(auth::EnableBotRequest { bot_id: bot.clone() }).await.unwrap();
    }
    reader.finds(&[(Auth, "user.enabled", owner_id, &bot)]).await;
    let revoke = auth::RevokeBotTokenRequest { bot_id: bot, token_id: token.clone() };
    owner.bots().revoke_bot_token(revoke).await.unwrap();
    reader.finds(&[(Auth, "token.revoked", owner_id, &token)]).await;
}

async fn of_accounts(town: &Town, reader: &mut Reader) {
    let (bob, owner) = (registers(town, reader, "bob").await, reader.owner.clone());
    let (user_id, owner_id) = (bob.user.id.clone(), owner.user.id.as_str());
    for _ in 0..2 {
        let guest = auth::SetUserRoleRequest { user_id: user_id.clone(), role: WorkspaceRole::Guest.into() };
        owner.admin().set_user_role(guest).await.unwrap();
    }
    reader.finds(&[(Auth, "user.role_changed", owner_id, &user_id)]).await;
    for _ in 0..2 {
        owner.admin().disable_user(auth::DisableUserRequest { user_id: user_id.clone() }).await.unwrap();
    }
    reader.finds(&[(Auth, "user.disabled", owner_id, &user_id)]).await;
    for _ in 0..2 {
        owner.admin().enable_user(auth::EnableUserRequest { user_id: user_id.clone() }).await.unwrap();
    }
    reader.finds(&[(Auth, "user.enabled", owner_id, &user_id)]).await;

    let (bob, _) = signs_in(town, reader, "bob").await;
    let nameless = auth::UpdateMeRequest { display_name: Some(TWO_LINES.into()), ..Default::default() };
    bob.users().update_me(nameless).await.unwrap_err();
    reader.finds(&[]).await;
    // What one says about oneself may have lines; a log has none of them.
    for _ in 0..2 {
        let about = auth::UpdateMeRequest { about: Some("one\n9 root logged in".into()), ..Default::default() };
        bob.users().update_me(about).await.unwrap();
    }
    let entries = reader.finds(&[(Auth, "user.profile_changed", &user_id, &user_id)]).await;
    assert_eq!(entries[0].details["about"], "one\u{fffd}9 root logged in");

    owner.admin().revoke_user_sessions(auth::RevokeUserSessionsRequest { user_id: user_id.clone() }).await.unwrap();
    reader.finds(&[(Auth, "user.sessions_revoked", owner_id, &user_id)]).await;
}

async fn of_invitations(town: &Town, reader: &mut Reader) {
    let (old, owner) = (registers(town, reader, "old").await, reader.owner.clone());
    let owner_id = owner.user.id.as_str();
    let room = makes_room(reader, &owner, "invited").await;
    let into = auth::InvitedRoom { room_id: room.id.clone(), room_role: 0 };
    let request = auth::CreateInviteRequest { rooms: vec![into], ..Default::default() };
    let made = owner.invites().create_invite(request).await.unwrap().into_inner();
    let (invite, invite_token) = (made.invite.unwrap().id, made.invite_token);
    reader.finds(&[(Auth, "invite.created", owner_id, &invite)]).await;
    let request = auth::RegisterRequest {
        username: "new".into(),
        password: PASSWORD.into(),
        invite_token: invite_token.clone(),
        ..Default::default()
    };
    let new = AuthServiceClient::new(town.channel()).register(request).await.unwrap().into_inner().user.unwrap().id;
    let accepted = (Auth, "invite.accepted", new.as_str(), invite.as_str());
    let added = (Chat, "member.added", owner_id, room.id.as_str());
    reader.finds(&[accepted, (Auth, "user.registered", &new, &new), added]).await;
    for _ in 0..2 {
        let accept = auth::AcceptInviteRequest { invite_token: invite_token.clone() };
        old.invites().accept_invite(accept).await.unwrap();
    }
    reader.finds(&[(Auth, "invite.accepted", &old.user.id, &invite), added]).await;
    for _ in 0..2 {
        owner.invites().revoke_invite(auth::RevokeInviteRequest { invite_id: invite.clone() }).await.unwrap();
    }
    reader.finds(&[(Auth, "invite.revoked", owner_id, &invite)]).await;
    let late = auth::AcceptInviteRequest { invite_token };
    owner.invites().accept_invite(late).await.unwrap_err();
    reader.finds(&[]).await;
}

/// A public room, of which is written down who made it.
async fn makes_room(reader: &mut Reader, person: &Person, name: &str) -> Room {
    let room = person.creates_room(name).await;
    reader.finds(&[(Chat, "room.created", &person.user.id, &room.id)]).await;
    room
}

async fn of_rooms(town: &Town, reader: &mut Reader) {
    let (fay, gus) = (registers(town, reader, "fay").await, registers(town, reader, "gus").await);
    let id = fay.user.id.as_str();
    let room = makes_room(reader, &fay, "kitchen").await;
    let room_id = room.id.clone();
    let topic =
        chat::UpdateRoomRequest { room_id: room_id.clone(), topic: Some(TWO_LINES.into()), ..Default::default() };
    fay.rooms().update_room(topic).await.unwrap();
    let entries = reader.finds(&[(Chat, "room.updated", id, &room_id)]).await;
    assert_eq!(entries[0].details["topic"], ONE_LINE);
    for _ in 0..2 {
        fay.adds(&room, &gus).await;
    }
    let entries = reader.finds(&[(Chat, "member.added", id, &room_id)]).await;
    assert_eq!(entries[0].details["user"], gus.user.id);
    for _ in 0..2 {
        let promote = chat::SetMemberRoleRequest {
            room_id: room_id.clone(),
            user_id: gus.user.id.clone(),
            role: RoomRole::Moderator.into(),
            op_id: op_id(),
        };
        fay.rooms().set_member_role(promote).await.unwrap();
    }
    reader.finds(&[(Chat, "member.role_changed", id, &room_id)]).await;
    // What people say and take back is theirs; what is taken back for them is not.
    for (author, noted) in [(&fay, false), (&gus, true)] {
        let said = author.says(&room, "the cake is a lie").await;
        let delete = chat::DeleteMessageRequest { room_id: room_id.clone(), message_id: said.id, op_id: op_id() };
        fay.messages().delete_message(delete).await.unwrap();
        let wanted = [(Chat, "message.deleted", id, room_id.as_str())];
        reader.finds(&wanted[..usize::from(noted)]).await;
    }
    fay.removes(&room, &gus).await;
    reader.finds(&[(Chat, "member.removed", id, &room_id)]).await;
    gus.joins(&room).await;
    reader.finds(&[]).await;
    for _ in 0..2 {
        let archive = chat::ArchiveRoomRequest { room_id: room_id.clone(), op_id: op_id() };
        fay.rooms().archive_room(archive).await.unwrap();
    }
    reader.finds(&[(Chat, "room.archived", id, &room_id)]).await;
    for _ in 0..2 {
        let unarchive = chat::UnarchiveRoomRequest { room_id: room_id.clone(), op_id: op_id() };
        fay.rooms().unarchive_room(unarchive).await.unwrap();
    }
    reader.finds(&[(Chat, "room.unarchived", id, &room_id)]).await;
    of_hooks(reader, &fay, &room).await;
}

async fn of_hooks(reader: &mut Reader, person: &Person, room: &Room) {
    let mut hooks = IncomingWebhookServiceClient::new(person.channel());
    let (id, room_id) = (person.user.id.as_str(), room.id.clone());
    let create = chat::CreateIncomingWebhookRequest { room_id: room_id.clone(), name: "Builds".into() };
    let webhook_id = hooks.create_incoming_webhook(create).await.unwrap().into_inner().webhook.unwrap().id;
    reader.finds(&[(Chat, "webhook.created", id, &room_id)]).await;
    for _ in 0..2 {
        let (room_id, webhook_id) = (room_id.clone(), webhook_id.clone());
        let rename = chat::RenameIncomingWebhookRequest { room_id, webhook_id, name: "Deploys".into() };
        hooks.rename_incoming_webhook(rename).await.unwrap();
    }
    reader.finds(&[(Chat, "webhook.renamed", id, &room_id)]).await;
    let delete = chat::DeleteIncomingWebhookRequest { room_id: room_id.clone(), webhook_id };
    hooks.delete_incoming_webhook(delete.clone()).await.unwrap();
    hooks.delete_incoming_webhook(delete).await.unwrap_err();
    reader.finds(&[(Chat, "webhook.deleted", id, &room_id)]).await;
}

async fn of_work(town: &Town, reader: &mut Reader) {
    let owner = reader.owner.clone();
    let owner_id = owner.user.id.as_str();
    let room = makes_room(reader, &owner, "work").await;
    let mut jobs = JobServiceClient::new(owner.channel());
    jobs.run_job(worker::RunJobRequest { id: "forget-deliveries".into() }).await.unwrap();
    jobs.run_job(worker::RunJobRequest { id: TWO_LINES.into() }).await.unwrap_err();
    reader.finds(&[(Worker, "job.started", owner_id, "forget-deliveries")]).await;

    // A mail to who is mentioned while they are away waits for its time.
    let hal = registers(town, reader, "hal").await;
    let email = auth::ChangeEmailRequest { current_password: PASSWORD.into(), email: "hal@example.org".into() };
    hal.auth().change_email(email).await.unwrap();
    reader.finds(&[(Auth, "email.changed", &hal.user.id, &hal.user.id)]).await;
    hal.joins(&room).await;
    owner.says(&room, "open the doors, @hal").await;
    let waiting = async {
        loop {
            let all = jobs.list_jobs(worker::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
            if let Some(job) = all.into_iter().find(|job| job.cron.is_empty()) {
                return job.id;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let job = within("the mail waits", waiting).await;
    let cancel = worker::CancelJobRequest { id: job.clone() };
    jobs.cancel_job(cancel.clone()).await.unwrap();
    jobs.cancel_job(cancel).await.unwrap_err();
    reader.finds(&[(Worker, "job.cancelled", owner_id, &job)]).await;

    let mut webhooks = WebhookServiceClient::new(owner.channel());
    let request = worker::CreateWebhookRequest {
        url: "https://hooks.example.org/secret".into(),
        room_id: room.id,
        events: vec!["message_posted".into()],
    };
    let webhook = webhooks.create_webhook(request).await.unwrap().into_inner().webhook.unwrap().id;
    let entries = reader.finds(&[(Worker, "webhook.created", owner_id, &webhook)]).await;
    assert!(entries[0].details.values().all(|fact| !fact.contains("secret")), "{entries:?}");
    let delete = worker::DeleteWebhookRequest { id: webhook.clone() };
    webhooks.delete_webhook(delete.clone()).await.unwrap();
    webhooks.delete_webhook(delete).await.unwrap_err();
    reader.finds(&[(Worker, "webhook.deleted", owner_id, &webhook)]).await;
}

async fn each_event_is_one_entry(shape: Shape) {
    let (post, mut mails, _tasks) = post_office().await;
    let town = Town::start_with(shape, |config| {
        config.public_url = "https://chat.example.org".into();
        config.auth.mail.url = Secret::new(format!("smtp://{post}"));
        config.auth.mail.from = "Loquat <chat@example.org>".into();
    })
    .await;
    let owner = town.registers("owner").await;
    let mut reader = Reader { owner, read: BTreeMap::new() };
    let owner_id = reader.owner.user.id.clone();
    reader.finds(&[(Auth, "user.registered", &owner_id, &owner_id)]).await;
    of_sessions(&town, &mut reader).await;
    of_passwords(&town, &mut reader, &mut mails).await;
    of_programs(&town, &mut reader).await;
    of_accounts(&town, &mut reader).await;
    of_invitations(&town, &mut reader).await;
    of_rooms(&town, &mut reader).await;
    of_work(&town, &mut reader).await;
    reader.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_one_entry_in_one_process() {
    each_event_is_one_entry(Shape::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_one_entry_where_every_role_is_apart() {
    each_event_is_one_entry(Shape::Full).await;
}
