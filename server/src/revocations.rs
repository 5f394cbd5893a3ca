//! Learns from auth-svc what was taken away, so that every role of the process refuses it at once: told as it happens, and asked
//! for after every interruption and every few seconds besides.

use std::time::Duration;

use mesh::{
    authn::{Authn, Revocation},
    rpc::Upstream,
};
use proto::auth::internal::v1::{
    ListRevocationsRequest, UserEpoch, WatchRevocationsRequest, session_service_client::SessionServiceClient,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

/// Asked also without an interruption, in case a hint was lost.
const ASK_EVERY: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Waited before the watch is opened again.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs until `stop`; `auth` is auth-svc, called as a role of this process.
pub(crate) async fn watch(authn: Authn, auth: Upstream, stop: CancellationToken) {
    // After many were ended at once an answer is long.
    let sessions = SessionServiceClient::new(auth).max_decoding_message_size(MAX_ANSWER_BYTES);
    let mut watch = Watch { authn, sessions, since: None };
    while !stop.is_cancelled() {
        tokio::select! {
            ended = watch.follow() => {
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

struct Watch {
    authn: Authn,
    sessions: SessionServiceClient<Upstream>,
    /// Up to when everything is known.
    since: Option<prost_types::Timestamp>,
}

impl Watch {
    async fn follow(&mut self) -> Result<(), Status> {
        let mut told = self.sessions.watch_revocations(WatchRevocationsRequest {}).await?.into_inner();
        let mut ask = tokio::time::interval(ASK_EVERY);
        loop {
            tokio::select! {
                // The first message, which is empty, says that nothing is missed from here on: what came before is asked for.
                message = told.message() => match message? {
                    Some(message) => self.add(&message.session_ids, &message.user_epochs),
                    None => return Ok(()),
                },
                _ = ask.tick() => self.ask().await?,
            }
        }
    }

    async fn ask(&mut self) -> Result<(), Status> {
        let request = ListRevocationsRequest { since: self.since };
        let answer = self.sessions.list_revocations(request).await?.into_inner();
        self.add(&answer.session_ids, &answer.user_epochs);
        self.since = answer.as_of;
        Ok(())
    }

    fn add(&self, session_ids: &[String], epochs: &[UserEpoch]) {
        let sessions = session_ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
        let epoch = |told: &UserEpoch| Some((Uuid::try_parse(&told.user_id).ok()?, told.epoch));
        let epochs = epochs.iter().filter_map(epoch).collect();
        self.authn.revocations().add(&Revocation { sessions, epochs });
    }
}
