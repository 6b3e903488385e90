//! `Bridge`: one OpenFlow switch of the node.
//!
//! Must not: touch bridges other than the integration bridge, but for patch ports to it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::table::table;

table! {
    /// One OpenFlow switch.
    "Open_vSwitch", "Bridge" as Bridge: index(&["name"]);

    /// Name, unique.
    name: String;
    /// Its ports.
    ports: Vec<Uuid>, strong("Port");
    /// OpenFlow controllers it dials or listens for.
    controller: Vec<Uuid>, strong("Controller");
    /// `secure`: without a controller nothing is forwarded but by flows.
    fail_mode: Option<String>, one_of(&["standalone", "secure"]);
    /// OpenFlow versions it speaks.
    protocols: BTreeSet<String>, one_of(&[
        "OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15",
    ]);
    /// `system` or empty (kernel), `netdev` (userspace).
    datapath_type: String;
    /// Datapath ID in use, 16 hexadecimal digits.
    datapath_id: Option<String>;
    /// Per-table settings by table number.
    flow_tables: BTreeMap<i64, Uuid>, range(0, 254), value_strong("Flow_Table");
    /// Other settings.
    other_config: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
