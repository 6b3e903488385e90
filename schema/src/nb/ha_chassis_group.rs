//! `HA_Chassis_Group`: chassis of which the best alive hosts a port.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::table;

table! {
    /// Chassis of which the best alive hosts a port.
    "OVN_Northbound", "HA_Chassis_Group" as HaChassisGroup: root(), index(&["name"]);

    /// Name, unique.
    name: String;
    /// Members.
    ha_chassis: Vec<Uuid>, strong("HA_Chassis");
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
