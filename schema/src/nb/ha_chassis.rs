//! `HA_Chassis`: one member of an `HA_Chassis_Group`.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// One chassis of a group.
    "OVN_Northbound", "HA_Chassis" as HaChassis;

    /// The chassis' `system-id`.
    chassis_name: String;
    /// Higher is preferred.
    priority: i64, range(0, 32767);
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
