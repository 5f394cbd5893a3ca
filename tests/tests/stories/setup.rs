//! Who becomes the owner: whoever comes first where only this machine can come, and who has the setup token everywhere else.

use std::path::Path;

use mesh::{config::Secret, errors::reason};
use proto::auth::v1::{
    GetSignInOptionsRequest, RegisterRequest, RegisterResponse, WorkspaceRole, auth_service_client::AuthServiceClient,
};
use server::{
    Server,
    config::{Config, Role, Roles},
};
use tests::{
    Shape, Town,
    cluster::SECRET,
    person::{PASSWORD, SETUP_TOKEN},
    process, town,
};
use tonic::{Status, transport::Channel};

async fn registers(channel: &Channel, name: &str, setup_token: &str) -> Result<RegisterResponse, Status> {
    let request = RegisterRequest {
        username: name.into(),
        password: PASSWORD.into(),
        setup_token: setup_token.into(),
        ..RegisterRequest::default()
    };
    AuthServiceClient::new(channel.clone()).register(request).await.map(tonic::Response::into_inner)
}

/// Somebody without the token makes no account, and who has it makes the first one.
async fn only_who_has_it_becomes_the_owner(channel: &Channel) {
    let options = AuthServiceClient::new(channel.clone()).get_sign_in_options(GetSignInOptionsRequest {}).await;
    assert!(options.unwrap().into_inner().setup_token_required, "people are told that they need it");
    for wrong in ["", "a guess"] {
        let refused = registers(channel, "eve", wrong).await.expect_err("eve may not");
        assert_eq!(reason(&refused), "SETUP_TOKEN_REQUIRED", "with {wrong:?}");
    }
    let first = registers(channel, "alice", SETUP_TOKEN).await.unwrap().user.unwrap();
    assert_eq!(first.role(), WorkspaceRole::Owner);
    let second = registers(channel, "bob", "").await.unwrap().user.unwrap();
    assert_eq!(second.role(), WorkspaceRole::Member, "the others need none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_at_the_machine_needs_no_token() {
    let town = Town::start(Shape::Embedded).await;
    let first = registers(&town.channel(), "alice", "").await.unwrap().user.unwrap();
    assert_eq!(first.role(), WorkspaceRole::Owner);
}

/// As behind a proxy on the same machine, by which anybody comes to a port on loopback.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_token_is_needed_on_loopback_as_well() {
    let configure = |config: &mut Config| config.auth.setup_token = Secret::new(SETUP_TOKEN);
    let town = Town::start_with(Shape::Embedded, configure).await;
    only_who_has_it_becomes_the_owner(&town.channel()).await;
}

/// The process with the accounts cannot know where the gateway of another one listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_gateway_elsewhere_the_token_is_needed() {
    for configured in [SETUP_TOKEN, ""] {
        let (folder, edge) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut config = anywhere(folder.path());
        config.auth.setup_token = Secret::new(configured);
        let roles = Roles::from([Role::Auth, Role::Chat, Role::File, Role::Worker]);
        let services = Server::start(config, &roles).await.unwrap();
        let at = |role: Role| format!("http://{}", services.services[&role]);
        let mut config = anywhere(edge.path());
        config.auth.url = at(Role::Auth);
        config.chat.url = at(Role::Chat);
        config.file.url = at(Role::File);
        config.worker.url = at(Role::Worker);
        let gateway = Server::start(config, &Roles::from([Role::Gateway])).await.unwrap();
        let channel = town::channel(gateway.public.unwrap());
        if configured.is_empty() {
            // One was made, which only who reads the log has.
            let refused = registers(&channel, "eve", "").await.expect_err("eve may not");
            assert_eq!(reason(&refused), "SETUP_TOKEN_REQUIRED");
        } else {
            only_who_has_it_becomes_the_owner(&channel).await;
        }
        gateway.stop().await;
        services.stop().await;
    }
}

/// A configuration with every port a free one of loopback.
fn anywhere(folder: &Path) -> Config {
    let mut config = Config { data_dir: folder.to_owned(), ..Config::default() };
    let ports = [
        &mut config.gateway.listen,
        &mut config.ops.listen,
        &mut config.auth.listen,
        &mut config.chat.listen,
        &mut config.file.listen,
        &mut config.worker.listen,
    ];
    ports.into_iter().for_each(|listen| *listen = "127.0.0.1:0".into());
    config.mesh.secret = Secret::new(SECRET);
    config.mesh.stop_seconds = 3;
    config.gateway.drain_seconds = 0;
    // A test is not the program that looks at files.
    config.worker.program = process::binary();
    config
}
