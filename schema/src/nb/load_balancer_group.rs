//! `Load_Balancer_Group`: load balancers applied together.
//!
//! Must not: know which switches and routers name it.

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
