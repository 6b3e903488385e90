//! Key, certificate and CA as they come from PEM files.
//!
//! Must not: put a key into an error or a log.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Where key, certificate and CA are; PEM, what `ovs-vsctl set-ssl` takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// Our private key.
    pub private_key: PathBuf,
    /// Our certificate, and after it those between it and the CA, if any.
    pub certificate: PathBuf,
    /// The CA whose certificates are believed; several, while one takes the place of another.
    pub ca_certificate: PathBuf,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("{what} {}: {source}; give a file that this process may read", path.display())]
    Read {
        /// What the file is to hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("{what} {}: {problem}; give a PEM file with -----BEGIN {}----- in it", path.display(), label(what))]
    Pem {
        /// What the file is to hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The key is another certificate's.
    #[error("private key {} does not belong to certificate {}; give the two that were made together", private_key.display(), certificate.display())]
    Mismatch {
        /// The key's file.
        private_key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// Well-formed, but not for this.
    #[error("{}: cannot be used for TLS: {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
}

/// From when until when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: OffsetDateTime,
    pub(super) until: OffsetDateTime,
}

/// Tells files from those that were there before: inode and times of change. `None` for one that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<[i64; 5]>; 3]);

/// What the files hold.
pub(super) struct Material {
    pub(super) identity: CertifiedKey,
    pub(super) validity: Validity,
    pub(super) roots: RootCertStore,
}

impl TlsFiles {
    pub(super) fn stamp(&self) -> Stamp {
        let stamp = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some([
                i64::from_ne_bytes(metadata.ino().to_ne_bytes()),
                metadata.mtime(),
                metadata.mtime_nsec(),
                // These also move when only the permissions change.
                metadata.ctime(),
                metadata.ctime_nsec(),
            ])
        };
        Stamp([&self.private_key, &self.certificate, &self.ca_certificate].map(|path| stamp(path)))
    }
}

impl Material {
    pub(super) fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<Material, TlsError> {
        let chain = certificates(CERTIFICATE, &files.certificate)?;
        let unusable = |problem: String| TlsError::Unusable {
            path: files.certificate.clone(),
            problem,
        };
        let first = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let validity = Validity::of(first).map_err(unusable)?;
        let key = private_key(&files.private_key)?;
        let identity = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
            let mismatch = TlsError::Mismatch {
                private_key: files.private_key.clone(),
                certificate: files.certificate.clone(),
            };
            match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => mismatch,
                error => unusable(error.to_string()),
            }
        })?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(CA_CERTIFICATE, &files.ca_certificate)? {
            roots.add(certificate).map_err(|error| TlsError::Unusable {
                path: files.ca_certificate.clone(),
                problem: error.to_string(),
            })?;
        }
        Ok(Material {
            identity,
            validity,
            roots,
        })
    }
}

impl Validity {
    pub(super) fn of(certificate: &[u8]) -> Result<Validity, String> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let validity = parsed.validity();
        Ok(Validity {
            from: validity.not_before.to_datetime(),
            until: validity.not_after.to_datetime(),
        })
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(PRIVATE_KEY, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsError::Pem {
        what: PRIVATE_KEY,
        path: path.to_owned(),
        problem: pem_problem(&error),
    })
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |error: pem::Error| TlsError::Pem {
        what,
        path: path.to_owned(),
        problem: pem_problem(&error),
    };
    let text = read(what, path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(refuse)?;
    if found.is_empty() {
        return Err(refuse(pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

/// Without anything of what was read: it may be a key.
fn pem_problem(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "holds none",
        pem::Error::MissingSectionEnd { .. } => "is cut off",
        pem::Error::IllegalSectionStart { .. } => "has a malformed -----BEGIN line",
        pem::Error::Base64Decode(_) => "holds one that is not base64",
        _ => "is no PEM",
    }
    .to_owned()
}

fn label(what: &str) -> &'static str {
    if what == PRIVATE_KEY {
        "PRIVATE KEY"
    } else {
        "CERTIFICATE"
    }
}

const PRIVATE_KEY: &str = "private key";
const CERTIFICATE: &str = "certificate";
const CA_CERTIFICATE: &str = "CA certificate";
