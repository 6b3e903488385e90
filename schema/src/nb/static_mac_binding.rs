//! `Static_MAC_Binding`: a next hop's MAC address, told instead of learned.
//!
//! Must not: know which router ports there are.

use crate::table::table;

table! {
    /// A next hop's MAC address.
    "OVN_Northbound", "Static_MAC_Binding" as StaticMacBinding: root(), index(&["logical_port", "ip"]);

    /// Router port that the next hop is behind.
    logical_port: String;
    /// Address of the next hop.
    ip: String;
    /// MAC of the next hop.
    mac: String;
    /// Whether it beats what was learned.
    override_dynamic_mac: bool;
}
