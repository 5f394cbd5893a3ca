//! How programs sign in: personal access tokens, of people and of bots.
//!
//! A token is opaque and long-lived; only a hash of it is kept. The gateway trades it for a signed access token with its scopes,
//! whose session id is the token's id: so every service verifies locally, and revoking one is like ending a session.

use std::time::Duration;

use mesh::{
    audit::{self, Entry},
    authn::Origin,
    fields::Fields,
};
use proto::auth::v1::{AccessToken, CreateBotRequest, WorkspaceRole};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::{self, Admission},
    admin,
    errors::AuthError,
    fields,
    rpc::{Call, Shared},
    store::{self, access_token, account},
    tokens::Opaque,
};

/// What a token begins with: people and programs that look for leaked secrets recognise it.
pub const PREFIX: &str = "loquat_pat_";
/// So many good tokens one account may have.
const MAX_TOKENS: u64 = 100;

/// A token to be made.
pub(crate) struct NewToken {
    name: String,
    scopes: String,
    days: u32,
}

impl NewToken {
    /// Checks the fields.
    pub(crate) fn read(name: &str, scopes: &[String], days: u32) -> Result<Self, AuthError> {
        let mut fields = Fields::default();
        let name = fields::token_name(&mut fields, name);
        let scopes = fields::scopes(&mut fields, scopes);
        let days = fields::token_days(&mut fields, days);
        fields.done()?;
        Ok(Self { name, scopes, days })
    }
}

/// Makes a token for the caller, or for a bot that they may manage. The secret is in the answer only.
pub(crate) async fn create(
    shared: &Shared,
    call: &Call,
    owner: Uuid,
    new: NewToken,
) -> Result<(AccessToken, String), AuthError> {
    let now = shared.clock.now();
    let micros = store::micros(now);
    let tx = shared.db.begin().await?;
    let account = account::lock(&tx, owner).await?.filter(|account| !account.disabled);
    let account = account.ok_or(AuthError::UserNotFound)?;
    may_manage(&tx, call, &account).await?;
    if access_token::count(&tx, owner, micros).await? >= MAX_TOKENS {
        return Err(AuthError::TooManyTokens);
    }
    let secret = Opaque::new(mesh::ids::new_id());
    let life = Duration::from_secs(u64::from(new.days) * 86_400);
    let token = access_token::Model {
        id: secret.id,
        user_id: owner,
        name: new.name,
        scopes: new.scopes,
        hash: secret.hash(),
        created_at: micros,
        expires_at: if new.days == 0 { 0 } else { store::micros(now + life) },
        last_used_at: 0,
        last_address: String::new(),
        revoked_at: 0,
    };
    access_token::insert(&tx, token.clone()).await?;
    let entry = call.entry("token.created", token.id).with("user", owner).with("name", &token.name);
    audit::append(&tx, &[entry.with("scopes", &token.scopes)], now).await?;
    tx.commit().await?;
    Ok((to_proto(&token), format!("{PREFIX}{}", secret.encode())))
}

/// The good tokens of the caller, or of a bot that they may manage.
pub(crate) async fn list(shared: &Shared, call: &Call, owner: Uuid) -> Result<Vec<AccessToken>, AuthError> {
    let run = async {
        let db = shared.db.reader();
        let account = account::find(db, owner).await?.ok_or(AuthError::UserNotFound)?;
        may_manage(db, call, &account).await?;
        let tokens = access_token::of_user(db, owner, store::micros(shared.clock.now())).await?;
        Ok(tokens.iter().map(to_proto).collect())
    };
    shared.db.within(run).await
}

/// Ends a token of the caller, or of a bot that they may manage.
pub(crate) async fn revoke(shared: &Shared, call: &Call, owner: Uuid, token_id: Uuid) -> Result<(), AuthError> {
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    let account = account::find(&tx, owner).await?.ok_or(AuthError::UserNotFound)?;
    may_manage(&tx, call, &account).await?;
    let token = access_token::find(&tx, token_id).await?.filter(|token| token.user_id == owner);
    let token = token.ok_or(AuthError::TokenNotFound)?;
    if access_token::revoke(&tx, token_id, store::micros(now)).await? {
        let entry = call.entry("token.revoked", token_id).with("user", owner).with("name", &token.name);
        audit::append(&tx, &[entry], now).await?;
    }
    tx.commit().await?;
    shared.ended(&[token_id]).await;
    Ok(())
}

/// Everybody manages their own tokens, administrators those of bots.
async fn may_manage<C: sea_orm::ConnectionTrait>(db: &C, call: &Call, owner: &account::Model) -> Result<(), AuthError> {
    if owner.id == call.user.user_id {
        return Ok(());
    }
    let actor = admin::administrator(db, call).await?;
    if !owner.bot {
        return Err(AuthError::UserNotFound);
    }
    admin::may_change(&actor, owner.role())
}

/// Makes a bot.
pub(crate) async fn create_bot(
    shared: &Shared,
    call: &Call,
    request: CreateBotRequest,
) -> Result<account::Model, AuthError> {
    let mut fields = Fields::default();
    let username = fields::username(&mut fields, &request.username);
    let display_name = fields::display_name(&mut fields, &request.display_name, &username);
    let role = fields::role(&mut fields, request.role, WorkspaceRole::Member);
    if role == WorkspaceRole::Owner {
        fields.wrong("role", "a bot cannot own the workspace");
    }
    fields.done()?;
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    let actor = admin::administrator(&tx, call).await?;
    admin::may_change(&actor, role)?;
    let bot = account::Model { bot: true, ..accounts::blank(username, display_name, role, now) };
    let bot = accounts::insert(&tx, bot, Admission::ByAdministrator, now).await?;
    let entry = call.entry("bot.created", bot.id).with("username", &bot.username).with("role", bot.role_name());
    audit::append(&tx, &[entry], now).await?;
    tx.commit().await?;
    shared.wake.now();
    Ok(bot)
}

/// A token that was traded.
pub(crate) struct Traded {
    pub(crate) access_token: String,
    pub(crate) expires_in: u32,
    pub(crate) user_id: Uuid,
    pub(crate) token_id: Uuid,
}

/// Trades a token for a signed one with its scopes.
pub(crate) async fn exchange(shared: &Shared, text: &str, origin: &Origin) -> Result<Traded, AuthError> {
    let now = shared.clock.now();
    let known = match text.strip_prefix(PREFIX).and_then(Opaque::decode) {
        Some(secret) => shared.db.within(known(shared, &secret)).await?,
        None => None,
    };
    let good = known.as_ref().filter(|(token, account)| token.is_good(store::micros(now)) && !account.disabled);
    let Some((token, account)) = good else {
        refused(shared, known.as_ref().map(|(token, _)| token), origin).await?;
        return Err(AuthError::TokenInvalid);
    };
    let end = if token.expires_at == 0 { now + Duration::from_secs(3600) } else { store::time_of(token.expires_at) };
    let scope = Some(token.scopes.clone());
    let access_token = shared.signer.limited_token(account, token.id, scope, end, now)?;
    let tx = shared.db.begin().await?;
    access_token::used(&tx, token.id, &origin.place(), store::micros(now)).await?;
    tx.commit().await?;
    Ok(Traded { access_token, expires_in: seconds(end, now), user_id: account.id, token_id: token.id })
}

/// A token that was made here, good or not, and whose it is.
async fn known(shared: &Shared, secret: &Opaque) -> Result<Option<(access_token::Model, account::Model)>, AuthError> {
    let db = shared.db.reader();
    let Some(token) = access_token::find(db, secret.id).await? else { return Ok(None) };
    // Hashes are compared, so the time tells nothing about the token.
    if token.hash != secret.hash() {
        return Ok(None);
    }
    let account = account::find(db, token.user_id).await?;
    Ok(account.map(|account| (token, account)))
}

/// Counts a token that is not good: one that is good may be asked for by many gateways. It is written down once an hour for each
/// token and network, what nobody ever had counting as one: a program that was left running asks all the time, and entries stay.
async fn refused(shared: &Shared, token: Option<&access_token::Model>, origin: &Origin) -> Result<(), AuthError> {
    shared.limits.count_network(origin).await?;
    let subject = token.map(|token| token.id.to_string()).unwrap_or_default();
    if !shared.limits.is_news(&format!("token.{subject}.{}", origin.network())).await {
        return Ok(());
    }
    let mut entry = Entry::new("token.refused", subject).from(origin.place());
    if let Some(token) = token {
        entry = entry.with("user", token.user_id).with("name", &token.name);
    }
    shared.note(entry).await
}

fn seconds(end: OffsetDateTime, now: OffsetDateTime) -> u32 {
    let life = mesh::authn::ACCESS_TOKEN_LIFE.as_secs();
    u32::try_from((end - now).whole_seconds().clamp(0, i64::try_from(life).unwrap_or(0))).unwrap_or(0)
}

fn to_proto(token: &access_token::Model) -> AccessToken {
    let time = |micros: i64| (micros != 0).then(|| store::timestamp(micros));
    AccessToken {
        id: token.id.to_string(),
        name: token.name.clone(),
        scopes: token.scopes.split(' ').map(str::to_owned).collect(),
        created_at: time(token.created_at),
        expires_at: time(token.expires_at),
        last_used_at: time(token.last_used_at),
        last_address: token.last_address.clone(),
    }
}
