//! Namespaces: which network each one gets, or why none; and the rows of switches and routers.
//!
//! A network is set up or torn down as a whole: when a namespace's annotations change, its pods
//! lose their addresses and get new ones. Invariant: the networks on one router do not overlap.
//! Must not: hand out addresses; pods do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use weft_schema::nb::{LogicalRouter, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort};
use weft_schema::{RowId, keys};

use super::annotations::{self, NetworkSpec, SUBNETS};
use super::host::join_id;
use super::ipam::{ReserveError, Span, SubnetPool};
use super::pod::PodEntry;
use super::row::{NbRow, RowDelta};
use super::service::{HOSTS, group_id};
use super::{Index, Touched};
use crate::diagnostic::{Diagnostic, ObjectRef};

/// A namespace that is declared, or has pods.
#[derive(Debug, Default)]
pub(crate) struct NamespaceEntry {
    /// What its object asks for; `None` if there is no object, which is as one without annotations.
    declared: Option<Result<NetworkSpec, Vec<Diagnostic>>>,
    /// What it has.
    pub(crate) network: Option<Network>,
    pub(crate) pods: BTreeMap<Arc<str>, PodEntry>,
}

/// The network of a namespace.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) spec: NetworkSpec,
    /// Addresses of an L2 namespace; `None` for node-major blocks, which the router's domain has.
    pub(crate) subnets: Option<SubnetPool>,
}

impl NamespaceEntry {
    pub(crate) fn is_declared(&self) -> bool {
        self.declared.is_some()
    }

    fn is_unused(&self) -> bool {
        self.declared.is_none() && self.pods.is_empty()
    }
}

impl Index {
    pub(super) fn apply_namespace(&mut self, namespace: &core::Namespace) {
        let Some(name) = namespace.metadata.name.as_deref().map(Arc::<str>::from) else {
            return;
        };
        let reference = ObjectRef::namespace(&name);
        let spec = annotations::network_spec(
            &reference,
            namespace.metadata.annotations.as_ref(),
            &self.router,
        );
        let entry = self.namespaces.entry(Arc::clone(&name)).or_default();
        if entry.declared.as_ref() != Some(&spec) {
            entry.declared = Some(spec);
            self.dirty.namespaces.insert(name);
        }
    }

    pub(super) fn delete_namespace(&mut self, name: &str) {
        if let Some(entry) = self.namespaces.get_mut(name)
            && entry.declared.take().is_some()
        {
            self.dirty.namespaces.insert(Arc::from(name));
        }
    }

    /// Tears down networks that are no longer asked for, then sets up those that are, in order of
    /// name; networks refused before are tried again when another went.
    pub(super) fn translate_namespaces(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty.namespaces);
        if dirty.is_empty() {
            return;
        }
        let mut torn_down = false;
        for name in &dirty {
            torn_down |= self.tear_down_unless_wanted(name);
        }
        if torn_down {
            let refused = self
                .namespaces
                .iter()
                .filter(|(_, entry)| entry.network.is_none())
                .map(|(name, _)| Arc::clone(name));
            dirty.extend(refused);
            self.dirty.room = true;
        }
        for name in &dirty {
            self.touched.switches.insert(Arc::clone(name));
            self.touched.router_ports.insert(Arc::clone(name));
            let problems = self.set_up(name).err().unwrap_or_default();
            self.diagnose(&ObjectRef::namespace(name), problems);
        }
        self.suspect_services_of(&dirty);
    }

    /// What a namespace asks for now; nothing if it is gone.
    fn wanted(&self, name: &Arc<str>) -> Option<Result<NetworkSpec, Vec<Diagnostic>>> {
        let entry = self
            .namespaces
            .get(name)
            .filter(|entry| !entry.is_unused())?;
        let default = || NetworkSpec {
            router: Arc::clone(&self.router),
            subnets: Vec::new(),
        };
        Some(entry.declared.clone().unwrap_or_else(|| Ok(default())))
    }

    fn tear_down_unless_wanted(&mut self, name: &Arc<str>) -> bool {
        let wanted = self.wanted(name);
        let Some(entry) = self.namespaces.get_mut(name) else {
            return false;
        };
        let spec = entry.network.as_ref().map(|network| network.spec.clone());
        let Some(spec) = spec.filter(|spec| !matches!(&wanted, Some(Ok(wanted)) if wanted == spec))
        else {
            if wanted.is_none() && entry.network.is_none() {
                self.namespaces.remove(name);
            }
            return false;
        };
        let pods: Vec<Arc<str>> = entry.pods.keys().cloned().collect();
        for pod in pods {
            let key = (Arc::clone(name), pod);
            self.give_back(&key);
            self.dirty.pods.insert(key);
        }
        if let Some(entry) = self.namespaces.get_mut(name) {
            entry.network = None;
        }
        if let Some(domain) = self.domains.get_mut(&spec.router) {
            domain.release(name);
        }
        if let Some(namespaces) = self.routers.get_mut(&spec.router) {
            namespaces.remove(name);
        }
        self.touched.routers.insert(spec.router);
        if wanted.is_none() {
            self.namespaces.remove(name);
        }
        true
    }

    fn set_up(&mut self, name: &Arc<str>) -> Result<(), Vec<Diagnostic>> {
        let Some(wanted) = self.wanted(name) else {
            return Ok(());
        };
        let spec = wanted?;
        if self
            .namespaces
            .get(name)
            .is_some_and(|entry| entry.network.is_some())
        {
            return Ok(());
        }
        self.reserve(name, &spec)?;
        self.domain(&spec.router);
        self.routers
            .entry(Arc::clone(&spec.router))
            .or_default()
            .insert(Arc::clone(name));
        self.touched.routers.insert(Arc::clone(&spec.router));
        let Some(entry) = self.namespaces.get_mut(name) else {
            return Ok(());
        };
        let subnets = SubnetPool::new(&spec.subnets);
        entry.network = Some(Network { spec, subnets });
        self.dirty.pods.extend(
            entry
                .pods
                .keys()
                .map(|pod| (Arc::clone(name), Arc::clone(pod))),
        );
        Ok(())
    }

    /// Checks subnets against everything else on the router, and keeps blocks off them.
    fn reserve(&mut self, name: &Arc<str>, spec: &NetworkSpec) -> Result<(), Vec<Diagnostic>> {
        let reference = ObjectRef::namespace(name);
        let refuse = |message: String| {
            vec![Diagnostic::new(
                reference.clone(),
                annotations::field(SUBNETS),
                message,
            )]
        };
        for subnet in &spec.subnets {
            for other in self.routers.get(&spec.router).into_iter().flatten() {
                let network = self
                    .namespaces
                    .get(other)
                    .and_then(|entry| entry.network.as_ref());
                let theirs = network
                    .into_iter()
                    .flat_map(|network| &network.spec.subnets);
                if let Some(theirs) = theirs.into_iter().find(|theirs| overlap(theirs, subnet)) {
                    return Err(refuse(format!(
                        "{subnet} overlaps {theirs} of namespace {other} on the same router {}; \
                         choose another subnet, or another router with weft.dev/router",
                        spec.router
                    )));
                }
            }
            let cluster = self.cluster_cidrs.iter().find(|cidr| overlap(cidr, subnet));
            if let Some(cluster) = cluster.filter(|_| spec.router == self.router) {
                return Err(refuse(format!(
                    "{subnet} overlaps the cluster CIDR {cluster}, out of which pods on router {} get \
                     their addresses; choose another subnet, or a router of its own with weft.dev/router",
                    spec.router
                )));
            }
        }
        if let Some(indices) = self.indices(&spec.subnets) {
            let reserved = self.domain(&spec.router).reserve(name, indices);
            reserved.map_err(|error| match error {
                ReserveError::Aggregate(aggregate, node) => refuse(format!(
                    "{indices} overlaps {aggregate}, out of which pods on node {node} and router {} have \
                     their addresses; choose another subnet",
                    spec.router
                )),
                ReserveError::Counted(index) => refuse(format!(
                    "{indices} has {}, whose MAC address a pod without IPv4 on router {} has already; \
                     choose another subnet",
                    std::net::Ipv4Addr::from_bits(index),
                    spec.router
                )),
            })?;
        }
        Ok(())
    }

    /// The part of the router's address space that subnets cover.
    fn indices(&self, subnets: &[IpNet]) -> Option<Span> {
        let ipv4 = subnets.iter().find_map(|subnet| match subnet {
            IpNet::V4(subnet) => Some(Span::containing(
                subnet.network().to_bits(),
                subnet.prefix_len(),
            )),
            IpNet::V6(_) => None,
        });
        // An IPv6 subnet that overlaps the cluster's takes all of it: the index is in the low bits.
        let ipv6 = || {
            let overlaps =
                |subnet: &&IpNet| self.cluster_cidrs.iter().any(|cidr| overlap(cidr, subnet));
            subnets.iter().find(overlaps).map(|_| self.space)
        };
        ipv4.or_else(ipv6)
    }

    /// Brings rows up to date with what `translate` touched.
    pub(super) fn write_rows(&mut self, touched: &Touched) -> Vec<RowDelta> {
        let mut switches = touched.switches.clone();
        let mut routers = touched.routers.clone();
        let mut new = std::mem::take(&mut self.services.touched_rows);
        for (uuid, row) in self.host_rows() {
            routers.insert(Arc::clone(&self.router));
            new.insert(uuid, row);
        }
        for group in std::mem::take(&mut self.services.touched_groups) {
            let (uuid, row) = (group_id(&group), self.services.group_row(&group));
            if self.rows.contains_key(&uuid) != row.is_some() {
                // It came or went, and with it what the switches of its router say.
                let namespaces = self.routers.get(group.as_str());
                switches.extend(namespaces.into_iter().flatten().cloned());
                if group.ends_with(HOSTS) {
                    let join = self.join_switch();
                    new.extend(join.map(|join| (join.uuid(), Some(join))));
                }
            }
            new.insert(uuid, row);
        }
        for key in &touched.ports {
            new.insert(
                RowId::<LogicalSwitchPort>::derived(&port_name(key)).uuid(),
                self.pod_port(key),
            );
            switches.insert(Arc::clone(&key.0));
        }
        for name in &touched.router_ports {
            let pair = self.router_pair(name);
            let had = self
                .rows
                .get(&RowId::<LogicalRouterPort>::derived(name).uuid());
            if had.is_some() != pair.is_some() {
                switches.insert(Arc::clone(name));
                let network = self
                    .namespaces
                    .get(name)
                    .and_then(|entry| entry.network.as_ref());
                routers.extend(network.map(|network| Arc::clone(&network.spec.router)));
            }
            let (switch_side, router_side) = match pair {
                Some((switch_side, router_side)) => (
                    Some(NbRow::LogicalSwitchPort(Arc::new(switch_side))),
                    Some(NbRow::LogicalRouterPort(Arc::new(router_side))),
                ),
                None => (None, None),
            };
            new.insert(switch_side_id(name), switch_side);
            new.insert(
                RowId::<LogicalRouterPort>::derived(name).uuid(),
                router_side,
            );
        }
        for name in &switches {
            new.insert(
                RowId::<LogicalSwitch>::derived(name).uuid(),
                self.switch(name),
            );
        }
        for name in &routers {
            new.insert(
                RowId::<LogicalRouter>::derived(name).uuid(),
                self.router_row(name),
            );
        }
        let mut changes = Vec::new();
        for (uuid, new) in new {
            let old = match &new {
                Some(row) => self.rows.insert(uuid, row.clone()),
                None => self.rows.remove(&uuid),
            };
            if old != new {
                changes.push(RowDelta { uuid, old, new });
            }
        }
        changes
    }

    fn switch(&self, name: &Arc<str>) -> Option<NbRow> {
        let entry = self.namespaces.get(name)?;
        let router = &entry.network.as_ref()?.spec.router;
        let mut ports: Vec<uuid::Uuid> = entry.pods.values().filter_map(PodEntry::port).collect();
        ports.extend(self.has_router_port(name).then(|| switch_side_id(name)));
        ports.sort_unstable();
        Some(NbRow::LogicalSwitch(Arc::new(LogicalSwitch {
            uuid: RowId::<LogicalSwitch>::derived(name).uuid(),
            name: name.to_string(),
            ports,
            load_balancer_group: self.group_of(router),
            external_ids: owned([(keys::NAMESPACE, &**name)]),
            ..LogicalSwitch::default()
        })))
    }

    fn router_row(&self, name: &Arc<str>) -> Option<NbRow> {
        let is_of_hosts = *name == self.router && self.has_join();
        let namespaces = self.routers.get(name);
        if !is_of_hosts && namespaces.is_none_or(BTreeSet::is_empty) {
            return None;
        }
        let mut ports: Vec<uuid::Uuid> = namespaces
            .into_iter()
            .flatten()
            .filter(|namespace| self.has_router_port(namespace))
            .map(|namespace| RowId::<LogicalRouterPort>::derived(namespace).uuid())
            .collect();
        ports.extend(is_of_hosts.then(join_id));
        ports.sort_unstable();
        let static_routes = match is_of_hosts {
            true => self.ways_out(),
            false => Vec::new(),
        };
        Some(NbRow::LogicalRouter(Arc::new(LogicalRouter {
            uuid: RowId::<LogicalRouter>::derived(name).uuid(),
            name: name.to_string(),
            ports,
            static_routes,
            external_ids: owned([]),
            ..LogicalRouter::default()
        })))
    }

    fn has_router_port(&self, name: &Arc<str>) -> bool {
        let network = self
            .namespaces
            .get(name)
            .and_then(|entry| entry.network.as_ref());
        network.is_some_and(|network| {
            let domain = self.domains.get(&network.spec.router);
            network.subnets.is_some() || domain.is_some_and(|domain| domain.has_blocks(name))
        })
    }

    /// The router port's networks: the gateways of the subnets, or of the blocks. A namespace that
    /// has no block yet has no router port, as one must have a network.
    fn networks(&self, name: &Arc<str>) -> Option<BTreeSet<String>> {
        let network = self.namespaces.get(name)?.network.as_ref()?;
        let networks: BTreeSet<String> = match &network.subnets {
            Some(pool) => pool.prefixed(pool.gateway()).collect(),
            None => {
                let domain = self.domains.get(&network.spec.router)?;
                let blocks = domain.blocks_of(name).into_iter();
                blocks
                    .flat_map(|block| domain.addressing().prefixed(block.first(), block.length()))
                    .collect()
            }
        };
        (!networks.is_empty()).then_some(networks)
    }

    fn router_pair(&self, name: &Arc<str>) -> Option<(LogicalSwitchPort, LogicalRouterPort)> {
        let networks = self.networks(name)?;
        let router = &self.namespaces.get(name)?.network.as_ref()?.spec.router;
        let router_port = format!("{router}_to_{name}");
        let uuid = RowId::<LogicalRouterPort>::derived(name).uuid();
        let switch_side = LogicalSwitchPort {
            uuid: switch_side_id(name),
            name: format!("{name}_to_{router}"),
            kind: "router".into(),
            addresses: ["router".to_owned()].into(),
            options: [(keys::ROUTER_PORT.to_owned(), router_port.clone())].into(),
            external_ids: owned([(keys::NAMESPACE, &**name)]),
            ..LogicalSwitchPort::default()
        };
        let router_side = LogicalRouterPort {
            uuid,
            name: router_port,
            mac: router_mac(uuid),
            networks,
            external_ids: owned([(keys::NAMESPACE, &**name)]),
            ..LogicalRouterPort::default()
        };
        Some((switch_side, router_side))
    }
}

/// Name of a pod's port. Neither part can hold an underscore, so no two pods share one.
pub(crate) fn port_name((namespace, pod): &(Arc<str>, Arc<str>)) -> String {
    format!("{namespace}_{pod}")
}

/// `external_ids` of a row that northd owns.
pub(crate) fn owned<'a>(
    ids: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, String> {
    ids.into_iter()
        .chain([(keys::OWNER, keys::OWNER_NORTHD)])
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The switch side of a namespace's port pair. Two underscores: no pod's port is called so.
pub(super) fn switch_side_id(name: &str) -> uuid::Uuid {
    RowId::<LogicalSwitchPort>::derived(&format!("{name}_to_")).uuid()
}

/// `0a:57` and four bytes of the row's UUID: never a pod's, which begin with `0a:58`.
pub(super) fn router_mac(uuid: uuid::Uuid) -> String {
    let (first, ..) = uuid.as_fields();
    let [a, b, c, d] = first.to_be_bytes();
    format!("0a:57:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

pub(super) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}
