//! The services: decode, authorise, call a rule, encode.

mod auth;
mod internal;
mod users;

use std::{sync::Arc, time::Duration};

use mesh::{authn::Rank, cache::Cache, clock::Clock, db::Db, errors, lifecycle::Tasks, outbox::Wake, rpc::Method};
use proto::auth::{
    internal::v1::{key_service_server::KeyServiceServer, session_service_server::SessionServiceServer},
    v1::{auth_service_server::AuthServiceServer, user_service_server::UserServiceServer},
};
use tonic::{Status, service::Routes};
use uuid::Uuid;

use crate::{errors::AuthError, limits::Limits, passwords::Passwords, sessions::Renewed, tokens::Signer};

/// Who may call what.
pub const METHODS: &[Method] = &[
    Method::public("/loquat.auth.v1.AuthService/Register"),
    Method::public("/loquat.auth.v1.AuthService/Login"),
    Method::public("/loquat.auth.v1.AuthService/Refresh"),
    Method::public("/loquat.auth.v1.AuthService/Logout"),
    Method::user("/loquat.auth.v1.UserService/GetMe").scope("users:read"),
    Method::user_or_service("/loquat.auth.v1.UserService/GetUsers").scope("users:read"),
    Method::user("/loquat.auth.v1.UserService/SearchUsers").least(Rank::Member).scope("users:read"),
    Method::service("/loquat.auth.internal.v1.KeyService/GetKeys"),
    Method::service("/loquat.auth.internal.v1.SessionService/ResolveSession"),
    Method::service("/loquat.auth.internal.v1.SessionService/WatchRevocations").streaming(),
    Method::service("/loquat.auth.internal.v1.SessionService/CheckSessions"),
];

/// The channel on which ended sessions are told.
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
    pub(crate) registration_open: bool,
    pub(crate) needs_setup_token: bool,
    pub(crate) idle: Duration,
    pub(crate) limits: Limits,
}

/// The handlers of every service.
#[derive(Clone)]
pub(crate) struct Rpc(pub(crate) Arc<Shared>);

/// The routes of every service.
pub(crate) fn routes(shared: Shared) -> Routes {
    let rpc = Rpc(Arc::new(shared));
    let mut routes = Routes::builder();
    routes
        .add_service(AuthServiceServer::new(rpc.clone()))
        .add_service(UserServiceServer::new(rpc.clone()))
        .add_service(KeyServiceServer::new(rpc.clone()))
        .add_service(SessionServiceServer::new(rpc));
    routes.routes()
}

/// A rule's result as a handler's.
fn answer<T>(result: Result<T, AuthError>) -> Result<tonic::Response<T>, Status> {
    result.map(tonic::Response::new).map_err(errors::status)
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
        let access_token = self.signer.access_token(account.id, session.id, account.role_name(), self.clock.now())?;
        Ok(Pair {
            access_token,
            refresh_token: refresh_token.clone(),
            expires_in: expires_in(),
            user: account.to_proto(),
        })
    }

    /// Tells gateways that a session has ended. Only a hint: they also ask from time to time.
    async fn tell_ended(&self, session_id: Uuid) {
        let hint = bytes::Bytes::copy_from_slice(session_id.as_bytes());
        if let Err(cause) = self.cache.publish(REVOCATIONS, hint).await {
            tracing::warn!(%cause, "an ended session could not be told at once");
        }
    }
}

fn expires_in() -> u32 {
    u32::try_from(mesh::authn::ACCESS_TOKEN_LIFE.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_an_entry_and_every_entry_a_method() {
        let mut listed: Vec<&str> = METHODS.iter().map(|method| method.path).collect();
        listed.sort_unstable();
        assert_eq!(listed, proto::method_paths(|package| package.starts_with("loquat.auth.")));
    }
}
