//! `Load_Balancer_Group`: load balancers applied together.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use uuid::Uuid;

use crate::table::table;

table! {
    /// Load balancers applied together.
    "OVN_Northbound", "Load_Balancer_Group" as LoadBalancerGroup: root(), index(&["name"]);

    /// Name, unique.
    name: String;
    /// Members.
    load_balancer: Vec<Uuid>, weak("Load_Balancer");
}
