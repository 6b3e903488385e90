//! `Logical_Switch_Port`: a port of a logical switch.
//!
//! An empty `type` is a VM or container interface, bound to a node's OVS interface whose
//! `external_ids:iface-id` is this row's `name`; `router` is one side of a pair with a
//! [`LogicalRouterPort`](super::LogicalRouterPort), named by `options:router-port`.
//! Must not: parse addresses; that is the reader's business.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::table::table;

table! {
    /// A port of a logical switch.
    "OVN_Northbound", "Logical_Switch_Port" as LogicalSwitchPort: index(&["name"]);

    /// Name, unique in the database.
    name: String;
    /// Empty, `router`, `localnet`, `localport`, `l2gateway`, `vtep`, `external`, `virtual`, `remote`.
    kind = "type": String;
    /// Depends on the type; see ovn-nb(5).
    options: BTreeMap<String, String>;
    /// The port that this one is nested in (with `tag`).
    parent_name: Option<String>;
    /// VLAN tag asked for; 0 lets northd choose.
    tag_request: Option<i64>, range(0, 4095);
    /// VLAN tag in use.
    tag: Option<i64>, range(1, 4095);
    /// `MAC [IP]…`, `dynamic`, `unknown` or `router`.
    addresses: BTreeSet<String>;
    /// What was handed out to `dynamic`.
    dynamic_addresses: Option<String>;
    /// `MAC [IP[/LEN]]…` the port may send from; empty checks nothing.
    port_security: BTreeSet<String>;
    /// Whether a node has the port and acknowledged its flows.
    up: Option<bool>;
    /// `false` turns the port off; absent is on.
    enabled: Option<bool>;
    /// DHCPv4 options.
    dhcpv4_options: Option<Uuid>, weak("DHCP_Options");
    /// DHCPv6 options.
    dhcpv6_options: Option<Uuid>, weak("DHCP_Options");
    /// Mirrors of this port's traffic.
    mirror_rules: Vec<Uuid>, weak("Mirror");
    /// Chassis that may claim an `external` port.
    ha_chassis_group: Option<Uuid>, strong("HA_Chassis_Group");
    /// Free for clients; see [`crate::keys`] for weft's.
    external_ids: BTreeMap<String, String>;
}
