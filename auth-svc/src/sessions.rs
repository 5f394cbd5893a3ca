//! Sessions: started, renewed, ended. A refresh token is spent by its use; one that comes again after its grace ends the
//! session, since then two parties hold it. What the session never gave out changes nothing: its id is no secret.

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
    rpc::Shared,
    store::{
        self, account,
        session::{self, Model},
    },
    tokens::Opaque,
};

/// So many of an account's sessions are looked at to see where it is at home.
const MOST_PLACES: u64 = 200;
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
    let key = mesh::ids::random::<32>();
    let token = Opaque::of_session(mesh::ids::new_id(), &key);
    let session = Model {
        id: token.id,
        user_id: account.id,
        device: device.to_owned(),
        key: key.to_vec(),
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
    /// Spent before.
    Spent,
}

/// Nothing for a token that the session never gave out.
fn standing(session: &Model, token: &Opaque, now: OffsetDateTime) -> Option<Standing> {
    let hash = token.hash();
    let grace = i64::try_from(GRACE.as_micros()).unwrap_or(0);
    if hash == session.current_hash {
        return Some(Standing::Current);
    }
    let previous = hash == session.previous_hash;
    if previous && store::micros(now) - session.rotated_at <= grace {
        return Some(Standing::InGrace);
    }
    (previous || token.was_given_out(&session.key)).then_some(Standing::Spent)
}

/// The session of a token that it gave out, if it lives, with its account.
async fn living<C: ConnectionTrait>(
    db: &C,
    session: Option<Model>,
    token: &Opaque,
    idle: Duration,
    now: OffsetDateTime,
) -> Result<(Model, account::Model, Standing), AuthError> {
    let session = session.ok_or(AuthError::RefreshTokenInvalid)?;
    let standing = standing(&session, token, now).ok_or(AuthError::RefreshTokenInvalid)?;
    let idle = i64::try_from(idle.as_micros()).unwrap_or(i64::MAX);
    if session.ended_at != 0 || store::micros(now) - session.rotated_at > idle {
        return Err(AuthError::SessionEnded);
    }
    let account = account::find(db, session.user_id).await?.filter(|account| !account.disabled);
    Ok((session, account.ok_or(AuthError::SessionEnded)?, standing))
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
    let (session, account, standing) = living(tx, session, token, idle, now).await?;
    let successor = token.successor(&session.key);
    match standing {
        Standing::InGrace if successor.hash() == session.current_hash => {}
        // In its grace, a token is changed once more if its successor was made by a release that sealed none.
        Standing::Current | Standing::InGrace => {
            session::rotate(tx, &session, successor.hash(), origin.place(), store::micros(now)).await?;
        }
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
    let (session, account, standing) = living(db, session, token, idle, now).await?;
    match standing {
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

/// Whether somebody who is signed in to the account of this name, or to one with this address, was last in this network.
pub(crate) async fn used_from(shared: &Shared, account: &str, origin: &Origin) -> Result<bool, AuthError> {
    let since = idle_since(shared.idle, shared.clock.now());
    let places = shared.db.within(session::places(shared.db.reader(), account, since, MOST_PLACES)).await?;
    let network = origin.network();
    let network_of = |place: &String| Origin { address: place.parse().ok(), agent: String::new() }.network();
    Ok(places.iter().any(|place| network_of(place) == network))
}

#[cfg(test)]
mod tests {
    use mesh::{clock::Clock, db::Db};
    use proto::auth::v1::WorkspaceRole;

    use super::*;

    const IDLE: Duration = Duration::from_secs(86_400);

    /// Somebody who is signed in.
    async fn signed_in(db: &Db, now: OffsetDateTime) -> Renewed {
        let account = accounts::blank("alice".into(), "Alice".into(), WorkspaceRole::Member, now);
        let tx = db.begin().await.unwrap();
        account::insert(&tx, account.clone()).await.unwrap();
        let started = start(&tx, &account, "a phone", &Origin::default(), now).await.unwrap();
        tx.commit().await.unwrap();
        started
    }

    async fn renewed(db: &Db, token: &Opaque, now: OffsetDateTime) -> Result<Renewal, AuthError> {
        let tx = db.begin().await.unwrap();
        let renewal = renew(&tx, token, IDLE, &Origin::default(), now).await?;
        tx.commit().await.unwrap();
        Ok(renewal)
    }

    async fn next(db: &Db, token: &Opaque, now: OffsetDateTime) -> Opaque {
        match renewed(db, token, now).await.unwrap() {
            Renewal::Renewed(renewed) => Opaque::decode(&renewed.refresh_token).unwrap(),
            Renewal::Replayed { .. } => panic!("the session was ended"),
        }
    }

    #[tokio::test]
    async fn only_what_the_session_gave_out_ends_it() {
        let ((db, _folder), now) = (store::database().await, Clock::system().now());
        let started = signed_in(&db, now).await;
        let first = Opaque::decode(&started.refresh_token).unwrap();
        let second = next(&db, &first, now).await;
        let third = next(&db, &second, now).await;
        // Its id is in the audit log: whoever read that may send what they like.
        for number in 0..10 {
            let made_up = renewed(&db, &Opaque::new(started.session.id), now).await;
            assert!(matches!(made_up, Err(AuthError::RefreshTokenInvalid)), "try {number}");
        }
        let session = session::find(db.reader(), started.session.id).await.unwrap().unwrap();
        assert_eq!((session.ended_at, &session.current_hash), (0, &third.hash()), "nothing has changed");
        assert!(matches!(renewed(&db, &first, now).await, Ok(Renewal::Replayed { .. })), "two parties hold it");
        let session = session::find(db.reader(), started.session.id).await.unwrap().unwrap();
        assert_ne!(session.ended_at, 0, "an older one that was given out ends it");
    }

    #[tokio::test]
    async fn tokens_without_a_seal_are_good_until_they_are_spent() {
        let ((db, _folder), now) = (store::database().await, Clock::system().now());
        let session = signed_in(&db, now).await.session;
        // As a release that sealed none left it: one that was just spent, and its successor.
        let (spent, current) = (Opaque::new(session.id), Opaque::new(session.id));
        let left = Model { current_hash: spent.hash(), ..session };
        let tx = db.begin().await.unwrap();
        session::rotate(&tx, &left, current.hash(), String::new(), store::micros(now)).await.unwrap();
        tx.commit().await.unwrap();
        // Whoever has lost the answer asks again with the spent one, and gets what is good.
        let again = next(&db, &spent, now).await;
        let one = next(&db, &current, now).await;
        let last = next(&db, &one, now).await;
        assert!(last.was_given_out(&left.key));
        let long_ago = renewed(&db, &spent, now).await;
        assert!(matches!(long_ago, Err(AuthError::RefreshTokenInvalid)), "it cannot be told from a made-up one");
        assert!(matches!(renewed(&db, &again, now).await, Ok(Renewal::Replayed { .. })));
    }

    #[tokio::test]
    async fn a_token_that_comes_after_its_grace_ends_the_session_sealed_or_not() {
        let (id, key) = (mesh::ids::new_id(), mesh::ids::random::<32>());
        let now = Clock::system().now();
        let later = now + GRACE + Duration::from_secs(1);
        for spent in [Opaque::of_session(id, &key), Opaque::new(id)] {
            let session = Model {
                id,
                user_id: mesh::ids::new_id(),
                device: String::new(),
                key: key.to_vec(),
                current_hash: spent.successor(&key).hash(),
                previous_hash: spent.hash(),
                created_at: store::micros(now),
                rotated_at: store::micros(now),
                ended_at: 0,
                address: String::new(),
            };
            assert_eq!(standing(&session, &spent.successor(&key), later), Some(Standing::Current));
            assert_eq!(standing(&session, &spent, now), Some(Standing::InGrace));
            assert_eq!(standing(&session, &spent, later), Some(Standing::Spent));
            assert_eq!(standing(&session, &Opaque::new(id), now), None);
        }
    }
}
