//! `Interface`: a network device attached to a port.
//!
//! `external_ids` is where the CNI plugin and the controller meet: the plugin names the logical
//! port (`iface-id`), the controller answers in the same row; see [`crate::keys`].
//! Must not: be deleted directly; a row lives as long as a port names it.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// A network device attached to a port.
    "Open_vSwitch", "Interface" as Interface: index(&["name"]);

    /// Name of the device, unique.
    name: String;
    /// Empty (a system device), `internal`, `geneve`, …
    kind = "type": String;
    /// Options of the type, such as `remote_ip`.
    options: BTreeMap<String, String>;
    /// OpenFlow port number; -1 when the device could not be opened.
    ofport: Option<i64>;
    /// OpenFlow port number asked for.
    ofport_request: Option<i64>, range(1, 65279);
    /// MTU asked for.
    mtu_request: Option<i64>, at_least(68);
    /// MTU in use.
    mtu: Option<i64>;
    /// MAC address in use.
    mac_in_use: Option<String>;
    /// Why the device could not be opened.
    error: Option<String>;
    /// `iface-id` and others; see [`crate::keys`].
    external_ids: BTreeMap<String, String>;
}
