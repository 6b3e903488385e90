//! What a unit wants, and how that becomes bytes.
//!
//! Most flows are logical and the same wherever they are placed. Two kinds of logical flow are done differently near and far, which this
//! file knows and their units do not have to: `output` to a port goes to the output table where the port resides and straight into the
//! tunnel elsewhere; `forward` goes on in place on the node it names.
//!
//! Must not: know which nodes a scope has.

use std::net::IpAddr;
use std::sync::Arc;

use openflow_rs::{Action as OfAction, Field, Flow, Group, PortNo, Subfield};
use rustc_hash::FxHashMap;
use weft_expr::{Action, Pipeline};

use crate::compilation::{CompiledFlow, CompiledGroup};
use crate::diagnostic::Diagnostic;
use crate::engine::{Emission, Key, Reader, Value};
use crate::logical_flow::{Datapath, DatapathRef, LogicalFlow, Names, Owner, Scope};
use crate::lowering::{self, Conjunction};
use crate::node::NodeName;
use crate::pipeline::{
    DatapathKey, DatapathKind, ELSEWHERE, FLOOD, GroupId, PortKey, Stage, TUNNEL_OFPORT, TableId,
    UNKNOWN, register,
};
use crate::topology::residence;

/// What was compiled for a unit.
#[derive(Default, Debug)]
pub(crate) struct CompiledUnit {
    /// None, unless [`Options::keeps_logical_flows`](crate::Options::keeps_logical_flows).
    pub(crate) logical: Vec<LogicalFlow>,
    pub(crate) flows: Vec<(Scope, Arc<CompiledFlow>)>,
    /// Conjunctive matches, each with the index of every flow of it.
    pub(crate) conjunctions: Vec<(usize, Conjunction)>,
    pub(crate) groups: Vec<(Scope, Arc<CompiledGroup>)>,
}

impl PartialEq for CompiledUnit {
    /// Flows and groups that came out the same keep their place in memory, so that comparing is cheap.
    fn eq(&self, other: &CompiledUnit) -> bool {
        self.logical == other.logical
            && self.conjunctions == other.conjunctions
            && self.flows.len() == other.flows.len()
            && self.groups.len() == other.groups.len()
            && self
                .flows
                .iter()
                .zip(&other.flows)
                .all(|(one, two)| one.0 == two.0 && Arc::ptr_eq(&one.1, &two.1))
            && self
                .groups
                .iter()
                .zip(&other.groups)
                .all(|(one, two)| one.0 == two.0 && Arc::ptr_eq(&one.1, &two.1))
    }
}

/// A unit's flows in the making.
#[derive(Default)]
pub(super) struct Draft {
    owner: Option<Owner>,
    flows: Vec<Wanted>,
    physical: Vec<(Scope, Flow)>,
    groups: Vec<(Scope, Group)>,
    /// Where a flow that cannot be lowered is reported.
    name: String,
}

struct Wanted {
    flow: LogicalFlow,
    near: Near,
}

/// How near and far differ.
enum Near {
    /// They do not.
    Same,
    /// The last action is `output` to a port that resides on this node.
    Output(NodeName),
    /// The last action is `forward` to this node.
    Forward(NodeName),
    /// `outport` is set to a port that resides on this node.
    Found(NodeName),
    /// They do not; the last action chooses from this group.
    Group(GroupId),
}

impl Draft {
    /// The row that the flows added from now on are made from.
    pub(super) fn own(&mut self, table: &'static str, uuid: uuid::Uuid, name: &str) {
        self.owner = Some(Owner { table, uuid });
        name.clone_into(&mut self.name);
    }

    /// Adds a logical flow.
    pub(super) fn flow(
        &mut self,
        datapath: Datapath,
        stage: Stage,
        priority: u16,
        matches: impl Into<weft_expr::Expr>,
        actions: Vec<Action>,
        scope: &Scope,
    ) {
        self.want(
            datapath,
            stage,
            priority,
            matches.into(),
            actions,
            scope,
            Near::Same,
        );
    }

    /// Adds a logical flow that ends in `output` to a port on `node`.
    #[allow(clippy::too_many_arguments)] // a flow's parts, each named by its type
    pub(super) fn output_flow(
        &mut self,
        datapath: Datapath,
        stage: Stage,
        priority: u16,
        matches: impl Into<weft_expr::Expr>,
        actions: Vec<Action>,
        scope: &Scope,
        node: &NodeName,
    ) {
        let near = Near::Output(node.clone());
        self.want(
            datapath,
            stage,
            priority,
            matches.into(),
            actions,
            scope,
            near,
        );
    }

    /// Adds a logical flow that ends in `ct_lb_mark(backends=…)`, whose buckets are those of `group`.
    #[allow(clippy::too_many_arguments)] // a flow's parts, each named by its type
    pub(super) fn balance_flow(
        &mut self,
        datapath: Datapath,
        stage: Stage,
        priority: u16,
        matches: impl Into<weft_expr::Expr>,
        actions: Vec<Action>,
        scope: &Scope,
        group: GroupId,
    ) {
        self.want(
            datapath,
            stage,
            priority,
            matches.into(),
            actions,
            scope,
            Near::Group(group),
        );
    }

    /// Adds a logical flow that ends in `forward` to `node`.
    #[allow(clippy::too_many_arguments)] // a flow's parts, each named by its type
    pub(super) fn forward_flow(
        &mut self,
        datapath: Datapath,
        stage: Stage,
        priority: u16,
        matches: impl Into<weft_expr::Expr>,
        scope: &Scope,
        node: &NodeName,
    ) {
        let actions = vec![Action::forward(node.shared())];
        let near = Near::Forward(node.clone());
        self.want(
            datapath,
            stage,
            priority,
            matches.into(),
            actions,
            scope,
            near,
        );
    }

    /// Adds a logical flow that sets `outport` to a port on `node`; where the packet goes then is for others to say.
    #[allow(clippy::too_many_arguments)] // a flow's parts, each named by its type
    pub(super) fn found_flow(
        &mut self,
        datapath: Datapath,
        stage: Stage,
        priority: u16,
        matches: impl Into<weft_expr::Expr>,
        actions: Vec<Action>,
        scope: &Scope,
        node: &NodeName,
    ) {
        let near = Near::Found(node.clone());
        self.want(
            datapath,
            stage,
            priority,
            matches.into(),
            actions,
            scope,
            near,
        );
    }

    #[allow(clippy::too_many_arguments)] // a flow's parts, each named by its type
    fn want(
        &mut self,
        datapath: Datapath,
        stage: Stage,
        priority: u16,
        matches: weft_expr::Expr,
        actions: Vec<Action>,
        scope: &Scope,
        near: Near,
    ) {
        let flow = LogicalFlow {
            datapath,
            stage,
            priority,
            matches,
            actions,
            scope: scope.clone(),
            owner: self.owner,
        };
        self.flows.push(Wanted { flow, near });
    }

    /// Adds a flow of a physical table.
    pub(super) fn physical(&mut self, scope: &Scope, flow: Flow) {
        self.physical.push((scope.clone(), flow));
    }

    /// Adds a group.
    pub(super) fn group(&mut self, scope: &Scope, group: Group) {
        self.groups.push((scope.clone(), group));
    }

    /// Lowers and encodes.
    pub(super) fn finish(self, reader: &mut Reader<'_>, old: &Value) -> Value {
        let empty = CompiledUnit::default();
        let old = old.unit().map_or(&empty, |old| old);
        let mut finish = Finish {
            known: old
                .flows
                .iter()
                .map(|(_, flow)| (flow.add().clone(), Arc::clone(flow)))
                .collect(),
            known_groups: &old.groups,
            owner: self.owner,
            name: self.name,
            unit: CompiledUnit::default(),
        };
        for wanted in self.flows {
            finish.logical(reader, wanted);
        }
        for (scope, flow) in self.physical {
            finish.flow(reader, scope, flow);
        }
        for (scope, group) in self.groups {
            finish.group(reader, scope, group);
        }
        match finish.unit.flows.is_empty() && finish.unit.groups.is_empty() {
            true => Value::Absent,
            false => Value::Unit(Arc::new(finish.unit)),
        }
    }
}

struct Finish<'a> {
    /// By their bytes: all of those of before, and of now.
    known: FxHashMap<bytes::Bytes, Arc<CompiledFlow>>,
    known_groups: &'a [(Scope, Arc<CompiledGroup>)],
    owner: Option<Owner>,
    name: String,
    unit: CompiledUnit,
}

impl Finish<'_> {
    fn logical(&mut self, reader: &mut Reader<'_>, wanted: Wanted) {
        let Wanted { mut flow, near } = wanted;
        if let Datapath::One(datapath) = &flow.datapath
            && datapath.kind == DatapathKind::Router
            && !matches!(flow.scope, Scope::At(_))
            && let Some(node) = residence(reader, datapath.uuid)
        {
            // Whatever the nodes are that could have a use for it: the router is on this one alone.
            flow.scope = Scope::At(node);
        }
        let lowered = lowering::lower(&flow, &mut ReaderNames(reader, &near), &weft_expr::NoSets);
        let lowered = match lowered {
            Ok(lowered) => lowered,
            Err(error) => return self.complain(reader, error.to_string()),
        };
        for conjunction in &lowered.conjunctions {
            reader.emit(Emission::ConjunctionNumber(conjunction.identity));
        }
        let conjunctions = lowered.conjunctions;
        for lowered in lowered.flows {
            let first = self.unit.flows.len();
            let number = number_of(&lowered);
            match &near {
                Near::Same | Near::Group(_) => self.flow(reader, flow.scope.clone(), lowered),
                Near::Output(node) => {
                    if let Some(scope) = far(&flow.scope, node)
                        && let Some(address) = tunnel_address(reader, node)
                    {
                        let mut far = lowered.clone();
                        far.actions.pop();
                        far.actions.extend(tunnel_to(address));
                        self.flow(reader, scope, far);
                    }
                    self.flow(reader, Scope::At(node.clone()), lowered);
                }
                Near::Found(node) => {
                    if let Some(scope) = far(&flow.scope, node)
                        && let Some(address) = tunnel_address(reader, node)
                    {
                        let mut far = lowered.clone();
                        point_far(&mut far.actions, address);
                        self.flow(reader, scope, far);
                    }
                    self.flow(reader, Scope::At(node.clone()), lowered);
                }
                Near::Forward(node) => {
                    let mut here = lowered.clone();
                    here.actions = go_on_in_egress();
                    self.flow(reader, Scope::At(node.clone()), here);
                    if let Some(scope) = far(&flow.scope, node) {
                        self.flow(reader, scope, lowered);
                    }
                }
            }
            let mut conjunctions = conjunctions.iter();
            if let Some(conjunction) = conjunctions.find(|known| Some(known.number) == number) {
                let indices = first..self.unit.flows.len();
                self.unit
                    .conjunctions
                    .extend(indices.map(|index| (index, *conjunction)));
            }
        }
        if reader.options().keeps_logical_flows {
            self.unit.logical.push(flow);
        }
    }

    fn flow(&mut self, reader: &mut Reader<'_>, scope: Scope, flow: Flow) {
        match CompiledFlow::new(flow) {
            Ok(flow) => {
                let known = self.known.entry(flow.add().clone());
                let flow = known.or_insert_with(|| {
                    reader.count_encoded();
                    Arc::new(flow)
                });
                self.unit.flows.push((scope, Arc::clone(flow)));
            }
            Err(error) => self.complain(reader, error.to_string()),
        }
    }

    fn group(&mut self, reader: &mut Reader<'_>, scope: Scope, group: Group) {
        let group = group.canonical();
        let mut known = self.known_groups.iter();
        if let Some((_, old)) = known.find(|(at, old)| *at == scope && old.group == group) {
            self.unit.groups.push((scope, Arc::clone(old)));
            return;
        }
        match CompiledGroup::new(group) {
            Ok(group) => self.unit.groups.push((scope, Arc::new(group))),
            Err(error) => self.complain(reader, error.to_string()),
        }
    }

    fn complain(&self, reader: &mut Reader<'_>, message: String) {
        if let Some(Owner { table, uuid }) = self.owner {
            reader.diagnose(Diagnostic {
                table,
                uuid,
                name: self.name.clone(),
                column: "_uuid",
                message: format!("a flow of this row is left out: {message}"),
            });
        }
    }
}

/// Number of the conjunctive match that a flow is part of.
fn number_of(flow: &Flow) -> Option<u32> {
    match flow.actions.as_slice() {
        [OfAction::Conjunction { id, .. }] => Some(*id),
        _ => flow
            .matches
            .exact_value(Field::ConjId)
            .and_then(|id| u32::try_from(id).ok()),
    }
}

/// The rest of a scope without the node that is near; `None` if nothing is left.
fn far(scope: &Scope, near: &NodeName) -> Option<Scope> {
    match scope {
        Scope::Everywhere => None,
        Scope::At(_) => None,
        Scope::On { nodes, .. } => Some(Scope::On {
            nodes: nodes.clone(),
            except: Some(near.clone()),
        }),
    }
}

/// The egress pipeline of this router, without an egress port.
fn go_on_in_egress() -> Vec<OfAction> {
    let egress = Stage::first(DatapathKind::Router, Pipeline::Egress);
    let mut actions = vec![OfAction::set(Field::Reg(register::OUTPORT), 0u8)];
    actions.extend(egress.map(|stage| OfAction::Resubmit {
        table: stage.table().get(),
    }));
    actions
}

/// Says of the egress port that actions set that it is on another node.
fn point_far(actions: &mut Vec<OfAction>, address: IpAddr) {
    for action in actions.iter_mut() {
        if let OfAction::SetField { field, value, .. } = action
            && *field == Field::Reg(register::OUTPORT)
        {
            *value |= u128::from(register::FAR);
        }
    }
    actions.insert(0, set_tunnel(address));
}

/// The node that the tunnel leads to.
fn set_tunnel(address: IpAddr) -> OfAction {
    match address {
        IpAddr::V4(address) => OfAction::set(Field::TunDst, address.to_bits()),
        IpAddr::V6(address) => OfAction::set(Field::TunIpv6Dst, address.to_bits()),
    }
}

/// Into the tunnel to a node, with the datapath's key and the logical ports.
pub(super) fn tunnel_to(address: IpAddr) -> Vec<OfAction> {
    let mut actions = vec![set_tunnel(address)];
    actions.extend(tunnel());
    actions
}

/// Into the tunnel, with the datapath's key and the logical ports.
pub(super) fn tunnel() -> Vec<OfAction> {
    let option = Field::TunMetadata(crate::pipeline::OPTION_FIELD);
    let bits = |field, offset, bits| Subfield::new(field, offset, bits);
    let (inport, outport) = (Field::Reg(register::INPORT), Field::Reg(register::OUTPORT));
    vec![
        OfAction::copy(bits(Field::Metadata, 0, 24), bits(Field::TunId, 0, 24)),
        OfAction::copy(bits(inport, 0, 15), bits(option, 16, 15)),
        OfAction::copy(bits(outport, 0, 16), bits(option, 0, 16)),
        OfAction::Output(PortNo::from_u16(TUNNEL_OFPORT)),
    ]
}

/// Into a datapath by one of its ports, as a packet without history.
pub(super) fn cross(datapath: DatapathKey, port: PortKey, kind: DatapathKind) -> Vec<OfAction> {
    let mut actions: Vec<OfAction> = [Field::XxReg(0), Field::XxReg(1), Field::XReg(4)]
        .into_iter()
        .chain([register::FLAGS, register::OFPORT, register::OUTPORT].map(Field::Reg))
        .map(|field| OfAction::set(field, 0u8))
        .collect();
    let ingress = Stage::first(kind, Pipeline::Ingress);
    // Its port of entry is forgotten, for the packet may go back there.
    actions.push(OfAction::set(Field::InPort, 0xffffu16));
    actions.push(OfAction::set(Field::Metadata, datapath.get()));
    actions.push(OfAction::set(Field::Reg(register::INPORT), port.get()));
    actions.extend(ingress.map(|stage| OfAction::Resubmit {
        table: stage.table().get(),
    }));
    actions
}

/// A flow of the output or deliver table, for a port of a datapath.
pub(super) fn port_flow(
    table: TableId,
    datapath: DatapathKey,
    port: PortKey,
    actions: Vec<OfAction>,
) -> Flow {
    let matches = openflow_rs::Match::new()
        .exact(Field::Metadata, datapath.get())
        .exact(Field::Reg(register::OUTPORT), port.get());
    Flow {
        table: table.get(),
        priority: 100,
        cookie: 0,
        matches,
        actions,
    }
}

pub(super) fn tunnel_address(reader: &mut Reader<'_>, node: &NodeName) -> Option<IpAddr> {
    let node = reader.read(Key::Node(node.clone())).node();
    node.map(|node| node.encap_ip)
}

pub(super) fn datapath_key(reader: &mut Reader<'_>, datapath: uuid::Uuid) -> Option<DatapathKey> {
    let number = reader.read(Key::DatapathNumber(datapath)).number().copied();
    number.and_then(DatapathKey::new)
}

pub(super) fn port_key(
    reader: &mut Reader<'_>,
    datapath: uuid::Uuid,
    port: uuid::Uuid,
) -> Option<PortKey> {
    let number = reader
        .read(Key::PortNumber(datapath, port))
        .number()
        .copied();
    number
        .and_then(|key| u16::try_from(key).ok())
        .and_then(PortKey::port)
}

/// Names, with every answer noted as read.
struct ReaderNames<'a, 'b>(&'a mut Reader<'b>, &'a Near);

impl Names for ReaderNames<'_, '_> {
    fn datapath(&mut self, datapath: DatapathRef) -> Option<DatapathKey> {
        datapath_key(self.0, datapath.uuid)
    }

    fn port(&mut self, datapath: &Datapath, name: &str) -> Option<PortKey> {
        match name {
            FLOOD => return Some(PortKey::FLOOD),
            ELSEWHERE => return Some(PortKey::ELSEWHERE),
            UNKNOWN => return Some(PortKey::UNKNOWN),
            _ => {}
        }
        let Datapath::One(datapath) = datapath else {
            return None;
        };
        let name = Arc::from(name);
        let port = self.0.first_row(match datapath.kind {
            DatapathKind::Switch => Key::SwitchPortsNamed(name),
            DatapathKind::Router => Key::RouterPortsNamed(name),
        })?;
        port_key(self.0, datapath.uuid, port)
    }

    fn delivery(&mut self, _datapath: &str, port: &str) -> Option<(DatapathKey, PortKey)> {
        // Port names are unique in the database, names of datapaths are not: the port says which it is.
        let port = self.0.first_row(Key::SwitchPortsNamed(Arc::from(port)))?;
        let switch = self.0.first_row(Key::SwitchesOf(port))?;
        let port = port_key(self.0, switch, port)?;
        datapath_key(self.0, switch).map(|datapath| (datapath, port))
    }

    fn zone(&mut self, datapath: DatapathRef, side: weft_expr::NatSide) -> Option<u16> {
        let number = self.0.read(Key::ZoneNumber(datapath.uuid)).number();
        number.and_then(|number| crate::pipeline::zone::of_router(*number, side))
    }

    fn group(&mut self) -> Option<GroupId> {
        match self.1 {
            Near::Group(group) => Some(*group),
            _ => None,
        }
    }

    fn tunnel_address(&mut self, node: &str) -> Option<IpAddr> {
        tunnel_address(self.0, &NodeName::from(node))
    }
}
