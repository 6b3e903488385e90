//! `Gateway_Chassis`: one chassis that may host a router's gateway port.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// One candidate chassis of a gateway port.
    "OVN_Northbound", "Gateway_Chassis" as GatewayChassis: index(&["name"]);

    /// Name, unique.
    name: String;
    /// The chassis' `system-id`.
    chassis_name: String;
    /// Higher is preferred.
    priority: i64, range(0, 32767);
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
}
