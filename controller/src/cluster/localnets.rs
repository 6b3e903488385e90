//! Localnet ports between the northbound database, the nodes and the compiler.
//!
//! ```text
//!  Logical_Switch_Port rows ──▶ every node: these there are ──▶ patch ports where it has the network
//!  patch ports as each node has them ──▶ compiler: this one is there, by this port of the bridge
//! ```
//!
//! One localnet port is on many nodes, so nobody holds it. A node speaks of itself alone: one that says it has what it has not cuts off its own.
//!
//! Must not: know mappings; those are each node's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_compiler::{Input, NodeName, Ofport};

use super::{Cluster, Effect};

impl Cluster {
    /// Tells the compiler where localnet ports are on a node.
    pub(super) fn set_plugs(&mut self, name: &NodeName, plugs: &BTreeMap<Arc<str>, Ofport>) {
        let Some(member) = self.members.get_mut(name) else {
            return;
        };
        let known = std::mem::replace(&mut member.plugs, plugs.clone());
        let gone = known.keys().filter(|port| !plugs.contains_key(*port));
        let gone = gone.map(|port| Input::Plug(name.clone(), port.clone(), None));
        self.inputs.extend(gone);
        let fresh = plugs
            .iter()
            .filter(|(port, at)| known.get(*port) != Some(at));
        let fresh = fresh.map(|(port, at)| Input::Plug(name.clone(), port.clone(), Some(*at)));
        self.inputs.extend(fresh);
    }

    /// What is not known yet is not gone: nodes hear nothing before the whole northbound database is known.
    pub(super) fn send_localnets(&mut self, effects: &mut Vec<Effect>) {
        if !self.nb_known || self.held {
            return;
        }
        let localnets = self.northbound.localnets();
        for (name, member) in &mut self.members {
            if member.localnets.as_ref() != Some(localnets) {
                member.localnets = Some(localnets.clone());
                effects.push(Effect::Localnets(name.clone(), localnets.clone()));
            }
        }
    }
}
