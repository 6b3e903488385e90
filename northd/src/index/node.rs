//! Nodes: places for pods, with what the network has to know of each.
//!
//! Must not: choose a node for a pod.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;

use super::ipam::Span;
use super::{Index, display_list};
use crate::diagnostic::{Diagnostic, ObjectRef};

/// What a Node says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeEntry {
    /// `spec.podCIDRs`.
    cidrs: Vec<String>,
    /// The host's own addresses, by which host-network pods are reached.
    pub(super) addresses: Vec<IpAddr>,
    /// Topology zone.
    pub(super) zone: Option<Arc<str>>,
}

impl NodeEntry {
    fn of(node: &core::Node) -> Self {
        let spec = node.spec.as_ref();
        let cidrs = spec
            .and_then(|spec| spec.pod_cidrs.clone())
            .or_else(|| spec.and_then(|spec| Some(vec![spec.pod_cidr.clone()?])))
            .unwrap_or_default();
        let status = node.status.as_ref();
        let addresses = status.and_then(|status| status.addresses.as_ref());
        let internal = addresses
            .into_iter()
            .flatten()
            .filter(|address| address.type_ == "InternalIP");
        let labels = node.metadata.labels.as_ref();
        Self {
            cidrs,
            addresses: internal
                .filter_map(|address| address.address.parse().ok())
                .collect(),
            zone: labels
                .and_then(|labels| labels.get(ZONE_LABEL))
                .map(|zone| zone.as_str().into()),
        }
    }
}

impl Index {
    pub(super) fn apply_node(&mut self, node: &core::Node) {
        let Some(name) = node.metadata.name.as_deref().map(Arc::<str>::from) else {
            return;
        };
        let entry = NodeEntry::of(node);
        let before = self.nodes.insert(Arc::clone(&name), entry.clone());
        if before.as_ref() != Some(&entry) {
            self.services.suspect_node(&name);
            self.dirty.nodes.insert(name);
        }
    }

    pub(super) fn delete_node(&mut self, name: &str) {
        if let Some((name, _)) = self.nodes.remove_entry(name) {
            self.services.suspect_node(&name);
            self.dirty.nodes.insert(name);
        }
    }

    /// Gives nodes their `podCIDRs`, and looks again at the pods of nodes that came or went.
    pub(super) fn translate_nodes(&mut self) {
        let nodes = std::mem::take(&mut self.dirty.nodes);
        if nodes.is_empty() {
            return;
        }
        self.dirty.room = true;
        for node in &nodes {
            let (spans, mut problems) = self.pod_cidrs(node);
            let reference = ObjectRef::node(node);
            let router = Arc::clone(&self.router);
            if !spans.is_empty() || self.domains.contains_key(&router) {
                let refused = self
                    .domain(&router)
                    .fix(node, &spans)
                    .err()
                    .unwrap_or_default();
                problems.extend(refused.into_iter().map(|(span, owner)| {
                    let message = format!(
                        "{span} overlaps what {owner} has; give every node podCIDRs of its own"
                    );
                    Diagnostic::new(reference.clone(), "spec.podCIDRs", message)
                }));
            }
            self.diagnose(&reference, problems);
        }
        self.translate_hosts(&nodes);
        for (namespace, entry) in &self.namespaces {
            for (pod, entry) in &entry.pods {
                if entry.node().is_some_and(|node| nodes.contains(node)) {
                    self.dirty
                        .pods
                        .insert((Arc::clone(namespace), Arc::clone(pod)));
                }
            }
        }
    }

    /// The index spans of a node's `podCIDRs`. Of a dual-stack pair the IPv4 network counts: the
    /// IPv6 addresses follow from it.
    fn pod_cidrs(&self, node: &Arc<str>) -> (Vec<Span>, Vec<Diagnostic>) {
        let mut spans = Vec::new();
        let mut problems = Vec::new();
        let cidrs = self.nodes.get(node).map(|node| &node.cidrs);
        for cidr in cidrs.into_iter().flatten() {
            let network = cidr.parse::<IpNet>();
            let span = match &network {
                Ok(IpNet::V4(network)) if self.addressing.ipv4 => Some(Span::containing(
                    network.network().to_bits(),
                    network.prefix_len(),
                )),
                Ok(IpNet::V6(_)) if self.addressing.ipv4 => continue,
                Ok(IpNet::V6(network)) if network.prefix_len() >= 96 => self
                    .addressing
                    .index(IpAddr::V6(network.network()))
                    .map(|index| Span::containing(index, network.prefix_len().saturating_sub(96))),
                _ => None,
            };
            match span
                .filter(|span| self.space.overlaps(*span) && span.length() >= self.space.length())
            {
                Some(span) => spans.push(span),
                None => problems.push(Diagnostic::new(
                    ObjectRef::node(node),
                    "spec.podCIDRs",
                    format!(
                        "\"{cidr}\" is not part of the cluster CIDRs {}",
                        display_list(&self.cluster_cidrs)
                    ),
                )),
            }
        }
        (spans, problems)
    }
}

/// The label that names a node's zone.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
