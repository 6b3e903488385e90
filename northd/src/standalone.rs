//! Stand-alone: a directory of YAML instead of an API server.
//!
//! Namespaces, Pods, Deployments, Services, EndpointSlices and Nodes; other kinds are reported once and passed
//! over. What a cluster does with them elsewhere happens here: Deployments become pods ([`Manifests`]), pods
//! without a node get one ([`Placement`]), and a UID that follows from name and node.
//!
//! ```text
//!                       ┌───────────────── run_standalone: one task owns it all ──────────────────┐
//!  files ──[1 wake-up]──▶ Manifests ─▶ Placement ─▶ Index ─▶ Northbound ──transact──▶ database      │
//!  nodes ──[watch]──────▶                              database ──Monitor::next──▶ Northbound       │
//!                       └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Invariants: what the files say is a pure function of their contents (and, for a file that does
//! not parse, of its last good contents); one transaction per batch of changes.
//! Must not: stop over a bad file; only a directory that is not there ends it, at the start.

mod files;
mod manifest;
mod node;
mod placement;
mod run;
mod yaml;

pub use files::{Files, FilesError};
pub use manifest::{Manifests, Sourced, load};
pub use placement::Placement;
pub use run::{Config, Error, run_standalone};
