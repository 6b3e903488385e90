//! `Address_Set`: a named set of addresses, `$name` in a match.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::table::table;

table! {
    /// A named set of addresses.
    "OVN_Northbound", "Address_Set" as AddressSet: root(), index(&["name"]);

    /// Name, unique.
    name: String;
    /// MAC, IPv4 or IPv6 addresses or prefixes, all of one kind.
    addresses: BTreeSet<String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
