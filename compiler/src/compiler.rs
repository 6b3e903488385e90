//! The compiler as its users see it: inputs in, compilations out.
//!
//! Must not: hold a stage's logic; it only moves values between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::compilation::{Compilation, NodeState, Statistics};
use crate::diagnostic::Diagnostic;
use crate::engine::{Emission, Engine, Key, Member, Value};
use crate::input::{Input, Options};
use crate::node::NodeName;
use crate::topology;
use crate::unit::{self, Unit};

/// The compiler. A pure value: the same inputs give the same flows, whatever came before.
#[derive(Debug)]
pub struct Compiler {
    engine: Engine,
    nodes: BTreeMap<NodeName, NodeState>,
}

impl Compiler {
    /// A compiler of an empty network.
    #[must_use]
    pub fn new(options: Options) -> Compiler {
        let mut engine = Engine::new(options);
        engine.demand(Key::Placed(Unit::Common));
        for table in topology::UNSERVED {
            engine.demand(Key::UnservedWarning(table));
        }
        Compiler {
            engine,
            nodes: BTreeMap::new(),
        }
    }

    /// How it compiles.
    #[must_use]
    pub fn options(&self) -> Options {
        self.engine.options
    }

    /// Notes what is different now. Cheap: the work is done by [`Compiler::compile`].
    pub fn apply(&mut self, input: Input) {
        match input {
            Input::Nb(change) => {
                if let Some((key, value)) = topology::change_of(change) {
                    self.engine.set_input(key, value, topology::difference);
                }
            }
            Input::Node(name, node) => {
                let value = node.map_or(Value::Absent, Value::Node);
                let emissions = [
                    Emission::Member(Key::Nodes, Member::Node(name.clone())),
                    Emission::Demand(Key::Placed(Unit::Node(name.clone()))),
                ];
                let difference = |old: &Value, new: &Value| match (old.is_absent(), new.is_absent())
                {
                    (true, false) => (emissions.to_vec(), Vec::new()),
                    (false, true) => (Vec::new(), emissions.to_vec()),
                    _ => (Vec::new(), Vec::new()),
                };
                self.engine.set_input(Key::Node(name), value, difference);
            }
            Input::Binding(port, binding) => {
                let value = binding.map_or(Value::Absent, Value::Binding);
                let nothing = |_: &Value, _: &Value| (Vec::new(), Vec::new());
                self.engine.set_input(Key::Binding(port), value, nothing);
            }
            Input::Plug(node, port, ofport) => {
                let value = ofport.map_or(Value::Absent, Value::Ofport);
                let plugged = Key::PluggedNodes(Arc::clone(&port));
                let member = [Emission::Member(plugged, Member::Node(node.clone()))];
                let difference = |old: &Value, new: &Value| match (old.is_absent(), new.is_absent())
                {
                    (true, false) => (member.to_vec(), Vec::new()),
                    (false, true) => (Vec::new(), member.to_vec()),
                    _ => (Vec::new(), Vec::new()),
                };
                self.engine
                    .set_input(Key::Plug(node, port), value, difference);
            }
        }
    }

    /// Brings the desired sets up to date with what was applied.
    pub fn compile(&mut self) -> Compilation {
        self.engine.run();
        let engine = &mut self.engine;
        let known = engine.peek(&Key::Nodes).set().keys();
        let known: Vec<NodeName> = known
            .filter_map(|member| match member {
                Member::Node(node) => Some(node.clone()),
                _ => None,
            })
            .collect();
        self.nodes
            .retain(|node, _| known.binary_search(node).is_ok());
        for node in known {
            self.nodes.entry(node).or_default();
        }
        for replaced in std::mem::take(&mut engine.replaced) {
            unit::apply(replaced, &mut self.nodes);
        }
        let deltas = self.nodes.iter_mut();
        let deltas = deltas.map(|(name, state)| (name.clone(), state.take_delta()));
        let changed = deltas.filter(|(_, delta)| !delta.is_empty()).collect();
        let (diagnostics_added, diagnostics_removed) = engine.take_diagnostics();
        let statistics = Statistics {
            units_compiled: std::mem::take(&mut engine.units_compiled),
            flows_encoded: std::mem::take(&mut engine.flows_encoded),
            cells_computed: std::mem::take(&mut engine.computed),
        };
        Compilation {
            changed,
            diagnostics_added,
            diagnostics_removed,
            statistics,
        }
    }

    /// What a node should have.
    #[must_use]
    pub fn desired(&self, node: &NodeName) -> Option<&NodeState> {
        self.nodes.get(node)
    }

    /// Everything that is wrong, sorted.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.engine.diagnostics()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}
