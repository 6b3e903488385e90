//! `Logical_Router_Port`: an interface of a logical router.
//!
//! Joined to a switch by a `Logical_Switch_Port` of type `router`, or to another router by
//! `peer`. Must not: parse networks; that is the reader's business.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::table::table;

table! {
    /// An interface of a logical router.
    "OVN_Northbound", "Logical_Router_Port" as LogicalRouterPort: index(&["name"]);

    /// Name, unique in the database.
    name: String;
    /// Chassis that may host a gateway port.
    gateway_chassis: Vec<Uuid>, strong("Gateway_Chassis");
    /// Group of chassis that may host a gateway port.
    ha_chassis_group: Option<Uuid>, strong("HA_Chassis_Group");
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
    /// The port's own addresses with their prefix lengths; at least one.
    networks: BTreeSet<String>, non_empty();
    /// MAC address of the port.
    mac: String;
    /// Router port at the other end, when two routers are joined directly.
    peer: Option<String>;
    /// `false` turns the port off; absent is on.
    enabled: Option<bool>;
    /// IPv6 router advertisements.
    ipv6_ra_configs: BTreeMap<String, String>;
    /// Prefixes obtained by DHCPv6 prefix delegation.
    ipv6_prefix: BTreeSet<String>;
    /// Where DHCP requests are relayed to.
    dhcp_relay: Option<Uuid>, strong("DHCP_Relay");
    /// What northd reports about the port, such as the chassis that hosts it.
    status: BTreeMap<String, String>;
    /// Free for clients; see [`crate::keys`] for weft's.
    external_ids: BTreeMap<String, String>;
}
