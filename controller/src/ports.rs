//! Who holds which logical switch port: claims of the nodes against what the northbound database allows.
//!
//! ```text
//! Interface rows of each node ──claims──▶ ┌───────┐
//!                                         │ Ports │──▶ bindings (one per logical port, or none)
//! Logical_Switch_Port rows ──terms──────▶ └───────┘──▶ refusals (each said once)
//! ```
//!
//! Invariants:
//! - A node speaks for its own interfaces only; what it says about others cannot be expressed here.
//! - A logical port is bound at most once. The holder stays as long as its claim is good; who comes second is refused.
//! - With `options:requested-chassis` no other node gets the port, with `options:iface-id-ver` no other incarnation.
//! - Work is proportional to the claims and terms that changed.
//!
//! Must not: write rows, log, or know about flows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;
use weft_compiler::{NodeName, Ofport};

/// One interface of a node that says it is a logical switch port (`external_ids:iface-id`) and has a port number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `external_ids:iface-id`: the logical switch port's name.
    pub iface_id: Arc<str>,
    /// `external_ids:iface-id-ver`: the incarnation, a pod's UID.
    pub version: Option<Arc<str>>,
    /// The interface's name on the node, for people.
    pub interface: Arc<str>,
    /// The port number in use.
    pub ofport: Ofport,
}

/// What the northbound database asks of whoever claims a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// `options:requested-chassis`: the only node that may have it.
    pub requested_chassis: Option<Arc<str>>,
    /// `options:iface-id-ver`: the only incarnation that may have it.
    pub version: Option<Arc<str>>,
}

/// The one holder of a logical switch port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The node.
    pub node: NodeName,
    /// Its Interface row.
    pub row: Uuid,
    /// The interface's name.
    pub interface: Arc<str>,
    /// The port number.
    pub ofport: Ofport,
}

/// A claim that was not granted; its text is the warning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The logical switch port.
    pub port: Arc<str>,
    /// The node that claims it.
    pub node: NodeName,
    /// The interface it claims it with.
    pub interface: Arc<str>,
    /// Why it does not get it.
    pub reason: Reason,
}

/// Why a claim is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// `options:requested-chassis` names another node.
    RequestedElsewhere(Arc<str>),
    /// `options:iface-id-ver` names another incarnation.
    OtherVersion {
        /// What the database asks for.
        wanted: Arc<str>,
        /// What the interface says.
        found: Option<Arc<str>>,
    },
    /// Somebody has it already.
    HeldBy {
        /// The holder.
        node: NodeName,
        /// The holder's interface.
        interface: Arc<str>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "interface {} of node {} claims port {}, which ",
            self.interface, self.node, self.port
        )?;
        match &self.reason {
            Reason::RequestedElsewhere(node) => {
                write!(f, "options:requested-chassis gives to {node} alone")
            }
            Reason::OtherVersion {
                wanted,
                found: Some(found),
            } => {
                write!(
                    f,
                    "options:iface-id-ver gives to {wanted} alone; the interface is {found}"
                )
            }
            Reason::OtherVersion {
                wanted,
                found: None,
            } => {
                write!(
                    f,
                    "options:iface-id-ver gives to {wanted} alone; the interface has no external_ids:iface-id-ver"
                )
            }
            Reason::HeldBy { node, interface } => {
                write!(
                    f,
                    "interface {interface} of node {node} holds; delete one of the two"
                )
            }
        }
    }
}

/// The decision table. Fed with levels ([`Ports::set_claims`], [`Ports::set_terms`]), asked with [`Ports::settle`].
#[derive(Debug, Default)]
pub struct Ports {
    terms: BTreeMap<Arc<str>, Terms>,
    claims: BTreeMap<Arc<str>, BTreeMap<(NodeName, Uuid), Claim>>,
    nodes: BTreeMap<NodeName, BTreeMap<Uuid, Claim>>,
    bound: BTreeMap<Arc<str>, Bound>,
    refused: BTreeMap<Arc<str>, BTreeSet<Refusal>>,
    changed: BTreeSet<Arc<str>>,
}

/// What [`Ports::settle`] decided.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Ports whose holder (or its port number) changed; `None`: nobody holds it now.
    pub bindings: Vec<(Arc<str>, Option<Bound>)>,
    /// Refusals not said before.
    pub refusals: Vec<Refusal>,
}

impl Ports {
    /// Replaces all claims of a node. A node that is gone claims nothing.
    pub fn set_claims(&mut self, node: &NodeName, claims: &BTreeMap<Uuid, Claim>) {
        let known = self.nodes.remove(node).unwrap_or_default();
        for (row, claim) in &known {
            if claims.get(row) != Some(claim) {
                if let Some(rivals) = self.claims.get_mut(&claim.iface_id) {
                    rivals.remove(&(node.clone(), *row));
                    if rivals.is_empty() {
                        self.claims.remove(&claim.iface_id);
                    }
                }
                self.changed.insert(claim.iface_id.clone());
            }
        }
        for (row, claim) in claims {
            if known.get(row) != Some(claim) {
                self.claims
                    .entry(claim.iface_id.clone())
                    .or_default()
                    .insert((node.clone(), *row), claim.clone());
                self.changed.insert(claim.iface_id.clone());
            }
        }
        if !claims.is_empty() {
            self.nodes.insert(node.clone(), claims.clone());
        }
    }

    /// A logical switch port that interfaces may claim appears, changes, or (`None`) disappears.
    pub fn set_terms(&mut self, port: &Arc<str>, terms: Option<Terms>) {
        let known = self.terms.get(port);
        if known == terms.as_ref() {
            return;
        }
        match terms {
            Some(terms) => self.terms.insert(port.clone(), terms),
            None => self.terms.remove(port),
        };
        self.changed.insert(port.clone());
    }

    /// Decides about everything that changed since the last call.
    pub fn settle(&mut self) -> Decisions {
        let mut decisions = Decisions::default();
        for port in std::mem::take(&mut self.changed) {
            let (holder, refusals) = self.decide(&port);
            if self.bound.get(&port) != holder.as_ref() {
                match &holder {
                    Some(bound) => self.bound.insert(port.clone(), bound.clone()),
                    None => self.bound.remove(&port),
                };
                decisions.bindings.push((port.clone(), holder));
            }
            let said = self.refused.remove(&port).unwrap_or_default();
            decisions
                .refusals
                .extend(refusals.difference(&said).cloned());
            if !refusals.is_empty() {
                self.refused.insert(port, refusals);
            }
        }
        decisions
    }

    /// Who holds `port` as of the last [`Ports::settle`].
    #[must_use]
    pub fn holder(&self, port: &str) -> Option<&Bound> {
        self.bound.get(port)
    }

    /// Every binding as of the last [`Ports::settle`].
    pub fn bindings(&self) -> impl Iterator<Item = (&Arc<str>, &Bound)> {
        self.bound.iter()
    }

    fn decide(&self, port: &Arc<str>) -> (Option<Bound>, BTreeSet<Refusal>) {
        let mut refusals = BTreeSet::new();
        // A claim of a port that the database does not know (yet) is no fault: the interface may come first.
        let (Some(terms), Some(claims)) = (self.terms.get(port), self.claims.get(port)) else {
            return (None, refusals);
        };
        let refuse = |node: &NodeName, claim: &Claim, reason| Refusal {
            port: port.clone(),
            node: node.clone(),
            interface: claim.interface.clone(),
            reason,
        };
        let mut good = Vec::new();
        for ((node, row), claim) in claims {
            match terms.objection(node, claim) {
                Some(reason) => {
                    refusals.insert(refuse(node, claim, reason));
                }
                None => good.push((node, row, claim)),
            }
        }
        let holds = |bound: &&Bound| {
            good.iter()
                .any(|(node, row, _)| **node == bound.node && **row == bound.row)
        };
        let holder = self
            .bound
            .get(port)
            .filter(holds)
            .map(|bound| (bound.node.clone(), bound.row));
        let holder = holder.or_else(|| good.first().map(|(node, row, _)| ((*node).clone(), **row)));
        let mut bound = None;
        if let Some((holder_node, holder_row)) = holder {
            for (node, row, claim) in &good {
                if **node == holder_node && **row == holder_row {
                    bound = Some(Bound {
                        node: holder_node.clone(),
                        row: holder_row,
                        interface: claim.interface.clone(),
                        ofport: claim.ofport,
                    });
                }
            }
            for (node, row, claim) in &good {
                if let Some(bound) = &bound
                    && (**node != holder_node || **row != holder_row)
                {
                    let reason = Reason::HeldBy {
                        node: holder_node.clone(),
                        interface: bound.interface.clone(),
                    };
                    refusals.insert(refuse(node, claim, reason));
                }
            }
        }
        (bound, refusals)
    }
}

impl Terms {
    fn objection(&self, node: &NodeName, claim: &Claim) -> Option<Reason> {
        if let Some(wanted) = &self.requested_chassis
            && **wanted != *node.as_str()
        {
            return Some(Reason::RequestedElsewhere(wanted.clone()));
        }
        if let Some(wanted) = &self.version
            && claim.version.as_ref() != Some(wanted)
        {
            return Some(Reason::OtherVersion {
                wanted: wanted.clone(),
                found: claim.version.clone(),
            });
        }
        None
    }
}

#[cfg(test)]
mod tests;
