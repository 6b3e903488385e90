//! `BFD`: a liveness session of a router port with a next hop.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// A BFD session.
    "OVN_Northbound", "BFD" as Bfd: root(), index(&["logical_port", "dst_ip"]);

    /// Router port that the session leaves by.
    logical_port: String;
    /// Address of the peer.
    dst_ip: String;
    /// Shortest interval between sent packets, in milliseconds.
    min_tx: Option<i64>, at_least(1);
    /// Shortest interval between received packets, in milliseconds.
    min_rx: Option<i64>;
    /// Missed packets after which the peer is down.
    detect_mult: Option<i64>, at_least(1);
    /// State of the session.
    status: Option<String>, one_of(&["down", "init", "up", "admin_down"]);
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
}
