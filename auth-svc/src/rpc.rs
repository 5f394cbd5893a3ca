//! The services: decode, authorise, call a rule, encode.

mod admin;
mod audit;
mod auth;
mod bots;
mod internal;
mod invites;
mod mail;
mod sessions;
mod tokens;
mod users;

use std::{sync::Arc, time::Duration};

use mesh::{
    audit::Entry,
    authn::{Origin, Rank, UserPrincipal},
    cache::Cache,
    clock::Clock,
    db::Db,
    errors,
    lifecycle::Tasks,
    outbox::Wake,
    rpc::Method,
};
use prost::Message as _;
use proto::auth::{
    internal::v1::{
        UserEpoch, WatchRevocationsResponse, key_service_server::KeyServiceServer,
        mail_service_server::MailServiceServer,
        session_service_server::SessionServiceServer as InternalSessionServiceServer,
    },
    v1::{
        RegistrationMode, admin_service_server::AdminServiceServer, audit_service_server::AuditServiceServer,
        auth_service_server::AuthServiceServer, bot_service_server::BotServiceServer,
        invite_service_server::InviteServiceServer, session_service_server::SessionServiceServer,
        token_service_server::TokenServiceServer, user_service_server::UserServiceServer,
    },
};
use tonic::{Status, service::Routes};
use uuid::Uuid;

use crate::{
    Registration, errors::AuthError, limits::Limits, mail::Mail, passwords::Passwords, sessions::Renewed,
    store::account, tokens::Signer,
};

/// Who may call what. What has no scope cannot be done with a personal access token.
pub const METHODS: &[Method] = &[
    Method::public("/loquat.auth.v1.AuthService/Register").asks_origin(),
    Method::public("/loquat.auth.v1.AuthService/Login").asks_origin(),
    Method::public("/loquat.auth.v1.AuthService/Refresh").asks_origin(),
    Method::public("/loquat.auth.v1.AuthService/Logout").asks_origin(),
    Method::public("/loquat.auth.v1.AuthService/GetSignInOptions"),
    Method::public("/loquat.auth.v1.AuthService/RequestPasswordReset").asks_origin(),
    Method::public("/loquat.auth.v1.AuthService/ResetPassword").asks_origin(),
    Method::user("/loquat.auth.v1.AuthService/ChangePassword").asks_origin(),
    Method::user("/loquat.auth.v1.AuthService/ChangeEmail").asks_origin(),
    Method::user("/loquat.auth.v1.SessionService/ListSessions"),
    Method::user("/loquat.auth.v1.SessionService/RevokeSession").asks_origin(),
    Method::user("/loquat.auth.v1.SessionService/RevokeOtherSessions").asks_origin(),
    Method::user("/loquat.auth.v1.TokenService/CreateToken").asks_origin(),
    Method::user("/loquat.auth.v1.TokenService/ListTokens"),
    Method::user("/loquat.auth.v1.TokenService/RevokeToken").asks_origin(),
    Method::user("/loquat.auth.v1.UserService/GetMe").scope("users:read"),
    Method::user("/loquat.auth.v1.UserService/UpdateMe").scope("users:write").asks_origin(),
    Method::user_or_service("/loquat.auth.v1.UserService/GetUsers").scope("users:read"),
    Method::user("/loquat.auth.v1.UserService/SearchUsers").least(Rank::Member).scope("users:read").class("searches"),
    Method::user("/loquat.auth.v1.BotService/CreateBot").least(Rank::Admin).scope("admin:write").asks_origin(),
    Method::user("/loquat.auth.v1.BotService/ListBots").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.auth.v1.BotService/DisableBot").least(Rank::Admin).scope("admin:write").asks_origin(),
    Method::user("/loquat.auth.v1.BotService/EnableBot").least(Rank::Admin).scope("admin:write").asks_origin(),
    // A token must not make a token that may do more.
    Method::user("/loquat.auth.v1.BotService/CreateBotToken").least(Rank::Admin).asks_origin(),
    Method::user("/loquat.auth.v1.BotService/ListBotTokens").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.auth.v1.BotService/RevokeBotToken").least(Rank::Admin).scope("admin:write").asks_origin(),
    Method::user("/loquat.auth.v1.AdminService/ListUsers").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.auth.v1.AdminService/SetUserRole").least(Rank::Admin).scope("admin:write").asks_origin(),
    Method::user("/loquat.auth.v1.AdminService/DisableUser").least(Rank::Admin).scope("admin:write").asks_origin(),
    Method::user("/loquat.auth.v1.AdminService/EnableUser").least(Rank::Admin).scope("admin:write").asks_origin(),
    Method::user("/loquat.auth.v1.AdminService/RevokeUserSessions")
        .least(Rank::Admin)
        .scope("admin:write")
        .asks_origin(),
    Method::user("/loquat.auth.v1.InviteService/CreateInvite")
        .least(Rank::Admin)
        .scope("admin:write")
        .class("invitations")
        .asks_origin(),
    Method::user("/loquat.auth.v1.InviteService/ListInvites").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.auth.v1.InviteService/RevokeInvite").least(Rank::Admin).scope("admin:write").asks_origin(),
    Method::public("/loquat.auth.v1.InviteService/PreviewInvite").asks_origin(),
    Method::user("/loquat.auth.v1.InviteService/AcceptInvite").scope("rooms:write").asks_origin(),
    Method::user("/loquat.auth.v1.AuditService/List").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.auth.v1.AuditService/Verify").least(Rank::Admin).scope("admin:read"),
    Method::service("/loquat.auth.internal.v1.KeyService/GetKeys"),
    Method::service("/loquat.auth.internal.v1.MailService/FindRecipients"),
    Method::service("/loquat.auth.internal.v1.MailService/SendMentionMail"),
    Method::service("/loquat.auth.internal.v1.SessionService/ResolveSession"),
    Method::service("/loquat.auth.internal.v1.SessionService/WatchRevocations").streaming(),
    Method::service("/loquat.auth.internal.v1.SessionService/CheckSessions"),
    Method::service("/loquat.auth.internal.v1.SessionService/ListRevocations"),
    Method::service("/loquat.auth.internal.v1.SessionService/ExchangeToken"),
];

/// The channel on which is told what was taken away.
const REVOCATIONS: &str = "auth.revocations";

/// What handlers share.
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) cache: Cache,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) wake: Wake,
    pub(crate) passwords: Passwords,
    pub(crate) signer: Signer,
    pub(crate) registration: Registration,
    pub(crate) needs_setup_token: bool,
    pub(crate) idle: Duration,
    pub(crate) limits: Limits,
    pub(crate) mail: Mail,
    /// Where browsers find us; may be empty.
    pub(crate) public_url: String,
}

/// Who calls, and from where.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) user: Arc<UserPrincipal>,
    pub(crate) origin: Origin,
}

impl Call {
    /// The caller of a method that is for accounts.
    fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        Ok(Self { user: mesh::authn::user(request.extensions())?, origin: origin(request) })
    }

    /// What they did.
    pub(crate) fn entry(&self, action: &'static str, subject: impl ToString) -> Entry {
        let entry = Entry::new(action, subject).by(self.user.user_id).from(self.origin.place());
        // Whether they did it themselves or a program of theirs.
        if self.user.scopes.is_some() { entry.with("token", self.user.session_id) } else { entry }
    }
}

/// From where a call comes.
fn origin<T>(request: &tonic::Request<T>) -> Origin {
    request.extensions().get::<Origin>().cloned().unwrap_or_default()
}

/// The handlers of every service.
#[derive(Clone)]
pub(crate) struct Rpc(pub(crate) Arc<Shared>);

impl Rpc {
    /// Runs in a task of its own, so that what commits is finished when the caller hangs up.
    async fn detached<T, F>(&self, work: impl FnOnce(Arc<Shared>) -> F) -> Result<T, AuthError>
    where
        F: Future<Output = Result<T, AuthError>> + Send + 'static,
        T: Send + 'static,
    {
        let task = self.0.tasks.spawn("auth-call", mesh::rpc::traced(work(self.0.clone())));
        task.await.map_err(AuthError::internal)?
    }
}

/// The routes of every service.
pub(crate) fn routes(shared: Shared) -> Routes {
    let rpc = Rpc(Arc::new(shared));
    let mut routes = Routes::builder();
    routes
        .add_service(AuthServiceServer::new(rpc.clone()))
        .add_service(UserServiceServer::new(rpc.clone()))
        .add_service(SessionServiceServer::new(rpc.clone()))
        .add_service(TokenServiceServer::new(rpc.clone()))
        .add_service(BotServiceServer::new(rpc.clone()))
        .add_service(AdminServiceServer::new(rpc.clone()))
        .add_service(InviteServiceServer::new(rpc.clone()))
        .add_service(AuditServiceServer::new(rpc.clone()))
        .add_service(KeyServiceServer::new(rpc.clone()))
        .add_service(MailServiceServer::new(rpc.clone()))
        .add_service(InternalSessionServiceServer::new(rpc));
    routes.routes()
}

/// A rule's result as a handler's.
fn answer<T>(result: Result<T, AuthError>) -> Result<tonic::Response<T>, Status> {
    result.map(tonic::Response::new).map_err(errors::status)
}

/// A count as contracts have it.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A pair of tokens and whose they are.
struct Pair {
    access_token: String,
    refresh_token: String,
    expires_in: u32,
    user: proto::auth::v1::User,
}

impl Shared {
    fn pair(&self, renewed: &Renewed) -> Result<Pair, AuthError> {
        let Renewed { session, account, refresh_token } = renewed;
        let access_token = self.signer.access_token(account, session.id, self.clock.now())?;
        Ok(Pair {
            access_token,
            refresh_token: refresh_token.clone(),
            expires_in: expires_in(),
            user: account.to_proto(),
        })
    }

    /// A link to a page of ours; its path alone where nobody said how we are reached.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.trim_end_matches('/'))
    }

    /// Writes something down that changes nothing.
    pub(crate) async fn note(&self, entry: Entry) -> Result<(), AuthError> {
        let tx = self.db.begin().await?;
        mesh::audit::append(&tx, &[entry], self.clock.now()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// After the commit: sessions, or personal access tokens, have ended.
    pub(crate) async fn ended(&self, sessions: &[Uuid]) {
        self.tell(sessions, Vec::new()).await;
    }

    /// After the commit: an account's rights have changed, and these sessions of it ended.
    pub(crate) async fn narrowed(&self, account: &account::Model, sessions: &[Uuid]) {
        self.tell(sessions, vec![epoch(account)]).await;
    }

    /// Tells all roles what was taken away. Only a hint: they also ask from time to time.
    async fn tell(&self, sessions: &[Uuid], user_epochs: Vec<UserEpoch>) {
        self.wake.now();
        if sessions.is_empty() && user_epochs.is_empty() {
            return;
        }
        let session_ids = sessions.iter().map(Uuid::to_string).collect();
        let hint = WatchRevocationsResponse { session_ids, user_ids: Vec::new(), user_epochs };
        if let Err(cause) = self.cache.publish(REVOCATIONS, hint.encode_to_vec().into()).await {
            tracing::warn!(%cause, "what was taken away could not be told at once");
        }
    }

    fn registration_mode(&self) -> RegistrationMode {
        match self.registration {
            Registration::Open => RegistrationMode::Open,
            Registration::Invite => RegistrationMode::Invite,
            Registration::Closed => RegistrationMode::Closed,
        }
    }
}

fn epoch(account: &account::Model) -> UserEpoch {
    UserEpoch { user_id: account.id.to_string(), epoch: u64::try_from(account.epoch).unwrap_or(0) }
}

fn expires_in() -> u32 {
    u32::try_from(mesh::authn::ACCESS_TOKEN_LIFE.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::SCOPES;

    #[test]
    fn every_method_has_an_entry_and_every_entry_a_method() {
        let mut listed: Vec<&str> = METHODS.iter().map(|method| method.path).collect();
        listed.sort_unstable();
        assert_eq!(listed, proto::method_paths(|package| package.starts_with("loquat.auth.")));
    }

    #[test]
    fn every_scope_is_one_that_can_be_had() {
        let unknown = METHODS.iter().filter(|method| method.scope.is_some_and(|scope| !SCOPES.contains(&scope)));
        assert_eq!(unknown.count(), 0);
        let sessions_only = METHODS.iter().filter(|method| {
            method.scope.is_none()
                && matches!(method.access, mesh::authn::Access::User | mesh::authn::Access::UserOrService)
        });
        let names: Vec<&str> = sessions_only.filter_map(|method| method.path.rsplit('/').next()).collect();
        let expected = [
            "ChangePassword",
            "ChangeEmail",
            "ListSessions",
            "RevokeSession",
            "RevokeOtherSessions",
            "CreateToken",
            "ListTokens",
            "RevokeToken",
            "CreateBotToken",
        ];
        assert_eq!(names, expected);
    }
}
