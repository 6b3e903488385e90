//! When a bound port counts as installed: its node has acknowledged its flows, and refuses none of them.
//!
//! Must not: decide which flows those are.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_compiler::NodeName;

use super::{Cluster, Stage};

impl Cluster {
    /// Looks at the ports of a node that has acknowledged something.
    pub(super) fn install_ports(&mut self, node: &NodeName, epoch_ms: u64) {
        let Some(member) = self.members.get(node) else {
            return;
        };
        for (name, port) in &mut self.bound {
            if port.bound.node == *node
                && let Stage::Compiled(generation) = port.stage
                && generation <= member.acknowledged
                && !member.refused.contains(name)
            {
                port.stage = Stage::Installed(epoch_ms);
                self.northbound.set_up(name, true);
                self.stale_answers.insert(name.clone());
            }
        }
    }

    /// A node's switch refuses flows of these ports, and of no others.
    pub(super) fn set_refused(
        &mut self,
        node: &NodeName,
        refused: BTreeSet<Arc<str>>,
        epoch_ms: u64,
    ) {
        let Some(member) = self.members.get_mut(node) else {
            return;
        };
        for name in &refused {
            if let Some(port) = self.bound.get_mut(name)
                && port.bound.node == *node
            {
                if let Stage::Installed(_) = port.stage {
                    // As soon as nothing is refused any more, what it lacks has been acknowledged.
                    port.stage = Stage::Compiled(0);
                }
                self.northbound.set_up(name, false);
            }
        }
        member.refused = refused;
        self.install_ports(node, epoch_ms);
    }
}
