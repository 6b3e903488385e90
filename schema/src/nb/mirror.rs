//! `Mirror`: a copy of a port's traffic sent elsewhere.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// A copy of a port's traffic.
    "OVN_Northbound", "Mirror" as Mirror: root(), index(&["name"]);

    /// Name, unique.
    name: String;
    /// Direction that is copied.
    filter: String, one_of(&["from-lport", "to-lport", "both"]);
    /// Address of the receiver; of `local`, the name of an interface.
    sink: String;
    /// Encapsulation.
    kind = "type": String, one_of(&["gre", "erspan", "local"]);
    /// GRE key or ERSPAN index.
    index: i64;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
