//! `Sampling_App`: the number that a kind of sample carries.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// The number that a kind of sample carries.
    "OVN_Northbound", "Sampling_App" as SamplingApp: root(), index(&["type"]);

    /// The kind.
    kind = "type": String, one_of(&["drop", "acl-new", "acl-est"]);
    /// The number.
    id: i64, range(1, 255);
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
