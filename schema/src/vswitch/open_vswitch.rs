//! `Open_vSwitch`: one row about the node's Open vSwitch.
//!
//! Set-up (ours or OVN's) writes `external_ids`; the controller reads them. Must not: be inserted
//! or deleted by weft.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::table::table;

table! {
    /// The node's Open vSwitch.
    "Open_vSwitch", "Open_vSwitch" as OpenVSwitch: root(), max_rows(1);

    /// Its bridges.
    bridges: Vec<Uuid>, strong("Bridge");
    /// Managers of the database.
    manager_options: Vec<Uuid>, strong("Manager");
    /// Configuration generation, raised by clients.
    next_cfg: i64;
    /// Last generation that ovs-vswitchd has applied.
    cur_cfg: i64;
    /// Version of ovs-vswitchd.
    ovs_version: Option<String>;
    /// Datapath types that ovs-vswitchd supports.
    datapath_types: BTreeSet<String>;
    /// Interface types that ovs-vswitchd supports.
    iface_types: BTreeSet<String>;
    /// Other settings.
    other_config: BTreeMap<String, String>;
    /// `system-id`, `ovn-encap-ip` and others; see [`crate::keys`].
    external_ids: BTreeMap<String, String>;
}
