//! The certificates that a command was given, read.
//!
//! Must not: say that none are there; whether they are needed is known when an `ssl:` remote is dialled.

use std::path::PathBuf;

use anyhow::{Context, Result};
use weft_stream::{Tls, TlsFiles};

use crate::arguments::{Certificates, NodesCertificates};

/// For the northbound database, either end of it.
pub(crate) fn northbound(certificates: &Certificates) -> Result<Option<Tls>> {
    load(certificates, certificates.ca_cert.as_ref())
}

/// For the nodes.
pub(crate) fn nodes(certificates: &Certificates, nodes: &NodesCertificates) -> Result<Option<Tls>> {
    load(certificates, nodes.nodes_ca_cert.as_ref())
}

fn load(certificates: &Certificates, ca: Option<&PathBuf>) -> Result<Option<Tls>> {
    let Certificates {
        private_key,
        certificate,
        ..
    } = certificates;
    let (Some(private_key), Some(certificate), Some(ca)) = (private_key, certificate, ca) else {
        return Ok(None);
    };
    let files = TlsFiles {
        private_key: private_key.clone(),
        certificate: certificate.clone(),
        ca_certificate: ca.clone(),
    };
    Tls::load(files).map(Some).context("certificates")
}
