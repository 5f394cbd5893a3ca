//! Every method of the contracts, called by those who may not: found in the descriptors, so that a new one is called as well.
//!
//! A method that this suite does not know fails it, with a text that says what to add.

mod call;
mod cases;

use std::collections::{BTreeMap, BTreeSet};

use mesh::{
    authn::{Access, Rank},
    errors::reason,
    rpc::Method,
};
use serde_json::Value;
use server::config::Role;
use tests::{Forge, Person, Shape, Town};
use tonic::{Code, transport::Channel};

use self::{
    call::call,
    cases::{Expected, Scene},
};

/// Methods that anybody may call, without an account. One more is a decision about safety, which is made here as well.
const OPEN: &[&str] = &[
    "/loquat.auth.v1.AuthService/GetSignInOptions",
    "/loquat.auth.v1.AuthService/Login",
    "/loquat.auth.v1.AuthService/Logout",
    "/loquat.auth.v1.AuthService/Refresh",
    "/loquat.auth.v1.AuthService/Register",
    "/loquat.auth.v1.AuthService/RequestPasswordReset",
    "/loquat.auth.v1.AuthService/ResetPassword",
    "/loquat.auth.v1.InviteService/PreviewInvite",
];

fn is_internal(path: &str) -> bool {
    path.contains(".internal.")
}

/// Every table of methods, by path.
fn tables() -> BTreeMap<&'static str, (Role, &'static Method)> {
    server::methods().map(|(role, method)| (method.path, (role, method))).collect()
}

#[test]
fn every_method_of_the_contracts_has_one_entry_in_a_table_and_every_entry_a_method() {
    let described: BTreeSet<String> =
        proto::method_paths(|package| package.starts_with("loquat.")).into_iter().collect();
    let listed: BTreeSet<String> = tables().into_keys().map(str::to_owned).collect();
    let missing: Vec<&String> = described.difference(&listed).collect();
    assert!(missing.is_empty(), "add these to the table METHODS of their service: {missing:?}");
    assert_eq!(listed, described);
    assert_eq!(server::methods().count(), listed.len(), "an entry stands twice");
}

#[test]
fn only_these_methods_are_open_to_everybody() {
    let open = tables().into_values().filter(|(_, method)| method.access == Access::Public);
    let open: Vec<&str> = open.map(|(_, method)| method.path).collect();
    assert_eq!(open, OPEN, "who has no account may call something else: if that is meant, change OPEN");
}

#[test]
fn internal_methods_are_for_services_and_no_other_is_for_them_alone() {
    for (path, (_, method)) in tables() {
        assert_eq!(method.access == Access::Service, is_internal(path), "{path}");
    }
}

/// A server and where its methods are called.
struct Stage {
    _town: Town,
    forge: Forge,
    /// The public port, and each role's own where it is apart.
    ports: Vec<(Option<Role>, Channel)>,
}

impl Stage {
    async fn set(shape: Shape) -> (Self, Scene) {
        let town = Town::start(shape).await;
        let scene = Scene::play(&town).await;
        let forge = Forge::of(&town);
        let mut ports = vec![(None, town.channel())];
        if shape == Shape::Split {
            let apart = Role::ALL.into_iter().filter(|role| *role != Role::Gateway);
            ports.extend(apart.map(|role| (Some(role), tests::town::channel(town.service(role)))));
        }
        (Self { _town: town, forge, ports }, scene)
    }

    /// Where a role's public methods are answered: at the gateway, and at its own port.
    fn ports_of(&self, role: Role) -> impl Iterator<Item = &Channel> {
        self.ports.iter().filter(move |(port, _)| port.is_none_or(|port| port == role)).map(|(_, channel)| channel)
    }

    /// Tokens that are none, each with the reason why.
    fn bad_tokens(&self, person: &Person) -> Vec<(&'static str, Option<String>, &'static str)> {
        let now = mesh::clock::Clock::system().now().unix_timestamp();
        let with = |name: &str, value: Value| self.forge.token(person, |claims| _ = claims.insert(name.into(), value));
        let expired = self.forge.token(person, |claims| {
            claims.insert("iat".into(), (now - 1200).into());
            claims.insert("exp".into(), (now - 700).into());
        });
        vec![
            ("no token", None, "TOKEN_MISSING"),
            ("an expired token", Some(expired), "TOKEN_EXPIRED"),
            ("another issuer's token", Some(with("iss", "elsewhere".into())), "TOKEN_INVALID"),
            ("a token for another audience", Some(with("aud", "another".into())), "TOKEN_INVALID"),
            ("a refresh token", Some(person.refresh_token.clone()), "TOKEN_INVALID"),
            ("a service's token", Some(self.forge.service_token("chat")), "TOKEN_INVALID"),
        ]
    }
}

async fn who_has_no_good_token_is_nobody(shape: Shape) {
    let (stage, scene) = Stage::set(shape).await;
    let tokens = stage.bad_tokens(&scene.eve);
    for (path, (role, method)) in tables() {
        if !matches!(method.access, Access::User | Access::UserOrService) {
            continue;
        }
        for (what, token, expected) in &tokens {
            // The directory is also for services.
            if method.access == Access::UserOrService && *what == "a service's token" {
                continue;
            }
            for port in stage.ports_of(role) {
                let refused = call(port, path, token.as_deref(), Vec::new()).await;
                let refused = refused.expect_err(&format!("{path} with {what} is answered"));
                let told = (refused.code(), reason(&refused));
                assert_eq!(told, (Code::Unauthenticated, (*expected).to_owned()), "{path} with {what}");
            }
        }
    }
}

async fn who_stands_too_low_is_refused(shape: Shape) {
    let (stage, scene) = Stage::set(shape).await;
    for (path, (role, method)) in tables() {
        if !matches!(method.access, Access::User | Access::UserOrService) {
            continue;
        }
        for rank in [Rank::Guest, Rank::Member, Rank::Admin].into_iter().filter(|rank| *rank < method.least) {
            let person = stage.forge.in_role(&scene.eve, rank.name());
            for port in stage.ports_of(role) {
                let refused = call(port, path, Some(&person.token), Vec::new()).await;
                let refused = refused.expect_err(&format!("{path} as {} is answered", rank.name()));
                let told = (refused.code(), reason(&refused));
                assert_eq!(told, (Code::PermissionDenied, "ROLE_TOO_LOW".into()), "{path} as {}", rank.name());
            }
        }
        // A program whose token is for something else, whoever its owner is.
        let owner = stage.forge.in_role(&scene.eve, "owner");
        let program = stage.forge.program(&owner, "nothing:read");
        for port in stage.ports_of(role) {
            let refused = call(port, path, Some(&program.token), Vec::new()).await;
            let refused = refused.expect_err(&format!("{path} without its scope is answered"));
            let told = (refused.code(), reason(&refused));
            assert_eq!(told, (Code::PermissionDenied, "SCOPE_MISSING".into()), "{path} without its scope");
        }
    }
}

async fn what_is_others_is_not_for_everybody(shape: Shape) {
    let (stage, scene) = Stage::set(shape).await;
    let mut unknown = Vec::new();
    for (path, (role, method)) in tables() {
        if is_internal(path) || method.access == Access::Public {
            continue;
        }
        let Some(cases) = scene.cases(path) else {
            unknown.push(path);
            continue;
        };
        for case in cases {
            for port in stage.ports_of(role) {
                let answer = call(port, path, Some(&scene.eve.token), case.request.clone()).await;
                match (answer, &case.expected) {
                    (Err(refused), Expected::Refused(code, why)) => {
                        assert_eq!((refused.code(), reason(&refused).as_str()), (*code, *why), "{path}: {}", case.what);
                    }
                    (Ok(answer), Expected::Answer(holds)) => assert!(holds(&answer), "{path}: {}", case.what),
                    (answer, _) => panic!("{path}: {}: {answer:?}", case.what),
                }
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "add to Scene::cases in tests/tests/stories/denied/cases.rs, for each of {unknown:#?}: a request by which eve asks for \
         something of alice's, and how it is refused; or an empty list and why nothing can be another's"
    );
}

async fn internal_methods_are_for_services(shape: Shape) {
    let (stage, scene) = Stage::set(shape).await;
    for (path, (role, method)) in tables() {
        if method.access != Access::Service {
            continue;
        }
        for (port, channel) in &stage.ports {
            for (what, token) in [("no token", None), ("a person's token", Some(scene.founder.token.as_str()))] {
                let refused = call(channel, path, token, Vec::new()).await;
                let refused = refused.expect_err(&format!("{path} with {what} is answered"));
                let expected = match port {
                    // Not even known from outside, nor at another role's port.
                    None => (Code::Unimplemented, "UNKNOWN_METHOD"),
                    Some(other) if *other != role => (Code::Unimplemented, "UNKNOWN_METHOD"),
                    Some(_) => (Code::Unauthenticated, "SERVICE_TOKEN_REQUIRED"),
                };
                assert_eq!((refused.code(), reason(&refused).as_str()), expected, "{path} with {what}");
            }
            let token = stage.forge.service_token("gateway");
            if port.is_none() {
                let refused = call(channel, path, Some(&token), Vec::new()).await;
                let refused = refused.expect_err(&format!("{path} from outside is answered"));
                assert_eq!(reason(&refused), "UNKNOWN_METHOD", "{path} with a service's token from outside");
            }
        }
    }
}

macro_rules! in_shapes {
    ($($story:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() { super::$story(tests::Shape::Embedded).await; })+
        }
        mod split {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() { super::$story(tests::Shape::Split).await; })+
        }
    };
}

in_shapes!(
    who_has_no_good_token_is_nobody,
    who_stands_too_low_is_refused,
    what_is_others_is_not_for_everybody,
    internal_methods_are_for_services,
);
