//! `Port`: a port of a bridge, holding one interface (weft makes no bonds).
//!
//! Must not: be deleted unless weft made it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::table;

table! {
    /// A port of a bridge.
    "Open_vSwitch", "Port" as Port: index(&["name"]);

    /// Name, unique.
    name: String;
    /// Its interfaces; at least one.
    interfaces: Vec<Uuid>, strong("Interface"), non_empty();
    /// Other settings.
    other_config: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
