//! `Logical_Switch`: one L2 broadcast domain.
//!
//! Owns its ports, ACLs, QoS rules and forwarding groups: rows of these tables live as long as a
//! switch names them. Must not: assume that `name` is unique; OVN does not.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::table;

table! {
    /// An L2 broadcast domain.
    "OVN_Northbound", "Logical_Switch" as LogicalSwitch: root();

    /// Name for people; not necessarily unique.
    name: String;
    /// The ports it owns.
    ports: Vec<Uuid>, strong("Logical_Switch_Port");
    /// Access control lists.
    acls: Vec<Uuid>, strong("ACL");
    /// Quality of service rules.
    qos_rules: Vec<Uuid>, strong("QoS");
    /// Load balancers applied to this switch.
    load_balancer: Vec<Uuid>, weak("Load_Balancer");
    /// Groups of load balancers applied to this switch.
    load_balancer_group: Vec<Uuid>, strong("Load_Balancer_Group");
    /// DNS records answered on this switch.
    dns_records: Vec<Uuid>, weak("DNS");
    /// Control plane protection.
    copp: Option<Uuid>, weak("Copp");
    /// Subnet, DHCP, multicast snooping and other settings.
    other_config: BTreeMap<String, String>;
    /// Free for clients; see [`crate::keys`] for weft's.
    external_ids: BTreeMap<String, String>;
    /// L2 load balancing groups.
    forwarding_groups: Vec<Uuid>, strong("Forwarding_Group");
}
