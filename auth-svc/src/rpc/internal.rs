//! The internal `KeyService` and `SessionService`.

use std::{collections::HashSet, pin::Pin, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use mesh::{cache::Subscription, errors, fields::Fields};
use proto::auth::internal::v1::{
    CheckSessionsRequest, CheckSessionsResponse, GetKeysRequest, GetKeysResponse, PublicKey, ResolveSessionRequest,
    ResolveSessionResponse, WatchRevocationsRequest, WatchRevocationsResponse, key_service_server::KeyService,
    session_service_server::SessionService,
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{REVOCATIONS, Rpc, answer, expires_in};
use crate::{errors::AuthError, sessions, store::session, tokens::RefreshToken};

#[async_trait]
impl KeyService for Rpc {
    async fn get_keys(&self, _: Request<GetKeysRequest>) -> Result<Response<GetKeysResponse>, Status> {
        let key = self.0.signer.public();
        Ok(Response::new(GetKeysResponse { keys: vec![PublicKey { kid: key.kid, ed25519: key.ed25519.into() }] }))
    }
}

#[async_trait]
impl SessionService for Rpc {
    type WatchRevocationsStream = Pin<Box<dyn Stream<Item = Result<WatchRevocationsResponse, Status>> + Send>>;

    async fn resolve_session(
        &self,
        request: Request<ResolveSessionRequest>,
    ) -> Result<Response<ResolveSessionResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let token = RefreshToken::decode(&request.refresh_token).ok_or(AuthError::RefreshTokenInvalid)?;
            let now = self.0.clock.now();
            let (session, account) = sessions::resolve(self.0.db.reader(), &token, self.0.idle, now).await?;
            Ok(ResolveSessionResponse {
                access_token: self.0.signer.access_token(account.id, session.id, account.role_name(), now)?,
                expires_in: expires_in(),
                user: Some(account.to_proto()),
                session_id: session.id.to_string(),
            })
        };
        answer(self.0.db.within(run).await)
    }

    async fn watch_revocations(
        &self,
        _: Request<WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let subscription = self.0.cache.subscribe(REVOCATIONS).await;
        let first = stream::once(async { Ok(WatchRevocationsResponse::default()) });
        let told = stream::unfold(Some(subscription), |subscription| async { next(subscription?).await });
        Ok(Response::new(Box::pin(first.chain(told).take_until(self.0.tasks.stopping().cancelled_owned()))))
    }

    async fn check_sessions(
        &self,
        request: Request<CheckSessionsRequest>,
    ) -> Result<Response<CheckSessionsResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let ids = fields.ids("session_ids", &request.session_ids, 10_000);
            fields.done()?;
            let alive: HashSet<Uuid> = session::alive(self.0.db.reader(), &ids).await?.into_iter().collect();
            let ended = ids.iter().filter(|id| !alive.contains(id)).map(Uuid::to_string).collect();
            Ok(CheckSessionsResponse { ended_session_ids: ended })
        };
        answer(self.0.db.within(run).await)
    }
}

type Told = (Result<WatchRevocationsResponse, Status>, Option<Subscription>);

/// The next ended session; a watcher that lost some is sent away to ask for them.
async fn next(mut subscription: Subscription) -> Option<Told> {
    match subscription.recv().await? {
        Ok(hint) => {
            let session_ids = Uuid::from_slice(&hint).ok().map(|id| id.to_string()).into_iter().collect();
            Some((Ok(WatchRevocationsResponse { session_ids, user_ids: Vec::new() }), Some(subscription)))
        }
        Err(_) => {
            let text = "Some revocations were lost; ask CheckSessions and watch again.";
            Some((Err(errors::unavailable("WATCH_BEHIND", text, Duration::ZERO)), None))
        }
    }
}
