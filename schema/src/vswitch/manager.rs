//! `Manager`: an OVSDB connection of the node's database.
//!
//! Must not: be removed when weft did not make it.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// An OVSDB connection of the node's database.
    "Open_vSwitch", "Manager" as Manager: index(&["target"]);

    /// `ptcp:…`, `punix:…`, `tcp:…` and so on; unique.
    target: String;
    /// Idle time before an echo is sent, in milliseconds; 0 never.
    inactivity_probe: Option<i64>;
    /// Whether it is connected now.
    is_connected: bool, ephemeral();
    /// Details of the state.
    status: BTreeMap<String, String>, ephemeral();
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
