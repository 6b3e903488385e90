//! `Port_Group`: a named set of switch ports, `@name` in a match, with ACLs of its own.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::table;

table! {
    /// A named set of logical switch ports.
    "OVN_Northbound", "Port_Group" as PortGroup: root(), index(&["name"]);

    /// Name, unique.
    name: String;
    /// Member ports.
    ports: Vec<Uuid>, weak("Logical_Switch_Port");
    /// ACLs applied to every member.
    acls: Vec<Uuid>, strong("ACL");
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
