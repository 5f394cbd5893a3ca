//! Ends the streams of sessions that have ended, and of accounts whose rights have changed: told at once, and asked for from time
//! to time in case that was lost.

use std::time::Duration;

use mesh::{
    authn::{Authn, Revocation},
    rpc::Upstream,
};
use proto::auth::internal::v1::{CheckSessionsRequest, session_service_client::SessionServiceClient};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use crate::{hub::Hub, programs::Programs};

/// How often every session with an open stream is asked for.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Sessions of one question.
const AT_ONCE: usize = 5000;

/// What is taken away from.
pub(crate) struct Streams {
    pub(crate) hub: Hub,
    pub(crate) programs: Programs,
}

/// Runs until `stop`.
pub(crate) async fn watch(streams: Streams, authn: Authn, auth: Upstream, stop: CancellationToken) {
    let mut sessions = SessionServiceClient::new(auth);
    let mut told = authn.revocations().listen();
    let mut check = tokio::time::interval(CHECK_EVERY);
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let ask = tokio::select! {
            heard = told.recv() => match heard {
                Ok(revocation) => {
                    streams.end(&revocation).await;
                    false
                }
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return,
            },
            _ = check.tick() => true,
            () = stop.cancelled() => return,
        };
        if ask && let Err(cause) = streams.check(&mut sessions).await {
            tracing::debug!(code = ?cause.code(), "sessions cannot be checked: {}", cause.message());
        }
    }
}

impl Streams {
    async fn end(&self, revocation: &Revocation) {
        let users: Vec<Uuid> = revocation.epochs.iter().map(|(user, _)| *user).collect();
        self.programs.forget(&revocation.sessions, &users).await;
        self.hub.revoke(revocation.sessions.clone(), users).await;
    }

    async fn check(&self, sessions: &mut SessionServiceClient<Upstream>) -> Result<(), Status> {
        for some in self.hub.sessions().await.chunks(AT_ONCE) {
            let session_ids = some.iter().map(Uuid::to_string).collect();
            let answer = sessions.check_sessions(CheckSessionsRequest { session_ids }).await?.into_inner();
            let ended: Vec<Uuid> = answer.ended_session_ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
            if !ended.is_empty() {
                self.hub.revoke(ended, Vec::new()).await;
            }
        }
        Ok(())
    }
}
