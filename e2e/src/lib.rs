//! The fabric harness: real nodes on one machine, for `weft demo` and for the tests.
//!
//! ```text
//! sandbox (namespaces of its own, gone with its caller)
//! ├── underlay: a Linux bridge in a network namespace
//! ├── n1, n2, …: a network namespace each, with a real ovsdb-server and ovs-vswitchd
//! │   └── pods: network namespaces, attached by weft-cni when a Logical_Switch_Port asks for them
//! └── weft run: whoever uses the harness starts it, with the nodes file that the harness writes
//! ```
//!
//! - [`sandbox`]: nothing is left behind, whatever happens.
//! - [`fabric`], [`node`], [`host`]: the machines. [`pod`], [`kubelet`], [`responder`]: what runs on them.
//! - [`probe`], [`steady`], [`tap`]: packets, and who saw them. [`expectation`]: who should.
//! - [`patience`]: how long things may take.
//! - [`stand_in`]: a node without a network, for what needs Open vSwitch but no packets.
//! - [`switch`]: what the switches hold and count. [`audit`]: whether it is what it should be.
//!
//! Must not: know flows, or write a northbound row. It is not packaged with the product.

pub mod audit;
pub mod expectation;
pub mod fabric;
pub mod host;
pub mod kubelet;
pub mod management;
pub mod node;
pub mod patience;
pub mod pod;
pub mod probe;
pub mod responder;
pub mod sandbox;
pub mod stand_in;
pub mod steady;
pub mod switch;
pub mod tap;
mod unixctl;
