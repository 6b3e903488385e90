//! The rows of a Service: a load balancer per protocol and view.
//!
//! | view | asked by | for | endpoints |
//! | --- | --- | --- | --- |
//! | | pods and hosts | cluster addresses, external ones | all |
//! | `@local` | pods and hosts | cluster addresses, `internalTrafficPolicy: Local` | the node's own |
//! | `@pods` | pods | external addresses, `externalTrafficPolicy: Local` | all |
//! | `@hosts` | hosts | node ports; external addresses, `externalTrafficPolicy: Local` | by `externalTrafficPolicy` |
//!
//! Must not: decide who has an address; claims do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_schema::nb::LoadBalancer;
use weft_schema::service::{self, Placement};
use weft_schema::{RowId, keys};

use super::super::namespace::owned;
use super::endpoint::{self, Endpoints};
use super::spec::{Policy, Port};
use super::{
    Address, Claim, Diagnostic, Entry, Family, Index, NodePort, ObjectRef, Protocol, ServiceKey,
    Spec, display_list,
};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asker {
    PodsAndHosts,
    Pods,
    Hosts,
}

/// Who asks, and which endpoints count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct View {
    asker: Asker,
    policy: Policy,
}

impl View {
    /// What the view adds to the name of a row.
    fn suffix(self) -> &'static str {
        match (self.asker, self.policy) {
            (Asker::PodsAndHosts, Policy::Cluster) => "",
            (Asker::PodsAndHosts, Policy::Local) => "@local",
            (Asker::Pods, _) => "@pods",
            (Asker::Hosts, _) => "@hosts",
        }
    }
}

/// A virtual address.
struct Vip {
    view: View,
    address: IpAddr,
    /// Number of the port among those of the Service.
    port: usize,
    /// Port of the virtual address.
    number: u16,
}

impl Index {
    /// The rows of a Service with the groups they are in, and what is wrong with it.
    pub(super) fn load_balancers(
        &self,
        key: &ServiceKey,
    ) -> (Vec<(LoadBalancer, BTreeSet<String>)>, Vec<Diagnostic>) {
        let Some(entry) = self.services.entries.get(key) else {
            return (Vec::new(), Vec::new());
        };
        let mut problems = entry.problems.clone();
        let Some(spec) = &entry.spec else {
            return (Vec::new(), problems);
        };
        let mut making = Making {
            index: self,
            key,
            entry,
            spec,
            router: self.router_of(&key.0),
            problems: Vec::new(),
        };
        let vips = making.vips();
        let endpoints = making.endpoints();
        making.check_families(&vips, &endpoints);
        let rows = match making.is_within_limit(&vips, &endpoints) {
            true => making.rows(&vips, &endpoints),
            false => Vec::new(),
        };
        problems.append(&mut making.problems);
        (rows, problems)
    }
}

/// The rows of one Service in the making.
struct Making<'a> {
    index: &'a Index,
    key: &'a ServiceKey,
    entry: &'a Entry,
    spec: &'a Spec,
    router: Arc<str>,
    problems: Vec<Diagnostic>,
}

impl Making<'_> {
    fn problem(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let reference = ObjectRef::service(&self.key.0, &self.key.1);
        self.problems
            .push(Diagnostic::new(reference, field, message));
    }

    /// Whether hosts take part on this router.
    fn has_hosts(&self) -> bool {
        self.index.hosts.is_on() && self.router == self.index.router
    }

    /// Who has a claim, if it is somebody else.
    fn rival(&self, claim: &Claim) -> Option<String> {
        let holder = self.index.services.claims.holder(claim)?;
        (holder != self.key).then(|| format!("{}/{}", holder.0, holder.1))
    }

    /// The virtual addresses that the Service has, and whom they are for.
    fn vips(&mut self) -> Vec<Vip> {
        let spec = self.spec;
        let mut vips = Vec::new();
        let inside = View {
            asker: Asker::PodsAndHosts,
            policy: spec.internal,
        };
        for cluster in self.cluster_addresses() {
            let claim = Claim::Cluster(cluster.address);
            if let Some(rival) = self.rival(&claim) {
                let message = format!(
                    "{} is the address of Service {rival}; choose another, or leave the choice to weft",
                    cluster.address
                );
                self.problem(cluster.field, message);
                continue;
            }
            self.add(&mut vips, &cluster, &[inside]);
        }
        let outside: &[View] = match spec.external_policy {
            Policy::Cluster => &[View {
                asker: Asker::PodsAndHosts,
                policy: Policy::Cluster,
            }],
            Policy::Local => &[
                View {
                    asker: Asker::Pods,
                    policy: Policy::Cluster,
                },
                View {
                    asker: Asker::Hosts,
                    policy: Policy::Local,
                },
            ],
        };
        for external in self.external_addresses() {
            self.add(&mut vips, &external, outside);
        }
        self.add_node_ports(&mut vips);
        vips
    }

    fn cluster_addresses(&mut self) -> Vec<Address> {
        let given = &self.entry.given.cluster;
        if self.spec.wants_cluster && given.is_empty() && !self.spec.families.is_empty() {
            let message = match self.index.service_cidrs.as_slice() {
                [] => "is missing, and there is no service CIDR to choose one from".to_owned(),
                cidrs => format!(
                    "none is free: the service CIDR {} is used up, or of another family",
                    display_list(cidrs)
                ),
            };
            self.problem("spec.clusterIP", message);
        }
        let given = given.iter().map(|address| Address {
            address: *address,
            field: "spec.clusterIP".into(),
        });
        self.spec.cluster.iter().cloned().chain(given).collect()
    }

    fn external_addresses(&mut self) -> Vec<Address> {
        let given = &self.entry.given.pool;
        if self.spec.wants_pool && given.is_empty() {
            let message = match self.index.load_balancer_pool.as_slice() {
                [] => "LoadBalancer: no address: name one with the annotation weft.dev/load-balancer-ip, or give a pool with --load-balancer-pool".to_owned(),
                pool => format!(
                    "LoadBalancer: no address: the pool {} is used up, or of another family",
                    display_list(pool)
                ),
            };
            self.problem("spec.type", message);
        }
        let given = given.iter().map(|address| Address {
            address: *address,
            field: "spec.type".into(),
        });
        self.spec.external.iter().cloned().chain(given).collect()
    }

    /// Adds an address with every port, unless it is one of pods, or another's.
    fn add(&mut self, vips: &mut Vec<Vip>, at: &Address, views: &[View]) {
        let address = at.address;
        if let Some(owner) = self.index.is_of_pods(&self.router, address) {
            let message = format!(
                "{address} lies in {owner}, where pods and nodes have theirs; choose another"
            );
            self.problem(at.field.clone(), message);
            return;
        }
        let spec = self.spec;
        for (number, port) in spec.ports.iter().enumerate() {
            let claim = Claim::Vip(Arc::clone(&self.router), address, port.protocol, port.port);
            if let Some(rival) = self.rival(&claim) {
                let message = format!(
                    "{} {} is served by Service {rival} already; choose another address or port",
                    SocketAddr::new(address, port.port),
                    port.protocol.name().to_uppercase()
                );
                self.problem(at.field.clone(), message);
                continue;
            }
            let has_hosts = self.has_hosts();
            for view in views {
                if view.asker != Asker::Hosts || has_hosts {
                    vips.push(Vip {
                        view: *view,
                        address,
                        port: number,
                        number: port.port,
                    });
                }
            }
        }
    }

    fn add_node_ports(&mut self, vips: &mut Vec<Vip>) {
        let spec = self.spec;
        let is_asked_for = spec
            .ports
            .iter()
            .any(|port| port.node_port != NodePort::None);
        if is_asked_for && !self.has_hosts() {
            if self.router != self.index.router {
                let message = format!(
                    "node ports are not served: namespace {} is on router {}, which no host is on",
                    self.key.0, self.router
                );
                self.problem("spec.type", message);
            }
            return;
        }
        let view = View {
            asker: Asker::Hosts,
            policy: spec.external_policy,
        };
        for (number, port) in spec.ports.iter().enumerate() {
            let Some(node_port) = self.node_port(port) else {
                continue;
            };
            for family in &spec.families {
                let address = match family {
                    Family::Ipv4 => IpAddr::V4(service::NODE_PORTS.0),
                    Family::Ipv6 => IpAddr::V6(service::NODE_PORTS.1),
                };
                vips.push(Vip {
                    view,
                    address,
                    port: number,
                    number: node_port,
                });
            }
        }
    }

    fn node_port(&mut self, port: &Port) -> Option<u16> {
        let field = format!("{}.nodePort", port.field);
        match port.node_port {
            NodePort::None => None,
            NodePort::This(number) => match self.rival(&Claim::NodePort(port.protocol, number)) {
                None => Some(number),
                Some(rival) => {
                    let message = format!(
                        "{number} {} is the node port of Service {rival}; choose another, or leave the choice to weft",
                        port.protocol.name().to_uppercase()
                    );
                    self.problem(field, message);
                    None
                }
            },
            NodePort::Any => {
                let at = (port.protocol, port.port);
                let given = self.entry.given.node_ports.get(&at).copied();
                if given.is_none() {
                    self.problem(field, "no node port is free");
                }
                given
            }
        }
    }

    /// The endpoints of each port, without those that nobody on this router finds.
    fn endpoints(&mut self) -> Vec<Endpoints> {
        let slices = self.index.services.slices_of.get(self.key);
        for name in slices.into_iter().flatten() {
            let key = (Arc::clone(&self.key.0), Arc::clone(name));
            let slice = self.index.services.slices.get(&key);
            let faults = slice.into_iter().flat_map(|slice| &slice.problems);
            let shown = faults.clone().take(FAULTS_SHOWN).cloned();
            for (field, message) in shown.collect::<Vec<_>>() {
                self.problem(field, message);
            }
        }
        let mut endpoints = self.index.endpoints(self.key, self.entry, self.spec);
        let mut outside: BTreeSet<IpAddr> = BTreeSet::new();
        for of_port in &mut endpoints {
            of_port.retain(|(address, _), _| {
                let is_in_reach = self.index.is_in_reach(&self.router, *address);
                if !is_in_reach {
                    outside.insert(*address);
                }
                is_in_reach
            });
        }
        if let Some(first) = outside.first() {
            let others = match outside.len().saturating_sub(1) {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            let message = format!(
                "endpoint {first}{others}: outside every network that router {} leads to; left out",
                self.router
            );
            self.problem("spec.selector", message);
        }
        endpoints
    }

    /// Tells of virtual addresses whose family no endpoint has, while another family has some.
    fn check_families(&mut self, vips: &[Vip], endpoints: &[Endpoints]) {
        let has = |family| {
            let mut addresses = endpoints.iter().flat_map(Endpoints::keys);
            addresses.any(|(address, _)| Family::of(*address) == family)
        };
        for (family, other) in [(Family::Ipv4, Family::Ipv6), (Family::Ipv6, Family::Ipv4)] {
            let is_asked = vips.iter().any(|vip| Family::of(vip.address) == family);
            if is_asked && !has(family) && has(other) {
                let message = format!(
                    "{}: all endpoints have {} addresses, so nobody answers here",
                    family.name(),
                    other.name()
                );
                self.problem("spec.ipFamilies", message);
            }
        }
    }

    fn is_within_limit(&mut self, vips: &[Vip], endpoints: &[Endpoints]) -> bool {
        let pairs: usize = vips
            .iter()
            .filter_map(|vip| endpoints.get(vip.port))
            .map(Endpoints::len)
            .fold(0, usize::saturating_add);
        if pairs <= PAIRS_MAX {
            return true;
        }
        let message = format!(
            "{} virtual addresses with ports, and their endpoints, make {pairs} pairs; at most {PAIRS_MAX} are possible: divide the Service",
            vips.len()
        );
        self.problem("spec.ports", message);
        false
    }

    fn rows(&self, vips: &[Vip], endpoints: &[Endpoints]) -> Vec<(LoadBalancer, BTreeSet<String>)> {
        type Vips = (BTreeMap<String, String>, BTreeSet<Family>);
        let mut by_row: BTreeMap<(Protocol, View), Vips> = BTreeMap::new();
        let mut lists: BTreeMap<(usize, Family, Policy), String> = BTreeMap::new();
        for vip in vips {
            let (Some(port), Some(of_port)) =
                (self.spec.ports.get(vip.port), endpoints.get(vip.port))
            else {
                continue;
            };
            let family = Family::of(vip.address);
            let list = lists
                .entry((vip.port, family, vip.view.policy))
                .or_insert_with(|| list(of_port, family, vip.view.policy));
            let (vips, families) = by_row.entry((port.protocol, vip.view)).or_default();
            vips.insert(
                SocketAddr::new(vip.address, vip.number).to_string(),
                list.clone(),
            );
            families.insert(family);
        }
        let rows = by_row.into_iter();
        rows.map(|((protocol, view), (vips, families))| {
            let of_protocol = self
                .spec
                .ports
                .iter()
                .zip(endpoints)
                .filter(|(port, _)| port.protocol == protocol)
                .map(|(_, endpoints)| endpoints);
            let placement = match view.policy {
                Policy::Local => endpoint::residence(of_protocol, &families),
                Policy::Cluster => endpoint::hints(of_protocol, &families),
            };
            self.row(protocol, view, vips, &placement)
        })
        .collect()
    }

    fn row(
        &self,
        protocol: Protocol,
        view: View,
        vips: BTreeMap<String, String>,
        placement: &Placement,
    ) -> (LoadBalancer, BTreeSet<String>) {
        let (namespace, name) = self.key;
        let name_of_row = format!("{namespace}/{name}:{}{}", protocol.name(), view.suffix());
        let (hairpin4, hairpin6) = service::HAIRPIN;
        let mut options = BTreeMap::from([
            ("reject".to_owned(), "true".to_owned()),
            (
                "hairpin_snat_ip".to_owned(),
                format!("{hairpin4} {hairpin6}"),
            ),
        ]);
        if let Some(seconds) = self.spec.affinity {
            options.insert("affinity_timeout".to_owned(), seconds.to_string());
        }
        if view.asker == Asker::Hosts && view.policy == Policy::Local {
            options.insert("skip_snat".to_owned(), "true".to_owned());
        }
        placement.write(&mut options);
        let row = LoadBalancer {
            uuid: RowId::<LoadBalancer>::derived(&name_of_row).uuid(),
            name: name_of_row,
            vips,
            protocol: Some(protocol.name().to_owned()),
            options,
            external_ids: owned([(keys::NAMESPACE, &**namespace), (keys::SERVICE, &**name)]),
            ..LoadBalancer::default()
        };
        let of_hosts = format!("{}{HOSTS}", self.router);
        let groups = match view.asker {
            Asker::PodsAndHosts if self.has_hosts() => {
                BTreeSet::from([self.router.to_string(), of_hosts])
            }
            Asker::PodsAndHosts | Asker::Pods => BTreeSet::from([self.router.to_string()]),
            Asker::Hosts => BTreeSet::from([of_hosts]),
        };
        (row, groups)
    }
}

/// `ADDRESS:PORT,…`
fn list(endpoints: &Endpoints, family: Family, policy: Policy) -> String {
    let used = match policy {
        Policy::Cluster => endpoint::usable(endpoints, family),
        Policy::Local => endpoint::usable_locally(endpoints, family),
    };
    let mut list = String::new();
    for (address, port) in used {
        if !list.is_empty() {
            list.push(',');
        }
        let _ = write!(list, "{}", SocketAddr::new(address, port));
    }
    list
}

/// What the name of the hosts' group has after the router's. No router of a namespace is called so.
pub(in crate::index) const HOSTS: &str = "_hosts";
/// More pairs of a virtual address and an endpoint than this make a row that nobody can send.
const PAIRS_MAX: usize = 250_000;
/// What is wrong with one EndpointSlice beyond this many times is not told one by one.
const FAULTS_SHOWN: usize = 10;
