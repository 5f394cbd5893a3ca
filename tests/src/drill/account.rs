//! Accounts and their sessions. Access tokens end after ten minutes, and a drill may last for hours.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use proto::auth::v1::{RefreshRequest, User, auth_service_client::AuthServiceClient};
use serde::Deserialize;

use crate::{Person, town};

/// Tokens are renewed when they are this old.
const OLD: Duration = Duration::from_secs(240);

/// Somebody in a drill.
pub(super) struct Account {
    pub(super) user: User,
    tokens: Mutex<Tokens>,
}

struct Tokens {
    access: String,
    refresh: String,
    made: Instant,
}

/// A line of what `loquat user import` writes.
#[derive(Deserialize)]
struct Line {
    username: String,
    user_id: String,
    access_token: String,
    refresh_token: String,
}

impl Account {
    /// Reads what `loquat user import` wrote.
    ///
    /// # Panics
    /// When it is something else.
    pub(super) fn read(lines: &str) -> Vec<Self> {
        let one = |line: &str| {
            let line: Line = serde_json::from_str(line).expect("a line about a session");
            let user = User { id: line.user_id, username: line.username, ..User::default() };
            let tokens = Tokens { access: line.access_token, refresh: line.refresh_token, made: Instant::now() };
            Self { user, tokens: Mutex::new(tokens) }
        };
        lines.lines().map(one).collect()
    }

    pub(super) fn token(&self) -> String {
        self.tokens().access.clone()
    }

    /// With a connection of their own.
    pub(super) fn at(&self, door: SocketAddr) -> Person {
        let tokens = self.tokens();
        Person::returns(door, self.user.clone(), tokens.access.clone(), tokens.refresh.clone())
    }

    /// Renews a token that is old. Only while everything works: whoever does not get the answer loses the session.
    ///
    /// # Panics
    /// When the server refuses.
    pub(super) async fn renew(&self, door: SocketAddr) {
        if self.tokens().made.elapsed() < OLD {
            return;
        }
        let request = RefreshRequest { refresh_token: self.tokens().refresh.clone() };
        let answer = AuthServiceClient::new(town::channel(door)).refresh(request).await;
        let answer = answer.expect("a session can be renewed").into_inner();
        *self.tokens() = Tokens { access: answer.access_token, refresh: answer.refresh_token, made: Instant::now() };
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
