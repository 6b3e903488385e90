//! `Load_Balancer`: virtual addresses and the endpoints behind them.
//!
//! Must not: know which switches and routers name it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::table::table;

table! {
    /// Virtual addresses and the endpoints behind them.
    "OVN_Northbound", "Load_Balancer" as LoadBalancer: root();

    /// Name for people.
    name: String;
    /// `ADDRESS[:PORT]` to comma separated endpoints.
    vips: BTreeMap<String, String>;
    /// Protocol of the ports; absent is `tcp`.
    protocol: Option<String>, one_of(&["tcp", "udp", "sctp"]);
    /// Health checks.
    health_check: Vec<Uuid>, strong("Load_Balancer_Health_Check");
    /// Endpoint address to `PORT_NAME:SOURCE_IP` for health checks.
    ip_port_mappings: BTreeMap<String, String>;
    /// Header fields that choose an endpoint; empty is the five-tuple.
    selection_fields: BTreeSet<String>,
        one_of(&["eth_src", "eth_dst", "ip_src", "ip_dst", "tp_src", "tp_dst"]);
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
