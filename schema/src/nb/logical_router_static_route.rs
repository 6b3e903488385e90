//! `Logical_Router_Static_Route`: one static route of a router.
//!
//! Must not: parse the prefix or next hop; that is the reader's business.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::table;

table! {
    /// One static route.
    "OVN_Northbound", "Logical_Router_Static_Route" as LogicalRouterStaticRoute;

    /// Name of the routing table; empty is the main one.
    route_table: String;
    /// Prefix that the route is for.
    ip_prefix: String;
    /// Whether the prefix is matched against source or destination; absent is `dst-ip`.
    policy: Option<String>, one_of(&["src-ip", "dst-ip"]);
    /// Address of the next router, or `discard`.
    nexthop: String;
    /// Router port to leave by; absent lets the next hop decide.
    output_port: Option<String>;
    /// BFD session that the route depends on.
    bfd: Option<Uuid>, weak("BFD");
    /// Options; see ovn-nb(5).
    options: BTreeMap<String, String>;
    /// Free for clients; see [`crate::keys`] for weft's.
    external_ids: BTreeMap<String, String>;
}
