//! Typed tables of `OVN_Northbound` and `Open_vSwitch`: the contract between weft's crates.
//!
//! ```text
//!   northd ──▶ nb::LogicalSwitchPort ──▶ weft_ovsdb::Row ──▶ nb::LogicalSwitchPort ──▶ compiler
//!             a Rust struct per table     what the database     the same struct, checked
//!                                         stores and sends
//! ```
//!
//! A table is one file with one [`table!`](table) block: that block is the struct, the conversion
//! from and to rows, and the table's schema. The schema JSON that weft's northbound database
//! serves is generated from these blocks ([`nb::database_schema`]), so that the two cannot differ.
//!
//! - [`nb`]: all tables of OVN's northbound schema, and [`nb::show()`], the text of `ovn-nbctl show`.
//! - [`vswitch`]: the tables and columns of a node's `Open_vSwitch` that weft uses.
//! - [`keys`]: keys of `external_ids` and `options` that crates agree on.
//! - [`service`]: what a load balancer of a Service says beyond OVN, and fixed addresses.
//! - [`RowId`]: row UUIDs derived from names.
//!
//! Must not: do IO, know Kubernetes, or interpret what a column means.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

pub mod column;
pub mod keys;
pub mod nb;
mod row_id;
pub mod service;
pub mod table;
pub mod vswitch;

pub use column::ColumnError;
pub use row_id::RowId;
pub use table::Table;
