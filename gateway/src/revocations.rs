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

/// How often a part of the sessions with open streams is asked for.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How many parts there are. What was taken away is heard of in seconds without this (every process asks for it as well); here it
/// shows what nobody took away, such as a program's token that has come to its end.
const PARTS: u128 = 12;
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
    let (mut turn, mut all) = (0, false);
    loop {
        tokio::select! {
            heard = told.recv() => match heard {
                Ok(revocation) => {
                    streams.end(&revocation).await;
                    continue;
                }
                Err(RecvError::Lagged(_)) => all = true,
                Err(RecvError::Closed) => return,
            },
            _ = check.tick() => turn = (turn + 1) % PARTS,
            () = stop.cancelled() => return,
        }
        match streams.check(&mut sessions, (!all).then_some(turn)).await {
            Ok(()) => all = false,
            Err(cause) => {
                tracing::debug!(code = ?cause.code(), "sessions cannot be checked: {}", cause.message());
            }
        }
    }
}

impl Streams {
    async fn end(&self, revocation: &Revocation) {
        let users: Vec<Uuid> = revocation.epochs.iter().map(|(user, _)| *user).collect();
        self.programs.forget(&revocation.sessions, &users).await;
        self.hub.revoke(revocation.sessions.clone(), users).await;
    }

    /// Asks for one part of the sessions, or for all.
    async fn check(&self, sessions: &mut SessionServiceClient<Upstream>, part: Option<u128>) -> Result<(), Status> {
        let mut ids = self.hub.sessions().await;
        ids.retain(|id| part.is_none_or(|part| id.as_u128() % PARTS == part));
        for some in ids.chunks(AT_ONCE) {
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
