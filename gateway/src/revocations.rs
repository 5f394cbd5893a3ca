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
/// In how many parts all of them are asked for. What was taken away is heard of in seconds without this (every process asks for it
/// as well); here it shows what nobody took away, such as a program's token that has come to its end.
const PARTS: usize = 12;
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
    let (mut asked, mut all) = (Uuid::nil(), false);
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
            _ = check.tick() => {}
            () = stop.cancelled() => return,
        }
        let open = streams.hub.sessions().await;
        let (some, last) = if all { (open, asked) } else { part(open, asked) };
        match streams.check(&mut sessions, &some).await {
            Ok(()) => (asked, all) = (last, false),
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

    /// Ends those of these sessions that are not alive.
    async fn check(&self, sessions: &mut SessionServiceClient<Upstream>, ids: &[Uuid]) -> Result<(), Status> {
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

/// The next of the sessions after the one that was asked for last, and which the last of them is. They are one after another, because
/// so they lie in the database.
fn part(mut sessions: Vec<Uuid>, after: Uuid) -> (Vec<Uuid>, Uuid) {
    sessions.sort_unstable();
    let size = sessions.len().div_ceil(PARTS);
    let start = sessions.partition_point(|id| *id <= after);
    sessions.drain(..start);
    let is_end = sessions.len() <= size;
    sessions.truncate(size);
    let last = sessions.last().copied().filter(|_| !is_end).unwrap_or_default();
    (sessions, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_is_asked_for_in_so_many_parts_whoever_comes_and_goes() {
        for count in [0, 1, 5, 12, 13, 1000] {
            let mut open: Vec<Uuid> = (0..count).map(|number| Uuid::from_u128(number * 7919 % 5003 + 1)).collect();
            let stays: Vec<Uuid> = open.iter().copied().step_by(2).collect();
            let (mut asked, mut after) = (Vec::new(), Uuid::nil());
            for round in 0..PARTS as u128 + 1 {
                let (some, last) = part(open.clone(), after);
                assert!(some.len() <= open.len().div_ceil(PARTS));
                asked.extend(some);
                after = last;
                // One goes and another comes.
                open.retain(|id| stays.contains(id) || id.as_u128() % 13 != round);
                open.push(Uuid::from_u128(10_000 + round));
            }
            assert!(stays.iter().all(|id| asked.contains(id)), "{count}");
        }
    }
}
