//! `AuthService`.

use mesh::fields::Fields;
use proto::auth::v1::{
    LoginRequest, LoginResponse, LogoutRequest, LogoutResponse, RefreshRequest, RefreshResponse, RegisterRequest,
    RegisterResponse, WorkspaceRole, auth_service_server::AuthService,
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Pair, Rpc, Shared, answer};
use crate::{
    accounts::{self, Admission, NewAccount},
    errors::AuthError,
    fields,
    sessions::{self, Renewal},
    store::{account, session},
    tokens::RefreshToken,
};

#[async_trait]
impl AuthService for Rpc {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        let result = self.detached(|shared| register(shared, request.into_inner())).await;
        answer(result.map(|Pair { access_token, refresh_token, expires_in, user }| RegisterResponse {
            access_token,
            refresh_token,
            expires_in,
            user: Some(user),
        }))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        let result = self.detached(|shared| login(shared, request.into_inner())).await;
        answer(result.map(|Pair { access_token, refresh_token, expires_in, user }| LoginResponse {
            access_token,
            refresh_token,
            expires_in,
            user: Some(user),
        }))
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Result<Response<RefreshResponse>, Status> {
        let result = self.detached(|shared| refresh(shared, request.into_inner())).await;
        answer(result.map(|Pair { access_token, refresh_token, expires_in, user }| RefreshResponse {
            access_token,
            refresh_token,
            expires_in,
            user: Some(user),
        }))
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<LogoutResponse>, Status> {
        let caller = mesh::authn::user(request.extensions()).ok().map(|user| user.session_id);
        let result = self.detached(move |shared| logout(shared, caller, request.into_inner())).await;
        answer(result.map(|()| LogoutResponse {}))
    }
}

impl Rpc {
    /// Runs in a task of its own, so that what commits is finished when the caller hangs up.
    async fn detached<T, F>(&self, work: impl FnOnce(std::sync::Arc<Shared>) -> F) -> Result<T, AuthError>
    where
        F: Future<Output = Result<T, AuthError>> + Send + 'static,
        T: Send + 'static,
    {
        let task = self.0.tasks.spawn("auth-call", work(self.0.clone()));
        task.await.map_err(AuthError::internal)?
    }
}

async fn register(shared: std::sync::Arc<Shared>, request: RegisterRequest) -> Result<Pair, AuthError> {
    let RegisterRequest { username, password, display_name, setup_token, device } = request;
    let now = shared.clock.now();
    let mut fields = Fields::default();
    let device = fields::device(&mut fields, &device);
    fields.done()?;
    // Refused before a password is hashed for nothing; decided again inside the transaction.
    if !shared.registration_open && shared.db.within(account::count(shared.db.reader())).await? > 0 {
        return Err(AuthError::RegistrationClosed);
    }
    let new = NewAccount { username, display_name, password, role: WorkspaceRole::Member };
    let account = accounts::prepare(&shared.passwords, &new, now).await?;
    let admission = Admission::Registration {
        open: shared.registration_open,
        needs_setup_token: shared.needs_setup_token,
        setup_token: &setup_token,
    };
    let tx = shared.db.begin().await?;
    let account = accounts::insert(&tx, account, admission, now).await?;
    let started = sessions::start(&tx, &account, &device, now).await?;
    tx.commit().await?;
    shared.wake.now();
    shared.pair(&started)
}

async fn login(shared: std::sync::Arc<Shared>, request: LoginRequest) -> Result<Pair, AuthError> {
    let mut fields = Fields::default();
    fields::password(&mut fields, &request.password);
    let device = fields::device(&mut fields, &request.device);
    fields.done()?;
    let username = request.username.trim().to_lowercase();
    shared.limits.count(&username).await?;
    let account = shared
        .db
        .within(account::by_username(shared.db.reader(), &username))
        .await?
        .filter(|account| !account.disabled);
    // An account without a password takes as long to refuse as one that is not there.
    let stored = account.as_ref().map(|account| account.password.clone()).filter(|stored| !stored.is_empty());
    let right = shared.passwords.verify(&request.password, stored).await?;
    let account = account.filter(|_| right).ok_or(AuthError::BadCredentials)?;
    let tx = shared.db.begin().await?;
    let started = sessions::start(&tx, &account, &device, shared.clock.now()).await?;
    tx.commit().await?;
    shared.pair(&started)
}

async fn refresh(shared: std::sync::Arc<Shared>, request: RefreshRequest) -> Result<Pair, AuthError> {
    let token = RefreshToken::decode(&request.refresh_token).ok_or(AuthError::RefreshTokenInvalid)?;
    let tx = shared.db.begin().await?;
    let renewal = sessions::renew(&tx, &token, shared.idle, shared.clock.now()).await?;
    tx.commit().await?;
    match renewal {
        Renewal::Renewed(renewed) => shared.pair(&renewed),
        Renewal::Replayed { session_id } => {
            tracing::warn!(%session_id, "a spent refresh token was used again; the session was ended");
            shared.wake.now();
            shared.tell_ended(session_id).await;
            Err(AuthError::SessionEnded)
        }
    }
}

async fn logout(shared: std::sync::Arc<Shared>, caller: Option<Uuid>, request: LogoutRequest) -> Result<(), AuthError> {
    let now = shared.clock.now();
    let named = match RefreshToken::decode(&request.refresh_token) {
        Some(token) => {
            sessions::resolve(shared.db.reader(), &token, shared.idle, now).await.ok().map(|(session, _)| session.id)
        }
        None => None,
    };
    let Some(session_id) = named.or(caller) else {
        // Nothing names a session that is alive: it has ended already, or there never was one.
        return Ok(());
    };
    let tx = shared.db.begin().await?;
    let Some(session) = session::lock(&tx, session_id).await?.filter(|session| session.ended_at == 0) else {
        return Ok(());
    };
    sessions::end(&tx, &session, now).await?;
    tx.commit().await?;
    shared.wake.now();
    shared.tell_ended(session_id).await;
    Ok(())
}
