//! `Logical_Router`: one distributed router.
//!
//! Owns its ports, routes, policies and NAT rules. Must not: assume that `name` is unique; OVN
//! does not.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::table;

table! {
    /// A distributed router.
    "OVN_Northbound", "Logical_Router" as LogicalRouter: root();

    /// Name for people; not necessarily unique.
    name: String;
    /// The ports it owns.
    ports: Vec<Uuid>, strong("Logical_Router_Port");
    /// Static routes.
    static_routes: Vec<Uuid>, strong("Logical_Router_Static_Route");
    /// Policies that override routes.
    policies: Vec<Uuid>, strong("Logical_Router_Policy");
    /// `false` turns the router off; absent is on.
    enabled: Option<bool>;
    /// NAT rules.
    nat: Vec<Uuid>, strong("NAT");
    /// Load balancers applied to this router.
    load_balancer: Vec<Uuid>, weak("Load_Balancer");
    /// Groups of load balancers applied to this router.
    load_balancer_group: Vec<Uuid>, strong("Load_Balancer_Group");
    /// Control plane protection.
    copp: Option<Uuid>, weak("Copp");
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
    /// Free for clients; see [`crate::keys`] for weft's.
    external_ids: BTreeMap<String, String>;
}
