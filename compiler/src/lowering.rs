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
mod field;

use std::sync::Arc;

use openflow_rs::{Action as OfAction, Field as OfField, Flow, Match};
use weft_expr::{Action, Conjunct, NormalizeError, PortSymbol, Product, Sets, factor};

use crate::logical_flow::{Datapath, LogicalFlow, Names};
use crate::pipeline::{DatapathKind, register};

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
    /// `next` leads nowhere.
    #[error("{action} leads to no stage")]
    NoStage {
        /// The action.
        action: Action,
    },
}

/// The OpenFlow flows that do what `flow` does. None, when it matches a port that is not there.
///
/// # Errors
/// When the match is too large or meaningless, or an action names what is not there.
pub fn lower(
    flow: &LogicalFlow,
    names: &mut dyn Names,
    sets: &dyn Sets,
) -> Result<Vec<Flow>, LowerError> {
    let matches = flow.matches.clone() & Action::prerequisites(&flow.actions);
    let form = factor(&matches, sets)?;
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
        base,
        flows: Vec::new(),
    };
    for conjunct in &form.conjuncts {
        if let Some(matches) = lowering.matches(conjunct, names) {
            lowering.push(matches, actions.clone());
        }
    }
    for (product, index) in form.products.iter().zip(0u32..) {
        lowering.product(product, index, &actions, names);
    }
    Ok(lowering.flows)
}

struct Lowering<'a> {
    flow: &'a LogicalFlow,
    base: Match,
    flows: Vec<Flow>,
}

impl Lowering<'_> {
    fn push(&mut self, matches: Match, actions: Vec<OfAction>) {
        let flow = Flow {
            table: self.flow.stage.table().get(),
            priority: self.flow.priority,
            cookie: u64::from(self.flow.cookie().get()),
            matches,
            actions,
        };
        self.flows.push(flow.canonical());
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
    fn product(
        &mut self,
        product: &Product,
        index: u32,
        actions: &[OfAction],
        names: &mut dyn Names,
    ) {
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
        let id = self.flow.cookie().get().wrapping_add(index);
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
}

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
