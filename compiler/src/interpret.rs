//! Runs logical flows over the whole network: what becomes of a packet that enters at a port, and why.
//!
//! ```text
//!   node n1                                        node n2
//!   port ─▶ ls_in ─▶ … ─output─▶ ls_out ─▶ port    ─▶ ls_out ─▶ port            (tunnel under the switch's key)
//!                 └▶ lr_in ─▶ … ─forward("n2")─────▶ lr_out ─deliver─▶ ls_out ─▶ port   (under the router's key)
//! ```
//!
//! One interpreter serves `weft trace` and the tests, over the same logical flows that lowering reads: a trace cannot say what the flows do
//! not. It is told the topology by [`Network`], and only the flows that placement gives a node run on that node.
//!
//! Invariants: deterministic; ends after [`MAX_LOOKUPS`] look-ups (more where load balancers have many endpoints), [`MAX_DEPTH`] deep, whatever the flows say.
//! Must not: know OpenFlow, keys or addresses of nodes.

mod connections;
pub mod frame;
mod trace;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use weft_expr::{
    Action, Applied, Backend, Field, NatSide, Packet, Pipeline, PortSymbol, Sets, Symbol,
};

pub use self::connections::Connections;
pub use self::trace::{Event, Trace};
use crate::logical_flow::{DatapathRef, LogicalFlow};
use crate::node::NodeName;
use crate::pipeline::{DatapathKind, ELSEWHERE, FLOOD, Stage, UNKNOWN};

/// The network that packets cross.
pub trait Network {
    /// The flows that `node` has of a stage of a datapath, those of every datapath of its kind included; in any order.
    fn flows(&self, node: &NodeName, datapath: DatapathRef, stage: Stage) -> Vec<&LogicalFlow>;
    /// The switch or router of this name, as `deliver` writes it.
    fn datapath(&self, name: &str) -> Option<DatapathRef>;
    /// The name of a switch or router.
    fn datapath_name(&self, datapath: DatapathRef) -> Arc<str>;
    /// Where a port of a datapath leads; `None` when the datapath has no such port.
    fn outlet(&self, datapath: DatapathRef, port: &str) -> Option<Outlet>;
    /// All ports of a datapath: the members of its multicast groups.
    fn ports(&self, datapath: DatapathRef) -> Vec<Arc<str>>;
    /// The port of a switch by which a node is on a physical network, if it is on one.
    fn uplink(&self, _datapath: DatapathRef, _node: &NodeName) -> Option<Arc<str>> {
        None
    }
    /// The node that a router is on, if it is on one alone.
    fn residence(&self, _datapath: DatapathRef) -> Option<NodeName> {
        None
    }
    /// Those of them that take MACs that no port has.
    fn unknown_ports(&self, datapath: DatapathRef) -> Vec<Arc<str>>;
    /// Address sets and port groups.
    fn sets(&self) -> &dyn Sets;
}

/// Where a port leads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outlet {
    /// Out to an interface on a node.
    Bound(NodeName),
    /// Nowhere yet: no interface has claimed it.
    Unbound,
    /// Out to a physical network, on each of these nodes.
    Localnet(BTreeSet<NodeName>),
    /// Into the ingress pipeline of another datapath, on whichever node the packet is, or on the one that the other is on.
    Joined {
        /// The other datapath.
        datapath: DatapathRef,
        /// Its port.
        port: Arc<str>,
    },
}

/// A packet that left the network.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Delivery {
    /// The node it left on.
    pub node: NodeName,
    /// The port it left by.
    pub port: Arc<str>,
    /// The packet, without registers, flags and ports.
    pub packet: Packet,
}

/// What became of a packet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Where copies of it came out. Where a packet's hash decides, all that may come of it.
    pub deliveries: BTreeSet<Delivery>,
    /// The way there.
    pub trace: Trace,
    /// Connections that load balancers know now: those there were, and those it made.
    pub connections: Connections,
    /// Whether it was given up: the flows make a loop.
    pub is_cut: bool,
}

/// Sends `packet` into `port` of `datapath` on `node`. What its fields say of ports, registers and flags is overwritten.
#[must_use]
pub fn interpret(
    network: &dyn Network,
    node: &NodeName,
    datapath: DatapathRef,
    port: &str,
    packet: &Packet,
) -> Outcome {
    interpret_among(
        network,
        node,
        datapath,
        port,
        packet,
        Connections::default(),
    )
}

/// As [`interpret`], where load balancers know some connections already.
#[must_use]
pub fn interpret_among(
    network: &dyn Network,
    node: &NodeName,
    datapath: DatapathRef,
    port: &str,
    packet: &Packet,
    connections: Connections,
) -> Outcome {
    let mut run = Run {
        network,
        lookups_left: MAX_LOOKUPS,
        lookups_granted: MAX_LOOKUPS,
        depth: 0,
        outcome: Outcome {
            connections,
            ..Outcome::default()
        },
    };
    let mut root = Trace::default();
    match network.outlet(datapath, port) {
        Some(Outlet::Bound(bound)) if bound == *node => {
            let at = Place {
                node: node.clone(),
                datapath,
                from_outside: false,
            };
            run.enter(&at, port, packet, &mut root);
        }
        Some(Outlet::Localnet(nodes)) if nodes.contains(node) => {
            let at = Place {
                node: node.clone(),
                datapath,
                from_outside: true,
            };
            run.enter(&at, port, packet, &mut root);
        }
        _ => root.leaf(Event::Dropped(format!("{port:?} is not on {node}"))),
    }
    run.outcome.trace = root;
    run.outcome
}

/// Where a packet is.
#[derive(Clone)]
struct Place {
    node: NodeName,
    datapath: DatapathRef,
    /// What came out of a tunnel, or from a physical network, never enters one.
    from_outside: bool,
}

struct Run<'a> {
    network: &'a dyn Network,
    lookups_left: usize,
    /// In all, so far.
    lookups_granted: usize,
    /// Stages that wait for one they called.
    depth: usize,
    outcome: Outcome,
}

impl Run<'_> {
    /// Into a datapath by a port.
    fn enter(&mut self, at: &Place, port: &str, packet: &Packet, trace: &mut Trace) {
        let mut packet = bare(packet);
        packet.set_port(PortSymbol::Inport, port);
        let branch = trace.branch(Event::Entered {
            node: at.node.clone(),
            datapath: self.network.datapath_name(at.datapath),
            pipeline: Pipeline::Ingress,
            port: port.into(),
        });
        self.first_stage(at, Pipeline::Ingress, packet, branch);
    }

    fn first_stage(&mut self, at: &Place, pipeline: Pipeline, packet: Packet, trace: &mut Trace) {
        match Stage::first(at.datapath.kind, pipeline) {
            Some(stage) => self.stage(at, stage, packet, trace),
            None => trace.leaf(Event::Dropped("the pipeline has no stage".to_owned())),
        }
    }

    fn stage(&mut self, at: &Place, stage: Stage, packet: Packet, trace: &mut Trace) {
        self.lookups_left = self.lookups_left.saturating_sub(1);
        if self.lookups_left == 0 || self.depth >= MAX_DEPTH {
            if !self.outcome.is_cut {
                trace.leaf(Event::Dropped(
                    "gave up: it goes round in circles".to_owned(),
                ));
            }
            self.outcome.is_cut = true;
            return;
        }
        let network = self.network;
        let Some((flow, is_ambiguous)) = Self::best(network, at, stage, &packet) else {
            trace.leaf(Event::Missed(stage));
            return;
        };
        let branch = trace.branch(Event::Matched {
            stage,
            flow: flow.clone(),
        });
        if is_ambiguous {
            branch.leaf(Event::Ambiguous);
        }
        self.depth = self.depth.saturating_add(1);
        self.run(network, at, flow, packet, branch);
        self.depth = self.depth.saturating_sub(1);
    }

    /// The matching flow of the highest priority, and whether another of that priority does something else.
    fn best<'b>(
        network: &'b dyn Network,
        at: &Place,
        stage: Stage,
        packet: &Packet,
    ) -> Option<(&'b LogicalFlow, bool)> {
        let sets = network.sets();
        let applies = |flow: &&LogicalFlow| {
            flow.matches.holds(packet, sets)
                && Action::prerequisites(&flow.actions).holds(packet, sets)
        };
        let candidates = network.flows(&at.node, at.datapath, stage);
        let matching: Vec<&LogicalFlow> = candidates.into_iter().filter(applies).collect();
        let highest = matching.iter().map(|flow| flow.priority).max()?;
        let best = matching.into_iter().filter(|flow| flow.priority == highest);
        let mut best: Vec<&LogicalFlow> = best.collect();
        best.sort_by(|one, other| {
            (&one.matches, &one.actions).cmp(&(&other.matches, &other.actions))
        });
        let first = *best.first()?;
        Some((first, best.iter().any(|flow| flow.actions != first.actions)))
    }

    fn run(
        &mut self,
        network: &dyn Network,
        at: &Place,
        flow: &LogicalFlow,
        packet: Packet,
        trace: &mut Trace,
    ) {
        if flow.actions.iter().all(|action| *action == Action::Drop) {
            trace.leaf(Event::Dropped("drop".to_owned()));
        }
        self.run_actions(network, at, (flow.stage, &flow.actions), packet, trace);
    }

    fn run_actions(
        &mut self,
        network: &dyn Network,
        at: &Place,
        (here, actions): (Stage, &[Action]),
        mut packet: Packet,
        trace: &mut Trace,
    ) {
        for action in actions {
            match packet.apply(action) {
                Applied::Done => continue,
                Applied::Expired => {
                    trace.leaf(Event::Dropped("the TTL ran out".to_owned()));
                    return;
                }
                Applied::Elsewhere => {}
            }
            match action {
                Action::Next { pipeline, table } => {
                    let stage = match table {
                        None => here.following(),
                        Some(number) => {
                            let pipeline = pipeline.unwrap_or(here.pipeline());
                            Stage::find(at.datapath.kind, pipeline, *number)
                        }
                    };
                    match stage {
                        Some(stage) => self.stage(at, stage, packet.clone(), trace),
                        None => trace.leaf(Event::Dropped(format!("{action} leads to no stage"))),
                    }
                }
                Action::Select {
                    destination,
                    choices,
                } => {
                    let Some(stage) = here.following() else {
                        trace.leaf(Event::Dropped(format!("{action} leads to no stage")));
                        continue;
                    };
                    // Which one it is, only the switch can say: all of them are looked at.
                    for number in 0..*choices {
                        let mut packet = packet.clone();
                        packet.set(*destination, u128::from(number));
                        let branch = trace.branch(Event::Chosen {
                            number,
                            choices: *choices,
                        });
                        self.stage(at, stage, packet, branch);
                    }
                }
                Action::CtLb => {
                    let zone = zone(here, &packet);
                    for packet in self.outcome.connections.track(zone, &packet) {
                        self.follow(at, here, packet, trace);
                    }
                }
                Action::CtNat { side, address } => {
                    self.translate(at, here, (*side, *address), &packet, trace);
                }
                Action::CtLbTo { backends, .. } => {
                    self.balance(at, here, backends, &packet, trace);
                }
                Action::Output if here.pipeline() == Pipeline::Ingress => {
                    self.output(at, &packet, trace);
                }
                Action::Output => self.leave(at, &packet, trace),
                Action::Forward { node } => {
                    self.forward(at, &NodeName::from(node.clone()), &packet, trace)
                }
                Action::Deliver { datapath, .. } | Action::Locate { datapath, .. } => {
                    let Some(datapath) = network.datapath(datapath) else {
                        trace.leaf(Event::Dropped(format!("there is no datapath {datapath:?}")));
                        continue;
                    };
                    let at = Place {
                        datapath,
                        ..at.clone()
                    };
                    let mut packet = bare(&packet);
                    match action {
                        Action::Deliver { port, .. } => {
                            packet.set_port(PortSymbol::Outport, port.clone());
                            self.output(&at, &packet, trace);
                        }
                        _ => self.stage(&at, Stage::LsInLocate, packet, trace),
                    }
                }
                Action::Replace { with, actions } => match packet.replaced(*with) {
                    Some(made) => {
                        let branch = trace.branch(Event::Made(*with));
                        self.run_actions(network, at, (here, actions), made, branch);
                    }
                    None => {
                        let reason = format!("no {} is owed about it", with.name());
                        trace.leaf(Event::Dropped(reason));
                    }
                },
                _ => {}
            }
        }
    }

    /// To every endpoint of a load balancer.
    fn balance(
        &mut self,
        at: &Place,
        here: Stage,
        backends: &[Backend],
        packet: &Packet,
        trace: &mut Trace,
    ) {
        let zone = zone(here, packet).clone();
        self.grant(backends.len());
        // Which one it is, only the switch can say: all of them are looked at.
        for backend in backends {
            let connections = &mut self.outcome.connections;
            let packet = connections.commit(&zone, packet, *backend);
            let branch = trace.branch(Event::Balanced {
                backend: *backend,
                choices: backends.len(),
            });
            self.follow(at, here, packet, branch);
        }
    }

    /// Through connection tracking in a zone of the router.
    fn translate(
        &mut self,
        at: &Place,
        here: Stage,
        (side, address): (NatSide, Option<IpAddr>),
        packet: &Packet,
        trace: &mut Trace,
    ) {
        let zone: Arc<str> = Arc::from(format!("{} {}", at.datapath.uuid, side.action()));
        let connections = &mut self.outcome.connections;
        let packets = match address {
            None => connections.track(&zone, packet),
            Some(address) => connections.translate(&zone, packet, side, address),
        };
        for packet in packets {
            self.follow(at, here, packet, trace);
        }
    }

    /// To the stage that follows another.
    fn follow(&mut self, at: &Place, stage: Stage, packet: Packet, trace: &mut Trace) {
        match stage.following() {
            Some(stage) => self.stage(at, stage, packet, trace),
            None => trace.leaf(Event::Dropped("there is no further stage".to_owned())),
        }
    }

    /// Every endpoint of a load balancer is followed, however many there are.
    fn grant(&mut self, backends: usize) {
        let more = backends.saturating_mul(LOOKUPS_PER_BACKEND);
        let more = more.min(MAX_GRANTED.saturating_sub(self.lookups_granted));
        self.lookups_granted = self.lookups_granted.saturating_add(more);
        self.lookups_left = self.lookups_left.saturating_add(more);
    }

    /// From ingress to egress, wherever `outport` is.
    fn output(&mut self, at: &Place, packet: &Packet, trace: &mut Trace) {
        let outport = packet.port(PortSymbol::Outport).clone();
        match &*outport {
            FLOOD | UNKNOWN => return self.flood(at, packet, trace),
            ELSEWHERE => return self.look_elsewhere(at, packet, trace),
            _ => {}
        }
        match self.network.outlet(at.datapath, &outport) {
            Some(Outlet::Bound(node)) if node != at.node => {
                match self.shared_network(at, &node, packet) {
                    Some(port) => {
                        let mut packet = packet.clone();
                        packet.set_port(PortSymbol::Outport, port);
                        self.egress(at, &packet, trace);
                    }
                    None => self.tunnel(at, &node, packet, trace),
                }
            }
            Some(Outlet::Joined { datapath, .. })
                if at.datapath.kind == DatapathKind::Switch
                    && self.network.residence(datapath).is_some() =>
            {
                self.output_to_resident(at, datapath, packet, trace);
            }
            Some(Outlet::Joined { .. })
                if at.from_outside && at.datapath.kind == DatapathKind::Switch =>
            {
                trace.leaf(Event::Dropped(
                    "a node routes for its own ports alone".to_owned(),
                ));
            }
            Some(Outlet::Bound(_) | Outlet::Joined { .. }) => self.egress(at, packet, trace),
            Some(Outlet::Localnet(nodes)) if nodes.contains(&at.node) => {
                self.egress(at, packet, trace);
            }
            Some(Outlet::Localnet(_)) => {
                trace.leaf(Event::Dropped(format!("{outport:?} is not on {}", at.node)));
            }
            Some(Outlet::Unbound) => {
                trace.leaf(Event::Dropped(format!("{outport:?} is on no node")));
            }
            None => trace.leaf(Event::Dropped(format!("there is no port {outport:?}"))),
        }
    }

    fn egress(&mut self, at: &Place, packet: &Packet, trace: &mut Trace) {
        let outport = packet.port(PortSymbol::Outport).clone();
        if outport == *packet.port(PortSymbol::Inport) && packet.get(Symbol::FlagsLoopback) == 0 {
            trace.leaf(Event::Dropped(format!("{outport:?} is where it came from")));
            return;
        }
        let outlet = self.network.outlet(at.datapath, &outport);
        if matches!(outlet, Some(Outlet::Localnet(_))) && !self.may_leave_by_localnet(at, packet) {
            let reason = "only what ports of this node send goes to the physical network";
            trace.leaf(Event::Dropped(reason.to_owned()));
            return;
        }
        let is_joined = matches!(outlet, Some(Outlet::Joined { .. }));
        if at.datapath.kind == DatapathKind::Switch && is_joined {
            // Nothing is held against a packet on its way from a switch to a router: there are no flows to ask.
            self.leave(at, packet, trace);
            return;
        }
        let branch = trace.branch(Event::Entered {
            node: at.node.clone(),
            datapath: self.network.datapath_name(at.datapath),
            pipeline: Pipeline::Egress,
            port: outport,
        });
        // Flags other than loopback and registers do not outlive ingress, so that it makes no difference which node egress is on.
        let mut fresh = bare(packet);
        fresh.set(Symbol::FlagsLoopback, packet.get(Symbol::FlagsLoopback));
        for symbol in PortSymbol::ALL {
            fresh.set_port(*symbol, packet.port(*symbol).clone());
        }
        self.first_stage(at, Pipeline::Egress, fresh, branch);
    }

    /// One copy for each port here, and one for each other node that holds a port.
    fn flood(&mut self, at: &Place, packet: &Packet, trace: &mut Trace) {
        let mut nodes = BTreeSet::new();
        let is_unknown = &**packet.port(PortSymbol::Outport) == UNKNOWN;
        let ports = match is_unknown {
            true => self.network.unknown_ports(at.datapath),
            false => self.network.ports(at.datapath),
        };
        // Nodes on the physical network that a copy goes out to hear it there.
        let uplink = self.network.uplink(at.datapath, &at.node);
        let uplink = uplink.filter(|uplink| ports.contains(uplink));
        for port in ports {
            match self.network.outlet(at.datapath, &port) {
                Some(Outlet::Bound(node)) if node != at.node => {
                    if uplink.is_none() || self.network.uplink(at.datapath, &node) != uplink {
                        nodes.insert(node);
                    }
                    continue;
                }
                Some(Outlet::Bound(_)) => {}
                Some(Outlet::Localnet(_)) if uplink.as_ref() == Some(&port) => {}
                // The node it came from has given its router a copy.
                Some(Outlet::Joined { .. }) if !at.from_outside => {}
                _ => continue,
            }
            if port == *packet.port(PortSymbol::Inport) && packet.get(Symbol::FlagsLoopback) == 0 {
                continue;
            }
            let mut copy = packet.clone();
            copy.set_port(PortSymbol::Outport, port);
            self.egress(at, &copy, trace);
        }
        if !at.from_outside {
            for node in nodes {
                self.tunnel(at, &node, packet, trace);
            }
        }
    }

    /// The localnet port by which `packet` gets to another node: packets of routers do not.
    fn shared_network(&self, at: &Place, node: &NodeName, packet: &Packet) -> Option<Arc<str>> {
        let uplink = self.network.uplink(at.datapath, &at.node)?;
        let is_shared = self.network.uplink(at.datapath, node).as_ref() == Some(&uplink);
        (is_shared && !self.is_from_router(at, packet)).then_some(uplink)
    }

    /// From a switch to a router that is on one node alone.
    fn output_to_resident(
        &mut self,
        at: &Place,
        router: DatapathRef,
        packet: &Packet,
        trace: &mut Trace,
    ) {
        match self.network.residence(router) {
            Some(node) if node != at.node => self.tunnel(at, &node, packet, trace),
            _ => self.egress(at, packet, trace),
        }
    }

    /// Whether a packet comes from this node's own ports and routers, or is an answer to who asked for them.
    fn may_leave_by_localnet(&self, at: &Place, packet: &Packet) -> bool {
        let is_turned = packet.get(Symbol::FlagsLoopback) == 1
            && packet.port(PortSymbol::Outport) == packet.port(PortSymbol::Inport);
        (!at.from_outside || (is_turned && self.has_resident(at)))
            && !self.is_from_distributed_router(at, packet)
    }

    /// Whether a router that is on this node alone is joined to the switch.
    fn has_resident(&self, at: &Place) -> bool {
        let ports = self.network.ports(at.datapath).into_iter();
        let mut outlets = ports.filter_map(|port| self.network.outlet(at.datapath, &port));
        outlets.any(|outlet| match outlet {
            Outlet::Joined { datapath, .. } => {
                self.network.residence(datapath).as_ref() == Some(&at.node)
            }
            _ => false,
        })
    }

    fn is_from_distributed_router(&self, at: &Place, packet: &Packet) -> bool {
        let inport = packet.port(PortSymbol::Inport);
        match self.network.outlet(at.datapath, inport) {
            Some(Outlet::Joined { datapath, .. }) => self.network.residence(datapath).is_none(),
            _ => false,
        }
    }

    fn is_from_router(&self, at: &Place, packet: &Packet) -> bool {
        let inport = packet.port(PortSymbol::Inport);
        let outlet = self.network.outlet(at.datapath, inport);
        matches!(outlet, Some(Outlet::Joined { .. }))
    }

    /// To every other node that holds a port of the switch, each of which looks the MAC up anew.
    fn look_elsewhere(&mut self, at: &Place, packet: &Packet, trace: &mut Trace) {
        let ports = self.network.ports(at.datapath);
        let outlets = ports
            .iter()
            .filter_map(|port| self.network.outlet(at.datapath, port));
        let nodes: BTreeSet<NodeName> = outlets
            .filter_map(|outlet| match outlet {
                Outlet::Bound(node) if node != at.node => Some(node),
                _ => None,
            })
            .collect();
        if at.from_outside || nodes.is_empty() {
            trace.leaf(Event::Dropped("no other node to ask".to_owned()));
            return;
        }
        for node in nodes {
            self.tunnel(at, &node, packet, trace);
        }
    }

    /// To another node under the datapath's key, with the logical ports.
    fn tunnel(&mut self, at: &Place, node: &NodeName, packet: &Packet, trace: &mut Trace) {
        if at.from_outside && packet.get(Symbol::FlagsLoopback) == 0 {
            let reason = format!("came from outside, and {node} is through a tunnel");
            trace.leaf(Event::Dropped(reason));
            return;
        }
        let branch = trace.branch(Event::Tunnelled {
            from: at.node.clone(),
            to: node.clone(),
        });
        let at = Place {
            node: node.clone(),
            datapath: at.datapath,
            from_outside: true,
        };
        let mut arrived = bare(packet);
        for symbol in PortSymbol::ALL {
            arrived.set_port(*symbol, packet.port(*symbol).clone());
        }
        match &**packet.port(PortSymbol::Outport) {
            ELSEWHERE => {
                arrived.set_port(PortSymbol::Outport, "");
                self.stage(&at, Stage::LsInL2Lkup, arrived, branch);
            }
            FLOOD | UNKNOWN => self.flood(&at, &arrived, branch),
            _ => self.egress(&at, &arrived, branch),
        }
    }

    /// To another node under the datapath's key, without ports: its egress pipeline finds the port.
    fn forward(&mut self, at: &Place, node: &NodeName, packet: &Packet, trace: &mut Trace) {
        if at.node == *node {
            self.first_stage(at, Pipeline::Egress, bare(packet), trace);
            return;
        }
        // A packet that was turned round may go back where it came from.
        if at.from_outside && packet.get(Symbol::FlagsLoopback) == 0 {
            let reason = format!("came from outside, and {node} is through a tunnel");
            trace.leaf(Event::Dropped(reason));
            return;
        }
        let branch = trace.branch(Event::Tunnelled {
            from: at.node.clone(),
            to: node.clone(),
        });
        let at = Place {
            node: node.clone(),
            datapath: at.datapath,
            from_outside: true,
        };
        self.first_stage(&at, Pipeline::Egress, bare(packet), branch);
    }

    /// Out of egress: to the interface, or into the datapath that the port is joined to.
    fn leave(&mut self, at: &Place, packet: &Packet, trace: &mut Trace) {
        let port = packet.port(PortSymbol::Outport).clone();
        match self.network.outlet(at.datapath, &port) {
            Some(Outlet::Localnet(nodes)) if nodes.contains(&at.node) => {
                let node = at.node.clone();
                trace.leaf(Event::Delivered {
                    node: node.clone(),
                    port: port.clone(),
                });
                let packet = bare(packet);
                self.outcome
                    .deliveries
                    .insert(Delivery { node, port, packet });
            }
            Some(Outlet::Bound(node)) if node == at.node => {
                trace.leaf(Event::Delivered {
                    node: node.clone(),
                    port: port.clone(),
                });
                let packet = bare(packet);
                self.outcome
                    .deliveries
                    .insert(Delivery { node, port, packet });
            }
            Some(Outlet::Joined { datapath, port }) => {
                let at = Place {
                    datapath,
                    // Crossing a port forgets where the packet came in.
                    from_outside: false,
                    ..at.clone()
                };
                self.enter(&at, &port, packet, trace);
            }
            _ => trace.leaf(Event::Dropped(format!("{port:?} is not on {}", at.node))),
        }
    }
}

/// The packet without what the pipelines keep beside it.
#[must_use]
pub fn bare(packet: &Packet) -> Packet {
    let mut bare = packet.clone();
    let beside = [
        Field::XxReg0,
        Field::XxReg1,
        Field::XReg4,
        Field::Flags,
        Field::CtState,
    ];
    for field in beside {
        bare.set_field(field, 0);
    }
    for symbol in PortSymbol::ALL {
        bare.set_port(*symbol, "");
    }
    bare
}

/// The conntrack zone of the port worked on.
fn zone(stage: Stage, packet: &Packet) -> &Arc<str> {
    packet.port(match stage.pipeline() {
        Pipeline::Ingress => PortSymbol::Inport,
        Pipeline::Egress => PortSymbol::Outport,
    })
}

/// Stages looked at before a packet is given up: more than any sane network takes, few enough to end at once.
pub const MAX_LOOKUPS: usize = 4_096;
/// As many more for every endpoint that it may go to,
const LOOKUPS_PER_BACKEND: usize = 128;
/// up to so many in all.
const MAX_GRANTED: usize = 1 << 20;
/// Stages one after the other before a packet is given up, as Open vSwitch gives up a packet that is looked up again and again.
pub const MAX_DEPTH: usize = 400;

#[cfg(test)]
mod tests;
