//! Programs that sign in with a token of their own. Services verify signed tokens only, so the gateway trades such a token at
//! auth-svc for a signed one and keeps that for some minutes: a program's calls cost what anybody's do.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh::{
    authn::{Authn, Origin},
    rpc::Upstream,
};
use proto::auth::internal::v1::{ExchangeTokenRequest, session_service_client::SessionServiceClient};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};
use uuid::Uuid;

/// What a program's token begins with.
const PREFIX: &str = "loquat_pat_";
/// A longer one is refused before it is looked at.
const MAX_BYTES: usize = 128;
/// A signed token is used for less than its ten minutes, so that it is good wherever it arrives.
const KEEP: Duration = Duration::from_secs(540);
const MAX_KEPT: u64 = 20_000;

/// Whether it is a program's token.
pub(crate) fn is_one(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// Trades tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Programs {
    auth: SessionServiceClient<Upstream>,
    authn: Authn,
    kept: moka::future::Cache<[u8; 32], Kept>,
}

#[derive(Clone)]
struct Kept {
    signed: Arc<str>,
    until: Instant,
    user_id: Uuid,
    token_id: Uuid,
}

impl Programs {
    /// `auth` is called as `service:gateway`.
    pub(crate) fn new(auth: Upstream, authn: Authn) -> Self {
        let kept = moka::future::Cache::builder().max_capacity(MAX_KEPT).time_to_live(KEEP).build();
        Self { auth: SessionServiceClient::new(auth), authn, kept }
    }

    /// The signed token for a program's; any other token is what it is.
    ///
    /// # Errors
    /// UNAUTHENTICATED `TOKEN_INVALID` when it is not good, UNAVAILABLE when auth-svc cannot be asked.
    pub(crate) async fn signed<'t>(&self, token: &'t str, origin: &Origin) -> Result<Cow<'t, str>, Status> {
        if !is_one(token) {
            return Ok(Cow::Borrowed(token));
        }
        // Boxed: every call of everybody's would have room for it.
        Box::pin(self.known_or_traded(token, origin)).await.map(Cow::Owned)
    }

    async fn known_or_traded(&self, token: &str, origin: &Origin) -> Result<String, Status> {
        if token.len() > MAX_BYTES {
            return Err(mesh::authn::invalid_token());
        }
        let key: [u8; 32] = Sha256::digest(token).into();
        if let Some(kept) = self.kept.get(&key).await {
            // Not one that was taken away, or whose owner's rights have changed, since it was made.
            if Instant::now() < kept.until && self.authn.verify(&kept.signed).await.is_ok() {
                return Ok(kept.signed.to_string());
            }
            self.kept.invalidate(&key).await;
        }
        // However many calls come at once, one trades for all.
        let traded = self.kept.try_get_with(key, self.trade(token, origin)).await;
        let traded = traded.map_err(|refused: Arc<Status>| Status::clone(&refused))?;
        Ok(traded.signed.to_string())
    }

    async fn trade(&self, token: &str, origin: &Origin) -> Result<Kept, Status> {
        let request = ExchangeTokenRequest { token: token.to_owned(), address: origin.place() };
        let answer = self.auth.clone().exchange_token(request).await.map_err(|refused| match refused.code() {
            Code::Unauthenticated => mesh::authn::invalid_token(),
            _ => refused,
        })?;
        let answer = answer.into_inner();
        let (Ok(user_id), Ok(token_id)) = (Uuid::try_parse(&answer.user_id), Uuid::try_parse(&answer.token_id)) else {
            return Err(Status::internal("auth-svc answered without ids"));
        };
        let life = Duration::from_secs(answer.expires_in.into()).min(KEEP);
        Ok(Kept { signed: answer.access_token.into(), until: Instant::now() + life, user_id, token_id })
    }

    /// Forgets tokens that were taken away, and those of accounts whose rights have changed.
    pub(crate) async fn forget(&self, tokens: &[Uuid], users: &[Uuid]) {
        let gone = |kept: &Kept| tokens.contains(&kept.token_id) || users.contains(&kept.user_id);
        let keys: Vec<[u8; 32]> = self.kept.iter().filter(|(_, kept)| gone(kept)).map(|(key, _)| *key).collect();
        for key in keys {
            self.kept.invalidate(&key).await;
        }
    }
}
