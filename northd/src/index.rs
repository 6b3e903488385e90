//! The index: Kubernetes objects in, northbound rows out. Pure.
//!
//! ```text
//!   apply, delete, reset ──▶ objects ──▶ dirty ──translate──▶ rows that changed (old, new)
//!   set_nodes                              │                  diagnostics that changed
//!                                        ipam: who holds which address
//! ```
//!
//! `apply` and friends only record what is dirty; [`Index::translate`] does the work, proportional
//! to what is dirty: a pod touches itself, its switch's list of ports, and its namespace's router
//! port if it took or gave back a block.
//!
//! | Kubernetes | `OVN_Northbound` |
//! | --- | --- |
//! | Namespace | `Logical_Switch` of the same name |
//! | Pod | `Logical_Switch_Port` `namespace_pod` |
//! | router (`weft.dev/router`, else the cluster's) | `Logical_Router`, while a namespace is on it |
//! | namespace on a router | port pair `namespace_to_router`, `router_to_namespace` |
//! | Service and its endpoints | `Load_Balancer` `namespace/service:protocol`, in its router's `Load_Balancer_Group` |
//! | Node, if hosts take part | `Logical_Switch_Port` `_join_node`, and a `Logical_Router_Static_Route` to it |
//!
//! Invariants: two replicas that index the same objects and records derive the same rows; what is
//! wrong with one object is a diagnostic on it and disturbs no other; a pod keeps its address as
//! long as it is the same pod (UID) on the same node. The rest, who gets which address, depends on
//! history, as it must.
//! Must not: do IO, read the clock, use randomness or tokio.

mod annotations;
mod host;
mod ipam;
mod names;
mod namespace;
mod node;
mod pod;
mod record;
mod row;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use thiserror::Error;
use uuid::Uuid;

use self::host::Hosts;
use self::ipam::{Addressing, Domain, Span};
use self::namespace::NamespaceEntry;
use self::node::NodeEntry;
use self::service::Services;
use crate::diagnostic::{Diagnostic, ObjectRef};

pub use annotations::{ADDRESSES, LOAD_BALANCER_IP, MAC, ROUTER, SUBNETS};
pub use host::HostConfig;
pub(crate) use host::record_of as host_record_of;
pub use names::{is_label, is_subdomain};
pub use record::Record;
pub use row::{NbRow, RowDelta};

/// What is the same for the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where pods get their addresses from: one network of each family at most, at least one. An
    /// IPv6 network is at most 96 bits long, so that an IPv4 address fits into what is left.
    pub cluster_cidrs: Vec<IpNet>,
    /// Name of the router that joins all namespaces without a router of their own.
    pub router: String,
    /// Where Services that name no cluster address get one from: one network of each family at most. None: they come with theirs, as from an
    /// API server.
    pub service_cidrs: Vec<IpNet>,
    /// Where Services of type `LoadBalancer` that name no address get one from: one network of each family at most.
    pub load_balancer_pool: Vec<IpNet>,
    /// Whether endpoints follow from the pods that a Service selects, because nobody makes EndpointSlices.
    pub derive_endpoints: bool,
    /// How the nodes' hosts take part; `None`: they do not.
    pub hosts: Option<HostConfig>,
}

impl Default for Config {
    /// Stand-alone and dual-stack: `10.128.0.0/14` and `fd77:6566:7400::/64`, a unique local network that spells
    /// the project's name; for Services `10.96.0.0/16` and `fd77:6566:7400:3::/112`.
    fn default() -> Self {
        let ipv4 = ipnet::Ipv4Net::new_assert([10, 128, 0, 0].into(), 14);
        let ipv6 = ipnet::Ipv6Net::new_assert([0xfd77, 0x6566, 0x7400, 0, 0, 0, 0, 0].into(), 64);
        Self {
            cluster_cidrs: vec![ipv4.into(), ipv6.into()],
            router: "cluster".into(),
            service_cidrs: vec![
                ipnet::Ipv4Net::new_assert([10, 96, 0, 0].into(), 16).into(),
                ipnet::Ipv6Net::new_assert([0xfd77, 0x6566, 0x7400, 3, 0, 0, 0, 0].into(), 112)
                    .into(),
            ],
            load_balancer_pool: Vec::new(),
            derive_endpoints: true,
            hosts: None,
        }
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// No network at all.
    #[error("no cluster CIDR; give one, such as 10.128.0.0/14")]
    NoClusterCidr,
    /// Two of one family.
    #[error("{0}: a second network of its family; give at most one IPv4 and one IPv6 network")]
    SecondOfFamily(IpNet),
    /// No room.
    #[error("{found}: the prefix is too long; at most /{longest} leaves enough room")]
    TooLong {
        /// The network.
        found: IpNet,
        /// The longest prefix of its family.
        longest: u8,
    },
    /// Virtual addresses and pods would have the same.
    #[error("{0} overlaps {1}; pods, Services and hosts need networks of their own")]
    Overlap(IpNet, IpNet),
}

/// An object that the index knows what to do with.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A namespace: a switch.
    Namespace(Box<core::Namespace>),
    /// A pod: a port.
    Pod(Box<core::Pod>),
    /// A node: a place for pods, and its `spec.podCIDRs`.
    Node(Box<core::Node>),
    /// A Service: load balancers.
    Service(Box<core::Service>),
    /// Endpoints of a Service.
    EndpointSlice(Box<discovery::EndpointSlice>),
}

impl Object {
    /// The object's name and kind.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        let name = |metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
            metadata.name.clone().unwrap_or_default()
        };
        match self {
            Self::Namespace(namespace) => ObjectRef::namespace(&name(&namespace.metadata)),
            Self::Pod(pod) => ObjectRef::pod(pod::namespace_of(pod), &name(&pod.metadata)),
            Self::Node(node) => ObjectRef::node(&name(&node.metadata)),
            Self::Service(object) => {
                let namespace = service::namespace_of(object.metadata.namespace.as_ref());
                ObjectRef::service(namespace, &name(&object.metadata))
            }
            Self::EndpointSlice(object) => {
                let namespace = service::namespace_of(object.metadata.namespace.as_ref());
                ObjectRef::endpoint_slice(namespace, &name(&object.metadata))
            }
        }
    }
}

/// What [`Index::translate`] found to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Translation {
    /// Rows that came, changed or went, ascending by UUID.
    pub changes: Vec<RowDelta>,
    /// Diagnostics that are new.
    pub reported: Vec<Diagnostic>,
    /// Diagnostics that no longer hold.
    pub resolved: Vec<Diagnostic>,
}

pub(crate) type PodKey = (Arc<str>, Arc<str>);

/// Kubernetes objects, and the rows that follow from them.
#[derive(Debug)]
pub struct Index {
    router: Arc<str>,
    cluster_cidrs: Vec<IpNet>,
    space: Span,
    addressing: Addressing,
    service_cidrs: Vec<IpNet>,
    load_balancer_pool: Vec<IpNet>,
    derive_endpoints: bool,
    nodes: BTreeMap<Arc<str>, NodeEntry>,
    hosts: Hosts,
    services: Services,
    namespaces: BTreeMap<Arc<str>, NamespaceEntry>,
    /// Address spaces of routers that have namespaces on them.
    domains: BTreeMap<Arc<str>, Domain>,
    /// Namespaces on each router.
    routers: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    records: BTreeMap<PodKey, Record>,
    dirty: Dirty,
    /// Pods that want an address and have none: tried again when something was given back.
    waiting: BTreeSet<PodKey>,
    diagnostics: BTreeMap<ObjectRef, Vec<Diagnostic>>,
    rows: BTreeMap<Uuid, NbRow>,
    touched: Touched,
}

/// What `translate` has to look at.
#[derive(Debug, Default)]
struct Dirty {
    nodes: BTreeSet<Arc<str>>,
    namespaces: BTreeSet<Arc<str>>,
    pods: BTreeSet<PodKey>,
    /// Something was given back: whoever waits may be lucky now.
    room: bool,
}

/// What `translate` did, for the rows and diagnostics to follow.
#[derive(Debug, Default)]
struct Touched {
    ports: BTreeSet<PodKey>,
    /// Namespaces whose switch changed.
    switches: BTreeSet<Arc<str>>,
    /// Namespaces whose router port may have changed.
    router_ports: BTreeSet<Arc<str>>,
    routers: BTreeSet<Arc<str>>,
    /// Objects whose diagnostics may have changed, with those from before.
    diagnostics: BTreeMap<ObjectRef, Vec<Diagnostic>>,
}

impl Index {
    /// An index without objects.
    ///
    /// # Errors
    /// The cluster CIDRs cannot be used.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let mut ipv4 = None;
        let mut ipv6 = None;
        for cidr in &config.cluster_cidrs {
            let (slot, longest) = match cidr {
                IpNet::V4(_) => (&mut ipv4, 29),
                IpNet::V6(_) => (&mut ipv6, 96),
            };
            if cidr.prefix_len() > longest {
                return Err(ConfigError::TooLong {
                    found: *cidr,
                    longest,
                });
            }
            if slot.replace(*cidr).is_some() {
                return Err(ConfigError::SecondOfFamily(*cidr));
            }
        }
        let space = match (ipv4, ipv6) {
            (Some(IpNet::V4(network)), _) => {
                Span::containing(network.network().to_bits(), network.prefix_len())
            }
            (None, Some(_)) => Span::containing(INDICES_WITHOUT_IPV4.0, INDICES_WITHOUT_IPV4.1),
            _ => return Err(ConfigError::NoClusterCidr),
        };
        let cluster_cidrs: Vec<IpNet> = config.cluster_cidrs.iter().map(IpNet::trunc).collect();
        let hosts = Hosts::new(config.hosts)?;
        for networks in [&config.service_cidrs, &config.load_balancer_pool] {
            for (number, network) in networks.iter().enumerate() {
                let others = networks.iter().take(number);
                let mut families = others.map(|other| other.addr().is_ipv4());
                if families.any(|is_ipv4| is_ipv4 == network.addr().is_ipv4()) {
                    return Err(ConfigError::SecondOfFamily(*network));
                }
            }
        }
        let all: Vec<&IpNet> = cluster_cidrs
            .iter()
            .chain(hosts.networks())
            .chain(&config.service_cidrs)
            .chain(&config.load_balancer_pool)
            .collect();
        for (number, network) in all.iter().enumerate() {
            let mut others = all.iter().skip(number.saturating_add(1));
            if let Some(other) = others.find(|other| namespace::overlap(network, other)) {
                return Err(ConfigError::Overlap(**network, **other));
            }
        }
        Ok(Self {
            router: config.router.into(),
            service_cidrs: config.service_cidrs.iter().map(IpNet::trunc).collect(),
            load_balancer_pool: config.load_balancer_pool.iter().map(IpNet::trunc).collect(),
            derive_endpoints: config.derive_endpoints,
            hosts,
            services: Services::default(),
            addressing: Addressing::of(&cluster_cidrs),
            cluster_cidrs,
            space,
            nodes: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            domains: BTreeMap::new(),
            routers: BTreeMap::new(),
            records: BTreeMap::new(),
            dirty: Dirty::default(),
            waiting: BTreeSet::new(),
            diagnostics: BTreeMap::new(),
            rows: BTreeMap::new(),
            touched: Touched::default(),
        })
    }

    /// Adds an object, or replaces the one of the same name.
    pub fn apply(&mut self, object: Object) {
        match object {
            Object::Namespace(namespace) => self.apply_namespace(&namespace),
            Object::Pod(pod) => self.apply_pod(&pod),
            Object::Node(node) => self.apply_node(&node),
            Object::Service(service) => self.apply_service(&service),
            Object::EndpointSlice(slice) => self.apply_slice(&slice),
        }
    }

    /// Takes an object out. Nothing happens if it is not there.
    pub fn delete(&mut self, object: &ObjectRef) {
        match object.kind.as_str() {
            "Namespace" => self.delete_namespace(&object.name),
            "Pod" => self.delete_pod(&object.namespace, &object.name),
            "Node" => self.delete_node(&object.name),
            "Service" => self.delete_service(&object.namespace, &object.name),
            "EndpointSlice" => self.delete_slice(&object.namespace, &object.name),
            _ => {}
        }
    }

    /// Makes these the objects there are: others go, those that did not change stay undisturbed.
    /// Nodes stay if no object is one. `records` say who held which address before a restart; they count for pods that hold none.
    pub fn reset(&mut self, objects: Vec<Object>, records: Vec<Record>) {
        let keep: BTreeSet<ObjectRef> = objects.iter().map(Object::reference).collect();
        let has_nodes = objects
            .iter()
            .any(|object| matches!(object, Object::Node(_)));
        let nodes = self
            .nodes
            .keys()
            .filter(|_| has_nodes)
            .map(|node| ObjectRef::node(node));
        for reference in self
            .references()
            .into_iter()
            .chain(nodes.collect::<Vec<_>>())
        {
            if !keep.contains(&reference) {
                self.delete(&reference);
            }
        }
        self.records.extend(records.into_iter().map(|record| {
            (
                (Arc::clone(&record.namespace), Arc::clone(&record.pod)),
                record,
            )
        }));
        for object in objects {
            self.apply(object);
        }
    }

    /// Makes these the nodes there are, for clusters whose nodes are not Kubernetes'.
    pub fn set_nodes<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let names: BTreeSet<Arc<str>> = names.into_iter().map(Arc::from).collect();
        let gone: Vec<Arc<str>> = self
            .nodes
            .keys()
            .filter(|name| !names.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            self.delete_node(&name);
        }
        for name in names {
            if !self.nodes.contains_key(&name) {
                self.dirty.nodes.insert(Arc::clone(&name));
                self.nodes.insert(name, NodeEntry::default());
            }
        }
    }

    /// Works off what changed since the last call.
    pub fn translate(&mut self) -> Translation {
        self.translate_nodes();
        self.translate_namespaces();
        self.translate_pods();
        self.translate_services();
        self.records.clear();
        for domain in self.domains.values_mut() {
            self.touched.router_ports.append(&mut domain.take_changed());
        }
        let touched = std::mem::take(&mut self.touched);
        let changes = self.write_rows(&touched);
        let mut translation = Translation {
            changes,
            ..Translation::default()
        };
        for (object, before) in touched.diagnostics {
            let now = self.diagnostics.get(&object).map_or(&[][..], Vec::as_slice);
            translation
                .reported
                .extend(now.iter().filter(|new| !before.contains(new)).cloned());
            translation
                .resolved
                .extend(before.iter().filter(|old| !now.contains(old)).cloned());
        }
        translation
    }

    /// All rows, as of the last [`Index::translate`].
    #[must_use]
    pub fn rows(&self) -> &BTreeMap<Uuid, NbRow> {
        &self.rows
    }

    /// All diagnostics, as of the last [`Index::translate`].
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.values().flatten()
    }

    fn references(&self) -> Vec<ObjectRef> {
        let mut references = Vec::new();
        for (name, namespace) in &self.namespaces {
            references.extend(namespace.pods.keys().map(|pod| ObjectRef::pod(name, pod)));
            references.extend(namespace.is_declared().then(|| ObjectRef::namespace(name)));
        }
        let host_pods = self.services.pods_on_hosts();
        references.extend(host_pods.map(|(namespace, name)| ObjectRef::pod(namespace, name)));
        let services = self.services.names();
        references.extend(services.map(|(namespace, name)| ObjectRef::service(namespace, name)));
        let slices = self.services.slice_names();
        references
            .extend(slices.map(|(namespace, name)| ObjectRef::endpoint_slice(namespace, name)));
        references
    }

    /// Replaces what is wrong with an object.
    fn diagnose(&mut self, object: &ObjectRef, diagnostics: Vec<Diagnostic>) {
        let before = if diagnostics.is_empty() {
            self.diagnostics.remove(object).unwrap_or_default()
        } else {
            self.diagnostics
                .insert(object.clone(), diagnostics.clone())
                .unwrap_or_default()
        };
        if before != diagnostics {
            self.touched
                .diagnostics
                .entry(object.clone())
                .or_insert(before);
        }
    }

    /// The address space of a router, made if it is not there.
    fn domain(&mut self, router: &Arc<str>) -> &mut Domain {
        let (space, addressing) = (self.space, self.addressing);
        self.domains
            .entry(Arc::clone(router))
            .or_insert_with(|| Domain::new(space, addressing))
    }
}

/// `a, b, c`.
pub(crate) fn display_list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Where indices are counted when no pod has an IPv4 address: as many as the default has.
const INDICES_WITHOUT_IPV4: (u32, u8) = (0x0a80_0000, 14);

#[cfg(test)]
mod tests;
