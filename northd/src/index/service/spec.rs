//! What a Service asks for, read once.
//!
//! A field that says nothing usable is left out, with a diagnostic, and the rest counts. Must not: look at other objects, or give anything
//! out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::annotations::{self, LOAD_BALANCER_IP};
use crate::diagnostic::{Diagnostic, ObjectRef};

/// A Service that has virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// When it was made, as text that sorts by time: of two that want the same, the older has it.
    pub(crate) created: Option<String>,
    pub(crate) selector: BTreeMap<String, String>,
    /// Families of its virtual addresses, the first one first.
    pub(crate) families: Vec<Family>,
    /// Cluster addresses that it names.
    pub(crate) cluster: Vec<Address>,
    /// Whether it names none, and is to be given one of each family.
    pub(crate) wants_cluster: bool,
    /// `externalIPs`, and load balancer addresses that it names.
    pub(crate) external: Vec<Address>,
    /// Whether it wants load balancer addresses and names none.
    pub(crate) wants_pool: bool,
    pub(crate) ports: Vec<Port>,
    /// Seconds for which a client keeps its endpoint.
    pub(crate) affinity: Option<u32>,
    pub(crate) internal: Policy,
    pub(crate) external_policy: Policy,
    pub(crate) distribution: Distribution,
    pub(crate) publishes_not_ready: bool,
}

/// An address, and the field that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) address: IpAddr,
    pub(crate) field: String,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// Path of the port, such as `spec.ports[0]`.
    pub(crate) field: String,
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) target: Target,
    pub(crate) node_port: NodePort,
}

/// Where a port leads on its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Number(u16),
    /// The container port of this name.
    Name(String),
}

/// The node port that a port asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodePort {
    None,
    Any,
    This(u16),
}

/// Which endpoints a traffic policy lets a node use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Policy {
    Cluster,
    Local,
}

/// `trafficDistribution`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    Even,
    SameZone,
    SameNode,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

impl Protocol {
    /// As `Load_Balancer` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Reads what Kubernetes writes; absent is TCP.
    pub(crate) fn read(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }
}

impl Family {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// As Kubernetes has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

/// Whether an address can be a host's.
pub(crate) fn is_of_a_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            !(first == 0 || address.is_loopback() || address.is_link_local() || first >= 224)
        }
        IpAddr::V6(address) => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_multicast()
                || address.to_ipv4_mapped().is_some())
        }
    }
}

/// A port number.
pub(crate) fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number > 0)
}

/// Reads a Service of a cluster that has these families, the first one first; `None` if it has no virtual address: headless, or a name.
pub(crate) fn read(
    reference: &ObjectRef,
    service: &core::Service,
    cluster_families: &[Family],
) -> (Option<Spec>, Vec<Diagnostic>) {
    let Some(spec) = &service.spec else {
        let missing = Diagnostic::new(reference.clone(), "spec", "is missing");
        return (None, vec![missing]);
    };
    let is_headless = spec.cluster_ip.as_deref() == Some("None");
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    if kind == "ExternalName" || is_headless {
        return (None, Vec::new());
    }
    let mut reading = Reading {
        reference,
        problems: Vec::new(),
    };
    if !["ClusterIP", "NodePort", "LoadBalancer"].contains(&kind) {
        let message =
            format!("\"{kind}\" is no type; use ClusterIP, NodePort, LoadBalancer or ExternalName");
        reading.problem("spec.type", message);
        return (None, reading.problems);
    }
    let named = reading.cluster_addresses(spec);
    let families = reading.families(spec, &named, cluster_families);
    let cluster = reading.fitting(named, &families);
    let mut external = reading.addresses("spec.externalIPs", spec.external_ips.iter().flatten());
    let load_balancer = match kind {
        "LoadBalancer" => reading.load_balancer_addresses(service, spec),
        _ => Some(Vec::new()),
    };
    // A class of somebody else's: only what that says in the status counts.
    let is_ours = spec.load_balancer_class.is_none();
    let wants_pool = is_ours && load_balancer.as_ref().is_some_and(Vec::is_empty);
    external.extend(load_balancer.into_iter().flatten());
    let external = reading.fitting(external, &families);
    let has_node_ports = kind == "NodePort"
        || kind == "LoadBalancer" && spec.allocate_load_balancer_node_ports != Some(false);
    let read = Spec {
        created: service
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0.to_string()),
        selector: spec.selector.clone().unwrap_or_default(),
        wants_pool: wants_pool && kind == "LoadBalancer",
        ports: reading.ports(spec, kind, has_node_ports),
        affinity: reading.affinity(spec),
        internal: reading.policy("spec.internalTrafficPolicy", &spec.internal_traffic_policy),
        external_policy: reading
            .policy("spec.externalTrafficPolicy", &spec.external_traffic_policy),
        distribution: match spec.traffic_distribution.as_deref() {
            Some("PreferClose" | "PreferSameZone") => Distribution::SameZone,
            Some("PreferSameNode") => Distribution::SameNode,
            _ => Distribution::Even,
        },
        publishes_not_ready: spec.publish_not_ready_addresses == Some(true),
        wants_cluster: spec.cluster_ip.as_ref().is_none_or(String::is_empty)
            && spec.cluster_ips.as_ref().is_none_or(Vec::is_empty),
        families,
        cluster,
        external,
    };
    (Some(read), reading.problems)
}

struct Reading<'a> {
    reference: &'a ObjectRef,
    problems: Vec<Diagnostic>,
}

impl Reading<'_> {
    fn problem(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let problem = Diagnostic::new(self.reference.clone(), field, message);
        self.problems.push(problem);
    }

    fn address(&mut self, field: String, text: &str) -> Option<Address> {
        let read = text.trim().parse::<IpAddr>().ok();
        match read {
            Some(address) if is_of_a_host(address) => Some(Address { address, field }),
            Some(_) => {
                self.problem(field, format!("{text} is not an address of a host"));
                None
            }
            None => {
                let message =
                    format!("\"{text}\" is not an IP address; write one such as 10.96.0.10");
                self.problem(field, message);
                None
            }
        }
    }

    fn addresses<'t>(
        &mut self,
        field: &str,
        texts: impl Iterator<Item = &'t String>,
    ) -> Vec<Address> {
        let mut addresses: Vec<Address> = Vec::new();
        for (number, text) in texts.enumerate() {
            let Some(read) = self.address(format!("{field}[{number}]"), text) else {
                continue;
            };
            if !addresses.iter().any(|other| other.address == read.address) {
                addresses.push(read);
            }
        }
        addresses
    }

    fn cluster_addresses(&mut self, spec: &core::ServiceSpec) -> Vec<Address> {
        let first = spec.cluster_ip.as_deref().filter(|text| !text.is_empty());
        let mut addresses = match &spec.cluster_ips {
            Some(list) if !list.is_empty() => self.addresses("spec.clusterIPs", list.iter()),
            _ => first
                .and_then(|text| self.address("spec.clusterIP".into(), text))
                .into_iter()
                .collect(),
        };
        let mut seen = BTreeSet::new();
        addresses.retain(|address| {
            let is_first = seen.insert(Family::of(address.address));
            if !is_first {
                let message = format!(
                    "{}: a second address of its family; at most one IPv4 and one IPv6 address",
                    address.address
                );
                self.problems.push(Diagnostic::new(
                    self.reference.clone(),
                    address.field.clone(),
                    message,
                ));
            }
            is_first
        });
        addresses
    }

    /// As Kubernetes decides: what `ipFamilies` says, else what the addresses are, else what the policy wants of what the cluster has.
    fn families(
        &mut self,
        spec: &core::ServiceSpec,
        named: &[Address],
        cluster: &[Family],
    ) -> Vec<Family> {
        let mut families: Vec<Family> = Vec::new();
        for (number, name) in spec.ip_families.iter().flatten().enumerate() {
            let field = format!("spec.ipFamilies[{number}]");
            let family = match name.as_str() {
                "IPv4" => Family::Ipv4,
                "IPv6" => Family::Ipv6,
                _ => {
                    let message = format!("\"{name}\" is no family; write IPv4 or IPv6");
                    self.problem(field, message);
                    continue;
                }
            };
            if !cluster.contains(&family) {
                let message = format!(
                    "{name}: the cluster has no {name} network; give one with --cluster-cidr"
                );
                self.problem(field, message);
            } else if !families.contains(&family) {
                families.push(family);
            }
        }
        if spec
            .ip_families
            .as_ref()
            .is_none_or(std::vec::Vec::is_empty)
        {
            let of_named = named.iter().map(|named| Family::of(named.address));
            families.extend(of_named.filter(|family| cluster.contains(family)));
        }
        let policy = spec.ip_family_policy.as_deref();
        let is_dual = matches!(policy, Some("PreferDualStack" | "RequireDualStack"));
        if policy == Some("RequireDualStack") && cluster.len() < 2 {
            let message = "RequireDualStack: the cluster has one family; use PreferDualStack, or give both with --cluster-cidr";
            self.problem("spec.ipFamilyPolicy", message);
        }
        for family in cluster {
            let is_wanted = is_dual || families.is_empty() && named.is_empty();
            if is_wanted && !families.contains(family) {
                families.push(*family);
            }
        }
        families
    }

    /// The addresses of families that the Service has.
    fn fitting(&mut self, addresses: Vec<Address>, families: &[Family]) -> Vec<Address> {
        let names: Vec<&str> = families.iter().map(|family| family.name()).collect();
        let (fitting, others): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .partition(|address| families.contains(&Family::of(address.address)));
        for other in others {
            let message = format!(
                "{} is an {} address, and the Service's family is {}; see spec.ipFamilies",
                other.address,
                Family::of(other.address).name(),
                match names.as_slice() {
                    [] => "none of the cluster's".to_owned(),
                    names => names.join(" and "),
                }
            );
            self.problem(other.field, message);
        }
        fitting
    }

    /// The load balancer addresses that the Service names; `None` if there are to be none.
    fn load_balancer_addresses(
        &mut self,
        service: &core::Service,
        spec: &core::ServiceSpec,
    ) -> Option<Vec<Address>> {
        if spec
            .load_balancer_source_ranges
            .as_ref()
            .is_some_and(|ranges| !ranges.is_empty())
        {
            let message = "cannot be enforced yet, so the Service gets no load balancer address; remove it, and everybody may ask";
            self.problem("spec.loadBalancerSourceRanges", message);
            return None;
        }
        let annotations = service.metadata.annotations.as_ref();
        if let Some(list) = annotations.and_then(|all| all.get(LOAD_BALANCER_IP)) {
            let field = annotations::field(LOAD_BALANCER_IP);
            let read = list
                .split(',')
                .filter_map(|text| self.address(field.clone(), text));
            return Some(read.collect());
        }
        if let Some(text) = spec.load_balancer_ip.as_deref().filter(|ip| !ip.is_empty()) {
            let read = self.address("spec.loadBalancerIP".into(), text);
            return Some(read.into_iter().collect());
        }
        let status = service.status.as_ref();
        let ingress = status
            .and_then(|status| status.load_balancer.as_ref())
            .and_then(|balancer| balancer.ingress.as_ref());
        // A proxy's address is the proxy's, which dials a node port.
        let vips = ingress
            .into_iter()
            .flatten()
            .filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"))
            .filter_map(|ingress| ingress.ip.clone());
        let vips: Vec<String> = vips.collect();
        Some(self.addresses("status.loadBalancer.ingress", vips.iter()))
    }

    fn ports(&mut self, spec: &core::ServiceSpec, kind: &str, has_node_ports: bool) -> Vec<Port> {
        let mut ports: Vec<Port> = Vec::new();
        let mut seen = BTreeSet::new();
        for (number, port) in spec.ports.iter().flatten().enumerate() {
            let field = format!("spec.ports[{number}]");
            if let Some(read) = self.port(&field, port, kind, has_node_ports) {
                if seen.insert((read.protocol, read.port)) {
                    ports.push(read);
                } else {
                    let message = format!(
                        "{}/{} comes twice; remove one",
                        read.port,
                        read.protocol.name().to_uppercase()
                    );
                    self.problem(format!("{field}.port"), message);
                }
            }
        }
        if spec.ports.as_ref().is_none_or(std::vec::Vec::is_empty) {
            let message =
                "is empty; name a port, or make the Service headless with clusterIP: None";
            self.problem("spec.ports", message);
        }
        ports
    }

    fn port(
        &mut self,
        field: &str,
        port: &core::ServicePort,
        kind: &str,
        has_node_ports: bool,
    ) -> Option<Port> {
        let not_a_port = |number: i32| format!("{number} is not a port; use one from 1 to 65535");
        let Some(protocol) = Protocol::read(port.protocol.as_deref()) else {
            let message = format!(
                "\"{}\" is no protocol; use TCP, UDP or SCTP",
                port.protocol.as_deref().unwrap_or_default()
            );
            self.problem(format!("{field}.protocol"), message);
            return None;
        };
        let Some(number) = port_number(port.port) else {
            self.problem(format!("{field}.port"), not_a_port(port.port));
            return None;
        };
        let target = match &port.target_port {
            // What a client that leaves the field out may send.
            None | Some(IntOrString::Int(0)) => Target::Number(number),
            Some(IntOrString::Int(target)) => match port_number(*target) {
                Some(target) => Target::Number(target),
                None => {
                    self.problem(format!("{field}.targetPort"), not_a_port(*target));
                    return None;
                }
            },
            Some(IntOrString::String(name)) => Target::Name(name.clone()),
        };
        let node_port = match port.node_port {
            None | Some(0) if has_node_ports => NodePort::Any,
            None | Some(0) => NodePort::None,
            Some(_) if kind == "ClusterIP" => {
                let message = "counts with type NodePort or LoadBalancer only";
                self.problem(format!("{field}.nodePort"), message);
                NodePort::None
            }
            Some(wanted) => match port_number(wanted).filter(|port| NODE_PORTS.contains(port)) {
                Some(node_port) => NodePort::This(node_port),
                None => {
                    let message = format!(
                        "{wanted} is not a node port; use one from {} to {}",
                        NODE_PORTS.start(),
                        NODE_PORTS.end()
                    );
                    self.problem(format!("{field}.nodePort"), message);
                    NodePort::None
                }
            },
        };
        Some(Port {
            field: field.to_owned(),
            name: port.name.clone().unwrap_or_default(),
            protocol,
            port: number,
            target,
            node_port,
        })
    }

    fn affinity(&mut self, spec: &core::ServiceSpec) -> Option<u32> {
        match spec.session_affinity.as_deref() {
            None | Some("None" | "") => return None,
            Some("ClientIP") => {}
            Some(other) => {
                let message = format!("\"{other}\" is none; use ClientIP or None");
                self.problem("spec.sessionAffinity", message);
                return None;
            }
        }
        let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        let config = spec.session_affinity_config.as_ref();
        let seconds = config
            .and_then(|config| config.client_ip.as_ref())
            .and_then(|client| client.timeout_seconds)
            .unwrap_or(AFFINITY_DEFAULT);
        match u32::try_from(seconds) {
            Ok(seconds @ 1..=AFFINITY_MAX) => Some(seconds),
            Ok(seconds @ 1..) => {
                let message = format!(
                    "{seconds}: a client keeps its endpoint for at most {AFFINITY_MAX} seconds, which count"
                );
                self.problem(field, message);
                Some(AFFINITY_MAX)
            }
            _ => {
                let message = format!("{seconds} is not a number of seconds from 1");
                self.problem(field, message);
                None
            }
        }
    }

    fn policy(&mut self, field: &str, policy: &Option<String>) -> Policy {
        match policy.as_deref() {
            None | Some("Cluster" | "") => Policy::Cluster,
            Some("Local") => Policy::Local,
            Some(other) => {
                let message = format!("\"{other}\" is no policy; use Cluster or Local");
                self.problem(field, message);
                Policy::Cluster
            }
        }
    }
}

/// The node-port range that hosts send into the network.
pub(crate) const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;
/// Kubernetes' default.
const AFFINITY_DEFAULT: i32 = 10_800;
/// The longest that `Load_Balancer` can say (ovn-nb(5)).
const AFFINITY_MAX: u32 = 65_535;
