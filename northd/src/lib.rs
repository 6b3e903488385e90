//! Kubernetes objects to `OVN_Northbound` rows, and address management.
//!
//! ```text
//!   directory of YAML ─▶ standalone::load ─▶ objects ─▶ index ─▶ rows ─▶ northbound ─▶ database
//!   (watched)            (pure)                         (pure)           (pure)        (transactions)
//! ```
//!
//! [`index`] is the translation: plain objects in, typed rows out, no IO. [`standalone`] feeds it
//! from files and carries its rows to a northbound database; a Kubernetes watch will be another
//! edge beside it. [`allocation`] stands by itself: it hands out what rows written by hand ask for. Must not: know OpenFlow, nodes' databases or how rows are compiled.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

pub mod allocation;
pub mod diagnostic;
pub mod index;
mod northbound;
pub mod standalone;

pub use diagnostic::{Diagnostic, ObjectRef};
pub use standalone::{Config, Error, run_standalone};
