//! `Controller`: an OpenFlow connection of a bridge.
//!
//! Must not: be touched on bridges other than the integration bridge.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// An OpenFlow connection of a bridge.
    "Open_vSwitch", "Controller" as Controller;

    /// `ptcp:…`, `punix:…`, `tcp:…` and so on.
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
