//! Roles that are apart and know each other by certificates.

use mesh::{
    clock::Clock,
    rpc::{Tls, connect, connect_tls},
};
use proto::auth::internal::v1::{GetKeysRequest, key_service_client::KeyServiceClient};
use server::config::Role;
use tests::{Forge, Shape, Town};
use tonic::{Code, Request};

fn certificates(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let certs = folder.path().join("certs");
    server::certs::init(&certs, Clock::system().now()).unwrap();
    certs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_certificate_of_the_mesh_is_refused() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (certs, others) = (certificates(&ours), certificates(&theirs));
    let town = Town::start_with(Shape::Split, |config| config.mesh.certs.clone_from(&certs)).await;
    // Everything works with the roles apart.
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let mut stream = alice.listens().await;
    alice.says(&room, "over TLS").await;
    stream.sees("over TLS").await;
    // A service token alone is not enough, nor is a certificate of somebody else's authority.
    let token = Forge::of(&town).service_token("gateway");
    let url = format!("http://{}", town.service(Role::Auth));
    let keys = async |upstream: mesh::rpc::Upstream| {
        let mut request = Request::new(GetKeysRequest {});
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        KeyServiceClient::new(upstream).get_keys(request).await.map(|answer| answer.into_inner().keys.len())
    };
    let ours = Tls::open(&certs, "gateway").unwrap();
    assert_eq!(keys(connect_tls(&url, "auth", ours.clone()).unwrap()).await.unwrap(), 1);
    let stranger = Tls::open(&others, "gateway").unwrap();
    // Depending on what is noticed first, the connection was refused, or closed before the call was answered.
    let unanswered = |code| matches!(code, Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled);
    for refused in [connect(&url).unwrap(), connect_tls(&url, "auth", stranger).unwrap()] {
        let refused = keys(refused).await.unwrap_err();
        assert!(unanswered(refused.code()), "{refused:?}");
    }
    // A role is who its certificate says, whatever is listening there.
    let refused = keys(connect_tls(&url, "chat", ours).unwrap()).await.unwrap_err();
    assert!(unanswered(refused.code()), "{refused:?}");
}

#[test]
fn an_authority_stays_and_its_keys_are_for_their_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let certs = certificates(&folder);
    let read = |name: &str| std::fs::read_to_string(certs.join(name)).unwrap();
    let (authority, role) = (read("ca.pem"), read("auth.pem"));
    server::certs::init(&certs, Clock::system().now()).unwrap();
    assert_eq!(read("ca.pem"), authority);
    assert_ne!(read("auth.pem"), role, "roles get new ones");
    for key in ["ca.key", "auth.key", "chat.key", "file.key", "gateway.key", "worker.key"] {
        assert_eq!(std::fs::metadata(certs.join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
    std::fs::remove_file(certs.join("auth.key")).unwrap();
    assert!(Tls::open(&certs, "auth").err().unwrap().contains("auth.key"));
}
