//! Many who do the same at the same moment, where only one may have it: the last use of an invitation, the last owner, a refresh
//! token, a link. What two do is in `races` and `people`.
//!
//! 64 at once, over and over: 200 times is the aim. In development builds on two cores 64 calls take 50 to 500 ms, so the races of
//! a story end after a second and a half, and `LOQUAT_TEST_RACES` says how many there are where there is time for all of them.
//! On SQLite, where one writes at a time, and on PostgreSQL, where they meet at locks.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use mesh::errors::reason;
use proto::auth::v1::{
    AcceptInviteRequest, AuditServiceListRequest, CreateBotRequest, CreateBotTokenRequest, CreateInviteRequest,
    ListInvitesRequest, ListSessionsRequest, ListUsersRequest, RefreshRequest, RefreshResponse, ResetPasswordRequest,
    SetUserRoleRequest, WorkspaceRole, auth_service_client::AuthServiceClient,
};
use tests::{Person, Shape, Town, person::comes_back, town};
use tokio::{sync::Barrier, task::JoinSet};
use tonic::{Status, transport::Channel};

use super::{Accounts as _, denied, links::Post, people::makes, refusal, with};

/// So many at the same moment.
const CROWD: usize = 64;
/// So many races, if there is time for them.
const RACES: usize = 200;
const AT_LEAST: usize = 3;
const TIME: Duration = Duration::from_millis(1500);
/// Each of 64 would have a password hashed, and a few of them do: half a second a race.
const RACES_WITH_PASSWORDS: usize = 3;

macro_rules! crowds {
    ($($story:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let races = super::$story(tests::Shape::Embedded).await;
                println!("{races} races of {} on SQLite", super::CROWD);
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let races = super::$story(tests::Shape::Full).await;
                println!("{races} races of {} on PostgreSQL", super::CROWD);
            })+
        }
    };
}

crowds!(
    the_last_use_of_an_invitation_is_had_by_one,
    an_owner_stays_whoever_goes,
    a_refresh_token_has_one_successor_however_often_it_is_spent,
);

/// Counts races until there were enough.
struct Races {
    most: Option<usize>,
    run: usize,
    began: Instant,
}

impl Races {
    #[allow(clippy::disallowed_methods, reason = "the tests' own switch, not configuration of the product")]
    fn begin() -> Self {
        let most = std::env::var("LOQUAT_TEST_RACES").ok().and_then(|most| most.parse().ok());
        Self { most, run: 0, began: Instant::now() }
    }

    fn another(&mut self) -> bool {
        let in_time = self.run < AT_LEAST || (self.run < RACES && self.began.elapsed() < TIME);
        let another = self.most.map_or(in_time, |most| self.run < most);
        self.run += usize::from(another);
        another
    }
}

/// Runs all of these, none of which begins before the others are there. Answers come as they are given.
async fn at_once<F>(calls: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let calls: Vec<F> = calls.collect();
    let barrier = Arc::new(Barrier::new(calls.len()));
    let mut crowd = JoinSet::new();
    for call in calls {
        let barrier = barrier.clone();
        crowd.spawn(async move {
            barrier.wait().await;
            call.await
        });
    }
    crowd.join_all().await
}

/// Whoever accepts an invitation is counted as a try; and where several transactions may be open, more than two are.
async fn start(shape: Shape) -> Town {
    Town::start_with(shape, |config| {
        config.auth.tries_altogether = 1_000_000;
        config.auth.db.max_connections = 8;
    })
    .await
}

/// An account that costs no password.
async fn bot(owner: Person, number: usize) -> Person {
    let new = CreateBotRequest { username: format!("bot{number}"), ..Default::default() };
    let bot = owner.bots().create_bot(new).await.unwrap().into_inner().bot.unwrap();
    let new = CreateBotTokenRequest {
        bot_id: bot.id.clone(),
        name: "races".into(),
        scopes: vec!["rooms:write".into()],
        expires_in_days: 1,
    };
    let secret = owner.bots().create_bot_token(new).await.unwrap().into_inner().secret;
    Person::returns(owner.address, bot, secret, String::new())
}

async fn accepts(person: Person, invite_token: String) -> Result<(), Status> {
    person.invites().accept_invite(AcceptInviteRequest { invite_token }).await.map(drop)
}

async fn the_last_use_of_an_invitation_is_had_by_one(shape: Shape) -> usize {
    let town = start(shape).await;
    let owner = town.registers("owner").await;
    let bots = stream::iter(0..CROWD).map(|number| bot(owner.clone(), number)).buffer_unordered(8);
    let bots: Vec<Person> = bots.collect().await;
    let mut races = Races::begin();
    while races.another() {
        let new = CreateInviteRequest { max_uses: 1, ..Default::default() };
        let invite_token = owner.invites().create_invite(new).await.unwrap().into_inner().invite_token;
        let answers = at_once(bots.iter().map(|bot| accepts(bot.clone(), invite_token.clone()))).await;
        let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(accepted.len(), 1, "race {}", races.run);
        for answer in refused {
            assert_eq!(refusal(answer), denied("INVITE_INVALID"), "race {}", races.run);
        }
        let newest = ListInvitesRequest { page_size: 1, ..Default::default() };
        let listed = owner.invites().list_invites(newest).await.unwrap().into_inner().invites;
        assert_eq!((listed[0].uses, listed[0].max_uses), (1, 1), "race {}", races.run);
    }
    races.run
}

/// The same session with a token that has the rights of now.
async fn renewed(person: &Person) -> Person {
    let answer = refreshes(town::channel(person.address), person.refresh_token.clone()).await.unwrap();
    Person::returns(person.address, answer.user.unwrap(), answer.access_token, answer.refresh_token)
}

/// Somebody takes an owner's role away, which may be their own.
async fn goes(actor: Person, user_id: String) -> Result<(), Status> {
    let request = SetUserRoleRequest { user_id, role: WorkspaceRole::Member.into() };
    actor.admin().set_user_role(request).await.map(drop)
}

async fn owners(admin: &Person) -> Vec<String> {
    let listed = admin.admin().list_users(ListUsersRequest::default()).await.unwrap().into_inner().users;
    let users = listed.into_iter().filter_map(|listed| listed.user);
    users.filter(|user| user.role() == WorkspaceRole::Owner && !user.disabled).map(|user| user.id).collect()
}

async fn an_owner_stays_whoever_goes(shape: Shape) -> usize {
    let town = start(shape).await;
    let (ann, ben, admin) = (town.registers("ann").await, town.registers("ben").await, town.registers("admin").await);
    makes(&ann, &admin, WorkspaceRole::Admin).await.unwrap();
    makes(&ann, &ben, WorkspaceRole::Owner).await.unwrap();
    let admin = renewed(&admin).await;
    let (mut stays, mut other) = (ann, renewed(&ben).await);
    let mut races = Races::begin();
    while races.another() {
        // In turn: each puts the other out, and each goes of their own accord.
        let moves = [(&stays, &other), (&other, &stays), (&stays, &stays), (&other, &other)];
        let moves = moves.into_iter().cycle().take(CROWD);
        let answers = at_once(moves.map(|(actor, target)| goes(actor.clone(), target.user.id.clone()))).await;
        assert!(answers.iter().any(Result::is_ok), "race {}: one of them goes", races.run);
        for refused in answers.into_iter().filter_map(Result::err) {
            let expected = ["LAST_OWNER", "ROLE_TOO_LOW", "TOKEN_EXPIRED"];
            assert!(expected.contains(&reason(&refused).as_str()), "race {}: {refused:?}", races.run);
        }
        let left = owners(&admin).await;
        assert_eq!(left.len(), 1, "race {}", races.run);
        if left[0] != stays.user.id {
            std::mem::swap(&mut stays, &mut other);
        }
        // Nothing of whoever stays has changed, so their token is good.
        makes(&stays, &other, WorkspaceRole::Owner).await.unwrap();
        other = renewed(&other).await;
    }
    races.run
}

async fn refreshes(channel: Channel, refresh_token: String) -> Result<RefreshResponse, Status> {
    let request = RefreshRequest { refresh_token };
    Ok(AuthServiceClient::new(channel).refresh(request).await?.into_inner())
}

async fn a_refresh_token_has_one_successor_however_often_it_is_spent(shape: Shape) -> usize {
    let town = start(shape).await;
    let alice = town.registers("alice").await;
    let channels = [town.channel(), town.channel(), town.channel(), town.channel()];
    let (mut newest, mut seen) = (alice.refresh_token.clone(), BTreeSet::new());
    let mut races = Races::begin();
    while races.another() {
        let spending = channels.iter().cycle().take(CROWD);
        let answers = at_once(spending.map(|channel| refreshes(channel.clone(), newest.clone()))).await;
        let answers = answers.into_iter().map(|answer| answer.unwrap().refresh_token);
        let successors: BTreeSet<String> = answers.collect();
        assert_eq!(successors.len(), 1, "race {}: all get the same", races.run);
        newest = successors.into_iter().next().unwrap();
        assert!(seen.insert(newest.clone()), "race {}: a new one each time", races.run);
    }
    let last = refreshes(town.channel(), newest).await.unwrap();
    let alice = with(&alice, &last.access_token);
    let sessions = alice.sessions().list_sessions(ListSessionsRequest {}).await.unwrap().into_inner().sessions;
    assert_eq!(sessions.len(), 1, "one family, and no false end of it");
    races.run
}

/// The password that is set, if it is. Who finds all places taken comes back, and is too late then.
async fn resets(channel: Channel, link: String, password: String) -> Result<String, Status> {
    let request = ResetPasswordRequest { reset_token: link, new_password: password.clone() };
    comes_back(|| {
        let (mut auth, request) = (AuthServiceClient::new(channel.clone()), request.clone());
        async move { auth.reset_password(request).await }
    })
    .await?;
    Ok(password)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_used_by_one() {
    let mut post = Post::opens().await;
    let (owner, _) = (post.registers("owner").await, post.registers("alice").await);
    for race in 1..=RACES_WITH_PASSWORDS {
        let link = post.link("alice").await;
        let channel = post.town.channel();
        let passwords = (0..CROWD).map(|number| format!("password {number} of race {race}"));
        let answers = at_once(passwords.map(|password| resets(channel.clone(), link.clone(), password))).await;
        let (set, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(set.len(), 1, "race {race}");
        for answer in refused {
            assert_eq!(refusal(answer), denied("RESET_TOKEN_INVALID"), "race {race}");
        }
        let password = set.into_iter().find_map(Result::ok).unwrap();
        assert!(post.has("alice", &password).await, "race {race}: the password is the winner's");
        let written = AuditServiceListRequest { action: "password.reset".into(), ..Default::default() };
        let entries = owner.audit().list(written).await.unwrap().into_inner().entries;
        // What was asked for begins with the same word.
        let resets = entries.iter().filter(|entry| entry.action == "password.reset").count();
        assert_eq!(resets, race, "each is written down once");
    }
}
