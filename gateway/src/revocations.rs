//! Ends the streams of sessions that have ended: told by auth-svc at once, and asked for after every interruption.

use std::time::Duration;

use mesh::rpc::Upstream;
use proto::auth::internal::v1::{
    CheckSessionsRequest, WatchRevocationsRequest, WatchRevocationsResponse,
    session_service_client::SessionServiceClient,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use crate::hub::Hub;

/// Asked also without an interruption, in case a hint was lost.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Waited before the watch is opened again.
const PAUSE: Duration = Duration::from_millis(500);
/// Sessions of one question.
const AT_ONCE: usize = 5000;

/// Runs until `stop`.
pub(crate) async fn watch(hub: Hub, auth: Upstream, stop: CancellationToken) {
    let mut sessions = SessionServiceClient::new(auth);
    while !stop.is_cancelled() {
        tokio::select! {
            ended = follow(&hub, &mut sessions) => {
                if let Err(cause) = ended {
                    tracing::debug!(code = ?cause.code(), "revocations cannot be watched: {}", cause.message());
                }
            }
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn follow(hub: &Hub, sessions: &mut SessionServiceClient<Upstream>) -> Result<(), Status> {
    let mut told = sessions.watch_revocations(WatchRevocationsRequest {}).await?.into_inner();
    let mut check = tokio::time::interval(CHECK_EVERY);
    loop {
        tokio::select! {
            message = told.message() => match message? {
                Some(WatchRevocationsResponse { session_ids, user_ids }) => hub.revoke(ids(&session_ids), ids(&user_ids)).await,
                None => return Ok(()),
            },
            _ = check.tick() => ask(hub, sessions).await?,
        }
    }
}

async fn ask(hub: &Hub, sessions: &mut SessionServiceClient<Upstream>) -> Result<(), Status> {
    for some in hub.sessions().await.chunks(AT_ONCE) {
        let session_ids = some.iter().map(Uuid::to_string).collect();
        let ended = sessions.check_sessions(CheckSessionsRequest { session_ids }).await?.into_inner().ended_session_ids;
        if !ended.is_empty() {
            hub.revoke(ids(&ended), Vec::new()).await;
        }
    }
    Ok(())
}

fn ids(texts: &[String]) -> Vec<Uuid> {
    texts.iter().filter_map(|text| Uuid::try_parse(text).ok()).collect()
}
