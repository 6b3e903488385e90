//! What the compiler answers: the flows and groups a node should have, and what changed of them.
//!
//! Flows are encoded once and shared: what a node holds are references.
//!
//! Must not: know what a node has acknowledged; that is its session's.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use openflow_rs::{Action, EncodeError, EncodedFlow, EncodedKey, Flow, Group};

use crate::diagnostic::Diagnostic;
use crate::node::NodeName;

mod node_state;

pub use node_state::NodeState;

/// A flow as it is sent, and nothing beside: there are very many.
#[derive(PartialEq, Eq, Debug)]
pub struct CompiledFlow(EncodedFlow);

impl CompiledFlow {
    /// Encodes a flow.
    ///
    /// # Errors
    /// As [`Flow::add`].
    pub fn new(flow: Flow) -> Result<CompiledFlow, EncodeError> {
        EncodedFlow::new(flow).map(CompiledFlow)
    }

    /// What identifies it in a switch.
    #[must_use]
    pub fn key(&self) -> &EncodedKey {
        self.0.key()
    }

    /// A whole OFPT_FLOW_MOD that adds or replaces it, transaction ID 0.
    #[must_use]
    pub fn add(&self) -> &Bytes {
        self.0.add()
    }

    /// Whether it does nothing but count for conjunctive matches.
    #[must_use]
    pub fn is_conjunctive(&self) -> bool {
        let counts = |action: &Action| matches!(action, Action::Conjunction { .. });
        let actions = self.flow().actions;
        !actions.is_empty() && actions.iter().all(counts)
    }

    /// The flow, in the form in which a dump compares equal.
    #[must_use]
    pub fn flow(&self) -> Flow {
        self.0.flow()
    }
}

/// A group as it is sent.
#[derive(PartialEq, Eq, Debug)]
pub struct CompiledGroup {
    /// The group, in the form in which a dump compares equal.
    pub group: Group,
    /// A whole OFPT_GROUP_MOD that adds it, transaction ID 0.
    pub add: Bytes,
    /// A whole OFPT_GROUP_MOD that changes a group of the same number into it, transaction ID 0.
    pub modify: Bytes,
}

impl CompiledGroup {
    /// Encodes a group.
    ///
    /// # Errors
    /// As [`Group::add`].
    pub fn new(group: Group) -> Result<CompiledGroup, EncodeError> {
        let group = group.canonical();
        Ok(CompiledGroup {
            add: group.add()?,
            modify: group.modify()?,
            group,
        })
    }
}

/// One flow of a node that is different now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FlowChange {
    /// New, or with other actions or another cookie than before.
    Put(Arc<CompiledFlow>),
    /// Gone.
    Remove(EncodedKey),
}

/// One group of a node that is different now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupChange {
    /// New, or with other buckets than before.
    Put(Arc<CompiledGroup>),
    /// Gone: the group of this number.
    Remove(u32),
}

/// What changed of a node's desired set: applied in one bundle, groups that come before flows, groups that go after them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeDelta {
    /// Flows, sorted by key.
    pub flows: Vec<FlowChange>,
    /// Groups, sorted by number.
    pub groups: Vec<GroupChange>,
}

impl NodeDelta {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.groups.is_empty()
    }
}

/// How much work a compilation was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Units whose logical flows were made anew.
    pub units_compiled: usize,
    /// OpenFlow flows that were encoded.
    pub flows_encoded: usize,
    /// Values of any kind that were computed.
    pub cells_computed: usize,
}

/// What one call of [`Compiler::compile`](crate::Compiler::compile) found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Compilation {
    /// Nodes of which something changed. A node that went is not among them.
    pub changed: BTreeMap<NodeName, NodeDelta>,
    /// What is newly wrong.
    pub diagnostics_added: Vec<Diagnostic>,
    /// What is wrong no longer.
    pub diagnostics_removed: Vec<Diagnostic>,
    /// How much work it was.
    pub statistics: Statistics,
}
