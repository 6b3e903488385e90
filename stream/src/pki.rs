//! CAs and the certificates they sign: ECDSA over P-256, which costs a switch a tenth of what RSA does.
//!
//! ```text
//! controllers' CA ── signs ──▶ controllers' certificates     nodes believe it, and nothing else
//! nodes' CA       ── signs ──▶ one certificate per node      controllers believe it, and nothing else
//! ```
//!
//! Open vSwitch checks no names: whom its one CA has signed may command it. So a node's certificate is signed by a CA
//! that no node believes.
//!
//! Must not: print a key; read or write files, but in `directory`.

mod directory;

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::tls::{PeerName, date};

pub use directory::{Directory, DirectoryError, Existing, Made};

/// A text that no log may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A private key and its certificate, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub private_key: Secret,
    /// Until when it is good, for people.
    pub until: String,
}

/// What signs certificates.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    from: OffsetDateTime,
    until: OffsetDateTime,
}

/// For whom a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A node, which its certificate names.
    Node(PeerName),
    /// A controller, or a client of the northbound database: whoever checks it checks no name.
    Controller(String),
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// What is given for a CA is none.
    #[error("no CA: {0}; give the certificate and key that weft pki init made")]
    NoAuthority(String),
    /// It cannot be made.
    #[error("certificate cannot be made: {0}")]
    Making(#[from] rcgen::Error),
    /// The name is too long or strange.
    #[error(
        "{0:?} cannot be the common name in a certificate: give one of 1 to 64 printable characters"
    )]
    Name(String),
}

impl Authority {
    /// A new CA, and its key.
    ///
    /// # Errors
    /// When there is no randomness, or `name` cannot be a name.
    pub fn create(name: &str, period: Period) -> Result<(Authority, Issued), PkiError> {
        let mut params = params(name, period)?;
        // It signs what peers show, and no further CA.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let issued = Issued {
            certificate: certificate.clone(),
            private_key: Secret(key.serialize_pem()),
            until: date(period.until),
        };
        let issuer = Issuer::new(params, key);
        Ok((
            Authority {
                certificate,
                issuer,
            },
            issued,
        ))
    }

    /// A CA that was made before, from PEM.
    ///
    /// # Errors
    /// When one of the two is not what it should be.
    pub fn load(certificate: &str, private_key: &Secret) -> Result<Authority, PkiError> {
        let no = |error: &dyn fmt::Display| PkiError::NoAuthority(error.to_string());
        let key = KeyPair::from_pem(&private_key.0).map_err(|error| no(&error))?;
        let der =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|error| no(&error))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| no(&error))?;
        if !parsed.is_ca() {
            return Err(no(&"the certificate may not sign others"));
        }
        if parsed.public_key().subject_public_key.data != key.public_key_raw() {
            return Err(no(&"the key is that of another certificate"));
        }
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(|error| no(&error))?;
        Ok(Authority {
            certificate: certificate.to_owned(),
            issuer,
        })
    }

    /// Its certificate, PEM: what the other side is given to believe.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate with a key of its own.
    ///
    /// # Errors
    /// When there is no randomness, or a name cannot be one.
    pub fn issue(&self, subject: &Subject, period: Period) -> Result<Issued, PkiError> {
        let mut params = match subject {
            Subject::Node(name) => {
                let text = name.to_string();
                // A common name has 64 characters at most; nobody looks at it.
                let common: String = text.chars().take(64).collect();
                let mut params = params(&common, period)?;
                params.subject_alt_names = vec![match text.parse() {
                    Ok(address) => SanType::IpAddress(address),
                    Err(_) => SanType::DnsName(text.try_into()?),
                }];
                params
            }
            Subject::Controller(name) => params(name, period)?,
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A node listens, and its ovs-vswitchd may also dial; so may a controller.
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok(Issued {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            private_key: Secret(key.serialize_pem()),
            until: date(period.until),
        })
    }
}

impl Period {
    /// From now on for so many days; and an hour back, as clocks differ.
    #[must_use]
    pub fn days(days: u16) -> Period {
        let now = OffsetDateTime::now_utc();
        Period {
            from: now.saturating_sub(CLOCK_SKEW),
            until: now.saturating_add(Duration::days(days.into())),
        }
    }

    /// From so many days after now until so many days after now; before it, if negative.
    #[must_use]
    pub fn days_from_now(from: i16, until: i16) -> Period {
        let now = OffsetDateTime::now_utc();
        let after = |days: i16| now.saturating_add(Duration::days(days.into()));
        Period {
            from: after(from),
            until: after(until),
        }
    }
}

impl Secret {
    /// Takes a text out of sight.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text, for whoever writes it where it belongs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn params(name: &str, period: Period) -> Result<CertificateParams, PkiError> {
    if !(1..=64).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(PkiError::Name(name.to_owned()));
    }
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (period.from, period.until);
    Ok(params)
}

/// Two machines' clocks are rarely farther apart.
const CLOCK_SKEW: Duration = Duration::hours(1);
