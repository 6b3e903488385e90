//! `QoS`: marking and rate limiting on a switch.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// One quality of service rule.
    "OVN_Northbound", "QoS" as Qos;

    /// Higher wins.
    priority: i64, range(0, 32767);
    /// Towards (`from-lport`) or out of (`to-lport`) the switch.
    direction: String, one_of(&["from-lport", "to-lport"]);
    /// Match in OVN's expression language.
    match_expression = "match": String;
    /// `dscp` and `mark` to the value written.
    action: BTreeMap<String, i64>, one_of(&["dscp", "mark"]), value_range(0, 4_294_967_295);
    /// `rate` (kbit/s) and `burst` (kbit).
    bandwidth: BTreeMap<String, i64>, one_of(&["rate", "burst"]), value_range(1, 4_294_967_295);
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
