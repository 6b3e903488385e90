//! `SSL`: TLS configuration of the database.
//!
//! Must not: be root; the row lives as long as `NB_Global` names it.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// TLS configuration: file names, not key material.
    "OVN_Northbound", "SSL" as Ssl: max_rows(1);

    /// File of the private key.
    private_key: String;
    /// File of the certificate.
    certificate: String;
    /// File of the peer's CA certificate.
    ca_cert: String;
    /// Whether the CA certificate is taken from the first peer.
    bootstrap_ca_cert: bool;
    /// Protocol versions.
    ssl_protocols: String;
    /// Ciphers.
    ssl_ciphers: String;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
