//! `DHCP_Relay`: where DHCP requests of a router port are relayed to.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// Where DHCP requests of a router port are relayed to.
    "OVN_Northbound", "DHCP_Relay" as DhcpRelay: root();

    /// Name.
    name: String;
    /// Addresses of the DHCP servers.
    servers: Option<String>;
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
