//! What the compiler answers: the flows and groups a node should have, and what changed of them.
//!
//! Flows are encoded once and shared: what a node holds are references.
//!
//! Must not: know what a node has acknowledged; that is its session's.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use openflow_rs::{
    Action, EncodeError, EncodedFlow, EncodedKey, Flow, Group, Message, Meter, MeterCommand,
    MeterMod,
};

use crate::diagnostic::Diagnostic;
use crate::node::NodeName;
use crate::pipeline::meter;

mod node_state;

pub(crate) use node_state::Contributor;
pub use node_state::NodeState;

/// A flow as it is sent, and nothing beside: there are very many.
#[derive(PartialEq, Eq, Debug)]
pub struct CompiledFlow {
    encoded: EncodedFlow,
    /// The meter that it names, for packets that go to the controller.
    meter: Option<NonZeroU32>,
}

impl CompiledFlow {
    /// Encodes a flow.
    ///
    /// # Errors
    /// As [`Flow::add`].
    pub fn new(flow: Flow) -> Result<CompiledFlow, EncodeError> {
        let mut meters = flow.actions.iter().filter_map(|action| match action {
            Action::Controller(controller) => controller.meter,
            _ => None,
        });
        let meter = meters.next().and_then(NonZeroU32::new);
        let encoded = EncodedFlow::new(flow)?;
        Ok(CompiledFlow { encoded, meter })
    }

    /// What identifies it in a switch.
    #[must_use]
    pub fn key(&self) -> &EncodedKey {
        self.encoded.key()
    }

    /// A whole OFPT_FLOW_MOD that adds or replaces it, transaction ID 0.
    #[must_use]
    pub fn add(&self) -> &Bytes {
        self.encoded.add()
    }

    /// The number of the meter that it names.
    #[must_use]
    pub fn meter(&self) -> Option<u32> {
        self.meter.map(NonZeroU32::get)
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
        self.encoded.flow()
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

/// A meter as it is sent.
#[derive(PartialEq, Eq, Debug)]
pub struct CompiledMeter {
    /// The meter, in the form in which a dump compares equal.
    pub meter: Meter,
    /// A whole OFPT_METER_MOD that adds it, transaction ID 0.
    pub add: Bytes,
    /// A whole OFPT_METER_MOD that changes a meter of the same number into it, transaction ID 0.
    pub modify: Bytes,
}

impl CompiledMeter {
    /// Encodes the meter of this number (see [`crate::pipeline::meter`]); `None` if there is none.
    #[must_use]
    pub fn numbered(id: u32) -> Option<CompiledMeter> {
        let meter = meter::meter(id)?;
        let message = |command| {
            let meter = meter.clone();
            Message::MeterMod(MeterMod { command, meter })
                .encode(0)
                .ok()
        };
        Some(CompiledMeter {
            add: message(MeterCommand::Add)?,
            modify: message(MeterCommand::Modify)?,
            meter,
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

/// One meter of a node that is different now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MeterChange {
    /// New.
    Put(Arc<CompiledMeter>),
    /// Gone: the meter of this number.
    Remove(u32),
}

/// What changed of a node's desired set: applied in one bundle, groups that come before flows, groups that go after them; meters before and after
/// all of that, since bundles hold none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeDelta {
    /// Flows, sorted by key.
    pub flows: Vec<FlowChange>,
    /// Groups, sorted by number.
    pub groups: Vec<GroupChange>,
    /// Meters, sorted by number.
    pub meters: Vec<MeterChange>,
}

impl NodeDelta {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.groups.is_empty() && self.meters.is_empty()
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
