//! Services: which virtual addresses each one has, which endpoints are behind them, and the rows that say so.
//!
//! ```text
//!  Service ───────▶ Spec ──▶ claims: addresses, ports ─┐
//!  EndpointSlice ─▶ Slice ─┐                           ├─▶ rows: one per protocol and view
//!  Pod ───────────▶ Backend┴▶ endpoints of each port ──┘   groups: the rows of a router
//! ```
//!
//! An endpoint that comes or goes makes one Service dirty, and touches that Service's rows alone. `docs/services.md` says what the rows are.
//!
//! Invariants: who has an address follows from the objects, not from their order, given out addresses aside; what is wrong with one Service
//! disturbs no other, and of the Service only what it is about. Must not: give addresses to pods.

mod claim;
mod endpoint;
mod given;
mod row;
mod spec;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use uuid::Uuid;
use weft_schema::RowId;
use weft_schema::nb::{LoadBalancer, LoadBalancerGroup};

use self::claim::{Claim, Claims, Origin};
use self::endpoint::{Backend, Endpoints, Slice};
use self::given::Given;
use self::spec::{Address, Family, NodePort, Protocol, Spec};
use super::{Index, NbRow, PodKey, display_list};
use crate::diagnostic::{Diagnostic, ObjectRef};

pub(super) use self::claim::choose;
pub(super) use self::given::address_at;
pub(super) use self::row::HOSTS;

/// Namespace and name of a Service.
pub(crate) type ServiceKey = (Arc<str>, Arc<str>);

/// A label of objects in a namespace.
type Label = (Arc<str>, String, String);

/// All that is known of Services.
#[derive(Debug, Default)]
pub(crate) struct Services {
    entries: BTreeMap<ServiceKey, Entry>,
    /// By namespace and name.
    slices: BTreeMap<(Arc<str>, Arc<str>), Slice>,
    slices_of: BTreeMap<ServiceKey, BTreeSet<Arc<str>>>,
    /// What pods are to Services, where endpoints are derived.
    backends: BTreeMap<PodKey, Backend>,
    /// Services that select a pod, by name.
    selecting: BTreeMap<PodKey, BTreeSet<Arc<str>>>,
    /// Pods and Services of a namespace by label: a pod by each it has, a Service by the first that it selects by.
    pods_by_label: BTreeMap<Label, BTreeSet<Arc<str>>>,
    services_by_label: BTreeMap<Label, BTreeSet<Arc<str>>>,
    claims: Claims,
    dirty: BTreeSet<ServiceKey>,
    /// Services that want something and were given nothing: tried again when something changed hands.
    waiting: BTreeSet<ServiceKey>,
    is_something_free: bool,
    /// Rows of each group, by the group's name.
    pub(super) groups: BTreeMap<String, BTreeSet<Uuid>>,
    /// Groups that changed, and rows, since they were written.
    pub(super) touched_groups: BTreeSet<String>,
    pub(super) touched_rows: BTreeMap<Uuid, Option<NbRow>>,
}

/// A Service.
#[derive(Debug)]
struct Entry {
    spec: Option<Spec>,
    problems: Vec<Diagnostic>,
    /// Pods that it selects.
    pods: BTreeSet<Arc<str>>,
    given: Given,
    /// The groups that each of its rows is in.
    rows: BTreeMap<Uuid, BTreeSet<String>>,
}

/// A Service's namespace, `default` if it names none.
pub(crate) fn namespace_of(namespace: Option<&String>) -> &str {
    namespace.map_or("default", String::as_str)
}

impl Services {
    /// Everything about a Service has to be looked at again.
    fn suspect(&mut self, key: ServiceKey) {
        if self.entries.contains_key(&key) {
            self.dirty.insert(key);
        }
    }

    /// Pods that no namespace has a port for.
    pub(super) fn pods_on_hosts(&self) -> impl Iterator<Item = &PodKey> {
        let is_on_host = |(_, backend): &(&PodKey, &Backend)| backend.is_on_host;
        self.backends.iter().filter(is_on_host).map(|(key, _)| key)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &ServiceKey> {
        self.entries.keys()
    }

    pub(super) fn slice_names(&self) -> impl Iterator<Item = &(Arc<str>, Arc<str>)> {
        self.slices.keys()
    }

    /// A pod that Services may select came, changed or went.
    fn observe(&mut self, key: &PodKey, backend: Option<Backend>) {
        let before = match &backend {
            Some(backend) => self.backends.insert(key.clone(), backend.clone()),
            None => self.backends.remove(key),
        };
        if before == backend {
            return;
        }
        self.suspect_pod(key);
        let labels = |backend: &Option<Backend>| backend.as_ref().map(|it| it.labels.clone());
        if labels(&before) == labels(&backend) {
            return;
        }
        for label in labels_of(&key.0, &labels(&before).unwrap_or_default()) {
            remove(&mut self.pods_by_label, &label, &key.1);
        }
        for service in self.selecting.remove(key).unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(&(Arc::clone(&key.0), service)) {
                entry.pods.remove(&key.1);
            }
        }
        let Some(backend) = backend else {
            return;
        };
        let mut selecting = BTreeSet::new();
        for label in labels_of(&key.0, &backend.labels) {
            for name in self.services_by_label.get(&label).into_iter().flatten() {
                let entry = self
                    .entries
                    .get_mut(&(Arc::clone(&key.0), Arc::clone(name)));
                let Some(entry) = entry else {
                    continue;
                };
                let selector = entry.spec.as_ref().map(|spec| &spec.selector);
                if selector.is_some_and(|selector| backend.is_selected(selector)) {
                    entry.pods.insert(Arc::clone(&key.1));
                    selecting.insert(Arc::clone(name));
                }
            }
            let pods = self.pods_by_label.entry(label).or_default();
            pods.insert(Arc::clone(&key.1));
        }
        if !selecting.is_empty() {
            self.selecting.insert(key.clone(), selecting);
        }
        self.suspect_pod(key);
    }

    /// The Services that select a pod have to be looked at again.
    pub(super) fn suspect_pod(&mut self, key: &PodKey) {
        for service in self.selecting.get(key).into_iter().flatten() {
            self.dirty.insert((Arc::clone(&key.0), Arc::clone(service)));
        }
    }

    /// A node's addresses or zone changed: the Services that have endpoints on it have to be looked at again.
    pub(super) fn suspect_node(&mut self, node: &str) {
        let mut suspects: Vec<ServiceKey> = Vec::new();
        for (pod, backend) in &self.backends {
            if &*backend.node == node {
                let services = self.selecting.get(pod).into_iter().flatten();
                suspects.extend(services.map(|name| (Arc::clone(&pod.0), Arc::clone(name))));
            }
        }
        for ((namespace, _), slice) in &self.slices {
            if slice.nodes().any(|other| &**other == node) {
                suspects.push((Arc::clone(namespace), Arc::clone(&slice.service)));
            }
        }
        for key in suspects {
            self.suspect(key);
        }
    }

    /// Replaces what a Service asks for, and finds the pods that it selects.
    fn specify(&mut self, key: &ServiceKey, spec: Option<Spec>) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        for pod in std::mem::take(&mut entry.pods) {
            remove(&mut self.selecting, &(Arc::clone(&key.0), pod), &key.1);
        }
        let anchor = |spec: &Option<Spec>| {
            let selector = spec.as_ref().map(|spec| &spec.selector)?;
            labels_of(&key.0, selector).next()
        };
        if let Some(label) = anchor(&entry.spec) {
            remove(&mut self.services_by_label, &label, &key.1);
        }
        if let Some(label) = anchor(&spec) {
            let services = self.services_by_label.entry(label).or_default();
            services.insert(Arc::clone(&key.1));
        }
        let selector = spec.as_ref().map(|spec| &spec.selector);
        let labels = selector.into_iter().flat_map(|all| labels_of(&key.0, all));
        // A label that no pod has names no pod.
        let sets: Vec<_> = labels.map(|label| self.pods_by_label.get(&label)).collect();
        if let Some(fewest) = sets.iter().min_by_key(|pods| pods.map_or(0, BTreeSet::len)) {
            for name in fewest.iter().copied().flatten() {
                if sets.iter().flatten().all(|pods| pods.contains(name)) {
                    entry.pods.insert(Arc::clone(name));
                    let pod = (Arc::clone(&key.0), Arc::clone(name));
                    let selecting = self.selecting.entry(pod).or_default();
                    selecting.insert(Arc::clone(&key.1));
                }
            }
        }
        entry.spec = spec;
    }

    /// Takes rows out, and in.
    fn put_rows(&mut self, key: &ServiceKey, rows: Vec<(LoadBalancer, BTreeSet<String>)>) {
        let now: BTreeMap<Uuid, BTreeSet<String>> = rows
            .iter()
            .map(|(row, groups)| (row.uuid, groups.clone()))
            .collect();
        let before = match self.entries.get_mut(key) {
            Some(entry) => std::mem::replace(&mut entry.rows, now.clone()),
            None => BTreeMap::new(),
        };
        for (uuid, groups) in &before {
            let stays = now.get(uuid);
            if stays.is_none() {
                self.touched_rows.insert(*uuid, None);
            }
            for group in groups {
                if stays.is_some_and(|groups| groups.contains(group)) {
                    continue;
                }
                self.touched_groups.insert(group.clone());
                if let Some(members) = self.groups.get_mut(group) {
                    members.remove(uuid);
                    if members.is_empty() {
                        self.groups.remove(group);
                    }
                }
            }
        }
        for (row, groups) in rows {
            for group in groups {
                let members = self.groups.entry(group.clone()).or_default();
                if members.insert(row.uuid) {
                    self.touched_groups.insert(group);
                }
            }
            self.touched_rows.insert(row.uuid, Some(row.into()));
        }
    }

    /// The row of a group, if it has a member.
    pub(super) fn group_row(&self, name: &str) -> Option<NbRow> {
        let members = self.groups.get(name)?;
        let row = LoadBalancerGroup {
            uuid: group_id(name),
            name: name.to_owned(),
            load_balancer: members.iter().copied().collect(),
        };
        Some(row.into())
    }
}

fn labels_of<'a>(
    namespace: &'a Arc<str>,
    labels: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = Label> + 'a {
    labels
        .iter()
        .map(|(key, value)| (Arc::clone(namespace), key.clone(), value.clone()))
}

/// Takes a name out of a set, and the set out once it is empty.
fn remove<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<Arc<str>>>, key: &K, name: &Arc<str>) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(name);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

/// UUID of the group of a name.
pub(super) fn group_id(name: &str) -> Uuid {
    RowId::<LoadBalancerGroup>::derived(name).uuid()
}

impl Index {
    pub(super) fn apply_service(&mut self, service: &core::Service) {
        let metadata = &service.metadata;
        let Some(name) = metadata.name.as_deref() else {
            return;
        };
        let namespace = namespace_of(metadata.namespace.as_ref());
        let reference = ObjectRef::service(namespace, name);
        let (spec, problems) = spec::read(&reference, service, &self.families());
        let key: ServiceKey = (namespace.into(), name.into());
        let before = self.services.entries.get_mut(&key);
        if before
            .as_ref()
            .is_some_and(|entry| entry.spec == spec && entry.problems == problems)
        {
            return;
        }
        match before {
            Some(entry) => entry.problems = problems,
            None => {
                let entry = Entry {
                    spec: None,
                    problems,
                    pods: BTreeSet::new(),
                    given: Given::default(),
                    rows: BTreeMap::new(),
                };
                self.services.entries.insert(key.clone(), entry);
            }
        }
        self.services.specify(&key, spec);
        self.services.dirty.insert(key);
    }

    pub(super) fn delete_service(&mut self, namespace: &str, name: &str) {
        let key: ServiceKey = (namespace.into(), name.into());
        if !self.services.entries.contains_key(&key) {
            return;
        }
        self.services.specify(&key, None);
        self.services.is_something_free = true;
        self.services.waiting.remove(&key);
        self.services.put_rows(&key, Vec::new());
        let affected = self.services.claims.set(&key, None, BTreeMap::new());
        self.services.dirty.extend(affected);
        self.services.dirty.remove(&key);
        self.services.entries.remove(&key);
        self.diagnose(&ObjectRef::service(namespace, name), Vec::new());
    }

    pub(super) fn apply_slice(&mut self, slice: &discovery::EndpointSlice) {
        let metadata = &slice.metadata;
        let Some(name) = metadata.name.as_deref() else {
            return;
        };
        let namespace = namespace_of(metadata.namespace.as_ref());
        let Some(read) = Slice::of(slice) else {
            self.delete_slice(namespace, name);
            return;
        };
        let key: (Arc<str>, Arc<str>) = (namespace.into(), name.into());
        let before = self.services.slices.get(&key);
        if before == Some(&read) {
            return;
        }
        if before.is_some_and(|before| before.service != read.service) {
            self.delete_slice(namespace, name);
        }
        let service = (Arc::clone(&key.0), Arc::clone(&read.service));
        let slices = self.services.slices_of.entry(service.clone()).or_default();
        slices.insert(Arc::clone(&key.1));
        self.services.slices.insert(key, read);
        self.services.suspect(service);
    }

    pub(super) fn delete_slice(&mut self, namespace: &str, name: &str) {
        let key: (Arc<str>, Arc<str>) = (namespace.into(), name.into());
        let Some(slice) = self.services.slices.remove(&key) else {
            return;
        };
        let service = (Arc::clone(&key.0), slice.service);
        if let Some(slices) = self.services.slices_of.get_mut(&service) {
            slices.remove(&key.1);
            if slices.is_empty() {
                self.services.slices_of.remove(&service);
            }
        }
        self.services.suspect(service);
    }

    pub(super) fn observe_pod(&mut self, key: &PodKey, pod: Option<&core::Pod>) {
        if self.derive_endpoints {
            self.services.observe(key, pod.and_then(Backend::of));
        }
    }

    /// Families of the cluster, IPv4 first.
    fn families(&self) -> Vec<Family> {
        let families = [
            self.addressing.ipv4.then_some(Family::Ipv4),
            self.addressing.ipv6.map(|_| Family::Ipv6),
        ];
        families.into_iter().flatten().collect()
    }

    /// The router that a namespace is on.
    fn router_of(&self, namespace: &str) -> Arc<str> {
        let entry = self.namespaces.get(namespace);
        let network = entry.and_then(|entry| entry.network.as_ref());
        network.map_or_else(
            || Arc::clone(&self.router),
            |network| Arc::clone(&network.spec.router),
        )
    }

    /// Looks again at the Services of namespaces whose network may have changed, and of those that share a router with one.
    pub(super) fn suspect_services_of(&mut self, namespaces: &BTreeSet<Arc<str>>) {
        if namespaces.is_empty() || self.services.entries.is_empty() {
            return;
        }
        let routers: BTreeSet<Arc<str>> = namespaces
            .iter()
            .map(|namespace| self.router_of(namespace))
            .collect();
        let keys: Vec<ServiceKey> = self.services.entries.keys().cloned().collect();
        for key in keys {
            if namespaces.contains(&key.0) || routers.contains(&self.router_of(&key.0)) {
                self.services.dirty.insert(key);
            }
        }
    }

    pub(super) fn translate_services(&mut self) {
        for pod in self.touched.ports.clone() {
            self.services.suspect_pod(&pod);
        }
        let mut seen: BTreeSet<ServiceKey> = BTreeSet::new();
        // What Services name comes before what they are given; and a claim that moved touches others.
        let mut to_claim = std::mem::take(&mut self.services.dirty);
        while let Some(key) = to_claim.pop_first() {
            let affected = self.claim(&key, Origin::Named);
            to_claim.extend(affected.into_iter().filter(|other| !seen.contains(other)));
            seen.insert(key);
        }
        if std::mem::take(&mut self.services.is_something_free) || !seen.is_empty() {
            seen.append(&mut self.services.waiting);
        }
        let mut to_give = seen.clone();
        while let Some(key) = to_give.pop_first() {
            self.give(&key);
            let affected = self.claim(&key, Origin::Given);
            let others = affected.into_iter().filter(|other| !seen.contains(other));
            let others: Vec<ServiceKey> = others.collect();
            seen.extend(others.iter().cloned());
            to_give.extend(others);
        }
        for key in &seen {
            let (rows, problems) = self.load_balancers(key);
            self.services.put_rows(key, rows);
            self.diagnose(&ObjectRef::service(&key.0, &key.1), problems);
        }
    }

    /// The endpoints of each port.
    fn endpoints(&self, key: &ServiceKey, entry: &Entry, spec: &Spec) -> Vec<Endpoints> {
        let slices = self.services.slices_of.get(key).into_iter().flatten();
        let slices: Vec<&Slice> = slices
            .filter_map(|name| {
                self.services
                    .slices
                    .get(&(Arc::clone(&key.0), Arc::clone(name)))
            })
            .collect();
        let pods: Vec<(&Backend, Vec<IpAddr>)> = entry
            .pods
            .iter()
            .filter_map(|name| {
                let pod = (Arc::clone(&key.0), Arc::clone(name));
                let backend = self.services.backends.get(&pod)?;
                Some((backend, self.addresses_of(&pod, backend)))
            })
            .collect();
        let of_port = |port: &spec::Port| {
            let mut endpoints = Endpoints::new();
            for slice in &slices {
                slice.add_to(&mut endpoints, &port.name, port.protocol);
            }
            for (backend, addresses) in &pods {
                let Some(target) = backend.target(port.protocol, &port.target) else {
                    continue;
                };
                let mut endpoint = backend.endpoint(spec.publishes_not_ready);
                let node = self.nodes.get(&backend.node);
                let zone = node.and_then(|node| node.zone.clone());
                if spec.distribution != spec::Distribution::Even {
                    endpoint.for_zones.extend(zone);
                }
                if spec.distribution == spec::Distribution::SameNode {
                    endpoint.for_nodes.insert(Arc::clone(&backend.node));
                }
                for address in addresses {
                    endpoint::add(&mut endpoints, (*address, target), endpoint.clone());
                }
            }
            endpoints
        };
        spec.ports.iter().map(of_port).collect()
    }

    /// A pod's addresses: of its port, or of its node.
    fn addresses_of(&self, pod: &PodKey, backend: &Backend) -> Vec<IpAddr> {
        if !backend.is_on_host {
            return self.pod_addresses(pod);
        }
        if !backend.addresses.is_empty() {
            return backend.addresses.clone();
        }
        let node = self.nodes.get(&backend.node);
        node.map(|node| node.addresses.clone()).unwrap_or_default()
    }

    /// Why a virtual address cannot be on a router: it is one of pods.
    fn is_of_pods(&self, router: &Arc<str>, address: IpAddr) -> Option<String> {
        let cluster = self
            .cluster_cidrs
            .iter()
            .find(|network| network.contains(&address));
        if let Some(network) = cluster {
            return Some(format!("the cluster CIDR {network}"));
        }
        let join = self.hosts.networks();
        if let Some(network) = join.iter().find(|network| network.contains(&address)) {
            return Some(format!("the join network {network}"));
        }
        self.subnets_on(router)
            .find(|(_, subnet)| subnet.contains(&address))
            .map(|(namespace, subnet)| format!("{subnet} of namespace {namespace}"))
    }

    /// Whether packets from a router's switches find an address.
    fn is_in_reach(&self, router: &Arc<str>, address: IpAddr) -> bool {
        let is_cluster = *router == self.router;
        // Hosts lead everywhere.
        (is_cluster && self.hosts.is_on())
            || self
                .cluster_cidrs
                .iter()
                .any(|network| network.contains(&address))
            || self
                .subnets_on(router)
                .any(|(_, subnet)| subnet.contains(&address))
            || is_cluster
                && self
                    .nodes
                    .values()
                    .any(|node| node.addresses.contains(&address))
    }

    /// Subnets of namespaces on a router.
    fn subnets_on(&self, router: &Arc<str>) -> impl Iterator<Item = (&Arc<str>, &IpNet)> {
        let namespaces = self.routers.get(router).into_iter().flatten();
        namespaces
            .filter_map(|name| Some((name, self.namespaces.get(name)?.network.as_ref()?)))
            .flat_map(|(name, network)| {
                network
                    .spec
                    .subnets
                    .iter()
                    .map(move |subnet| (name, subnet))
            })
    }
}

#[cfg(test)]
mod tests;
