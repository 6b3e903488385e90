//! A logical flow to the OpenFlow flows that do the same.
//!
//! ```text
//!   matches && what the actions presuppose ──factor──▶ conjuncts ──▶ one flow each
//!                                                      products  ──▶ a flow per member of each set, and one that matches conj_id
//! ```
//!
//! Flows of one datapath match its key in `metadata`; flows of every datapath of a kind match none, because kinds have tables of their own.
//!
//! Invariants: a lowered flow matches exactly the packets that the logical flow matches (tested on random ones); the same logical flow
//! lowers to the same flows wherever it is placed.
//! Must not: decide where a flow goes, or number anything; [`Names`] and [`crate::pipeline`] say which numbers there are.

mod action;
mod conntrack;
mod field;

use std::sync::Arc;

use openflow_rs::{Action as OfAction, Field as OfField, Flow, Match};
use uuid::Uuid;
use weft_expr::{Action, Conjunct, NormalizeError, PortSymbol, Product, Sets, factor_both};

use crate::logical_flow::{Datapath, LogicalFlow, Names};
use crate::pipeline::{DatapathKind, register};
use crate::topology::first_choice;

pub(crate) use conntrack::translate;

/// Why a logical flow cannot be lowered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LowerError {
    /// Its match has no normal form, or too large a one.
    #[error(transparent)]
    Match(#[from] NormalizeError),
    /// Its own datapath has no key.
    #[error("the flow's datapath has no key; the switch or router is gone, or keys have run out")]
    UnknownDatapath,
    /// An action names a port that its datapath does not have.
    #[error("{symbol} = {name:?}: the datapath has no such port")]
    UnknownPort {
        /// `inport` or `outport`.
        symbol: PortSymbol,
        /// The port.
        name: Arc<str>,
    },
    /// `deliver` names a datapath or port that is not there.
    #[error("deliver({datapath:?}, {port:?}): there is no such port")]
    UnknownDelivery {
        /// The datapath.
        datapath: Arc<str>,
        /// The port.
        port: Arc<str>,
    },
    /// `forward` names a node that is not there.
    #[error("forward({node:?}): there is no such node, or it has no tunnel address")]
    UnknownNode {
        /// The node.
        node: Arc<str>,
    },
    /// The actions of a replacement cannot be put into a flow.
    #[error(transparent)]
    Encode(#[from] openflow_rs::EncodeError),
    /// `ct_lb_mark(backends=…)` has no group to choose from.
    #[error("ct_lb_mark(backends=…): there is no group of buckets for it")]
    NoGroup,
    /// `ct_snat` or `ct_dnat` has no zone.
    #[error(
        "there is no conntrack zone left for the router; {} routers can translate addresses",
        crate::pipeline::zone::TRANSLATING_ROUTERS
    )]
    NoZone,
    /// `next` leads nowhere.
    #[error("{action} leads to no stage")]
    NoStage {
        /// The action.
        action: Action,
    },
}

/// What a logical flow becomes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lowered {
    /// The flows. Two of them may have the same key if both only count for conjunctive matches: a switch needs them as one flow
    /// that counts for all.
    pub flows: Vec<Flow>,
    /// The conjunctive matches among them.
    pub conjunctions: Vec<Conjunction>,
}

/// A conjunctive match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conjunction {
    /// Which it is: the same tomorrow, and no other's.
    pub identity: Uuid,
    /// The number that it has in its flows, which follows from the identity: seldom another's.
    pub number: u32,
}

/// The OpenFlow flows that do what `flow` does. None, when it matches a port that is not there.
///
/// # Errors
/// When the match is too large or meaningless, or an action names what is not there.
pub fn lower(
    flow: &LogicalFlow,
    names: &mut dyn Names,
    sets: &dyn Sets,
) -> Result<Lowered, LowerError> {
    let form = factor_both(&flow.matches, &Action::prerequisites(&flow.actions), sets)?;
    let actions = action::lower(flow, names)?;
    let base = match &flow.datapath {
        Datapath::Every(_) => Match::new(),
        Datapath::One(datapath) => {
            let key = names
                .datapath(*datapath)
                .ok_or(LowerError::UnknownDatapath)?;
            Match::new().exact(OfField::Metadata, u128::from(key.get()))
        }
    };
    let mut lowering = Lowering {
        flow,
        cookie: u64::from(flow.cookie().get()),
        base,
        lowered: Lowered::default(),
    };
    for conjunct in &form.conjuncts {
        if let Some(matches) = lowering.matches(conjunct, names) {
            lowering.push(matches, actions.clone());
        }
    }
    for product in &form.products {
        lowering.product(product, &actions, names);
    }
    Ok(lowering.lowered)
}

struct Lowering<'a> {
    flow: &'a LogicalFlow,
    cookie: u64,
    base: Match,
    lowered: Lowered,
}

impl Lowering<'_> {
    fn push(&mut self, matches: Match, actions: Vec<OfAction>) {
        let flow = Flow {
            table: self.flow.stage.table().get(),
            priority: self.flow.priority,
            cookie: self.cookie,
            matches,
            actions,
        };
        self.lowered.flows.push(flow.canonical());
    }

    /// `None` when it asks for a port that is not there: no packet has it.
    fn matches(&self, conjunct: &Conjunct, names: &mut dyn Names) -> Option<Match> {
        let mut matches = self.base.clone();
        for (symbol, name) in conjunct.ports() {
            let key = match name.is_empty() {
                true => 0,
                false => names.port(&self.flow.datapath, name)?.get(),
            };
            matches.insert(
                port_register(symbol),
                u128::from(key),
                OfField::Reg(0).all_ones(),
            );
        }
        for (field, masked) in conjunct.fields() {
            matches.insert(field::of(field), masked.value, masked.mask);
        }
        Some(matches)
    }

    /// A conjunctive match (ovs-fields(7)): every member of every set is a flow, and a flow on `conj_id` does the actions.
    fn product(&mut self, product: &Product, actions: &[OfAction], names: &mut dyn Names) {
        let mut clauses = Vec::new();
        for dimension in &product.dimensions {
            let members = dimension
                .iter()
                .filter_map(|member| self.matches(member, names));
            let members: Vec<Match> = members.collect();
            if members.is_empty() {
                return;
            }
            clauses.push(members);
        }
        let Some(common) = self.matches(&product.common, names) else {
            return;
        };
        let Ok(n) = u8::try_from(clauses.len()) else {
            return;
        };
        let conjunction = self.conjunction();
        self.lowered.conjunctions.push(conjunction);
        let id = conjunction.number;
        for (members, clause) in clauses.into_iter().zip(1u8..) {
            for member in members {
                self.push(member, vec![OfAction::Conjunction { id, clause, n }]);
            }
        }
        self.push(
            common.exact(OfField::ConjId, u128::from(id)),
            actions.to_vec(),
        );
    }

    /// The next of this flow's conjunctive matches. Those of one flow have different numbers.
    fn conjunction(&self) -> Conjunction {
        let text = self.flow.identity();
        let known = &self.lowered.conjunctions;
        let candidates = (0u32..).map(|salt| {
            let identity = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{text} {salt}").as_bytes());
            let number = first_choice(identity, CONJUNCTIONS_MAX);
            Conjunction { identity, number }
        });
        let is_new = |candidate: &Conjunction| {
            known.iter().all(|known| {
                known.identity != candidate.identity && known.number != candidate.number
            })
        };
        candidates.into_iter().find(is_new).unwrap_or(Conjunction {
            identity: Uuid::nil(),
            number: CONJUNCTIONS_MAX,
        })
    }
}

/// A flow with another number for its conjunctive match.
pub(crate) fn renumber(flow: &mut Flow, from: u32, to: u32) {
    if flow.matches.get(OfField::ConjId).is_some() {
        flow.matches
            .insert(OfField::ConjId, u128::from(to), OfField::ConjId.all_ones());
    }
    for action in &mut flow.actions {
        if let OfAction::Conjunction { id, .. } = action
            && *id == from
        {
            *id = to;
        }
    }
}

/// Numbers of conjunctive matches are 1 to this.
pub(crate) const CONJUNCTIONS_MAX: u32 = u32::MAX;

/// The register that holds a port's key.
const fn port_register(symbol: PortSymbol) -> OfField {
    match symbol {
        PortSymbol::Inport => OfField::Reg(register::INPORT),
        PortSymbol::Outport => OfField::Reg(register::OUTPORT),
    }
}

/// The kind of the datapaths a flow belongs to.
const fn kind(datapath: &Datapath) -> DatapathKind {
    match datapath {
        Datapath::Every(kind) => *kind,
        Datapath::One(datapath) => datapath.kind,
    }
}

#[cfg(test)]
mod tests;
