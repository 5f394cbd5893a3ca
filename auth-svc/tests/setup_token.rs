//! The first account needs the setup token wherever others than those at the machine could make it, and wherever one is configured.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use auth_svc::{Config, Deps};
use mesh::{
    authn::{Authn, KeyStore, MeshSecret},
    bus::{Bus, memory},
    cache::Cache,
    clock::Clock,
    config::Secret,
    db::{Db, DbConfig},
    lifecycle::Tasks,
    rpc::{Guard, Upstream, protect},
};
use proto::auth::v1::{
    GetSignInOptionsRequest, RegisterRequest, WorkspaceRole, auth_service_client::AuthServiceClient,
};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

struct BusTables;

#[async_trait::async_trait]
impl MigratorTrait for BusTables {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![memory::migration()]
    }
}

async fn service(folder: &tempfile::TempDir, setup_token: &str, off_loopback: bool) -> (Upstream, Tasks) {
    let open = async |name: &str| {
        let url = format!("sqlite:{}", folder.path().join(name).display());
        Db::open(&DbConfig { url, ..DbConfig::default() }).await.unwrap()
    };
    let (clock, tasks) = (Clock::system(), Tasks::new());
    let bus_db = open("bus.db").await;
    bus_db.migrate::<BusTables>().await.unwrap();
    let deps = Deps {
        db: open("auth.db").await,
        bus: Bus::open_memory(bus_db, clock.clone()).await.unwrap(),
        cache: Cache::open("memory:", &tasks).unwrap(),
        clock: clock.clone(),
        tasks: tasks.clone(),
        off_loopback,
        public_url: String::new(),
    };
    let config = Config { setup_token: Secret::new(setup_token), ..Config::default() };
    let service = auth_svc::start(&config, deps).await.unwrap();
    let secret = MeshSecret::open(&Secret::default(), &folder.path().join("mesh.secret")).unwrap();
    let keys = KeyStore::new(Arc::new(|| Box::pin(async { Ok(Vec::new()) })), clock.clone());
    let authn = Authn::new("loquat", keys, secret, clock);
    (protect(service.routes, service.direct, Guard { role: "auth", authn, methods: service.methods }), tasks)
}

fn register(name: &str, setup_token: &str) -> RegisterRequest {
    RegisterRequest {
        username: name.into(),
        password: "correct horse battery".into(),
        setup_token: setup_token.into(),
        ..RegisterRequest::default()
    }
}

async fn asks_for_the_token(upstream: Upstream) -> bool {
    let options = AuthServiceClient::new(upstream).get_sign_in_options(GetSignInOptionsRequest {}).await.unwrap();
    options.into_inner().setup_token_required
}

async fn only_who_has_the_token_becomes_the_owner(off_loopback: bool) {
    let folder = tempfile::tempdir().unwrap();
    let (upstream, tasks) = service(&folder, "open sesame", off_loopback).await;
    assert!(asks_for_the_token(upstream.clone()).await);
    let mut auth = AuthServiceClient::new(upstream);
    for wrong in ["", "guess"] {
        let refused = auth.register(register("eve", wrong)).await.unwrap_err();
        assert_eq!(mesh::errors::reason(&refused), "SETUP_TOKEN_REQUIRED");
    }
    let first = auth.register(register("alice", "open sesame")).await.unwrap().into_inner().user.unwrap();
    assert_eq!(first.role(), WorkspaceRole::Owner);
    let second = auth.register(register("bob", "")).await.unwrap().into_inner().user.unwrap();
    assert_eq!(second.role(), WorkspaceRole::Member, "the others need none");
    tasks.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_over_a_public_address_needs_the_token() {
    only_who_has_the_token_becomes_the_owner(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_token_counts_on_loopback_as_well() {
    only_who_has_the_token_becomes_the_owner(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_configured_token_one_is_made_off_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    let (upstream, tasks) = service(&folder, "", true).await;
    assert!(asks_for_the_token(upstream.clone()).await);
    let refused = AuthServiceClient::new(upstream).register(register("eve", "")).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&refused), "SETUP_TOKEN_REQUIRED");
    tasks.stop(Duration::from_secs(1)).await;

    let folder = tempfile::tempdir().unwrap();
    let (upstream, tasks) = service(&folder, "", false).await;
    assert!(!asks_for_the_token(upstream.clone()).await);
    let first = AuthServiceClient::new(upstream).register(register("alice", "")).await.unwrap().into_inner();
    assert_eq!(first.user.unwrap().role(), WorkspaceRole::Owner, "whoever is at the machine");
    tasks.stop(Duration::from_secs(1)).await;
}
