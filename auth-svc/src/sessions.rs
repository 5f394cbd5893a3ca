//! Sessions: started, renewed, ended. A refresh token is spent by its use; one that was spent before its predecessor's grace
//! was over ends the session, since then two parties hold it.

use std::time::Duration;

use mesh::{
    audit::{self, Entry},
    authn::Origin,
    outbox,
};
use proto::auth::v1::SessionEnded;
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts,
    errors::AuthError,
    store::{
        self, account,
        session::{self, Model},
    },
    tokens::Opaque,
};

/// For so long the token just spent gives the same successor: two windows of one browser may race.
const GRACE: Duration = Duration::from_secs(10);

/// A session and the token that renews it.
pub(crate) struct Renewed {
    pub(crate) session: Model,
    pub(crate) account: account::Model,
    pub(crate) refresh_token: String,
}

/// Starts a session.
pub(crate) async fn start<C: ConnectionTrait>(
    tx: &C,
    account: &account::Model,
    device: &str,
    origin: &Origin,
    now: OffsetDateTime,
) -> Result<Renewed, AuthError> {
    let token = Opaque::new(mesh::ids::new_id());
    let session = Model {
        id: token.id,
        user_id: account.id,
        device: device.to_owned(),
        key: mesh::ids::random::<32>().to_vec(),
        current_hash: token.hash(),
        previous_hash: Vec::new(),
        created_at: store::micros(now),
        rotated_at: store::micros(now),
        ended_at: 0,
        address: origin.place(),
    };
    session::insert(tx, session.clone()).await?;
    Ok(Renewed { session, account: account.clone(), refresh_token: token.encode() })
}

/// What a refresh token is to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Current,
    /// Just spent: its successor is the current one.
    InGrace,
    /// Spent before, or never given out.
    Spent,
}

fn standing(session: &Model, token: &Opaque, now: OffsetDateTime) -> Standing {
    let hash = token.hash();
    let grace = i64::try_from(GRACE.as_micros()).unwrap_or(0);
    if hash == session.current_hash {
        Standing::Current
    } else if hash == session.previous_hash && store::micros(now) - session.rotated_at <= grace {
        Standing::InGrace
    } else {
        Standing::Spent
    }
}

/// The session, if it lives, with its account.
async fn living<C: ConnectionTrait>(
    db: &C,
    session: Option<Model>,
    idle: Duration,
    now: OffsetDateTime,
) -> Result<(Model, account::Model), AuthError> {
    let session = session.ok_or(AuthError::RefreshTokenInvalid)?;
    let idle = i64::try_from(idle.as_micros()).unwrap_or(i64::MAX);
    if session.ended_at != 0 || store::micros(now) - session.rotated_at > idle {
        return Err(AuthError::SessionEnded);
    }
    let account = account::find(db, session.user_id).await?.filter(|account| !account.disabled);
    Ok((session, account.ok_or(AuthError::SessionEnded)?))
}

/// What became of an attempt to renew.
pub(crate) enum Renewal {
    /// A new pair.
    Renewed(Box<Renewed>),
    /// The token was spent long ago: the session was ended.
    Replayed { session_id: Uuid },
}

/// Spends a refresh token.
pub(crate) async fn renew<C: ConnectionTrait>(
    tx: &C,
    token: &Opaque,
    idle: Duration,
    origin: &Origin,
    now: OffsetDateTime,
) -> Result<Renewal, AuthError> {
    // Two windows that renew at once do so one after the other.
    let session = session::lock(tx, token.id).await?;
    let (session, account) = living(tx, session, idle, now).await?;
    let successor = token.successor(&session.key);
    match standing(&session, token, now) {
        Standing::Current => {
            session::rotate(tx, &session, successor.hash(), origin.place(), store::micros(now)).await?;
        }
        Standing::InGrace => {}
        Standing::Spent => {
            end(tx, session.user_id, &[session.id], now).await?;
            let entry = Entry::new("session.replayed", session.id).from(origin.place()).with("user", session.user_id);
            audit::append(tx, &[entry], now).await?;
            return Ok(Renewal::Replayed { session_id: session.id });
        }
    }
    Ok(Renewal::Renewed(Box::new(Renewed { session, account, refresh_token: successor.encode() })))
}

/// Whose session a refresh token is, without spending it.
pub(crate) async fn resolve<C: ConnectionTrait>(
    db: &C,
    token: &Opaque,
    idle: Duration,
    now: OffsetDateTime,
) -> Result<(Model, account::Model), AuthError> {
    let session = session::find(db, token.id).await?;
    let (session, account) = living(db, session, idle, now).await?;
    match standing(&session, token, now) {
        Standing::Current | Standing::InGrace => Ok((session, account)),
        Standing::Spent => Err(AuthError::RefreshTokenInvalid),
    }
}

/// Ends sessions of an account and tells other services.
pub(crate) async fn end<C: ConnectionTrait>(
    tx: &C,
    user_id: Uuid,
    sessions: &[Uuid],
    now: OffsetDateTime,
) -> Result<(), AuthError> {
    session::end(tx, sessions, store::micros(now)).await?;
    let ended = |session: &Uuid| {
        let event = SessionEnded {
            session_id: session.to_string(),
            user_id: user_id.to_string(),
            at: Some(store::timestamp(store::micros(now))),
        };
        accounts::message(&event, user_id)
    };
    let messages = sessions.iter().map(ended).collect::<Result<Vec<_>, _>>()?;
    if !messages.is_empty() {
        outbox::add(tx, &messages, now).await?;
    }
    Ok(())
}

/// Ends every session of an account but one, and returns them.
pub(crate) async fn end_all<C: ConnectionTrait>(
    tx: &C,
    user_id: Uuid,
    but: Option<Uuid>,
    now: OffsetDateTime,
) -> Result<Vec<Uuid>, AuthError> {
    let mut ended = session::lock_of_user(tx, user_id).await?;
    ended.retain(|session| Some(*session) != but);
    end(tx, user_id, &ended, now).await?;
    Ok(ended)
}

/// Before this a session that was not used since has ended by itself.
pub(crate) fn idle_since(idle: Duration, now: OffsetDateTime) -> i64 {
    store::micros(now).saturating_sub(i64::try_from(idle.as_micros()).unwrap_or(i64::MAX))
}
