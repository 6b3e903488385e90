//! `ACL`: one rule of a switch's or port group's access control.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::table;

table! {
    /// One access control rule.
    "OVN_Northbound", "ACL" as Acl;

    /// Name for logs.
    name: Option<String>, max_length(63);
    /// Higher wins.
    priority: i64, range(0, 32767);
    /// Towards (`from-lport`) or out of (`to-lport`) the switch.
    direction: String, one_of(&["from-lport", "to-lport"]);
    /// Match in OVN's expression language.
    match_expression = "match": String;
    /// What happens to a packet that matches.
    action: String, one_of(&["allow", "allow-related", "allow-stateless", "drop", "reject", "pass"]);
    /// Whether matches are logged.
    log: bool;
    /// Severity in the log.
    severity: Option<String>, one_of(&["alert", "warning", "notice", "info", "debug"]);
    /// Name of the `Meter` that limits logging.
    meter: Option<String>;
    /// Label put into conntrack entries.
    label: i64, range(0, 4_294_967_295);
    /// Tiers are judged in order; `pass` leaves a packet to the next.
    tier: i64, range(0, 3);
    /// How packets of new connections are sampled.
    sample_new: Option<Uuid>, strong("Sample");
    /// How packets of established connections are sampled.
    sample_est: Option<Uuid>, strong("Sample");
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
