//! `Chassis_Template_Var`: variables whose value depends on the chassis.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// Template variables of one chassis.
    "OVN_Northbound", "Chassis_Template_Var" as ChassisTemplateVar: root(), index(&["chassis"]);

    /// The chassis' `system-id`; unique.
    chassis: String;
    /// Variable to value.
    variables: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
