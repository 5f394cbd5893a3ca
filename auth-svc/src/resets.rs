//! Passwords: changed by who knows the one before, or reset with a link.

use std::time::Duration;

use mesh::{
    audit::{self, Entry},
    authn::{Origin, UserPrincipal},
    fields::Fields,
};
use proto::auth::v1::{ChangeEmailRequest, ChangePasswordRequest, RequestPasswordResetRequest, ResetPasswordRequest};
use uuid::Uuid;

use crate::{
    errors::AuthError,
    fields,
    limits::Tried,
    rpc::Shared,
    sessions,
    store::{self, account, reset},
    tokens::Opaque,
};

/// How long a link works.
const LINK_LIFE: Duration = Duration::from_secs(30 * 60);
/// So many accounts with one address get a mail.
const MAX_ACCOUNTS: u64 = 5;
const MAX_ACCOUNT_BYTES: usize = 254;

/// Sets a new password. Returns the sessions that ended.
pub(crate) async fn change_password(
    shared: &Shared,
    caller: &UserPrincipal,
    origin: &Origin,
    request: ChangePasswordRequest,
) -> Result<Vec<Uuid>, AuthError> {
    let mut fields = Fields::default();
    fields::password(&mut fields, "current_password", &request.current_password);
    fields::new_password(&mut fields, "new_password", &request.new_password);
    fields.done()?;
    let known = right_password(shared, caller.user_id, &request.current_password, origin).await?;
    let hash = shared.passwords.hash(&request.new_password).await?;
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    let account = account::lock(&tx, caller.user_id).await?;
    // Somebody else may have changed it meanwhile.
    let mut account = account.filter(|account| account.password == known).ok_or(AuthError::BadCredentials)?;
    account.password = hash;
    account::update(&tx, &account).await?;
    let ended = sessions::end_all(&tx, account.id, Some(caller.session_id), now).await?;
    reset::forget(&tx, account.id, store::micros(now)).await?;
    let entry = Entry::new("password.changed", account.id).by(account.id).from(origin.place());
    audit::append(&tx, &[entry.with("ended_sessions", ended.len())], now).await?;
    tx.commit().await?;
    shared.ended(&ended).await;
    Ok(ended)
}

/// Sets where mail goes.
pub(crate) async fn change_email(
    shared: &Shared,
    caller: &UserPrincipal,
    origin: &Origin,
    request: ChangeEmailRequest,
) -> Result<(), AuthError> {
    let mut fields = Fields::default();
    fields::password(&mut fields, "current_password", &request.current_password);
    let email = fields::email(&mut fields, &request.email);
    fields.done()?;
    let known = right_password(shared, caller.user_id, &request.current_password, origin).await?;
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    let account = account::lock(&tx, caller.user_id).await?;
    let mut account = account.filter(|account| account.password == known).ok_or(AuthError::BadCredentials)?;
    account.email = email;
    account::update(&tx, &account).await?;
    reset::forget(&tx, account.id, store::micros(now)).await?;
    audit::append(&tx, &[Entry::new("email.changed", account.id).by(account.id).from(origin.place())], now).await?;
    tx.commit().await?;
    Ok(())
}

/// Refuses a wrong password of the caller; returns the hash that it was checked against.
async fn right_password(shared: &Shared, user_id: Uuid, password: &str, origin: &Origin) -> Result<String, AuthError> {
    let admitted = shared.passwords.admit()?;
    let account = shared.db.within(account::find(shared.db.reader(), user_id)).await?.ok_or(AuthError::SessionEnded)?;
    // Somebody who is signed in is at home, wherever they are.
    let at_home = std::future::ready(Ok(true));
    shared.limits.count(Tried::SignIn, &account.username, origin, at_home).await?;
    let stored = Some(account.password.clone()).filter(|stored| !stored.is_empty());
    if admitted.verify(password, stored).await? {
        return Ok(account.password);
    }
    let entry = Entry::new("password.wrong", user_id).by(user_id).from(origin.place());
    shared.note(entry).await?;
    Err(AuthError::BadCredentials)
}

/// Sends links to whoever has this name or address. The caller is answered before, and learns nothing.
pub(crate) async fn request(
    shared: std::sync::Arc<Shared>,
    origin: &Origin,
    request: RequestPasswordResetRequest,
) -> Result<(), AuthError> {
    let mut fields = Fields::default();
    let wanted = request.account.trim().to_lowercase();
    if wanted.is_empty() || wanted.len() > MAX_ACCOUNT_BYTES {
        fields.wrong("account", format!("must have 1 to {MAX_ACCOUNT_BYTES} bytes"));
    }
    fields.done()?;
    shared.limits.count(Tried::Reset, &wanted, origin, sessions::used_from(&shared, &wanted, origin)).await?;
    let place = origin.place();
    let tasks = shared.tasks.clone();
    tasks.spawn("password-reset", async move {
        if let Err(cause) = send_links(&shared, &wanted, &place).await {
            tracing::error!(%cause, "a link to reset a password could not be made");
        }
    });
    Ok(())
}

async fn send_links(shared: &Shared, wanted: &str, place: &str) -> Result<(), AuthError> {
    let accounts = if wanted.contains('@') {
        shared.db.within(account::by_email(shared.db.reader(), wanted, MAX_ACCOUNTS)).await?
    } else {
        shared.db.within(account::by_username(shared.db.reader(), wanted)).await?.into_iter().collect()
    };
    for account in accounts.iter().filter(|account| !account.disabled && !account.bot) {
        let token = Opaque::new(mesh::ids::new_id());
        let now = shared.clock.now();
        let tx = shared.db.begin().await?;
        let reset = reset::Model {
            id: token.id,
            user_id: account.id,
            hash: token.hash(),
            expires_at: store::micros(now + LINK_LIFE),
        };
        reset::insert(&tx, reset).await?;
        audit::append(&tx, &[Entry::new("password.reset_requested", account.id).from(place)], now).await?;
        tx.commit().await?;
        // Behind a hash, so that it is in no log of a server and in no Referer.
        let link = shared.link(&format!("/reset#token={}", token.encode()));
        let username = &account.username;
        let text = format!(
            "Hello {username},\n\nsomebody asked for a new password for your account. To set one, open this link within 30 \
             minutes:\n\n{link}\n\nIf that was not you, there is nothing to do: your password stays as it is.\n"
        );
        if account.email.is_empty() || !shared.mail.send(&account.email, "Set a new password", text) {
            tracing::warn!("{username} wants to reset their password; pass this link on if it is them: {link}");
        }
    }
    Ok(())
}

/// Sets a new password with a link's token. Returns the sessions that ended.
pub(crate) async fn reset(
    shared: &Shared,
    origin: &Origin,
    request: ResetPasswordRequest,
) -> Result<Vec<Uuid>, AuthError> {
    let mut fields = Fields::default();
    fields::new_password(&mut fields, "new_password", &request.new_password);
    fields.done()?;
    shared.limits.count_network(origin).await?;
    let token = Opaque::decode(&request.reset_token).ok_or(AuthError::ResetTokenInvalid)?;
    let now = shared.clock.now();
    let micros = store::micros(now);
    let known = shared.db.within(reset::find(shared.db.reader(), token.id)).await?;
    let known = known.filter(|reset| reset.hash == token.hash() && reset.expires_at > micros);
    let known = known.ok_or(AuthError::ResetTokenInvalid)?;
    let hash = shared.passwords.hash(&request.new_password).await?;
    let tx = shared.db.begin().await?;
    let account = account::lock(&tx, known.user_id).await?.filter(|account| !account.disabled);
    let mut account = account.ok_or(AuthError::ResetTokenInvalid)?;
    if !reset::take(&tx, known.id, micros).await? {
        return Err(AuthError::ResetTokenInvalid);
    }
    account.password = hash;
    account::update(&tx, &account).await?;
    reset::forget(&tx, account.id, micros).await?;
    let ended = sessions::end_all(&tx, account.id, None, now).await?;
    let entry = Entry::new("password.reset", account.id).from(origin.place()).with("ended_sessions", ended.len());
    audit::append(&tx, &[entry], now).await?;
    tx.commit().await?;
    shared.ended(&ended).await;
    Ok(ended)
}
