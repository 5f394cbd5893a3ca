//! The public `SessionService`.

use std::sync::Arc;

use mesh::{audit, fields::Fields};
use proto::auth::v1::{
    ListSessionsRequest, ListSessionsResponse, RevokeOtherSessionsRequest, RevokeOtherSessionsResponse,
    RevokeSessionRequest, RevokeSessionResponse, Session, session_service_server::SessionService,
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Call, Rpc, Shared, answer, count};
use crate::{errors::AuthError, sessions, store, store::session};

/// So many sessions are listed.
const MOST: u64 = 200;

#[async_trait]
impl SessionService for Rpc {
    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let Call { user, .. } = Call::of(&request)?;
        let run = async {
            let since = sessions::idle_since(self.0.idle, self.0.clock.now());
            let sessions = session::of_user(self.0.db.reader(), user.user_id, since, MOST).await?;
            let sessions = sessions.into_iter().map(|session| Session {
                id: session.id.to_string(),
                device: session.device,
                address: session.address,
                created_at: Some(store::timestamp(session.created_at)),
                last_used_at: Some(store::timestamp(session.rotated_at)),
                current: session.id == user.session_id,
            });
            Ok(ListSessionsResponse { sessions: sessions.collect() })
        };
        answer(self.0.db.within(run).await)
    }

    async fn revoke_session(
        &self,
        request: Request<RevokeSessionRequest>,
    ) -> Result<Response<RevokeSessionResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            let mut fields = Fields::default();
            let id = fields.id("session_id", &request.into_inner().session_id);
            fields.done()?;
            revoke(&shared, &call, id).await
        };
        answer(self.detached(work).await.map(|()| RevokeSessionResponse {}))
    }

    async fn revoke_other_sessions(
        &self,
        request: Request<RevokeOtherSessionsRequest>,
    ) -> Result<Response<RevokeOtherSessionsResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| revoke_others(&shared, &call).await;
        let ended = self.detached(work).await;
        answer(ended.map(|ended| RevokeOtherSessionsResponse { ended_sessions: count(ended.len()) }))
    }
}

async fn revoke(shared: &Shared, call: &Call, id: Uuid) -> Result<(), AuthError> {
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    let session = session::lock(&tx, id).await?.filter(|session| session.user_id == call.user.user_id);
    let session = session.ok_or(AuthError::SessionNotFound)?;
    if session.ended_at == 0 {
        sessions::end(&tx, session.user_id, &[id], now).await?;
        audit::append(&tx, &[call.entry("session.revoked", id)], now).await?;
    }
    tx.commit().await?;
    shared.ended(&[id]).await;
    Ok(())
}

async fn revoke_others(shared: &Shared, call: &Call) -> Result<Vec<Uuid>, AuthError> {
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    let ended = sessions::end_all(&tx, call.user.user_id, Some(call.user.session_id), now).await?;
    let entry = call.entry("session.others_revoked", call.user.user_id).with("ended_sessions", ended.len());
    audit::append(&tx, &[entry], now).await?;
    tx.commit().await?;
    shared.ended(&ended).await;
    Ok(ended)
}
