//! Many accounts at once, at the server itself: for `loquat user import`. They have no password, so nobody signs in to them
//! with one; sessions can be opened for them on the spot, for programs and for load tests.

use mesh::{
    audit::{self, Entry},
    authn::Origin,
    db::Db,
    fields::Fields,
};
use proto::auth::v1::{User, WorkspaceRole};
use time::OffsetDateTime;

use crate::{
    accounts::{self, Admission},
    errors::AuthError,
    fields,
    migration::Migrator,
    sessions,
    store::{account, secret},
    tokens::Signer,
};

/// How many accounts one transaction makes.
const AT_ONCE: usize = 500;

/// An account that was imported, and the session that was opened for it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The account.
    pub user: User,
    /// Lives ten minutes.
    pub access_token: String,
    /// Renews the session.
    pub refresh_token: String,
}

/// Makes accounts without passwords, each with a session. A name that is taken keeps its account and gets a session as well, so
/// that an import can be repeated. `names` are usernames with display names, which may be empty.
///
/// # Errors
/// When a name is not valid, or the database refuses. What was imported before stays.
pub async fn import_accounts(
    db: &Db,
    issuer: &str,
    names: &[(String, String)],
    now: OffsetDateTime,
) -> Result<Vec<Imported>, AuthError> {
    db.migrate::<Migrator>().await.map_err(AuthError::internal)?;
    let mut imported = Vec::with_capacity(names.len());
    for some in names.chunks(AT_ONCE) {
        let tx = db.begin().await?;
        let seed = secret::keep(&tx, secret::SIGNING_SEED, mesh::ids::random::<32>().to_vec()).await?;
        let seed =
            <[u8; 32]>::try_from(seed.as_slice()).map_err(|_| AuthError::internal(anyhow::anyhow!("the seed")))?;
        let signer = Signer::new(issuer, &seed)?;
        for (username, display_name) in some {
            let account = prepare(username, display_name, now)?;
            let account = match account::by_username(&tx, &account.username).await? {
                Some(known) => known,
                None => accounts::insert(&tx, account, Admission::ByAdministrator, now).await?,
            };
            let started = sessions::start(&tx, &account, "import", &Origin::default(), now).await?;
            let access_token = signer.access_token(&account, started.session.id, now)?;
            let user = account.to_proto();
            imported.push(Imported { user, access_token, refresh_token: started.refresh_token });
        }
        let entry = Entry::new("user.imported", "").with("accounts", some.len());
        audit::append(&tx, &[entry], now).await?;
        tx.commit().await?;
    }
    Ok(imported)
}

fn prepare(username: &str, display_name: &str, now: OffsetDateTime) -> Result<account::Model, AuthError> {
    let mut fields = Fields::default();
    let username = fields::username(&mut fields, username);
    let display_name = fields::display_name(&mut fields, display_name, &username);
    fields.done()?;
    Ok(accounts::blank(username, display_name, WorkspaceRole::Member, now))
}
