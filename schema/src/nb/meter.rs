//! `Meter`: a named rate limit.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::table;

table! {
    /// A named rate limit.
    "OVN_Northbound", "Meter" as Meter: root(), index(&["name"]);

    /// Name, unique.
    name: String;
    /// Unit of the bands.
    unit: String, one_of(&["kbps", "pktps"]);
    /// Bands; at least one.
    bands: Vec<Uuid>, strong("Meter_Band"), non_empty();
    /// Whether each user gets a meter of its own.
    fair: Option<bool>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
