//! `Flow_Table`: settings of one OpenFlow table.
//!
//! Must not: limit the number of flows; weft sends what must be there.

use std::collections::{BTreeMap, BTreeSet};

use crate::table::table;

table! {
    /// Settings of one OpenFlow table.
    "Open_vSwitch", "Flow_Table" as FlowTable;

    /// Name for people.
    name: Option<String>;
    /// Address fields for which the classifier keeps tries; at most three.
    prefixes: BTreeSet<String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
