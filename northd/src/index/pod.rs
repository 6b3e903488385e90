//! Pods: which address each one gets, or why none; and the rows of their ports.
//!
//! A pod has a port when it is bound to a known node, is not on the host's network, has not ended,
//! and its namespace has a network. Order within one `translate`, so that nobody takes what belongs
//! to somebody else: addresses that pods no longer want go back; then come pods with a record of
//! before, pods with an address of their own choice, and the others, each by name.
//! Must not: change the network of a namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use uuid::Uuid;
use weft_schema::nb::LogicalSwitchPort;
use weft_schema::{RowId, keys};

use super::annotations::{self, ADDRESSES, MAC};
use super::ipam::{self, DomainError, SubnetError};
use super::namespace::{owned, port_name};
use super::row::NbRow;
use super::{Index, PodKey, display_list};
use crate::diagnostic::{Diagnostic, ObjectRef};

/// A pod that has or wants a port.
#[derive(Debug)]
pub(crate) struct PodEntry {
    request: Result<Request, Diagnostic>,
    held: Option<Held>,
}

/// What a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    uid: String,
    node: Arc<str>,
    addresses: Vec<IpAddr>,
    mac: Option<String>,
}

/// What a pod has, and what it asked for when it got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    request: Request,
    index: u32,
    /// First address of its block, or of its subnet's hosts.
    gateway: u32,
    port: Uuid,
}

impl PodEntry {
    pub(crate) fn node(&self) -> Option<&Arc<str>> {
        self.request.as_ref().ok().map(|request| &request.node)
    }

    pub(crate) fn port(&self) -> Option<Uuid> {
        self.held.as_ref().map(|held| held.port)
    }
}

/// A pod's namespace, `default` if it names none.
pub(crate) fn namespace_of(pod: &core::Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

impl Index {
    pub(super) fn apply_pod(&mut self, pod: &core::Pod) {
        let namespace: Arc<str> = namespace_of(pod).into();
        let Some(name) = pod.metadata.name.as_deref().map(Arc::<str>::from) else {
            return;
        };
        let key = (namespace, name);
        self.observe_pod(&key, Some(pod));
        let Some(request) = request(pod) else {
            self.take_port_away(&key);
            return;
        };
        let (namespace, name) = key;
        let entry = self.namespaces.entry(Arc::clone(&namespace)).or_default();
        if entry.pods.is_empty() {
            self.dirty.namespaces.insert(Arc::clone(&namespace));
        }
        let key = (namespace, Arc::clone(&name));
        match entry.pods.get_mut(&name) {
            Some(pod) if pod.request == request => return,
            Some(pod) => pod.request = request,
            None => {
                entry.pods.insert(
                    name,
                    PodEntry {
                        request,
                        held: None,
                    },
                );
            }
        }
        self.dirty.pods.insert(key);
    }

    pub(super) fn delete_pod(&mut self, namespace: &str, name: &str) {
        let key: PodKey = (namespace.into(), name.into());
        self.observe_pod(&key, None);
        self.take_port_away(&key);
    }

    fn take_port_away(&mut self, key: &PodKey) {
        if self.pod(key).is_none() {
            return;
        }
        self.give_back(key);
        if let Some(entry) = self.namespaces.get_mut(&key.0) {
            entry.pods.remove(&key.1);
            if entry.pods.is_empty() {
                self.dirty.namespaces.insert(Arc::clone(&key.0));
            }
        }
        self.waiting.remove(key);
        self.dirty.pods.remove(key);
        self.diagnose(&ObjectRef::pod(&key.0, &key.1), Vec::new());
    }

    /// Takes a pod's address away, if it has one.
    pub(super) fn give_back(&mut self, key: &PodKey) {
        let Some(entry) = self.namespaces.get_mut(&key.0) else {
            return;
        };
        let Some(held) = entry.pods.get_mut(&key.1).and_then(|pod| pod.held.take()) else {
            return;
        };
        match &mut entry.network {
            Some(network) => {
                if let Some(domain) = self.domains.get_mut(&network.spec.router) {
                    match &mut network.subnets {
                        Some(pool) => pool.give_back(domain, held.index),
                        None => domain.give_back(held.index),
                    }
                }
            }
            None => debug_assert!(false, "{key:?} holds an address in no network"),
        }
        self.dirty.room = true;
        self.touched.ports.insert(key.clone());
    }

    pub(super) fn translate_pods(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty.pods);
        if std::mem::take(&mut self.dirty.room) {
            dirty.append(&mut self.waiting);
        }
        for key in &dirty {
            self.give_back_what_is_not_wanted(key);
        }
        if std::mem::take(&mut self.dirty.room) {
            dirty.append(&mut self.waiting);
        }
        let mut order: [BTreeSet<PodKey>; 3] = Default::default();
        for key in dirty {
            let wish = self.pod(&key).and_then(|pod| pod.request.as_ref().ok());
            let [recorded, chosen, others] = &mut order;
            let class = match wish {
                Some(wish) if self.record(&key, wish).is_some() => recorded,
                Some(wish) if !wish.addresses.is_empty() => chosen,
                _ => others,
            };
            class.insert(key);
        }
        for key in order.into_iter().flatten() {
            let problems: Vec<Diagnostic> = match self.bind(&key) {
                Ok(()) => {
                    self.waiting.remove(&key);
                    Vec::new()
                }
                Err(problem) => {
                    self.waiting.insert(key.clone());
                    problem.into_iter().collect()
                }
            };
            self.diagnose(&ObjectRef::pod(&key.0, &key.1), problems);
        }
    }

    fn pod(&self, key: &PodKey) -> Option<&PodEntry> {
        self.namespaces.get(&key.0)?.pods.get(&key.1)
    }

    /// The record of a pod that did not choose its addresses and is the one recorded.
    fn record(&self, key: &PodKey, wish: &Request) -> Option<(IpAddr, Option<u8>)> {
        let record = self
            .records
            .get(key)
            .filter(|record| record.uid == wish.uid)?;
        let fits = wish.addresses.is_empty() || wish.addresses.contains(&record.address);
        fits.then_some((record.address, record.block_length))
    }

    fn give_back_what_is_not_wanted(&mut self, key: &PodKey) {
        let Some(pod) = self.pod(key) else {
            return;
        };
        let Some(held) = &pod.held else {
            return;
        };
        let fits = pod
            .request
            .as_ref()
            .is_ok_and(|request| *request == held.request)
            && self.nodes.contains_key(&held.request.node);
        if !fits {
            self.give_back(key);
        }
    }

    /// Gives a pod its address. `Err(None)`: it has to wait, through no fault of its own.
    fn bind(&mut self, key: &PodKey) -> Result<(), Option<Diagnostic>> {
        let Some(pod) = self.pod(key) else {
            return Ok(());
        };
        if pod.held.is_some() {
            return Ok(());
        }
        let request = pod.request.clone().map_err(Some)?;
        let reference = ObjectRef::pod(&key.0, &key.1);
        if !self.nodes.contains_key(&request.node) {
            let known = match self.nodes.len() {
                0 => "no node is known yet".to_owned(),
                1..=20 => format!("known nodes are {}", display_list(self.nodes.keys())),
                count => format!("none of the {count} known nodes is called so"),
            };
            let message = format!("unknown node \"{}\"; {known}", request.node);
            return Err(Some(Diagnostic::new(reference, "spec.nodeName", message)));
        }
        let recorded = self.record(key, &request);
        let Some(network) = self
            .namespaces
            .get(&key.0)
            .and_then(|entry| entry.network.as_ref())
        else {
            return Err(None);
        };
        if let Some(mac) = &request.mac
            && let Some(other) = self.holder_of_mac(key, mac)
        {
            let message = format!(
                "{mac} is the MAC address of pod {}/{other}; choose another",
                key.0
            );
            return Err(Some(Diagnostic::new(
                reference,
                annotations::field(MAC),
                message,
            )));
        }
        let is_subnet = network.subnets.is_some();
        let taken = if is_subnet {
            self.bind_in_subnet(key, &request, recorded)
        } else {
            self.bind_in_block(key, &request, recorded)
        };
        let (index, gateway) = taken.map_err(Some)?;
        let port = RowId::<LogicalSwitchPort>::derived(&port_name(key)).uuid();
        if let Some(pod) = self
            .namespaces
            .get_mut(&key.0)
            .and_then(|entry| entry.pods.get_mut(&key.1))
        {
            pod.held = Some(Held {
                request,
                index,
                gateway,
                port,
            });
        }
        self.touched.ports.insert(key.clone());
        Ok(())
    }

    fn bind_in_subnet(
        &mut self,
        key: &PodKey,
        request: &Request,
        recorded: Option<(IpAddr, Option<u8>)>,
    ) -> Result<(u32, u32), Diagnostic> {
        let reference = ObjectRef::pod(&key.0, &key.1);
        let entry = self.namespaces.get_mut(&key.0);
        let network = entry.and_then(|entry| entry.network.as_mut());
        let found = network.and_then(|network| {
            let domain = self.domains.get_mut(&network.spec.router)?;
            Some((network.subnets.as_mut()?, domain))
        });
        let Some((pool, domain)) = found else {
            return Err(Diagnostic::new(
                reference,
                "",
                "the namespace has no subnet",
            ));
        };
        let gateway = pool.gateway();
        if let Some(index) = recorded.and_then(|(address, _)| pool.index(address))
            && pool.claim(domain, index).is_ok()
        {
            return Ok((index, gateway));
        }
        let subnets = display_list(pool.subnets());
        if request.addresses.is_empty() {
            return pool
                .take(domain)
                .map(|index| (index, gateway))
                .map_err(|_| {
                    let message = format!(
                        "namespace {} has no free address: {subnets} is used up; give it a larger \
                     subnet with weft.dev/subnets",
                        key.0
                    );
                    Diagnostic::new(reference, "", message)
                });
        }
        let mut indices = request
            .addresses
            .iter()
            .map(|address| (address, pool.index(*address)));
        if let Some((address, _)) = indices.clone().find(|(_, index)| index.is_none()) {
            let message = format!(
                "{address} is outside the subnets {subnets} of namespace {}",
                key.0
            );
            return Err(Diagnostic::new(
                reference,
                annotations::field(ADDRESSES),
                message,
            ));
        }
        let index = indices
            .next()
            .and_then(|(_, index)| index)
            .unwrap_or_default();
        one_index(
            &reference,
            request,
            indices.map(|(_, index)| index),
            pool.addressing(),
            index,
        )?;
        let result = pool.claim(domain, index);
        result.map(|()| (index, gateway)).map_err(|error| {
            let address = display_list(&request.addresses);
            let message = match error {
                SubnetError::Taken => match self.holder_of(&key.0, index) {
                    Some(holder) => format!(
                        "{address} is held by pod {}/{holder}; choose another, or leave the choice to weft",
                        key.0
                    ),
                    None => format!(
                        "{address} has the low 32 bits of another address on this router, from which a MAC \
                         address follows; choose another, or leave the choice to weft"
                    ),
                },
                SubnetError::Gateway => {
                    format!("{address} is the gateway of {subnets}; choose another")
                }
                SubnetError::Outside | SubnetError::Full => {
                    format!("{address} is not an address for a host in {subnets}; choose another")
                }
            };
            Diagnostic::new(reference, annotations::field(ADDRESSES), message)
        })
    }

    fn bind_in_block(
        &mut self,
        key: &PodKey,
        request: &Request,
        recorded: Option<(IpAddr, Option<u8>)>,
    ) -> Result<(u32, u32), Diagnostic> {
        let reference = ObjectRef::pod(&key.0, &key.1);
        let network = self
            .namespaces
            .get(&key.0)
            .and_then(|entry| entry.network.as_ref());
        let Some(router) = network.map(|network| Arc::clone(&network.spec.router)) else {
            return Err(Diagnostic::new(
                reference,
                "",
                "the namespace has no network",
            ));
        };
        let cidrs = display_list(&self.cluster_cidrs);
        let domain = self.domain(&router);
        let recorded = recorded
            .and_then(|(address, length)| Some((domain.addressing().index(address)?, length)))
            .and_then(|(index, length)| domain.claim(&key.0, &request.node, index, length).ok());
        if let Some(taken) = recorded {
            return Ok((taken.index, taken.gateway));
        }
        if request.addresses.is_empty() {
            return domain.take(&key.0, &request.node).map(|taken| (taken.index, taken.gateway)).map_err(|error| {
                let message = match error {
                    DomainError::NodeUsedUp => format!(
                        "no free address: the podCIDRs of node {} are used up; enlarge them, or spread pods over other nodes",
                        request.node
                    ),
                    _ => format!(
                        "no free address: the cluster CIDR {cidrs} is used up; give a larger one with --cluster-cidr"
                    ),
                };
                Diagnostic::new(reference, "", message)
            });
        }
        let addressing = domain.addressing();
        let mut indices = request
            .addresses
            .iter()
            .map(|address| (address, addressing.index(*address)));
        if let Some((address, _)) = indices.clone().find(|(_, index)| index.is_none()) {
            let message = format!("{address} is outside the cluster CIDR {cidrs}");
            return Err(Diagnostic::new(
                reference,
                annotations::field(ADDRESSES),
                message,
            ));
        }
        let index = indices
            .next()
            .and_then(|(_, index)| index)
            .unwrap_or_default();
        one_index(
            &reference,
            request,
            indices.map(|(_, index)| index),
            addressing,
            index,
        )?;
        let result = self
            .domain(&router)
            .claim(&key.0, &request.node, index, None);
        result.map(|taken| (taken.index, taken.gateway)).map_err(|error| {
            let address = display_list(&request.addresses);
            let message = match error {
                DomainError::Taken => format!(
                    "{address} is held by pod {}/{}; choose another, or leave the choice to weft",
                    key.0,
                    self.holder_of(&key.0, index).unwrap_or_default()
                ),
                DomainError::Outside(_) => format!("{address} is outside the cluster CIDR {cidrs}"),
                other => format!(
                    "{address} cannot be had on node {}: {other}; choose another, or leave the choice to weft",
                    request.node
                ),
            };
            Diagnostic::new(reference, annotations::field(ADDRESSES), message)
        })
    }

    /// Name of the pod in this namespace that holds an address. For messages: it looks at all.
    fn holder_of(&self, namespace: &Arc<str>, index: u32) -> Option<String> {
        let pods = &self.namespaces.get(namespace)?.pods;
        let holds = |pod: &PodEntry| pod.held.as_ref().is_some_and(|held| held.index == index);
        pods.iter()
            .find(|(_, pod)| holds(pod))
            .map(|(name, _)| name.to_string())
    }

    /// Name of another pod in this namespace that has this MAC address.
    fn holder_of_mac(&self, key: &PodKey, mac: &str) -> Option<String> {
        let pods = &self.namespaces.get(&key.0)?.pods;
        pods.iter()
            .filter(|(name, _)| **name != key.1)
            .find(|(_, pod)| pod.held.as_ref().is_some_and(|held| held.mac() == mac))
            .map(|(name, _)| name.to_string())
    }

    /// The addresses of a pod's port; none if it has no port.
    pub(super) fn pod_addresses(&self, key: &PodKey) -> Vec<IpAddr> {
        let addressing = || {
            let entry = self.namespaces.get(&key.0)?;
            let index = entry.pods.get(&key.1)?.held.as_ref()?.index;
            let network = entry.network.as_ref()?;
            let addressing = match &network.subnets {
                Some(pool) => pool.addressing(),
                None => self.domains.get(&network.spec.router)?.addressing(),
            };
            Some(addressing.addresses(index).collect())
        };
        addressing().unwrap_or_default()
    }

    /// The row of a pod's port, if it has one.
    pub(super) fn pod_port(&self, key: &PodKey) -> Option<NbRow> {
        let entry = self.namespaces.get(&key.0)?;
        let held = entry.pods.get(&key.1)?.held.as_ref()?;
        let network = entry.network.as_ref()?;
        let (addressing, prefixed): (_, Vec<String>) = match &network.subnets {
            Some(pool) => (pool.addressing(), pool.prefixed(held.index).collect()),
            None => {
                let addressing = self.domains.get(&network.spec.router)?.addressing();
                (addressing, addressing.prefixed(held.index, 32).collect())
            }
        };
        let list = |index: u32| -> Vec<String> {
            addressing
                .addresses(index)
                .map(|address| address.to_string())
                .collect()
        };
        let addresses = format!("{} {}", held.mac(), list(held.index).join(" "));
        let (prefixed, gateways) = (prefixed.join(" "), list(held.gateway).join(" "));
        let options: BTreeMap<String, String> = [
            (
                keys::REQUESTED_CHASSIS.to_owned(),
                held.request.node.to_string(),
            ),
            (keys::IFACE_ID_VER.to_owned(), held.request.uid.clone()),
        ]
        .into();
        Some(NbRow::LogicalSwitchPort(Arc::new(LogicalSwitchPort {
            uuid: held.port,
            name: port_name(key),
            options,
            addresses: [addresses.clone()].into(),
            port_security: [addresses].into(),
            external_ids: owned([
                (keys::NAMESPACE, &*key.0),
                (keys::POD, &*key.1),
                (keys::UID, &held.request.uid),
                (keys::ADDRESSES, &prefixed),
                (keys::GATEWAYS, &gateways),
            ]),
            ..LogicalSwitchPort::default()
        })))
    }
}

impl Held {
    fn mac(&self) -> String {
        self.request
            .mac
            .clone()
            .unwrap_or_else(|| ipam::mac(self.index))
    }
}

/// Addresses of both families must be one index.
fn one_index(
    reference: &ObjectRef,
    request: &Request,
    mut others: impl Iterator<Item = Option<u32>>,
    addressing: ipam::Addressing,
    index: u32,
) -> Result<(), Diagnostic> {
    if others.all(|other| other == Some(index)) {
        return Ok(());
    }
    let message = format!(
        "{} do not belong together: the low 32 bits of the IPv6 address are the IPv4 address; write {}, or one of them",
        display_list(&request.addresses),
        display_list(addressing.addresses(index))
    );
    Err(Diagnostic::new(
        reference.clone(),
        annotations::field(ADDRESSES),
        message,
    ))
}

/// What a pod asks for; `None` if it has no port: it is not bound yet, on the host's network, or
/// has ended.
fn request(pod: &core::Pod) -> Option<Result<Request, Diagnostic>> {
    let spec = pod.spec.as_ref()?;
    let node = spec.node_name.as_deref().filter(|node| !node.is_empty())?;
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if spec.host_network == Some(true) || matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let reference = ObjectRef::pod(
        namespace_of(pod),
        pod.metadata.name.as_deref().unwrap_or_default(),
    );
    let annotations = pod.metadata.annotations.as_ref();
    let request = || {
        Ok(Request {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            node: node.into(),
            addresses: annotations::addresses(&reference, annotations)?,
            mac: annotations::mac(&reference, annotations)?,
        })
    };
    Some(request())
}
