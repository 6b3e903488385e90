//! What can go wrong between two that want to speak TLS, in words that say who has to do what.
//!
//! A peer that refuses our certificate says so with an alert, after which it closes; in TLS 1.3 that comes when for us the
//! handshake is over already. What an alert means is told with what is known of our own certificate beside it.
//!
//! Must not: decide anything.

use std::io;
use std::path::PathBuf;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use time::OffsetDateTime;
use tracing::warn;

use super::files::{TlsFiles, Validity};
use super::rustls_error;

/// Why there is no agreement with a peer. The peer is for the caller to name: each text says what *it* does.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    /// It has no certificate, or does not show it.
    #[error(
        "shows no certificate; give it one that a CA in {} has signed", ca_certificate.display()
    )]
    NoCertificate {
        /// Our CA.
        ca_certificate: PathBuf,
    },
    /// Another CA signed its certificate.
    #[error(
        "shows a certificate that no CA in {} has signed; is it the other side's CA that is given here, and the peer who it should be?",
        ca_certificate.display()
    )]
    UnknownCa {
        /// Our CA.
        ca_certificate: PathBuf,
    },
    /// Its certificate is another's.
    #[error(
        "shows a certificate for {presented}, not for {expected}: does the address lead to another node?"
    )]
    WrongName {
        /// Who was dialled.
        expected: String,
        /// Who answered.
        presented: String,
    },
    /// Its certificate is past its end.
    #[error("shows a certificate that expired on {since}; give it a new one")]
    Expired {
        /// When.
        since: String,
    },
    /// Its certificate is not good yet.
    #[error("shows a certificate that is not valid before {from}; are both clocks right?")]
    NotYetValid {
        /// From when.
        from: String,
    },
    /// Its certificate is none that can be used.
    #[error("shows a certificate that cannot be used: {0}")]
    Unfit(String),
    /// It does not believe in our CA.
    #[error(
        "refuses {}: it trusts another CA than the one that has signed it", certificate.display()
    )]
    OurCaUnknown {
        /// Our certificate.
        certificate: PathBuf,
    },
    /// Our certificate is past its end.
    #[error("refuses {}, which expired on {since}; give a new one", certificate.display())]
    OursExpired {
        /// Our certificate.
        certificate: PathBuf,
        /// When.
        since: String,
    },
    /// Our certificate is not good yet.
    #[error("refuses {}, which is not valid before {from}; is the clock right?", certificate.display())]
    OursNotYetValid {
        /// Our certificate.
        certificate: PathBuf,
        /// From when.
        from: String,
    },
    /// It refuses our certificate for another reason.
    #[error("refuses {} (alert {alert})", certificate.display())]
    OursRefused {
        /// Our certificate.
        certificate: PathBuf,
        /// What it says.
        alert: String,
    },
    /// What it says is no TLS.
    #[error("speaks no TLS; is it a plain tcp: or ptcp: address?")]
    NotTls,
    /// No common version.
    #[error(
        "speaks neither TLS 1.2 nor 1.3; allow one of them there (--ssl-protocols of Open vSwitch)"
    )]
    Version,
    /// It hung up in the middle.
    #[error(
        "closed the connection during the TLS handshake; does it speak TLS, and has it key and certificate of its own (ovs-vsctl get-ssl)?"
    )]
    Closed,
    /// It hung up before it said anything, which may be about us.
    #[error(
        "closed the connection right after the TLS handshake without a word; it may refuse {}: does it trust the CA that has signed it?",
        certificate.display()
    )]
    ClosedAtOnce {
        /// Our certificate.
        certificate: PathBuf,
    },
    /// Something else between the two.
    #[error("TLS: {0}")]
    Other(String),
    /// The connection itself.
    #[error(transparent)]
    Io(io::Error),
}

/// What is known of our side when something fails.
pub(super) struct Ours {
    pub(super) files: TlsFiles,
    pub(super) validity: Validity,
}

impl Ours {
    /// A certificate near its end is somebody's work.
    pub(super) fn warn_of_the_end(&self) {
        let soon = OffsetDateTime::now_utc().saturating_add(NEAR_ITS_END);
        if self.validity.until < soon {
            let until = date(self.validity.until);
            warn!(certificate = %self.files.certificate.display(), %until, "certificate is near its end; make a new one");
        }
    }
}

impl TlsFailure {
    /// What a failed handshake means.
    pub(super) fn of_handshake(error: io::Error, ours: &Ours) -> TlsFailure {
        match rustls_error(&error) {
            Some(cause) => TlsFailure::of_error(cause, ours),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe => TlsFailure::Closed,
                _ => TlsFailure::Io(error),
            },
        }
    }

    /// What an error of the TLS engine means.
    pub(super) fn of_error(error: &Error, ours: &Ours) -> TlsFailure {
        match error {
            Error::NoCertificatesPresented => TlsFailure::NoCertificate {
                ca_certificate: ours.files.ca_certificate.clone(),
            },
            Error::InvalidCertificate(error) => TlsFailure::of_certificate(error, ours),
            Error::AlertReceived(alert) => TlsFailure::of_alert(*alert, ours),
            // TLS lets nothing through that is not TLS; the first record of one that is, is well-formed.
            Error::InvalidMessage(_) => TlsFailure::NotTls,
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            ) => TlsFailure::Version,
            other => TlsFailure::Other(other.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError, ours: &Ours) -> TlsFailure {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                TlsFailure::UnknownCa {
                    ca_certificate: ours.files.ca_certificate.clone(),
                }
            }
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => TlsFailure::WrongName {
                expected: expected.to_str().into_owned(),
                presented: names(presented),
            },
            CertificateError::ExpiredContext { not_after, .. } => TlsFailure::Expired {
                since: unix_date(*not_after),
            },
            CertificateError::NotValidYetContext { not_before, .. } => TlsFailure::NotYetValid {
                from: unix_date(*not_before),
            },
            other => TlsFailure::Unfit(other.to_string()),
        }
    }

    fn of_alert(alert: AlertDescription, ours: &Ours) -> TlsFailure {
        let is_about_us = matches!(
            alert,
            AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRequired
                | AlertDescription::AccessDenied
        );
        if !is_about_us {
            return match alert {
                AlertDescription::ProtocolVersion => TlsFailure::Version,
                alert => {
                    TlsFailure::Other(format!("the peer refuses (alert {})", alert_name(alert)))
                }
            };
        }
        let certificate = ours.files.certificate.clone();
        let (now, validity) = (OffsetDateTime::now_utc(), ours.validity);
        // Peers differ in the alert they send for a date: Open vSwitch's calls a certificate that is not yet valid bad.
        if now > validity.until {
            let since = date(validity.until);
            TlsFailure::OursExpired { certificate, since }
        } else if now < validity.from {
            let from = date(validity.from);
            TlsFailure::OursNotYetValid { certificate, from }
        } else if alert == AlertDescription::UnknownCA {
            TlsFailure::OurCaUnknown { certificate }
        } else {
            let alert = alert_name(alert);
            TlsFailure::OursRefused { certificate, alert }
        }
    }
}

/// `DnsName("n2")` and the like, as rustls gives them, as people write them.
fn names(presented: &[String]) -> String {
    let name = |text: &String| match text.split_once("(\"") {
        Some((_, rest)) => rest.trim_end_matches("\")").to_owned(),
        None => text.clone(),
    };
    match presented.iter().map(name).collect::<Vec<_>>() {
        none if none.is_empty() => "nobody (it bears no subject alternative name)".to_owned(),
        some => some.join(", "),
    }
}

fn alert_name(alert: AlertDescription) -> String {
    alert
        .as_str()
        .map_or_else(|| format!("{:?}", alert), ToOwned::to_owned)
}

fn unix_date(at: UnixTime) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| seconds.to_string(), date)
}

/// `2026-11-25 03:15 UTC`.
pub(crate) fn date(at: OffsetDateTime) -> String {
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute) = (at.hour(), at.minute());
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

const NEAR_ITS_END: time::Duration = time::Duration::days(14);
