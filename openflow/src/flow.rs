//! A flow as the controller thinks of it: where it stands, what it matches, what it does.
//!
//! [`Flow::canonical`] is the form in which Open vSwitch gives a flow back, so that the desired set and a dump compare by
//! `==`. Timeouts and flags are not part of it: weft's flows have none (see [`crate::FlowMod`] for the whole message).
//!
//! Must not: hold counters or ages (see [`crate::FlowDesc`]).

mod text;

use bytes::Bytes;

use crate::action::{Action, canonical_list};
use crate::error::EncodeError;
use crate::flow_mod::{FlowCommand, FlowMod};
use crate::matches::Match;

/// Priority of a flow whose text names none (`OFP_DEFAULT_PRIORITY`).
pub const DEFAULT_PRIORITY: u16 = 32768;

/// A flow. In text: `table=3, priority=100,reg14=0x1 actions=resubmit(,4)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The table, 0 to 254.
    pub table: u8,
    /// Of matching flows the one with the highest priority is carried out.
    pub priority: u16,
    /// Chosen by the controller; not part of the flow's identity.
    pub cookie: u64,
    /// What it matches.
    pub matches: Match,
    /// What it does; nothing drops the packet.
    pub actions: Vec<Action>,
}

/// What identifies a flow within a switch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The table.
    pub table: u8,
    /// The priority.
    pub priority: u16,
    /// What it matches.
    pub matches: Match,
}

impl Flow {
    /// What identifies the flow.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        FlowKey {
            table: self.table,
            priority: self.priority,
            matches: self.matches.clone(),
        }
    }

    /// The flow as Open vSwitch gives it back in a dump.
    #[must_use]
    pub fn canonical(self) -> Flow {
        Flow {
            actions: canonical_list(self.actions),
            ..self
        }
    }

    /// A whole message that adds the flow, or replaces the one with the same key; transaction ID 0.
    ///
    /// # Errors
    /// If a value is wider than its field, or the message would be longer than 65,535 bytes.
    pub fn add(&self) -> Result<Bytes, EncodeError> {
        FlowMod {
            flow: self.clone(),
            ..FlowMod::new(FlowCommand::Add)
        }
        .message(0)
    }

    /// A whole message that deletes exactly this flow; transaction ID 0.
    ///
    /// # Errors
    /// As [`Flow::add`].
    pub fn delete_strict(&self) -> Result<Bytes, EncodeError> {
        self.key().delete_strict()
    }
}

impl FlowKey {
    /// A whole message that deletes exactly this flow; transaction ID 0.
    ///
    /// # Errors
    /// As [`Flow::add`].
    pub fn delete_strict(&self) -> Result<Bytes, EncodeError> {
        let FlowKey {
            table,
            priority,
            matches,
        } = self.clone();
        let flow = Flow {
            table,
            priority,
            cookie: 0,
            matches,
            actions: Vec::new(),
        };
        FlowMod {
            flow,
            ..FlowMod::new(FlowCommand::DeleteStrict)
        }
        .message(0)
    }
}

#[cfg(test)]
mod tests;
