//! `Connection`: an address at which the database listens or which it dials.
//!
//! Must not: be root; rows live as long as `NB_Global` names them.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// A listening or active connection of the database.
    "OVN_Northbound", "Connection" as Connection: index(&["target"]);

    /// `ptcp:…`, `pssl:…`, `tcp:…` or `ssl:…`; unique.
    target: String;
    /// Longest wait between attempts, in milliseconds.
    max_backoff: Option<i64>, at_least(1000);
    /// Idle time before an echo is sent, in milliseconds.
    inactivity_probe: Option<i64>;
    /// Other settings.
    other_config: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
    /// Whether it is connected now.
    is_connected: bool, ephemeral();
    /// Details of the state.
    status: BTreeMap<String, String>, ephemeral();
}
