//! `DNS`: names answered on the switches that refer to the row.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// Names and their addresses.
    "OVN_Northbound", "DNS" as Dns: root();

    /// Name to space separated addresses.
    records: BTreeMap<String, String>;
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
