//! Who runs the workspace: roles, disabled accounts, and the rules that keep an owner in it.

use mesh::{
    audit::{self, Entry},
    outbox,
};
use proto::auth::v1::{UserChanged, WorkspaceRole};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts,
    errors::AuthError,
    rpc::{Call, Shared},
    sessions,
    store::{self, account, reset},
};

/// The caller as they are now, if they run the workspace. What their token says may be older.
pub(crate) async fn administrator<C: ConnectionTrait>(db: &C, call: &Call) -> Result<account::Model, AuthError> {
    administrates(account::find(db, call.user.user_id).await?)
}

/// The account, if who has it runs the workspace.
pub(crate) fn administrates(account: Option<account::Model>) -> Result<account::Model, AuthError> {
    let account = account.filter(|account| !account.disabled).ok_or(AuthError::SessionEnded)?;
    match account.role() {
        WorkspaceRole::Owner | WorkspaceRole::Admin => Ok(account),
        _ => Err(AuthError::RoleTooLow),
    }
}

/// Administrators manage members and guests, owners everybody.
pub(crate) fn may_change(actor: &account::Model, role: WorkspaceRole) -> Result<(), AuthError> {
    let high = matches!(role, WorkspaceRole::Owner | WorkspaceRole::Admin);
    if high && actor.role() != WorkspaceRole::Owner { Err(AuthError::RoleTooLow) } else { Ok(()) }
}

/// The account to be changed, if the caller may. Nobody else changes it, the caller, or any owner, before the transaction ends.
async fn target<C: ConnectionTrait>(tx: &C, call: &Call, user_id: Uuid) -> Result<Target, AuthError> {
    let locked = account::lock_with_owners(tx, &[user_id, call.user.user_id]).await?;
    let of = |id: Uuid| locked.iter().find(|account| account.id == id).cloned();
    let actor = administrates(of(call.user.user_id))?;
    let account = of(user_id).ok_or(AuthError::UserNotFound)?;
    may_change(&actor, account.role())?;
    let owns = |account: &account::Model| account.role() == WorkspaceRole::Owner && !account.disabled;
    let last_owner = owns(&account) && locked.iter().filter(|account| owns(account)).count() == 1;
    Ok(Target { actor, account, last_owner })
}

struct Target {
    actor: account::Model,
    account: account::Model,
    last_owner: bool,
}

/// Changes a role.
pub(crate) async fn set_role(
    shared: &Shared,
    call: &Call,
    user_id: Uuid,
    role: WorkspaceRole,
) -> Result<account::Model, AuthError> {
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    let Target { actor, mut account, last_owner } = target(&tx, call, user_id).await?;
    may_change(&actor, role)?;
    if account.role() == role {
        return Ok(account);
    }
    if last_owner {
        return Err(AuthError::LastOwner);
    }
    if account.bot && role == WorkspaceRole::Owner {
        return Err(mesh::fields::Invalid::one("role", "a bot cannot own the workspace").into());
    }
    let before = account.role_name();
    account.role = role.into();
    changed(&tx, &mut account, now).await?;
    let entry = call.entry("user.role_changed", user_id).with("from", before).with("to", account.role_name());
    audit::append(&tx, &[entry], now).await?;
    tx.commit().await?;
    shared.narrowed(&account, &[]).await;
    Ok(account)
}

/// Disables or enables an account; only bots with `bots`.
pub(crate) async fn set_disabled(
    shared: &Shared,
    call: &Call,
    user_id: Uuid,
    disabled: bool,
    bots: bool,
) -> Result<account::Model, AuthError> {
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    let Target { mut account, last_owner, .. } = target(&tx, call, user_id).await?;
    if bots && !account.bot {
        return Err(AuthError::UserNotFound);
    }
    if account.disabled == disabled {
        return Ok(account);
    }
    if disabled && last_owner {
        return Err(AuthError::LastOwner);
    }
    account.disabled = disabled;
    let mut ended = Vec::new();
    if disabled {
        ended = sessions::end_all(&tx, user_id, None, now).await?;
        // Nor is a link good again when the account is.
        reset::forget(&tx, user_id, store::micros(now)).await?;
    }
    changed(&tx, &mut account, now).await?;
    let action = if disabled { "user.disabled" } else { "user.enabled" };
    audit::append(&tx, &[call.entry(action, user_id).with("ended_sessions", ended.len())], now).await?;
    tx.commit().await?;
    shared.narrowed(&account, &ended).await;
    Ok(account)
}

/// Ends every session of an account.
pub(crate) async fn revoke_sessions(shared: &Shared, call: &Call, user_id: Uuid) -> Result<Vec<Uuid>, AuthError> {
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    target(&tx, call, user_id).await?;
    let ended = sessions::end_all(&tx, user_id, None, now).await?;
    let entry: Entry = call.entry("user.sessions_revoked", user_id).with("ended_sessions", ended.len());
    audit::append(&tx, &[entry], now).await?;
    tx.commit().await?;
    shared.ended(&ended).await;
    Ok(ended)
}

/// Writes an account whose rights were changed: older tokens of it do not count any more.
async fn changed<C: ConnectionTrait>(
    tx: &C,
    account: &mut account::Model,
    now: OffsetDateTime,
) -> Result<(), AuthError> {
    account.epoch += 1;
    account.epoch_at = store::micros(now);
    account::update(tx, account).await?;
    let event = UserChanged { user: Some(account.to_proto()), at: Some(store::timestamp(store::micros(now))) };
    outbox::add(tx, &[accounts::message(&event, account.id)?], now).await?;
    Ok(())
}
