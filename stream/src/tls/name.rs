//! The name that a node's certificate bears.
//!
//! A node called `n1` shows a certificate with the subject alternative name `DNS:n1`; one whose name is an IP address
//! (some clouds do that) with `IP:192.0.2.1`. Node names are Kubernetes': lower-case letters, digits, `-` and `.`
//! (RFC 1123 subdomain), so that no two names are the same name to TLS. The common name is not looked at.
//!
//! Must not: resolve anything.

use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::ServerName;

/// A name that a certificate can bear.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerName(ServerName<'static>);

/// A name that no certificate can bear.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be the name in a certificate: use lower-case letters, digits, - and ., beginning and ending with a letter or digit, 253 at most and 63 between dots"
)]
pub struct PeerNameError(pub String);

impl PeerName {
    /// The name of a node.
    ///
    /// # Errors
    /// When the name is neither an RFC 1123 subdomain nor an IP address.
    pub fn new(name: &str) -> Result<PeerName, PeerNameError> {
        let bad = || PeerNameError(name.to_owned());
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(PeerName(ServerName::from(address)));
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(bad());
        }
        let name = ServerName::try_from(name.to_owned()).map_err(|_| bad())?;
        Ok(PeerName(name))
    }

    pub(super) fn server_name(&self) -> &ServerName<'static> {
        &self.0
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_calls_a_node_is_a_name_and_what_tls_cannot_tell_apart_is_not() {
        let long = "a".repeat(63);
        for name in [
            "n1",
            "ip-10-0-0-1.eu-west-1.compute.internal",
            "10.0.0.1",
            "fd00::1",
            &long,
        ] {
            let parsed = PeerName::new(name).expect(name);
            assert_eq!(parsed.to_string(), name);
        }
        for name in [
            "",
            "N1",
            "a_b",
            "-a",
            "a-",
            "a..b",
            "a.",
            "*.a",
            "a b",
            "ä",
            &"a".repeat(64),
            &[long.as_str(); 5].join("."),
        ] {
            let error = PeerName::new(name).expect_err(name);
            assert!(error.to_string().contains("lower-case"), "{error}");
        }
    }
}
