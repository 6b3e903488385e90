//! `DHCP_Options`: what DHCP tells the ports of one subnet.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// DHCP options of one subnet.
    "OVN_Northbound", "DHCP_Options" as DhcpOptions: root();

    /// Subnet that the options are for.
    cidr: String;
    /// Option name to value.
    options: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
