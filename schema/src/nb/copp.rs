//! `Copp`: control plane protection, the meters of what is punted to the controller.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// A set of meters for packets that go to the controller.
    "OVN_Northbound", "Copp" as Copp: root(), index(&["name"]);

    /// Name, unique.
    name: String;
    /// Protocol to name of its `Meter`.
    meters: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
