//! Northbound rows, nodes and bindings to OpenFlow per node: the compiler.
//!
//! ```text
//!   Input ──▶ topology ──▶ units ──▶ logical flows ──▶ lowering ──▶ placement ──▶ diff ──▶ Compilation
//!   (rows)    (cells that   (a port, a   (OVN's match     (OpenFlow     (which      (what changed
//!             record what   switch, …)    and action       bytes, made   nodes)      per node)
//!             they read)                  language)        once)
//! ```
//!
//! Must not: do IO, read the clock, use randomness, or depend on the order in which inputs came: the result is a function of what is there.

pub mod compilation;
mod compiler;
pub mod diagnostic;
mod engine;
pub mod input;
pub mod interpret;
pub mod logical_flow;
pub mod lowering;
pub mod node;
pub mod pipeline;
pub mod punt;
mod subject;
mod topology;
mod unit;
mod view;

pub use compilation::{
    Compilation, CompiledFlow, CompiledGroup, CompiledMeter, FlowChange, GroupChange, MeterChange,
    NodeDelta, NodeState, Statistics,
};
pub use compiler::Compiler;
pub use diagnostic::Diagnostic;
pub use input::{Input, Options};
pub use logical_flow::LogicalFlow;
pub use node::{Binding, Node, NodeName, Ofport};
pub use subject::Subject;
pub use unit::Unit;
pub use view::View;
