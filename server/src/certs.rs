//! `loquat certs init`: a private authority and a certificate for each role, for mutual TLS between roles that are apart.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use mesh::rpc::{AUTHORITY, DOMAIN};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};
use time::OffsetDateTime;

use crate::config::Role;

/// The key of the authority, which no process needs.
const AUTHORITY_KEY: &str = "ca.key";
/// How long the authority is good.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long a role's certificate is good.
const ROLE_LIFE: Duration = Duration::from_secs(2 * 365 * 86_400);
/// Clocks of other machines may be behind.
const EARLIER: Duration = Duration::from_secs(3600);

/// Why certificates cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// The folder or a file in it.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// The certificate itself.
    #[error("a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Makes an authority, if there is none in the folder, and a certificate of it for each role, in place of those there are.
///
/// # Errors
/// When the folder cannot be written to, or what is there cannot be used.
pub fn init(folder: &Path, now: OffsetDateTime) -> Result<(), CertsError> {
    std::fs::create_dir_all(folder).map_err(|cause| CertsError::Io(folder.display().to_string(), cause))?;
    let (certificate_file, key_file) = (folder.join(AUTHORITY), folder.join(AUTHORITY_KEY));
    if !certificate_file.exists() || !key_file.exists() {
        let authority = CertifiedIssuer::self_signed(authority(now)?, KeyPair::generate_for(&PKCS_ED25519)?)?;
        write(&key_file, &authority.key().serialize_pem(), 0o600)?;
        write(&certificate_file, &authority.pem(), 0o644)?;
    }
    // Its name is always the same, and the rest of what is signed with it comes from the key.
    let known = authority(now)?;
    let authority = Issuer::from_params(&known, KeyPair::from_pem(&read(&key_file)?)?);
    for role in Role::ALL {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let certificate = of_role(role, now)?.signed_by(&key, &authority)?;
        write(&folder.join(format!("{role}.key")), &key.serialize_pem(), 0o600)?;
        write(&folder.join(format!("{role}.pem")), &certificate.pem(), 0o644)?;
    }
    Ok(())
}

fn authority(now: OffsetDateTime) -> Result<CertificateParams, CertsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Loquat mesh");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (now - EARLIER, now + AUTHORITY_LIFE);
    Ok(params)
}

fn of_role(role: Role, now: OffsetDateTime) -> Result<CertificateParams, CertsError> {
    let mut params = CertificateParams::new(vec![format!("{role}.{DOMAIN}")])?;
    params.distinguished_name.push(DnType::CommonName, role.name());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (now - EARLIER, now + ROLE_LIFE);
    Ok(params)
}

fn read(file: &Path) -> Result<String, CertsError> {
    std::fs::read_to_string(file).map_err(|cause| CertsError::Io(file.display().to_string(), cause))
}

/// Written beside and put in place at once, so that no process reads half of it.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), CertsError> {
    let failed = |cause| CertsError::Io(file.display().to_string(), cause);
    let beside = file.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut new = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(failed)?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, file).map_err(failed)
}
