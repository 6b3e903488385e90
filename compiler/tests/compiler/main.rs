//! The compiler through its public face: rows, nodes and bindings in; flows, groups and diagnostics out.

mod bad_rows;
mod balancers;
mod derived;
mod golden;
mod incremental;
mod localnet;
mod nat;
mod network;
mod plain;
mod scale;
