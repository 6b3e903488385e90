//! Hosts: the nodes themselves, each with a port on a switch of the cluster's router.
//!
//! ```text
//!   router cluster ── cluster_to__join ═ _join_to_cluster ── switch _join ── _join_n1  (weft0 of n1)
//!     0.0.0.0/0 via n1's host, on n1 alone                              └── _join_n2
//! ```
//!
//! A host's number in the join networks follows from its node's name by hash; of two that have the same hash the one known first keeps it,
//! and of those that come together the first by name has it. Must not: be there unless asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use uuid::Uuid;
use weft_schema::nb::{
    LogicalRouterPort, LogicalRouterStaticRoute, LogicalSwitch, LogicalSwitchPort,
};
use weft_schema::{RowId, keys};

use super::ipam::mac;
use super::namespace::{owned, router_mac, switch_side_id};
use super::service::{HOSTS, address_at, choose, group_id};
use super::{ConfigError, Index, NbRow};
use crate::diagnostic::{Diagnostic, ObjectRef};

/// How hosts take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Where hosts have their addresses: one network of each family at most, at least one.
    pub join_cidrs: Vec<IpNet>,
}

impl Default for HostConfig {
    /// `100.64.0.0/16` and `fd77:6566:7400:1::/64`.
    fn default() -> Self {
        let ipv4 = Ipv4Net::new_assert([100, 64, 0, 0].into(), 16);
        let ipv6 = Ipv6Net::new_assert([0xfd77, 0x6566, 0x7400, 1, 0, 0, 0, 0].into(), 64);
        Self {
            join_cidrs: vec![ipv4.into(), ipv6.into()],
        }
    }
}

/// The hosts that there are.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// None: no host takes part.
    networks: Vec<IpNet>,
    numbers: BTreeMap<Arc<str>, u64>,
    /// Addresses of before a restart.
    recorded: BTreeMap<Arc<str>, IpAddr>,
    /// Nodes whose rows may have changed.
    touched: BTreeSet<Arc<str>>,
}

impl Hosts {
    pub(super) fn new(config: Option<HostConfig>) -> Result<Self, ConfigError> {
        let networks = config.map_or_else(Vec::new, |config| config.join_cidrs);
        for (number, network) in networks.iter().enumerate() {
            let is_second = |other: &&IpNet| other.addr().is_ipv4() == network.addr().is_ipv4();
            if networks.iter().take(number).any(|other| is_second(&other)) {
                return Err(ConfigError::SecondOfFamily(*network));
            }
            let longest = match network {
                IpNet::V4(_) => 28,
                IpNet::V6(_) => 96,
            };
            if network.prefix_len() > longest {
                let found = *network;
                return Err(ConfigError::TooLong { found, longest });
            }
        }
        Ok(Self {
            networks: networks.iter().map(IpNet::trunc).collect(),
            ..Self::default()
        })
    }

    /// Whether hosts take part.
    pub(super) fn is_on(&self) -> bool {
        !self.networks.is_empty()
    }

    /// The join networks.
    pub(super) fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    fn addresses(&self, number: u64) -> impl Iterator<Item = IpAddr> {
        self.networks
            .iter()
            .map(move |network| address_at(network, number))
    }

    /// The number that a node's host had before a restart, counted as they are chosen.
    fn recorded(&self, node: &str) -> Option<u64> {
        let address = *self.recorded.get(node)?;
        let network = self.networks.iter().find(|it| it.contains(&address))?;
        let place = match (network, address) {
            (IpNet::V4(network), IpAddr::V4(address)) => {
                u64::from(address.to_bits() & network.hostmask().to_bits())
            }
            (IpNet::V6(network), IpAddr::V6(address)) => {
                u64::try_from(address.to_bits() & network.hostmask().to_bits()).ok()?
            }
            _ => return None,
        };
        let number = place.checked_sub(FIRST)?;
        (number < self.count()).then_some(number)
    }

    /// Numbers that hosts can have: neither the network, nor the router, nor the last address.
    fn count(&self) -> u64 {
        let bits = self.networks.iter().map(|network| {
            network
                .max_prefix_len()
                .saturating_sub(network.prefix_len())
                .min(32)
        });
        let size = 1_u64 << bits.min().unwrap_or(0);
        size.saturating_sub(FIRST).saturating_sub(1)
    }
}

impl Index {
    /// Nodes that came, changed or went.
    pub(super) fn translate_hosts(&mut self, nodes: &BTreeSet<Arc<str>>) {
        if !self.hosts.is_on() {
            return;
        }
        for node in nodes {
            if !self.nodes.contains_key(node) {
                self.hosts.numbers.remove(node);
            }
        }
        for node in nodes {
            self.hosts.touched.insert(Arc::clone(node));
            if self.hosts.numbers.contains_key(node) || !self.nodes.contains_key(node) {
                continue;
            }
            let taken: BTreeSet<u64> = self.hosts.numbers.values().copied().collect();
            let free = |number: u64| !taken.contains(&number.saturating_add(FIRST));
            let recorded = self.hosts.recorded(node).filter(|number| free(*number));
            let chosen =
                recorded.or_else(|| choose(&format!("host {node}"), self.hosts.count(), free));
            let problems = match chosen {
                Some(number) => {
                    let number = number.saturating_add(FIRST);
                    self.hosts.numbers.insert(Arc::clone(node), number);
                    Vec::new()
                }
                None => {
                    let message = "no address is left on the join network for its host; give a larger one with --join-cidr";
                    vec![Diagnostic::new(ObjectRef::node(node), "", message)]
                }
            };
            if !problems.is_empty() {
                self.diagnose(&ObjectRef::node(node), problems);
            }
        }
    }

    /// Tells which host had which address before a restart: it keeps it.
    pub fn restore_hosts(&mut self, hosts: impl IntoIterator<Item = (Arc<str>, IpAddr)>) {
        self.hosts.recorded.extend(hosts);
    }

    /// Whether the hosts' switch is there.
    pub(super) fn has_join(&self) -> bool {
        !self.hosts.numbers.is_empty()
    }

    /// The rows of hosts that changed, and of what they share.
    pub(super) fn host_rows(&mut self) -> Vec<(Uuid, Option<NbRow>)> {
        let touched = std::mem::take(&mut self.hosts.touched);
        let mut rows = Vec::new();
        if touched.is_empty() {
            return rows;
        }
        for node in &touched {
            rows.push((port_id(node), self.host_port(node).map(NbRow::from)));
            for is_ipv4 in [true, false] {
                let route = self.way_out(node, is_ipv4);
                rows.push((route_id(node, is_ipv4), route.map(NbRow::from)));
            }
        }
        let pair = self.has_join().then(|| self.join_pair());
        let (switch_side, router_side) = match pair {
            Some((switch_side, router_side)) => (Some(switch_side), Some(router_side)),
            None => (None, None),
        };
        rows.push((switch_side_id(JOIN), switch_side.map(NbRow::from)));
        rows.push((join_id(), router_side.map(NbRow::from)));
        for cidr in &self.cluster_cidrs {
            let row = self.has_join().then(|| discard(cidr));
            rows.push((discard_id(cidr), row.map(NbRow::from)));
        }
        rows.push((
            RowId::<LogicalSwitch>::derived(JOIN).uuid(),
            self.join_switch(),
        ));
        rows
    }

    /// The hosts' switch, if there is a host.
    pub(super) fn join_switch(&self) -> Option<NbRow> {
        if !self.has_join() {
            return None;
        }
        let mut ports: Vec<Uuid> = self
            .hosts
            .numbers
            .keys()
            .map(|node| port_id(node))
            .collect();
        ports.push(switch_side_id(JOIN));
        ports.sort_unstable();
        let row = LogicalSwitch {
            uuid: RowId::<LogicalSwitch>::derived(JOIN).uuid(),
            name: JOIN.to_owned(),
            ports,
            load_balancer_group: self.group_of(&format!("{}{HOSTS}", self.router)),
            external_ids: owned([]),
            ..LogicalSwitch::default()
        };
        Some(row.into())
    }

    /// The group of a name, if it has members.
    pub(super) fn group_of(&self, name: &str) -> Vec<Uuid> {
        let has_members = self.services.groups.contains_key(name);
        has_members.then(|| group_id(name)).into_iter().collect()
    }

    /// The ways out that the cluster's router has, and what does not leave by them.
    pub(super) fn ways_out(&self) -> Vec<Uuid> {
        let nodes = self.hosts.numbers.keys();
        let mut routes: Vec<Uuid> = nodes
            .flat_map(|node| {
                let families = self.hosts.networks.iter();
                families.map(move |network| route_id(node, network.addr().is_ipv4()))
            })
            .collect();
        if self.has_join() {
            routes.extend(self.cluster_cidrs.iter().map(discard_id));
        }
        routes.sort_unstable();
        routes
    }

    fn host_port(&self, node: &Arc<str>) -> Option<LogicalSwitchPort> {
        let number = *self.hosts.numbers.get(node)?;
        let list = |separator: &str, each: &dyn Fn(IpAddr) -> String, number: u64| {
            let addresses: Vec<String> = self.hosts.addresses(number).map(each).collect();
            addresses.join(separator)
        };
        let own = list(" ", &|address| address.to_string(), number);
        let prefixed = list(
            " ",
            &|address| match address {
                IpAddr::V4(address) => format!("{address}/32"),
                IpAddr::V6(address) => format!("{address}/128"),
            },
            number,
        );
        let gateways = list(" ", &|address| address.to_string(), ROUTER);
        let mac = self.host_mac(number);
        let mut external_ids = owned([
            (keys::NODE, &**node),
            (keys::ADDRESSES, &prefixed),
            (keys::GATEWAYS, &gateways),
        ]);
        let zone = self.nodes.get(node).and_then(|node| node.zone.clone());
        external_ids.extend(zone.map(|zone| (keys::ZONE.to_owned(), zone.to_string())));
        Some(LogicalSwitchPort {
            uuid: port_id(node),
            name: port_name(node),
            options: BTreeMap::from([
                (keys::REQUESTED_CHASSIS.to_owned(), node.to_string()),
                (keys::HOST.to_owned(), "true".to_owned()),
            ]),
            addresses: [format!("{mac} {own}")].into(),
            // What comes from outside comes in here too, from any address.
            port_security: [mac].into(),
            external_ids,
            ..LogicalSwitchPort::default()
        })
    }

    fn host_mac(&self, number: u64) -> String {
        let low = match self.hosts.addresses(number).next() {
            Some(IpAddr::V4(address)) => address.to_bits(),
            Some(IpAddr::V6(address)) => {
                u32::from_be_bytes(address.octets().last_chunk().copied().unwrap_or_default())
            }
            None => 0,
        };
        mac(low)
    }

    fn way_out(&self, node: &Arc<str>, is_ipv4: bool) -> Option<LogicalRouterStaticRoute> {
        let number = *self.hosts.numbers.get(node)?;
        let address = self
            .hosts
            .addresses(number)
            .find(|address| address.is_ipv4() == is_ipv4)?;
        Some(LogicalRouterStaticRoute {
            uuid: route_id(node, is_ipv4),
            ip_prefix: if is_ipv4 { "0.0.0.0/0" } else { "::/0" }.to_owned(),
            nexthop: address.to_string(),
            output_port: Some(router_port_name(&self.router)),
            options: [(keys::NODE.to_owned(), node.to_string())].into(),
            external_ids: owned([(keys::NODE, &**node)]),
            ..LogicalRouterStaticRoute::default()
        })
    }

    fn join_pair(&self) -> (LogicalSwitchPort, LogicalRouterPort) {
        let name = router_port_name(&self.router);
        let uuid = join_id();
        let networks = self.hosts.networks.iter();
        let networks = networks
            .map(|network| format!("{}/{}", address_at(network, ROUTER), network.prefix_len()));
        let switch_side = LogicalSwitchPort {
            uuid: switch_side_id(JOIN),
            name: format!("{JOIN}_to_{}", self.router),
            kind: "router".into(),
            addresses: ["router".to_owned()].into(),
            options: [(keys::ROUTER_PORT.to_owned(), name.clone())].into(),
            external_ids: owned([]),
            ..LogicalSwitchPort::default()
        };
        let router_side = LogicalRouterPort {
            uuid,
            name,
            mac: router_mac(uuid),
            networks: networks.collect(),
            external_ids: owned([]),
            ..LogicalRouterPort::default()
        };
        (switch_side, router_side)
    }
}

/// The node and first address that a port says its host had.
pub(crate) fn record_of(port: &LogicalSwitchPort) -> Option<(Arc<str>, IpAddr)> {
    let node = port.external_ids.get(keys::NODE)?;
    let first = port.external_ids.get(keys::ADDRESSES)?.split('/').next()?;
    Some((node.as_str().into(), first.parse().ok()?))
}

/// UUID of the router's port on the hosts' switch.
pub(super) fn join_id() -> Uuid {
    RowId::<LogicalRouterPort>::derived(JOIN).uuid()
}

fn port_name(node: &str) -> String {
    format!("{JOIN}_{node}")
}

fn port_id(node: &str) -> Uuid {
    RowId::<LogicalSwitchPort>::derived(&port_name(node)).uuid()
}

fn route_id(node: &str, is_ipv4: bool) -> Uuid {
    let family = if is_ipv4 { "ipv4" } else { "ipv6" };
    RowId::<LogicalRouterStaticRoute>::derived(&format!("{JOIN}_{node} {family}")).uuid()
}

/// What is for an address of the cluster that nobody has does not leave by a host, which would send it back. And since nobody minds where it is
/// dropped, a node's pods stay one prefix to the others.
fn discard(cidr: &IpNet) -> LogicalRouterStaticRoute {
    LogicalRouterStaticRoute {
        uuid: discard_id(cidr),
        ip_prefix: cidr.to_string(),
        nexthop: "discard".to_owned(),
        external_ids: owned([]),
        ..LogicalRouterStaticRoute::default()
    }
}

fn discard_id(cidr: &IpNet) -> Uuid {
    RowId::<LogicalRouterStaticRoute>::derived(&format!("{JOIN} discard {cidr}")).uuid()
}

fn router_port_name(router: &str) -> String {
    format!("{router}_to_{JOIN}")
}

/// Name of the hosts' switch. No namespace is called so, and no pod's port begins so.
const JOIN: &str = "_join";
/// Number of the router in the join networks.
const ROUTER: u64 = 1;
/// First number of a host.
const FIRST: u64 = 2;

#[cfg(test)]
mod tests;
