//! `Forwarding_Group`: a virtual MAC and IP in front of several ports of a switch.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::table::table;

table! {
    /// An L2 load balancing group.
    "OVN_Northbound", "Forwarding_Group" as ForwardingGroup;

    /// Name for people.
    name: String;
    /// Virtual IP address.
    vip: String;
    /// Virtual MAC address.
    vmac: String;
    /// Whether BFD watches the child ports.
    liveness: bool;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
    /// Names of the ports behind it; at least one.
    child_port: BTreeSet<String>, non_empty();
}
