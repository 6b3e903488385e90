//! `Load_Balancer_Health_Check`: how the endpoints of a virtual address are watched.
//!
//! Must not: be read by the compiler yet; typed so that the schema is whole.

use std::collections::BTreeMap;

use crate::table::table;

table! {
    /// Health check of a load balancer's virtual address.
    "OVN_Northbound", "Load_Balancer_Health_Check" as LoadBalancerHealthCheck;

    /// The virtual address whose endpoints are watched.
    vip: String;
    /// Interval, timeout and counts.
    options: BTreeMap<String, String>;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
}
