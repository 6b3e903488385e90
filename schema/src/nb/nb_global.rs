//! `NB_Global`: one row about the whole database.
//!
//! `nb_cfg`, `sb_cfg` and `hv_cfg` carry `ovn-nbctl --wait`: a client raises `nb_cfg`, the
//! controller copies it to `sb_cfg` once compiled and to `hv_cfg` once every connected node has
//! acknowledged. Must not: be inserted twice (`maxRows` is 1).

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::table;

table! {
    /// Options and progress of the whole northbound database.
    "OVN_Northbound", "NB_Global" as NbGlobal: root(), max_rows(1);

    /// Name of this deployment.
    name: String;
    /// Generation of the configuration; clients raise it.
    nb_cfg: i64;
    /// When `nb_cfg` was last raised, in milliseconds since the epoch.
    nb_cfg_timestamp: i64;
    /// Last generation that is compiled.
    sb_cfg: i64;
    /// When `sb_cfg` was last written, in milliseconds since the epoch.
    sb_cfg_timestamp: i64;
    /// Last generation that every connected node has acknowledged.
    hv_cfg: i64;
    /// When `hv_cfg` was last written, in milliseconds since the epoch.
    hv_cfg_timestamp: i64;
    /// Free for clients.
    external_ids: BTreeMap<String, String>;
    /// Where the database listens (`Connection` rows).
    connections: Vec<Uuid>, strong("Connection");
    /// TLS configuration of the database (`SSL` row).
    ssl: Option<Uuid>, strong("SSL");
    /// Options of the whole deployment.
    options: BTreeMap<String, String>;
    /// Whether tunnels are encrypted.
    ipsec: bool;
}
