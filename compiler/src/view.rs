//! The compiled network seen from outside: logical flows as `lflow-list` prints them, and the topology for the interpreter.
//!
//! A view is made for a look (a trace, a listing, a test) and thrown away; making it takes time proportional to the flows there are.
//!
//! Must not: compute what the compiler has not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use uuid::Uuid;
use weft_expr::{NoSets, Sets};
use weft_schema::keys;

use crate::compiler::Compiler;
use crate::engine::{Key, Member, Value};
use crate::interpret::{Network, Outlet};
use crate::logical_flow::{Datapath, DatapathRef, LogicalFlow};
use crate::node::NodeName;
use crate::pipeline::{DatapathKind, Stage};
use crate::topology::Link;
use crate::unit::nodes_of;

/// A look at what a [`Compiler`] made of its inputs.
pub struct View<'a> {
    compiler: &'a Compiler,
    /// Sorted by datapath, pipeline, stage, priority (highest first) and match.
    flows: Vec<&'a LogicalFlow>,
    by_place: BTreeMap<(NodeName, Datapath, Stage), Vec<&'a LogicalFlow>>,
}

impl Compiler {
    /// A look at the logical flows and the topology, as of the last compilation.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        // Of flows that contradict each other the one whose unit sorts first comes first, as it holds on the nodes.
        let mut units: Vec<_> = self.engine().units().collect();
        units.sort_by_key(|(unit, _)| *unit);
        let units = units.into_iter().filter_map(|(_, value)| value.unit());
        let mut flows: Vec<&LogicalFlow> = units.flat_map(|unit| &unit.logical).collect();
        flows.sort_by(|one, two| sort_key(one).cmp(&sort_key(two)));
        // Some flows of a switch are asked for by several of its ports.
        flows.dedup_by(|one, two| {
            one.scope == two.scope && sort_key(one) == sort_key(two) && one.actions == two.actions
        });
        let mut by_place: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for flow in &flows {
            for node in nodes_of(&flow.scope, |key| self.engine().peek(key)) {
                let place = (node, flow.datapath.clone(), flow.stage);
                by_place.entry(place).or_default().push(*flow);
            }
        }
        View {
            compiler: self,
            flows,
            by_place,
        }
    }
}

fn sort_key(flow: &LogicalFlow) -> impl Ord + '_ {
    let stage = (
        flow.stage.kind(),
        flow.stage.pipeline(),
        flow.stage.number(),
    );
    (
        &flow.datapath,
        stage,
        std::cmp::Reverse(flow.priority),
        &flow.matches,
    )
}

impl<'a> View<'a> {
    /// Every logical flow, in the order in which they are listed.
    pub fn flows(&self) -> impl Iterator<Item = &'a LogicalFlow> + '_ {
        self.flows.iter().copied()
    }

    /// The nodes a logical flow is placed on.
    #[must_use]
    pub fn nodes(&self, flow: &LogicalFlow) -> BTreeSet<NodeName> {
        nodes_of(&flow.scope, |key| self.peek(key))
    }

    /// The logical switches and routers, by name.
    #[must_use]
    pub fn datapaths(&self) -> Vec<(Arc<str>, DatapathRef)> {
        let mut all: Vec<_> = self
            .compiler
            .engine()
            .inputs()
            .filter_map(|(key, value)| match (key, value) {
                (Key::SwitchRow(uuid), Value::SwitchRow(row)) => {
                    Some((Arc::from(row.name.as_str()), DatapathRef::switch(*uuid)))
                }
                (Key::RouterRow(uuid), Value::RouterRow(row)) => {
                    Some((Arc::from(row.name.as_str()), DatapathRef::router(*uuid)))
                }
                _ => None,
            })
            .collect();
        all.sort();
        all
    }

    /// The text of `lflow-list`, of one datapath or of all: as `ovn-sbctl` prints it. Flows that all switches, or all routers, share are
    /// listed once, before the others.
    #[must_use]
    pub fn lflow_list(&self, of: Option<DatapathRef>) -> String {
        let mut text = String::new();
        let mut last = None;
        for flow in self.flows() {
            if let (Some(of), Datapath::One(datapath)) = (of, &flow.datapath)
                && of != *datapath
            {
                continue;
            }
            if of.is_some_and(|of| of.kind != flow.stage.kind()) {
                continue;
            }
            let here = (&flow.datapath, flow.stage.pipeline());
            if last != Some(here) {
                last = Some(here);
                self.write_heading(&mut text, flow);
            }
            let _ = writeln!(text, "  {flow}");
        }
        text
    }

    fn write_heading(&self, text: &mut String, flow: &LogicalFlow) {
        let pipeline = flow.stage.pipeline().name();
        let _ = match &flow.datapath {
            Datapath::Every(DatapathKind::Switch) => {
                writeln!(text, "Datapath: every switch  Pipeline: {pipeline}")
            }
            Datapath::Every(DatapathKind::Router) => {
                writeln!(text, "Datapath: every router  Pipeline: {pipeline}")
            }
            Datapath::One(datapath) => {
                let name = self.datapath_name(*datapath);
                writeln!(
                    text,
                    "Datapath: {name:?} ({})  Pipeline: {pipeline}",
                    datapath.uuid
                )
            }
        };
    }

    /// Where a port of this name is: its switch, and the node it is bound on.
    #[must_use]
    pub fn find_port(&self, name: &str) -> Option<(DatapathRef, Outlet)> {
        let port = self.first_row(&Key::SwitchPortsNamed(Arc::from(name)))?;
        let parsed = self.peek(&Key::ParsedPort(port)).parsed_port()?;
        let switch = DatapathRef::switch(parsed.switch);
        self.outlet(switch, name).map(|outlet| (switch, outlet))
    }

    fn peek(&self, key: &Key) -> &'a Value {
        self.compiler.engine().peek(key)
    }

    fn first_row(&self, key: &Key) -> Option<Uuid> {
        match self.peek(key).set().first() {
            Some(Member::Row(uuid)) => Some(*uuid),
            _ => None,
        }
    }

    fn switch_outlet(&self, switch: Uuid, name: &str) -> Option<Outlet> {
        let port = self.first_row(&Key::SwitchPortsNamed(Arc::from(name)))?;
        let parsed = self.peek(&Key::ParsedPort(port)).parsed_port()?;
        if parsed.switch != switch {
            return None;
        }
        let read = self.peek(&Key::SwitchPort(port)).switch_port();
        if read.is_some_and(|read| read.localnet.is_some()) {
            let members = self.peek(&Key::NodesOfLocalnet(port)).set().keys();
            let nodes = members.filter_map(|member| match member {
                Member::Node(node) => Some(node.clone()),
                _ => None,
            });
            return Some(Outlet::Localnet(nodes.collect()));
        }
        if read.is_some() {
            let place = self.peek(&Key::Place(port)).place();
            return Some(place.map_or(Outlet::Unbound, |place| Outlet::Bound(place.node.clone())));
        }
        let row = self.peek(&Key::SwitchPortRow(port)).switch_port_row()?;
        let peer = row.options.get(keys::ROUTER_PORT)?;
        let peer = self.first_row(&Key::RouterPortsNamed(Arc::from(peer.as_str())))?;
        let read = self.peek(&Key::RouterPort(peer)).router_port()?;
        match &read.link {
            Link::Switch { port: side, .. } if *side == port => Some(Outlet::Joined {
                datapath: DatapathRef::router(read.router),
                port: read.name.clone(),
            }),
            _ => None,
        }
    }

    fn router_outlet(&self, router: Uuid, name: &str) -> Option<Outlet> {
        let port = self.first_row(&Key::RouterPortsNamed(Arc::from(name)))?;
        let read = self.peek(&Key::RouterPort(port)).router_port()?;
        match &read.link {
            _ if read.router != router => None,
            Link::None => None,
            Link::Switch { switch, name, .. } => Some(Outlet::Joined {
                datapath: DatapathRef::switch(*switch),
                port: name.clone(),
            }),
            Link::Router { router, port } => Some(Outlet::Joined {
                datapath: DatapathRef::router(*router),
                port: self
                    .peek(&Key::RouterPort(*port))
                    .router_port()?
                    .name
                    .clone(),
            }),
        }
    }

    fn switch_ports(&self, switch: Uuid) -> impl Iterator<Item = Uuid> + 'a {
        let row = self.peek(&Key::SwitchRow(switch)).switch_row();
        row.into_iter().flat_map(|row| row.ports.iter().copied())
    }
}

impl Network for View<'_> {
    fn flows(&self, node: &NodeName, datapath: DatapathRef, stage: Stage) -> Vec<&LogicalFlow> {
        let of = |datapath| {
            let flows = self.by_place.get(&(node.clone(), datapath, stage));
            flows.into_iter().flatten().copied()
        };
        of(Datapath::One(datapath))
            .chain(of(Datapath::Every(datapath.kind)))
            .collect()
    }

    fn datapath(&self, name: &str) -> Option<DatapathRef> {
        let mut all = self.datapaths().into_iter();
        all.find(|(known, _)| &**known == name)
            .map(|(_, datapath)| datapath)
    }

    fn datapath_name(&self, datapath: DatapathRef) -> Arc<str> {
        let name = match datapath.kind {
            DatapathKind::Switch => self
                .peek(&Key::SwitchRow(datapath.uuid))
                .switch_row()
                .map(|row| &row.name),
            DatapathKind::Router => self
                .peek(&Key::RouterRow(datapath.uuid))
                .router_row()
                .map(|row| &row.name),
        };
        name.map(|name| Arc::from(name.as_str()))
            .unwrap_or_default()
    }

    fn outlet(&self, datapath: DatapathRef, port: &str) -> Option<Outlet> {
        match datapath.kind {
            DatapathKind::Switch => self.switch_outlet(datapath.uuid, port),
            DatapathKind::Router => self.router_outlet(datapath.uuid, port),
        }
    }

    fn ports(&self, datapath: DatapathRef) -> Vec<Arc<str>> {
        match datapath.kind {
            DatapathKind::Switch => self
                .switch_ports(datapath.uuid)
                .filter_map(|port| self.peek(&Key::ParsedPort(port)).parsed_port())
                .map(|port| port.name.clone())
                .collect(),
            DatapathKind::Router => {
                let ports = self.peek(&Key::PortsOfRouter(datapath.uuid)).set().keys();
                let ports = ports.filter_map(|member| match member {
                    Member::Row(port) => self.peek(&Key::RouterPort(*port)).router_port(),
                    _ => None,
                });
                ports.map(|port| port.name.clone()).collect()
            }
        }
    }

    fn uplink(&self, datapath: DatapathRef, node: &NodeName) -> Option<Arc<str>> {
        let port = self.first_row(&Key::Uplink(datapath.uuid, node.clone()))?;
        let read = self.peek(&Key::SwitchPort(port)).switch_port()?;
        Some(Arc::clone(&read.name))
    }

    fn residence(&self, datapath: DatapathRef) -> Option<NodeName> {
        let name = self.peek(&Key::Residence(datapath.uuid)).name();
        name.map(|name| NodeName::from(Arc::clone(name)))
    }

    fn unknown_ports(&self, datapath: DatapathRef) -> Vec<Arc<str>> {
        self.switch_ports(datapath.uuid)
            .filter_map(|port| self.peek(&Key::SwitchPort(port)).switch_port())
            .filter(|port| port.takes_unknown)
            .map(|port| port.name.clone())
            .collect()
    }

    fn sets(&self) -> &dyn Sets {
        &NoSets
    }
}
