//! `NAT`: one address translation of a router.
//!
//! Must not: know which routers can translate.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::table;

table! {
    /// One address translation of a router.
    "OVN_Northbound", "NAT" as Nat;

    /// Address seen outside.
    external_ip: String;
    /// MAC of `external_ip`, for a distributed `dnat_and_snat`.
    external_mac: Option<String>;
    /// Ports used for source translation.
    external_port_range: String;
    /// Address or prefix inside.
    logical_ip: String;
    /// Port that holds `logical_ip`, for a distributed `dnat_and_snat`.
    logical_port: Option<String>;
    /// Direction of the translation.
    kind = "type": String, one_of(&["dnat", "snat", "dnat_and_snat"]);
    /// Outside addresses that the rule is limited to.
    allowed_ext_ips: Option<Uuid>, strong("Address_Set");
    /// Outside addresses that the rule leaves alone.
    exempted_ext_ips: Option<Uuid>, strong("Address_Set");
    /// Gateway port that the rule applies to.
    gateway_port: Option<Uuid>, weak("Logical_Router_Port");
    /// Among rules with a `match_expression`, higher wins.
    priority: i64, range(0, 32767);
    /// Match in OVN's expression language; empty is every packet.
    match_expression = "match": String;
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
