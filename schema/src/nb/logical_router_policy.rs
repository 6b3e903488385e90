//! `Logical_Router_Policy`: a policy that overrides a router's routes.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::table::table;

table! {
    /// A policy that overrides a router's routes.
    "OVN_Northbound", "Logical_Router_Policy" as LogicalRouterPolicy;

    /// Higher wins.
    priority: i64, range(0, 32767);
    /// Match in OVN's expression language.
    match_expression = "match": String;
    /// What happens to a packet that matches.
    action: String, one_of(&["allow", "drop", "reroute"]);
    /// Next hop of `reroute` (older form, one address).
    nexthop: Option<String>;
    /// Next hops of `reroute`.
    nexthops: BTreeSet<String>;
    /// BFD sessions that watch the next hops.
    bfd_sessions: BTreeSet<Uuid>, weak("BFD");
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
