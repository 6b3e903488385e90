//! Networks for tests: what there is, in a model that can be fed to a compiler whole or change by change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use uuid::Uuid;
use weft_compiler::pipeline::TUNNEL_OFPORT;
use weft_compiler::{
    Binding, Compilation, Compiler, FlowChange, GroupChange, Input, Node, NodeName, Ofport, Options,
};
use weft_schema::RowId;
use weft_schema::nb::{
    Change, LoadBalancer, LoadBalancerGroup, LogicalRouter, LogicalRouterPort,
    LogicalRouterStaticRoute, LogicalSwitch, LogicalSwitchPort, Nat, StaticMacBinding,
};

/// Everything a compiler can be told, as it is now.
#[derive(Clone, Default, Debug)]
pub struct Network {
    pub switches: BTreeMap<Uuid, LogicalSwitch>,
    pub ports: BTreeMap<Uuid, LogicalSwitchPort>,
    pub routers: BTreeMap<Uuid, LogicalRouter>,
    pub router_ports: BTreeMap<Uuid, LogicalRouterPort>,
    pub routes: BTreeMap<Uuid, LogicalRouterStaticRoute>,
    pub balancers: BTreeMap<Uuid, LoadBalancer>,
    pub balancer_groups: BTreeMap<Uuid, LoadBalancerGroup>,
    pub nats: BTreeMap<Uuid, Nat>,
    pub mac_bindings: BTreeMap<Uuid, StaticMacBinding>,
    pub nodes: BTreeMap<NodeName, Node>,
    pub bindings: BTreeMap<Arc<str>, Binding>,
    /// Localnet ports that are connected on a node.
    pub plugs: BTreeMap<(NodeName, Arc<str>), Ofport>,
}

pub fn node_name(number: usize) -> NodeName {
    NodeName::from(format!("n{number}"))
}

pub fn set<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.into_iter().map(str::to_owned).collect()
}

impl Network {
    pub fn node(&mut self, number: usize) {
        let low = u8::try_from(number).expect("few nodes");
        let encap_ip = IpAddr::V4(Ipv4Addr::new(172, 30, 0, low));
        let tunnel_ofport = Ofport::new(TUNNEL_OFPORT).expect("in range");
        self.nodes.insert(
            node_name(number),
            Node {
                encap_ip,
                tunnel_ofport,
            },
        );
    }

    pub fn switch(&mut self, name: &str) -> Uuid {
        let uuid = RowId::<LogicalSwitch>::derived(name).uuid();
        let row = LogicalSwitch {
            uuid,
            name: name.to_owned(),
            ..LogicalSwitch::default()
        };
        self.switches.insert(uuid, row);
        uuid
    }

    pub fn switch_named(&self, name: &str) -> Uuid {
        RowId::<LogicalSwitch>::derived(name).uuid()
    }

    pub fn router(&mut self, name: &str) -> Uuid {
        let uuid = RowId::<LogicalRouter>::derived(name).uuid();
        let row = LogicalRouter {
            uuid,
            name: name.to_owned(),
            ..LogicalRouter::default()
        };
        self.routers.insert(uuid, row);
        uuid
    }

    /// A port with MAC and addresses, held to them, bound to a node unless the node is 0.
    pub fn port(
        &mut self,
        switch: Uuid,
        name: &str,
        addresses: &str,
        node: usize,
        ofport: u16,
    ) -> Uuid {
        let uuid = self.loose_port(switch, name, addresses, node, ofport);
        self.ports.get_mut(&uuid).expect("just made").port_security = set([addresses]);
        uuid
    }

    /// A port that may send from any address.
    pub fn loose_port(
        &mut self,
        switch: Uuid,
        name: &str,
        addresses: &str,
        node: usize,
        ofport: u16,
    ) -> Uuid {
        let uuid = RowId::<LogicalSwitchPort>::derived(name).uuid();
        let row = LogicalSwitchPort {
            uuid,
            name: name.to_owned(),
            addresses: set([addresses]),
            ..LogicalSwitchPort::default()
        };
        self.ports.insert(uuid, row);
        let switch = self.switches.get_mut(&switch).expect("a switch");
        if !switch.ports.contains(&uuid) {
            switch.ports.push(uuid);
        }
        if node != 0 {
            let ofport = Ofport::new(ofport).expect("in range");
            self.bindings.insert(
                Arc::from(name),
                Binding {
                    node: node_name(node),
                    ofport,
                },
            );
        }
        uuid
    }

    /// A port in a VLAN on another port's interface.
    pub fn nested_port(
        &mut self,
        switch: Uuid,
        name: &str,
        addresses: &str,
        parent: &str,
        tag: i64,
    ) -> Uuid {
        let uuid = self.loose_port(switch, name, addresses, 0, 0);
        let row = self.ports.get_mut(&uuid).expect("just made");
        row.parent_name = Some(parent.to_owned());
        row.tag = Some(tag);
        uuid
    }

    /// A localnet port that takes any MAC.
    pub fn localnet(&mut self, switch: Uuid, name: &str, network: &str, tag: Option<i64>) -> Uuid {
        let uuid = self.loose_port(switch, name, "unknown", 0, 0);
        let row = self.ports.get_mut(&uuid).expect("just made");
        row.kind = "localnet".to_owned();
        row.options = BTreeMap::from([("network_name".to_owned(), network.to_owned())]);
        row.tag = tag;
        uuid
    }

    /// Connects a localnet port on a node.
    pub fn plug(&mut self, node: usize, name: &str, ofport: u16) {
        let ofport = Ofport::new(ofport).expect("in range");
        self.plugs
            .insert((node_name(node), Arc::from(name)), ofport);
    }

    /// Takes a port away, and its binding.
    pub fn remove_port(&mut self, port: Uuid) {
        if let Some(row) = self.ports.remove(&port) {
            self.bindings.remove(row.name.as_str());
        }
        for switch in self.switches.values_mut() {
            switch.ports.retain(|listed| *listed != port);
        }
    }

    /// Joins a router to a switch: ports `lrp-SWITCH` and `rtr-SWITCH`.
    pub fn join<const N: usize>(
        &mut self,
        router: Uuid,
        switch: Uuid,
        mac: &str,
        networks: [&str; N],
    ) -> Uuid {
        let name = self.switches[&switch].name.clone();
        let router_port = self.router_port(router, &format!("lrp-{name}"), mac, networks);
        let side = format!("rtr-{name}");
        let uuid = RowId::<LogicalSwitchPort>::derived(&side).uuid();
        let row = LogicalSwitchPort {
            uuid,
            name: side,
            kind: "router".to_owned(),
            addresses: set(["router"]),
            options: BTreeMap::from([("router-port".to_owned(), format!("lrp-{name}"))]),
            ..LogicalSwitchPort::default()
        };
        self.ports.insert(uuid, row);
        self.switches
            .get_mut(&switch)
            .expect("a switch")
            .ports
            .push(uuid);
        router_port
    }

    pub fn router_port<const N: usize>(
        &mut self,
        router: Uuid,
        name: &str,
        mac: &str,
        networks: [&str; N],
    ) -> Uuid {
        let uuid = RowId::<LogicalRouterPort>::derived(name).uuid();
        let row = LogicalRouterPort {
            uuid,
            name: name.to_owned(),
            mac: mac.to_owned(),
            networks: set(networks),
            ..LogicalRouterPort::default()
        };
        self.router_ports.insert(uuid, row);
        self.routers
            .get_mut(&router)
            .expect("a router")
            .ports
            .push(uuid);
        uuid
    }

    pub fn route(&mut self, router: Uuid, prefix: &str, nexthop: &str) -> Uuid {
        self.route_by(router, None, prefix, nexthop)
    }

    /// A route with a `policy`.
    pub fn route_by(
        &mut self,
        router: Uuid,
        policy: Option<&str>,
        prefix: &str,
        nexthop: &str,
    ) -> Uuid {
        let name = format!("{router} {prefix} {nexthop} {}", policy.unwrap_or_default());
        let uuid = RowId::<LogicalRouterStaticRoute>::derived(&name).uuid();
        let row = LogicalRouterStaticRoute {
            uuid,
            ip_prefix: prefix.to_owned(),
            nexthop: nexthop.to_owned(),
            policy: policy.map(str::to_owned),
            ..LogicalRouterStaticRoute::default()
        };
        self.routes.insert(uuid, row);
        let routes = &mut self
            .routers
            .get_mut(&router)
            .expect("a router")
            .static_routes;
        if !routes.contains(&uuid) {
            routes.push(uuid);
        }
        uuid
    }

    /// Makes a route one of one node.
    pub fn only_on(&mut self, route: Uuid, node: usize) {
        let row = self.routes.get_mut(&route).expect("a route");
        let node = node_name(node).to_string();
        row.options.insert("weft-node".to_owned(), node);
    }

    /// A translation of a router.
    pub fn nat(&mut self, router: Uuid, kind: &str, external: &str, logical: &str) -> Uuid {
        let uuid = RowId::<Nat>::derived(&format!("{router} {kind} {external} {logical}")).uuid();
        let row = Nat {
            uuid,
            kind: kind.to_owned(),
            external_ip: external.to_owned(),
            logical_ip: logical.to_owned(),
            ..Nat::default()
        };
        self.nats.insert(uuid, row);
        let nats = &mut self.routers.get_mut(&router).expect("a router").nat;
        if !nats.contains(&uuid) {
            nats.push(uuid);
        }
        uuid
    }

    /// A next hop's MAC.
    pub fn mac_binding(&mut self, port: &str, ip: &str, mac: &str) -> Uuid {
        let uuid = RowId::<StaticMacBinding>::derived(&format!("{port} {ip}")).uuid();
        let row = StaticMacBinding {
            uuid,
            logical_port: port.to_owned(),
            ip: ip.to_owned(),
            mac: mac.to_owned(),
            ..StaticMacBinding::default()
        };
        self.mac_bindings.insert(uuid, row);
        uuid
    }

    /// A load balancer on no switch yet.
    pub fn balancer(&mut self, name: &str, protocol: &str, vips: &[(&str, &str)]) -> Uuid {
        let uuid = RowId::<LoadBalancer>::derived(name).uuid();
        let text = |(vip, endpoints): &(&str, &str)| ((*vip).to_owned(), (*endpoints).to_owned());
        let row = LoadBalancer {
            uuid,
            name: name.to_owned(),
            protocol: (protocol != "tcp").then(|| protocol.to_owned()),
            vips: vips.iter().map(text).collect(),
            ..LoadBalancer::default()
        };
        self.balancers.insert(uuid, row);
        uuid
    }

    pub fn balancer_group(&mut self, name: &str, balancers: &[Uuid]) -> Uuid {
        let uuid = RowId::<LoadBalancerGroup>::derived(name).uuid();
        let row = LoadBalancerGroup {
            uuid,
            name: name.to_owned(),
            load_balancer: balancers.to_vec(),
        };
        self.balancer_groups.insert(uuid, row);
        uuid
    }

    /// What has to be told to someone who knows `before`.
    pub fn changes_since(&self, before: &Network) -> Vec<Input> {
        fn differing<K: Ord + Clone, V: PartialEq + Clone>(
            old: &BTreeMap<K, V>,
            new: &BTreeMap<K, V>,
            make: impl Fn(K, Option<V>) -> Input,
        ) -> Vec<Input> {
            let keys: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
            keys.into_iter()
                .filter(|key| old.get(key) != new.get(key))
                .map(|key| make(key.clone(), new.get(key).cloned()))
                .collect()
        }
        let mut all = differing(&before.nodes, &self.nodes, Input::Node);
        all.extend(differing(&before.bindings, &self.bindings, Input::Binding));
        all.extend(differing(
            &before.plugs,
            &self.plugs,
            |(node, port), ofport| Input::Plug(node, port, ofport),
        ));
        all.extend(differing(&before.ports, &self.ports, |uuid, row| {
            Input::Nb(Change::LogicalSwitchPort(uuid, row.map(Arc::new)))
        }));
        all.extend(differing(&before.switches, &self.switches, |uuid, row| {
            Input::Nb(Change::LogicalSwitch(uuid, row.map(Arc::new)))
        }));
        all.extend(differing(
            &before.router_ports,
            &self.router_ports,
            |uuid, row| Input::Nb(Change::LogicalRouterPort(uuid, row.map(Arc::new))),
        ));
        all.extend(differing(&before.routers, &self.routers, |uuid, row| {
            Input::Nb(Change::LogicalRouter(uuid, row.map(Arc::new)))
        }));
        all.extend(differing(
            &before.balancers,
            &self.balancers,
            |uuid, row| Input::Nb(Change::LoadBalancer(uuid, row.map(Arc::new))),
        ));
        all.extend(differing(
            &before.balancer_groups,
            &self.balancer_groups,
            |uuid, row| Input::Nb(Change::LoadBalancerGroup(uuid, row.map(Arc::new))),
        ));
        all.extend(differing(&before.nats, &self.nats, |uuid, row| {
            Input::Nb(Change::Nat(uuid, row.map(Arc::new)))
        }));
        all.extend(differing(
            &before.mac_bindings,
            &self.mac_bindings,
            |uuid, row| Input::Nb(Change::StaticMacBinding(uuid, row.map(Arc::new))),
        ));
        all.extend(differing(&before.routes, &self.routes, |uuid, row| {
            Input::Nb(Change::LogicalRouterStaticRoute(uuid, row.map(Arc::new)))
        }));
        all
    }

    /// A compiler that was told everything at once.
    pub fn compile_with(&self, options: Options) -> (Compiler, Compilation) {
        let mut compiler = Compiler::new(options);
        for input in self.changes_since(&Network::default()) {
            compiler.apply(input);
        }
        let compilation = compiler.compile();
        (compiler, compilation)
    }

    pub fn compile(&self) -> Compiler {
        self.compile_with(Options::default()).0
    }
}

/// A node's flows and groups as text, sorted, one per line.
pub fn dump(compiler: &Compiler, node: &NodeName) -> String {
    let Some(state) = compiler.desired(node) else {
        return "no such node\n".to_owned();
    };
    let mut flows: Vec<_> = state.flows().map(|flow| flow.flow()).collect();
    flows.sort_by(|one, two| {
        let key = |flow: &openflow_rs::Flow| (flow.table, std::cmp::Reverse(flow.priority));
        key(one)
            .cmp(&key(two))
            .then_with(|| one.matches.cmp(&two.matches))
    });
    let mut text = String::new();
    for group in state.groups().values() {
        let _ = writeln!(text, "{}", group.group);
    }
    for flow in flows {
        let _ = writeln!(text, "{flow}");
    }
    text
}

/// Applies changes to desired sets, as a node session would.
#[derive(Default)]
pub struct Switches {
    pub flows: BTreeMap<NodeName, BTreeMap<openflow_rs::FlowKey, openflow_rs::Flow>>,
    pub groups: BTreeMap<NodeName, BTreeMap<u32, openflow_rs::Group>>,
}

impl Switches {
    pub fn apply(&mut self, compilation: &Compilation) {
        for (node, delta) in &compilation.changed {
            let flows = self.flows.entry(node.clone()).or_default();
            for change in &delta.flows {
                match change {
                    FlowChange::Put(flow) => drop(flows.insert(flow.key().decode(), flow.flow())),
                    FlowChange::Remove(key) => {
                        assert!(
                            flows.remove(&key.decode()).is_some(),
                            "removed a flow that {node} does not have: {key:?}"
                        );
                    }
                }
            }
            let groups = self.groups.entry(node.clone()).or_default();
            for change in &delta.groups {
                match change {
                    GroupChange::Put(group) => {
                        drop(groups.insert(group.group.id, group.group.clone()))
                    }
                    GroupChange::Remove(id) => {
                        assert!(
                            groups.remove(id).is_some(),
                            "removed a group that {node} does not have: {id}"
                        );
                    }
                }
            }
        }
    }
}
