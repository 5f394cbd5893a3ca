//! The internal `KeyService` and `SessionService`.

use std::{collections::HashSet, pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use mesh::{authn::Origin, cache::Subscription, errors, fields::Fields};
use prost::Message as _;
use proto::auth::internal::v1::{
    CheckSessionsRequest, CheckSessionsResponse, ExchangeTokenRequest, ExchangeTokenResponse, GetKeysRequest,
    GetKeysResponse, ListRevocationsRequest, ListRevocationsResponse, PublicKey, ResolveSessionRequest,
    ResolveSessionResponse, WatchRevocationsRequest, WatchRevocationsResponse, key_service_server::KeyService,
    session_service_server::SessionService,
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{REVOCATIONS, Rpc, Shared, answer, epoch, expires_in};
use crate::{
    errors::AuthError,
    programs, sessions,
    store::{self, access_token, account, session},
    tokens::Opaque,
};

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
            let token = Opaque::decode(&request.refresh_token).ok_or(AuthError::RefreshTokenInvalid)?;
            let now = self.0.clock.now();
            let (session, account) = sessions::resolve(self.0.db.reader(), &token, self.0.idle, now).await?;
            Ok(ResolveSessionResponse {
                access_token: self.0.signer.access_token(&account, session.id, now)?,
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
            let db = self.0.db.reader();
            let mut alive: HashSet<Uuid> = session::alive(db, &ids).await?.into_iter().collect();
            // The others may be tokens of programs.
            let others: Vec<Uuid> = ids.iter().filter(|id| !alive.contains(id)).copied().collect();
            alive.extend(access_token::alive(db, &others, store::micros(self.0.clock.now())).await?);
            let ended = ids.iter().filter(|id| !alive.contains(id)).map(Uuid::to_string).collect();
            Ok(CheckSessionsResponse { ended_session_ids: ended })
        };
        answer(self.0.db.within(run).await)
    }

    async fn list_revocations(
        &self,
        request: Request<ListRevocationsRequest>,
    ) -> Result<Response<ListRevocationsResponse>, Status> {
        let now = self.0.clock.now();
        // However long ago that is: a stream may have lasted all the while that its process could not ask.
        let since = request.into_inner().since.map_or(store::micros(now - REMEMBERED), |since| {
            // What was committed a moment later than its time says is in the next answer as well.
            (since.seconds.saturating_mul(1_000_000) + i64::from(since.nanos) / 1000).saturating_sub(OVERLAP_MICROS)
        });
        let run = async {
            let db = self.0.db.reader();
            let mut ended = session::ended_since(db, since).await?;
            ended.extend(access_token::revoked_since(db, since).await?);
            let changed = account::changed_since(db, since).await?;
            Ok(ListRevocationsResponse {
                session_ids: ended.iter().map(Uuid::to_string).collect(),
                user_epochs: changed.iter().map(epoch).collect(),
                as_of: Some(store::timestamp(store::micros(now))),
            })
        };
        answer(self.0.db.within(run).await)
    }

    async fn exchange_token(
        &self,
        request: Request<ExchangeTokenRequest>,
    ) -> Result<Response<ExchangeTokenResponse>, Status> {
        let ExchangeTokenRequest { token, address } = request.into_inner();
        let origin = Origin { address: address.parse().ok(), agent: String::new() };
        let work = async move |shared: Arc<Shared>| programs::exchange(&shared, &token, &origin).await;
        let traded = self.detached(work).await;
        answer(traded.map(|traded| ExchangeTokenResponse {
            access_token: traded.access_token,
            expires_in: traded.expires_in,
            user_id: traded.user_id.to_string(),
            token_id: traded.token_id.to_string(),
        }))
    }
}

/// So long what was taken away may still matter to somebody who verifies tokens.
const REMEMBERED: Duration = Duration::from_secs(mesh::authn::ACCESS_TOKEN_LIFE.as_secs() + 120);
const OVERLAP_MICROS: i64 = 10_000_000;

type Told = (Result<WatchRevocationsResponse, Status>, Option<Subscription>);

/// The next ended session; a watcher that lost some is sent away to ask for them.
async fn next(mut subscription: Subscription) -> Option<Told> {
    match subscription.recv().await? {
        Ok(hint) => {
            let told = WatchRevocationsResponse::decode(hint).unwrap_or_default();
            Some((Ok(told), Some(subscription)))
        }
        Err(_) => {
            let text = "Some revocations were lost; ask CheckSessions and watch again.";
            Some((Err(errors::unavailable("WATCH_BEHIND", text, Duration::ZERO)), None))
        }
    }
}
