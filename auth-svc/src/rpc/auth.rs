//! `AuthService`.

use std::sync::Arc;

use mesh::{
    audit::{self, Entry},
    authn::Origin,
    fields::Fields,
};
use proto::auth::v1::{
    ChangeEmailRequest, ChangeEmailResponse, ChangePasswordRequest, ChangePasswordResponse, GetSignInOptionsRequest,
    GetSignInOptionsResponse, LoginRequest, LoginResponse, LogoutRequest, LogoutResponse, RefreshRequest,
    RefreshResponse, RegisterRequest, RegisterResponse, RequestPasswordResetRequest, RequestPasswordResetResponse,
    ResetPasswordRequest, ResetPasswordResponse, WorkspaceRole, auth_service_server::AuthService,
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Call, Pair, Rpc, Shared, answer, count, origin};
use crate::{
    Registration,
    accounts::{self, Admission, NewAccount},
    errors::AuthError,
    fields, invites,
    limits::Tried,
    resets,
    sessions::{self, Renewal},
    store::{account, invite, session},
    tokens::Opaque,
};

#[async_trait]
impl AuthService for Rpc {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        let origin = origin(&request);
        let result = self.detached(|shared| register(shared, origin, request.into_inner())).await;
        answer(result.map(|Pair { access_token, refresh_token, expires_in, user }| RegisterResponse {
            access_token,
            refresh_token,
            expires_in,
            user: Some(user),
        }))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        let origin = origin(&request);
        let result = self.detached(|shared| login(shared, origin, request.into_inner())).await;
        answer(result.map(|Pair { access_token, refresh_token, expires_in, user }| LoginResponse {
            access_token,
            refresh_token,
            expires_in,
            user: Some(user),
        }))
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Result<Response<RefreshResponse>, Status> {
        let origin = origin(&request);
        let result = self.detached(|shared| refresh(shared, origin, request.into_inner())).await;
        answer(result.map(|Pair { access_token, refresh_token, expires_in, user }| RefreshResponse {
            access_token,
            refresh_token,
            expires_in,
            user: Some(user),
        }))
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<LogoutResponse>, Status> {
        let caller = mesh::authn::user(request.extensions()).ok().map(|user| user.session_id);
        let origin = origin(&request);
        let result = self.detached(move |shared| logout(shared, caller, origin, request.into_inner())).await;
        answer(result.map(|()| LogoutResponse {}))
    }

    async fn get_sign_in_options(
        &self,
        _: Request<GetSignInOptionsRequest>,
    ) -> Result<Response<GetSignInOptionsResponse>, Status> {
        let run = async {
            let first_account = account::count(self.0.db.reader()).await? == 0;
            Ok(GetSignInOptionsResponse {
                registration: self.0.registration_mode().into(),
                first_account,
                setup_token_required: first_account && self.0.needs_setup_token,
                reset_by_mail: self.0.mail.is_configured(),
            })
        };
        answer(self.0.db.within(run).await)
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let Call { user, origin } = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            resets::change_password(&shared, &user, &origin, request.into_inner()).await
        };
        let ended = self.detached(work).await;
        answer(ended.map(|ended| ChangePasswordResponse { ended_sessions: count(ended.len()) }))
    }

    async fn change_email(
        &self,
        request: Request<ChangeEmailRequest>,
    ) -> Result<Response<ChangeEmailResponse>, Status> {
        let Call { user, origin } = Call::of(&request)?;
        let work =
            async move |shared: Arc<Shared>| resets::change_email(&shared, &user, &origin, request.into_inner()).await;
        answer(self.detached(work).await.map(|()| ChangeEmailResponse {}))
    }

    async fn request_password_reset(
        &self,
        request: Request<RequestPasswordResetRequest>,
    ) -> Result<Response<RequestPasswordResetResponse>, Status> {
        let origin = origin(&request);
        let asked = resets::request(self.0.clone(), &origin, request.into_inner()).await;
        answer(asked.map(|()| RequestPasswordResetResponse {}))
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        let origin = origin(&request);
        let work = async move |shared: Arc<Shared>| resets::reset(&shared, &origin, request.into_inner()).await;
        answer(self.detached(work).await.map(|_| ResetPasswordResponse {}))
    }
}

async fn register(shared: Arc<Shared>, origin: Origin, request: RegisterRequest) -> Result<Pair, AuthError> {
    let RegisterRequest { username, password, display_name, setup_token, device, invite_token, email } = request;
    let now = shared.clock.now();
    let mut fields = Fields::default();
    let device = fields::device(&mut fields, &device, &origin.agent);
    fields.done()?;
    let admitted = shared.passwords.admit()?;
    shared.limits.count_network(&origin).await?;
    // Refused before a password is hashed for nothing; decided again inside the transaction.
    let reader = shared.db.reader();
    let invite = match invite_token.as_str() {
        "" => None,
        token => Some(shared.db.within(invites::good(reader, token, now)).await?),
    };
    let open = match shared.registration {
        Registration::Open => true,
        Registration::Invite => invite.is_some(),
        Registration::Closed => false,
    };
    if !open && shared.db.within(account::count(reader)).await? > 0 {
        return Err(AuthError::RegistrationClosed);
    }
    let role = invite.as_ref().map_or(WorkspaceRole::Member, invite::Model::role);
    let new = NewAccount { username, display_name, password, role, email };
    let account = accounts::prepare(admitted, &new, now).await?;
    let needs_setup_token = shared.needs_setup_token;
    let admission = Admission::Registration { open, needs_setup_token, setup_token: &setup_token };
    let tx = shared.db.begin().await?;
    let account = accounts::insert(&tx, account, admission, now).await?;
    let started = sessions::start(&tx, &account, &device, &origin, now).await?;
    let entry = Entry::new("user.registered", account.id).by(account.id).from(origin.place());
    let entry = entry.with("username", &account.username).with("role", account.role_name());
    if let Some(invite) = &invite {
        invites::accept(&tx, invite, &account, &origin, now).await?;
    }
    audit::append(&tx, &[entry], now).await?;
    tx.commit().await?;
    shared.wake.now();
    shared.pair(&started)
}

async fn login(shared: Arc<Shared>, origin: Origin, request: LoginRequest) -> Result<Pair, AuthError> {
    let mut fields = Fields::default();
    fields::password(&mut fields, "password", &request.password);
    let device = fields::device(&mut fields, &request.device, &origin.agent);
    fields.done()?;
    // First of all: of a crowd, most are refused here.
    let admitted = shared.passwords.admit()?;
    let username = request.username.trim().to_lowercase();
    let at_home = sessions::used_from(&shared, &username, &origin);
    shared.limits.count(Tried::SignIn, &username, &origin, at_home).await?;
    let known = shared.db.within(account::by_username(shared.db.reader(), &username)).await?;
    let account = known.as_ref().filter(|account| !account.disabled);
    // An account without a password takes as long to refuse as one that is not there.
    let stored = account.map(|account| account.password.clone()).filter(|stored| !stored.is_empty());
    let right = admitted.verify(&request.password, stored).await?;
    let Some(account) = account.filter(|_| right) else {
        // What was typed for a name may have been a password, so it is written down only when it is a name.
        let subject = known.map(|account| account.id.to_string()).unwrap_or_default();
        shared.note(Entry::new("login.failed", subject).from(origin.place())).await?;
        return Err(AuthError::BadCredentials);
    };
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    // It may have been disabled, or have got another password, while this one was verified.
    let same = |now: &account::Model| !now.disabled && now.password == account.password;
    let account = account::lock(&tx, account.id).await?.filter(same).ok_or(AuthError::BadCredentials)?;
    let started = sessions::start(&tx, &account, &device, &origin, now).await?;
    let entry = Entry::new("session.started", started.session.id).by(account.id).from(origin.place());
    audit::append(&tx, &[entry.with("device", &started.session.device)], now).await?;
    tx.commit().await?;
    shared.pair(&started)
}

async fn refresh(shared: Arc<Shared>, origin: Origin, request: RefreshRequest) -> Result<Pair, AuthError> {
    let token = Opaque::decode(&request.refresh_token).ok_or(AuthError::RefreshTokenInvalid)?;
    let tx = shared.db.begin().await?;
    let renewal = sessions::renew(&tx, &token, shared.idle, &origin, shared.clock.now()).await?;
    tx.commit().await?;
    match renewal {
        Renewal::Renewed(renewed) => shared.pair(&renewed),
        Renewal::Replayed { session_id } => {
            tracing::warn!(%session_id, "a spent refresh token was used again; the session was ended");
            shared.ended(&[session_id]).await;
            Err(AuthError::SessionEnded)
        }
    }
}

async fn logout(
    shared: Arc<Shared>,
    caller: Option<Uuid>,
    origin: Origin,
    request: LogoutRequest,
) -> Result<(), AuthError> {
    let now = shared.clock.now();
    let named = match Opaque::decode(&request.refresh_token) {
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
    sessions::end(&tx, session.user_id, &[session_id], now).await?;
    let entry = Entry::new("session.ended", session_id).by(session.user_id).from(origin.place());
    audit::append(&tx, &[entry], now).await?;
    tx.commit().await?;
    shared.ended(&[session_id]).await;
    Ok(())
}
