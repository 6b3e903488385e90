//! The CNI plugin as a library: what a node runs when a pod starts or ends, and the one-shot node set-up.
//!
//! ```text
//!            attach                       local OVSDB (Interface row)                 controller
//!   veth pair, eth0 in the pod  ──▶ external_ids: iface-id, iface-id-ver ──▶ binds the port, installs its flows
//!   MAC, addresses, routes, up  ◀── external_ids: weft-mac, weft-addresses… ◀── answers, then ovn-installed=true
//! ```
//!
//! Invariants:
//! - The pod's interface comes up only after `ovn-installed`: the pod's first packet meets its flows.
//! - Every function may be repeated: it repairs what is missing and takes away what is too much.
//! - Nothing stays running, and nothing but the local OVSDB is asked.
//!
//! [`main_from`] is the program `weft-cni`, thin.
//!
//! Must not: talk to Kubernetes or to the controller, know OpenFlow.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

mod answer;
mod attach;
mod command;
mod error;
pub mod genetlink;
pub mod host;
pub mod link;
pub mod netns;
pub mod offload;
mod ovs;
mod setup;

pub use answer::Answer;
pub use attach::{Attach, Attached, Detach, attach, detach, host_interface_name};
pub use command::main_from;
pub use error::Error;
pub use host::{HostSetup, HostUninstall, set_up_host, uninstall_host};
pub use setup::{Setup, setup};
