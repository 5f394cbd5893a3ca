//! Accounts: made, found.

use mesh::{
    audit::{self, Entry},
    db::Db,
    fields::Fields,
    outbox::{self, OutboxMessage},
};
use proto::auth::v1::{User, UserRegistered, WorkspaceRole};
use sea_orm::{ConnectionTrait, SqlErr};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::{
    errors::AuthError,
    fields,
    migration::Migrator,
    passwords::{Admitted, Passwords},
    store::{self, account, secret},
};

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// In any case; folded.
    pub username: String,
    /// What people see; the username when empty.
    pub display_name: String,
    /// 8 to 1,024 bytes.
    pub password: String,
    /// Rights in the workspace. The first account becomes the owner whatever this says.
    pub role: WorkspaceRole,
    /// Where its mail goes; may be empty.
    pub email: String,
}

/// What a new account must satisfy besides its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Admission<'a> {
    /// An administrator makes it, at the server itself.
    ByAdministrator,
    /// Somebody registers by themselves.
    Registration {
        /// Registration is open, or an invitation was brought.
        open: bool,
        /// The first account needs the setup token.
        needs_setup_token: bool,
        /// The token that they brought.
        setup_token: &'a str,
    },
}

/// Makes an account at the server itself, for `loquat user add`. Brings the tables up to date first.
///
/// # Errors
/// When a field is wrong, the name is taken, or the database refuses.
pub async fn add_account(db: &Db, new: &NewAccount, now: OffsetDateTime) -> Result<User, AuthError> {
    db.migrate::<Migrator>().await.map_err(AuthError::internal)?;
    let passwords = Passwords::new().map_err(AuthError::internal)?;
    let account = prepare(passwords.admit()?, new, now).await?;
    let tx = db.begin().await?;
    let account = insert(&tx, account, Admission::ByAdministrator, now).await?;
    let entry =
        Entry::new("user.added", account.id).with("username", &account.username).with("role", account.role_name());
    audit::append(&tx, &[entry], now).await?;
    tx.commit().await?;
    Ok(account.to_proto())
}

/// Checks the fields and hashes the password: all that needs no transaction.
pub(crate) async fn prepare(
    admitted: Admitted,
    new: &NewAccount,
    now: OffsetDateTime,
) -> Result<account::Model, AuthError> {
    let mut fields = Fields::default();
    let username = fields::username(&mut fields, &new.username);
    let display_name = fields::display_name(&mut fields, &new.display_name, &username);
    fields::new_password(&mut fields, "password", &new.password);
    let email = fields::email(&mut fields, &new.email);
    fields.done()?;
    let password = admitted.hash(&new.password).await?;
    Ok(account::Model { password, email, ..blank(username, display_name, new.role, now) })
}

/// An account without a password: nobody signs in to it with one.
pub(crate) fn blank(
    username: String,
    display_name: String,
    role: WorkspaceRole,
    now: OffsetDateTime,
) -> account::Model {
    account::Model {
        id: mesh::ids::new_id(),
        folded_name: display_name.to_lowercase(),
        username,
        display_name,
        password: String::new(),
        role: role.into(),
        created_at: store::micros(now),
        bot: false,
        disabled: false,
        email: String::new(),
        title: String::new(),
        about: String::new(),
        avatar_file_id: String::new(),
        avatar_revision: 0,
        epoch: 0,
        epoch_at: 0,
        mention_mail: true,
    }
}

/// Writes an account. That it is the first is decided here, inside the transaction.
pub(crate) async fn insert<C: ConnectionTrait>(
    tx: &C,
    mut account: account::Model,
    admission: Admission<'_>,
    now: OffsetDateTime,
) -> Result<account::Model, AuthError> {
    let first = account::count(tx).await? == 0 && is_first(tx, &account).await?;
    if let Admission::Registration { open, needs_setup_token, setup_token } = admission {
        if first && needs_setup_token && !setup_token_matches(tx, setup_token).await? {
            return Err(AuthError::SetupTokenRequired);
        }
        if !first && !open {
            return Err(AuthError::RegistrationClosed);
        }
    }
    if first {
        account.role = WorkspaceRole::Owner.into();
    }
    account::insert(tx, account.clone()).await.map_err(|cause| match cause.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => AuthError::UsernameTaken,
        _ => cause.into(),
    })?;
    let registered = UserRegistered { user: Some(account.to_proto()), at: account.to_proto().created_at };
    outbox::add(tx, &[message(&registered, account.id)?], now).await?;
    Ok(account)
}

/// Whether nobody was quicker. Others that register at this moment wait here until this transaction ends.
async fn is_first<C: ConnectionTrait>(tx: &C, account: &account::Model) -> Result<bool, AuthError> {
    let id = account.id.as_bytes().to_vec();
    Ok(secret::keep(tx, secret::FIRST_ACCOUNT, id.clone()).await? == id)
}

/// An event for other services.
pub(crate) fn message<M: prost::Message + prost::Name>(event: &M, key: uuid::Uuid) -> Result<OutboxMessage, AuthError> {
    Ok(OutboxMessage::new(proto::event_kind::<M>(), proto::to_json(event).map_err(AuthError::internal)?, key))
}

async fn setup_token_matches<C: ConnectionTrait>(db: &C, token: &str) -> Result<bool, AuthError> {
    let known = secret::find(db, secret::SETUP_TOKEN_HASH).await?;
    // Hashes are compared, so the time tells nothing about the token.
    Ok(known.is_some_and(|hash| hash == Sha256::digest(token.as_bytes()).to_vec()))
}
