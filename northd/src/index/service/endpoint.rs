//! Endpoints: from EndpointSlices, and where nobody makes these from the pods that a Service selects.
//!
//! ```text
//! EndpointSlice ─┐
//!                ├─▶ per port of the Service: address and port ─▶ usable ones
//! selected pods ─┘        ready, serving, node, hints
//! ```
//!
//! Must not: know virtual addresses or rows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use weft_schema::service::Placement;

use super::spec::{Family, Protocol, Target, is_of_a_host, port_number};

/// What a pod is to Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) node: Arc<str>,
    pub(crate) is_on_host: bool,
    /// Addresses that its status tells.
    pub(crate) addresses: Vec<IpAddr>,
    /// Named container ports.
    ports: BTreeMap<(String, Protocol), u16>,
    is_ready: bool,
    is_terminating: bool,
}

/// An endpoint of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) is_ready: bool,
    /// Terminating, and still serving.
    pub(crate) is_last_resort: bool,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) for_zones: BTreeSet<Arc<str>>,
    pub(crate) for_nodes: BTreeSet<Arc<str>>,
}

/// The endpoints of one port, by address and port number.
pub(crate) type Endpoints = BTreeMap<(IpAddr, u16), Endpoint>;

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) service: Arc<str>,
    /// Port name and protocol to number.
    ports: BTreeMap<(String, Protocol), u16>,
    endpoints: Vec<(IpAddr, Endpoint)>,
    /// Field and message.
    pub(crate) problems: Vec<(String, String)>,
}

impl Backend {
    /// Reads a pod; `None` if it is on no node, or has ended.
    pub(crate) fn of(pod: &core::Pod) -> Option<Self> {
        let spec = pod.spec.as_ref()?;
        let node = spec.node_name.as_deref().filter(|node| !node.is_empty())?;
        let status = pod.status.as_ref();
        if matches!(
            status.and_then(|status| status.phase.as_deref()),
            Some("Succeeded" | "Failed")
        ) {
            return None;
        }
        let condition = status
            .and_then(|status| status.conditions.as_ref())
            .and_then(|conditions| {
                conditions
                    .iter()
                    .find(|condition| condition.type_ == "Ready")
            });
        // An init container that goes on is a sidecar, and may serve.
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|init| init.restart_policy.as_deref() == Some("Always"));
        let ports = spec
            .containers
            .iter()
            .chain(sidecars)
            .flat_map(|container| container.ports.iter().flatten())
            .filter_map(|port| {
                let name = port.name.clone()?;
                let protocol = Protocol::read(port.protocol.as_deref())?;
                Some(((name, protocol), port_number(port.container_port)?))
            });
        let mut named = BTreeMap::new();
        for (name, number) in ports {
            named.entry(name).or_insert(number);
        }
        let addresses = status
            .and_then(|status| status.pod_ips.as_ref())
            .into_iter()
            .flatten();
        Some(Self {
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            node: node.into(),
            is_on_host: spec.host_network == Some(true),
            addresses: addresses.filter_map(|ip| ip.ip.parse().ok()).collect(),
            ports: named,
            // Without a kubelet nobody says; then it is.
            is_ready: condition.is_none_or(|condition| condition.status == "True"),
            is_terminating: pod.metadata.deletion_timestamp.is_some(),
        })
    }

    /// Whether a selector names it. An empty one names none.
    pub(crate) fn is_selected(&self, selector: &BTreeMap<String, String>) -> bool {
        !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| self.labels.get(key) == Some(value))
    }

    /// Where a port leads on this pod.
    pub(crate) fn target(&self, protocol: Protocol, target: &Target) -> Option<u16> {
        match target {
            Target::Number(number) => Some(*number),
            Target::Name(name) => self.ports.get(&(name.clone(), protocol)).copied(),
        }
    }

    /// The endpoint that it is, as the EndpointSlice controller has it.
    pub(crate) fn endpoint(&self, publishes_not_ready: bool) -> Endpoint {
        Endpoint {
            is_ready: publishes_not_ready || self.is_ready && !self.is_terminating,
            is_last_resort: self.is_terminating && self.is_ready,
            node: Some(Arc::clone(&self.node)),
            ..Endpoint::default()
        }
    }
}

impl Slice {
    /// Reads an EndpointSlice; `None` if it is no Service's.
    pub(crate) fn of(slice: &discovery::EndpointSlice) -> Option<Self> {
        let labels = slice.metadata.labels.as_ref()?;
        let service: Arc<str> = labels.get(SERVICE_NAME)?.as_str().into();
        let mut read = Self {
            service,
            ports: BTreeMap::new(),
            endpoints: Vec::new(),
            problems: Vec::new(),
        };
        let name = slice.metadata.name.as_deref().unwrap_or_default();
        let field = |path: String| format!("EndpointSlice {name}: {path}");
        let family = match slice.address_type.as_str() {
            "IPv4" => Family::Ipv4,
            "IPv6" => Family::Ipv6,
            other => {
                let message = format!("\"{other}\" is passed over; use IPv4 or IPv6");
                read.problems.push((field("addressType".into()), message));
                return Some(read);
            }
        };
        for (number, port) in slice.ports.iter().flatten().enumerate() {
            let protocol = Protocol::read(port.protocol.as_deref());
            match (protocol, port.port.and_then(port_number)) {
                (Some(protocol), Some(number)) => {
                    let name = port.name.clone().unwrap_or_default();
                    read.ports.insert((name, protocol), number);
                }
                _ => {
                    let message = "is not a port from 1 to 65535 of TCP, UDP or SCTP";
                    let path = field(format!("ports[{number}]"));
                    read.problems.push((path, message.into()));
                }
            }
        }
        for (number, endpoint) in slice.endpoints.iter().enumerate() {
            let read_endpoint = read_endpoint(endpoint);
            for (index, text) in endpoint.addresses.iter().enumerate() {
                let message = match text.parse::<IpAddr>() {
                    Ok(address) if Family::of(address) != family => {
                        format!("{address} is not an {} address", family.name())
                    }
                    Ok(address) if !is_of_a_host(address) => {
                        format!("{address} is not an address of a host")
                    }
                    Ok(address) => {
                        read.endpoints.push((address, read_endpoint.clone()));
                        continue;
                    }
                    Err(_) => format!("\"{text}\" is not an IP address"),
                };
                let path = field(format!("endpoints[{number}].addresses[{index}]"));
                read.problems.push((path, message));
            }
        }
        Some(read)
    }

    /// Adds the endpoints of a port of the Service, by the port's name.
    pub(crate) fn add_to(&self, endpoints: &mut Endpoints, name: &str, protocol: Protocol) {
        let Some(number) = self.ports.get(&(name.to_owned(), protocol)) else {
            return;
        };
        for (address, endpoint) in &self.endpoints {
            add(endpoints, (*address, *number), endpoint.clone());
        }
    }

    /// Nodes that endpoints are on.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.endpoints
            .iter()
            .filter_map(|(_, endpoint)| endpoint.node.as_ref())
    }
}

/// Absent conditions are as the API says: ready, serving as it is ready, not terminating.
fn read_endpoint(endpoint: &discovery::Endpoint) -> Endpoint {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|all| all.ready).unwrap_or(true);
    let serving = conditions.and_then(|all| all.serving).unwrap_or(ready);
    let terminating = conditions.and_then(|all| all.terminating) == Some(true);
    let hints = endpoint.hints.as_ref();
    let zones = hints.and_then(|hints| hints.for_zones.as_ref());
    let nodes = hints.and_then(|hints| hints.for_nodes.as_ref());
    Endpoint {
        is_ready: ready,
        is_last_resort: terminating && serving,
        node: endpoint.node_name.as_deref().map(Arc::from),
        for_zones: zones
            .into_iter()
            .flatten()
            .map(|zone| zone.name.as_str().into())
            .collect(),
        for_nodes: nodes
            .into_iter()
            .flatten()
            .map(|node| node.name.as_str().into())
            .collect(),
    }
}

/// Adds an endpoint. While it moves from one slice to another it may be in both; then the better one counts.
pub(crate) fn add(endpoints: &mut Endpoints, at: (IpAddr, u16), endpoint: Endpoint) {
    match endpoints.get_mut(&at) {
        Some(there) if there.is_ready || !endpoint.is_ready => {
            there.is_last_resort |= endpoint.is_last_resort;
        }
        _ => {
            endpoints.insert(at, endpoint);
        }
    }
}

/// The endpoints of one port and family that are used: those that are ready, else those that still serve.
pub(crate) fn usable(endpoints: &Endpoints, family: Family) -> Vec<(IpAddr, u16)> {
    let of_family = || {
        endpoints
            .iter()
            .filter(move |((address, _), _)| Family::of(*address) == family)
    };
    let ready: Vec<_> = of_family()
        .filter(|(_, endpoint)| endpoint.is_ready)
        .map(|(at, _)| *at)
        .collect();
    if !ready.is_empty() {
        return ready;
    }
    of_family()
        .filter(|(_, endpoint)| endpoint.is_last_resort)
        .map(|(at, _)| *at)
        .collect()
}

/// As [`usable`], where every node looks at its own alone: those that still serve are used on nodes that have no ready one.
pub(crate) fn usable_locally(endpoints: &Endpoints, family: Family) -> Vec<(IpAddr, u16)> {
    let mut used: BTreeSet<(IpAddr, u16)> = usable(endpoints, family).into_iter().collect();
    let of_family = endpoints
        .iter()
        .filter(|((address, _), _)| Family::of(*address) == family);
    let ready_on: BTreeSet<Option<&Arc<str>>> = of_family
        .clone()
        .filter(|(_, endpoint)| endpoint.is_ready)
        .map(|(_, endpoint)| endpoint.node.as_ref())
        .collect();
    used.extend(
        of_family
            .filter(|(_, endpoint)| {
                endpoint.is_last_resort
                    && endpoint.node.is_some()
                    && !ready_on.contains(&endpoint.node.as_ref())
            })
            .map(|(at, _)| *at),
    );
    used.into_iter().collect()
}

/// Where each endpoint of these families resides.
pub(crate) fn residence<'a>(
    endpoints: impl Iterator<Item = &'a Endpoints>,
    families: &BTreeSet<Family>,
) -> Placement {
    let mut placement = Placement {
        is_local: true,
        ..Placement::default()
    };
    for ((address, _), endpoint) in endpoints.flatten() {
        let is_used = endpoint.is_ready || endpoint.is_last_resort;
        if !is_used || !families.contains(&Family::of(*address)) {
            continue;
        }
        if let Some(node) = &endpoint.node {
            let list = placement.nodes.entry(node.to_string()).or_default();
            list.insert(*address);
        }
    }
    placement
}

/// Whom each endpoint of these families is meant for. Hints count if every ready endpoint of the family has one.
pub(crate) fn hints<'a>(
    endpoints: impl Iterator<Item = &'a Endpoints> + Clone,
    families: &BTreeSet<Family>,
) -> Placement {
    let mut placement = Placement::default();
    for family in families {
        let ready = endpoints
            .clone()
            .flatten()
            .filter(|((address, _), endpoint)| {
                endpoint.is_ready && Family::of(*address) == *family
            });
        let has_zones = ready.clone().all(|(_, ready)| !ready.for_zones.is_empty());
        let has_nodes = ready.clone().all(|(_, ready)| !ready.for_nodes.is_empty());
        for ((address, _), endpoint) in ready {
            for zone in endpoint.for_zones.iter().filter(|_| has_zones) {
                let list = placement.zones.entry(zone.to_string()).or_default();
                list.insert(*address);
            }
            for node in endpoint.for_nodes.iter().filter(|_| has_nodes) {
                let list = placement.nodes.entry(node.to_string()).or_default();
                list.insert(*address);
            }
        }
    }
    placement
}

/// The label of an EndpointSlice that names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
