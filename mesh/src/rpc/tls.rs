//! Mutual TLS between roles: each shows a certificate of the mesh's own authority, and takes only such.
//!
//! A role is found under its own name, whatever its address is: its certificate is for `ROLE.loquat.internal`.

use std::{path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// What a role's certificate is for, behind its name.
pub const DOMAIN: &str = "loquat.internal";
/// The certificate of the authority, in the folder of certificates.
pub const AUTHORITY: &str = "ca.pem";

/// The certificate of one role, and the authority whose certificates it takes. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    /// Reads `ca.pem`, `ROLE.pem` and `ROLE.key` from a folder.
    ///
    /// # Errors
    /// When a file is missing or cannot be understood, naming it.
    pub fn open(folder: &Path, role: &str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for authority in certificates(&folder.join(AUTHORITY))? {
            roots.add(authority).map_err(|cause| format!("{}: {cause}", folder.join(AUTHORITY).display()))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&folder.join(format!("{role}.pem")))?;
        let key_file = folder.join(format!("{role}.key"));
        let key =
            PrivateKeyDer::from_pem_file(&key_file).map_err(|cause| format!("{}: {cause}", key_file.display()))?;
        let failed = |cause: &dyn std::fmt::Display| format!("the certificate of the role {role}: {cause}");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|cause| failed(&cause))?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|cause| failed(&cause))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|cause| failed(&cause))?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|cause| failed(&cause))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|cause| failed(&cause))?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }

    /// The other half of a connection that was made to us.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<server::TlsStream<TcpStream>> {
        within(self.acceptor.accept(stream)).await
    }

    /// Our half of a connection that we made to a role.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        role: String,
    ) -> std::io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(format!("{role}.{DOMAIN}")).map_err(std::io::Error::other)?;
        within(self.connector.connect(name, stream)).await
    }
}

async fn within<T>(handshake: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    tokio::time::timeout(HANDSHAKE, handshake).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |cause: &dyn std::fmt::Display| format!("{}: {cause}", file.display());
    let read = CertificateDer::pem_file_iter(file).map_err(|cause| failed(&cause))?;
    let found = read.collect::<Result<Vec<_>, _>>().map_err(|cause| failed(&cause))?;
    if found.is_empty() { Err(failed(&"holds no certificate")) } else { Ok(found) }
}
