//! Placement: which node a pod without `spec.nodeName` runs on, and what its UID is.
//!
//! Even and sticky: a pod that has a node keeps it while the node is there; a new one goes to the
//! node with the fewest pods of its workload, of these to the one with the fewest pods at all, of
//! these to the first by name. Deterministic: the same history gives the same places.
//! Must not: look at resources, taints or affinities; that is a scheduler's work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use uuid::Uuid;

use crate::index::{Object, Record};

/// Which node each pod is on.
#[derive(Debug, Default)]
pub struct Placement {
    chosen: BTreeMap<PodName, Arc<str>>,
}

type PodName = (Arc<str>, Arc<str>);

impl Placement {
    /// Places of before a restart.
    pub fn restore<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) {
        for record in records {
            let pod = (Arc::clone(&record.namespace), Arc::clone(&record.pod));
            self.chosen.insert(pod, Arc::clone(&record.node));
        }
    }

    /// Gives every pod a node, if there is any, and a UID. Pods that are gone are forgotten.
    pub fn place<'a>(
        &mut self,
        objects: impl IntoIterator<Item = &'a mut Object>,
        nodes: &BTreeSet<Arc<str>>,
    ) {
        let mut loads: BTreeMap<Arc<str>, Load> = nodes
            .iter()
            .map(|node| (Arc::clone(node), Load::default()))
            .collect();
        let mut homeless = BTreeMap::new();
        let mut present = BTreeSet::new();
        for object in objects {
            let Object::Pod(pod) = object else {
                continue;
            };
            let name = name(pod);
            present.insert(name.clone());
            let fixed = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.node_name.as_deref())
                .map(Arc::from);
            let kept = || {
                self.chosen
                    .get(&name)
                    .filter(|node| nodes.contains(*node))
                    .cloned()
            };
            match fixed.clone().or_else(kept) {
                Some(node) => {
                    add(&mut loads, &node, &name);
                    if fixed.is_some() {
                        self.chosen.remove(&name);
                    }
                    settle(pod, &name, &node);
                }
                None => {
                    homeless.insert(name, pod);
                }
            }
        }
        self.chosen
            .retain(|name, node| present.contains(name) && nodes.contains(node));
        for (name, pod) in homeless {
            let workload = workload(&name);
            let fewest = loads
                .iter()
                .min_by_key(|(_, load)| {
                    (
                        load.of_workload.get(&workload).copied().unwrap_or(0),
                        load.pods,
                    )
                })
                .map(|(node, _)| Arc::clone(node));
            let Some(node) = fewest else {
                continue;
            };
            add(&mut loads, &node, &name);
            settle(pod, &name, &node);
            self.chosen.insert(name, node);
        }
    }
}

/// How much there is on a node.
#[derive(Default)]
struct Load {
    pods: u64,
    of_workload: BTreeMap<PodName, u64>,
}

fn add(loads: &mut BTreeMap<Arc<str>, Load>, node: &Arc<str>, pod: &PodName) {
    if let Some(load) = loads.get_mut(node) {
        load.pods = load.pods.saturating_add(1);
        let count = load.of_workload.entry(workload(pod)).or_default();
        *count = count.saturating_add(1);
    }
}

/// `web` for pod `web-7`, the pod itself otherwise.
fn workload((namespace, pod): &PodName) -> PodName {
    let workload = match pod.rsplit_once('-') {
        Some((workload, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            workload.into()
        }
        _ => Arc::clone(pod),
    };
    (Arc::clone(namespace), workload)
}

fn name(pod: &Pod) -> PodName {
    (
        pod.metadata
            .namespace
            .as_deref()
            .unwrap_or("default")
            .into(),
        pod.metadata.name.as_deref().unwrap_or_default().into(),
    )
}

/// Moved to another node it is another pod, as in Kubernetes: the old one's interface must not
/// claim the port.
fn settle(pod: &mut Pod, (namespace, name): &PodName, node: &Arc<str>) {
    let identity = format!("{namespace}/{name}@{node}");
    pod.metadata
        .uid
        .get_or_insert_with(|| Uuid::new_v5(&UID_NAMESPACE, identity.as_bytes()).to_string());
    pod.spec.get_or_insert_default().node_name = Some(node.to_string());
}

/// UIDs of pods that no API server gave one.
const UID_NAMESPACE: Uuid = uuid::uuid!("0f0f7a42-6a53-4a7b-9c35-65e1cf0a6d6b");

#[cfg(test)]
mod tests;
