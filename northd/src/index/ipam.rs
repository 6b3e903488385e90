//! Address management: who holds which address, in which address space.
//!
//! Everything counts in one number, the **index**: 32 bits that are the pod's IPv4 address where it
//! has one, the low 32 bits of its IPv6 address, and the last four bytes of its MAC address
//! ([`Addressing`]). So a pod's addresses of both families, and its MAC, are one decision.
//!
//! ```text
//! Domain (one router's address space)            SubnetPool (one L2 namespace)
//!   cluster CIDR 10.128.0.0/14                      10.0.0.0/24
//!     aggregate of a node    10.128.1.0/24            address by address
//!       block of (namespace, node) 10.128.1.8/29      .1 the gateway
//!         address of a pod   10.128.1.9
//! ```
//!
//! Invariants: no index is held twice in a domain or pool; blocks and aggregates are aligned and
//! disjoint; an index that was given back is handed out again only when no fresh one is left, the
//! one given back first before others.
//! Must not: know Kubernetes objects or rows, do IO, read the clock, use randomness.

mod addressing;
mod domain;
mod pool;
mod span;
mod subnet;

pub use addressing::{Addressing, mac};
pub use domain::{Domain, DomainError, ReserveError};
pub use pool::Pool;
pub use span::Span;
pub use subnet::{SubnetError, SubnetPool};

#[cfg(test)]
mod tests;
