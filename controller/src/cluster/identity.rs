//! Which node is who: a node that says it is another, or has another's tunnel address, is not believed.
//!
//! ```text
//! nodes file ──join, leave──▶ ┌────────────┐
//!                             │ Identities │──▶ what changed: believed, or a doubt and its text
//! Open_vSwitch rows ──say───▶ └────────────┘
//! ```
//!
//! The nodes file's name is the identity. `system-id` only contradicts it: where it is another node's name, or another
//! node's `system-id`, two entries lead to one switch, or somebody lies. Peers tell nodes by their tunnel address, so that must be
//! a node's own too.
//!
//! Invariants: of two that say the same, who was believed first stays believed; a doubt ends when its cause does.
//!
//! Must not: decide what becomes of a doubted node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use weft_compiler::NodeName;

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `external_ids:system-id`.
    pub system_id: Option<Arc<str>>,
    /// Its tunnel address.
    pub encap_ip: Option<IpAddr>,
}

/// Why a node is not believed; its text is the warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Its `system-id` is the name, or the `system-id`, of another node.
    Id {
        /// What it says.
        system_id: Arc<str>,
        /// Whose that is.
        of: NodeName,
    },
    /// Its tunnel address is another node's.
    Address {
        /// What it says.
        encap_ip: IpAddr,
        /// Whose that is.
        of: NodeName,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Id { system_id, of } => write!(
                f,
                "its Open vSwitch says external_ids:system-id={system_id}, which is node {of}; \
                 do both entries of the nodes file lead to one switch? It is left alone until this is mended"
            ),
            Doubt::Address { encap_ip, of } => write!(
                f,
                "its tunnel address {encap_ip} is that of node {of}; give it its own (encapIp in the nodes file or \
                 external_ids:ovn-encap-ip). It is left alone until this is mended"
            ),
        }
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Identities {
    members: BTreeSet<NodeName>,
    said: BTreeMap<NodeName, Said>,
    /// `None`: believed.
    standing: BTreeMap<NodeName, Option<Doubt>>,
    changed: bool,
}

impl Identities {
    /// The nodes file names a node.
    pub fn join(&mut self, node: &NodeName) {
        self.changed |= self.members.insert(node.clone());
    }

    /// It names it no more.
    pub fn leave(&mut self, node: &NodeName) {
        self.changed |= self.members.remove(node);
        self.said.remove(node);
        self.standing.remove(node);
    }

    /// A node says this of itself now.
    pub fn say(&mut self, node: &NodeName, said: Said) {
        if self.said.get(node) != Some(&said) {
            self.said.insert(node.clone(), said);
            // What it said before is nobody's any more.
            self.standing.remove(node);
            self.changed = true;
        }
    }

    /// Whether what a node says of itself is taken for true.
    #[must_use]
    pub fn believes(&self, node: &NodeName) -> bool {
        matches!(self.standing.get(node), Some(None))
    }

    /// Judges; returns the doubts that were not there before.
    pub fn settle(&mut self) -> Vec<(NodeName, Doubt)> {
        if !std::mem::take(&mut self.changed) {
            return Vec::new();
        }
        let before = std::mem::take(&mut self.standing);
        let mut ids: BTreeMap<Arc<str>, NodeName> = BTreeMap::new();
        let mut addresses: BTreeMap<IpAddr, NodeName> = BTreeMap::new();
        for name in &self.members {
            ids.insert(name.as_str().into(), name.clone());
        }
        let was_believed = |node: &NodeName| matches!(before.get(node), Some(None));
        let (first, second): (Vec<_>, Vec<_>) =
            self.said.iter().partition(|(node, _)| was_believed(node));
        for (node, said) in first.into_iter().chain(second) {
            let of_other = |holder: Option<&NodeName>| holder.filter(|of| *of != node).cloned();
            let id = said.system_id.as_ref();
            let doubt = if let Some(id) = id
                && let Some(of) = of_other(ids.get(id))
            {
                Some(Doubt::Id {
                    system_id: id.clone(),
                    of,
                })
            } else if let Some(ip) = said.encap_ip
                && let Some(of) = of_other(addresses.get(&ip))
            {
                Some(Doubt::Address { encap_ip: ip, of })
            } else {
                ids.extend(id.map(|id| (id.clone(), node.clone())));
                addresses.extend(said.encap_ip.map(|ip| (ip, node.clone())));
                None
            };
            self.standing.insert(node.clone(), doubt);
        }
        let doubts = self.standing.iter().filter(|(node, doubt)| {
            doubt.is_some() && before.get(*node).is_none_or(|known| known != *doubt)
        });
        doubts
            .filter_map(|(node, doubt)| Some((node.clone(), doubt.clone()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(system_id: &str, encap_ip: &str) -> Said {
        Said {
            system_id: (!system_id.is_empty()).then(|| system_id.into()),
            encap_ip: encap_ip.parse().ok(),
        }
    }

    type Step<'a> = (&'a str, Option<(&'a str, &'a str)>, &'a [&'a str]);

    /// Each step is a node and what it says (`None`: it leaves), and then who is believed.
    fn check(steps: &[Step<'_>]) {
        let mut identities = Identities::default();
        for name in ["n1", "n2", "n3"] {
            identities.join(&NodeName::from(name));
        }
        for (node, says, believed) in steps {
            let name = NodeName::from(*node);
            match says {
                Some((id, ip)) => identities.say(&name, said(id, ip)),
                None => identities.leave(&name),
            }
            identities.settle();
            let seen: Vec<&str> = ["n1", "n2", "n3"]
                .into_iter()
                .filter(|name| identities.believes(&NodeName::from(*name)))
                .collect();
            assert_eq!(&seen, believed, "after {node} said {says:?}");
        }
    }

    #[test]
    fn who_has_anothers_name_or_address_is_not_believed_until_that_ends() {
        // Own name, an ID that is nobody's name, and none at all are all well.
        check(&[
            ("n1", Some(("n1", "192.0.2.1")), &["n1"]),
            ("n2", Some(("0f3c", "192.0.2.2")), &["n1", "n2"]),
            ("n3", Some(("", "192.0.2.3")), &["n1", "n2", "n3"]),
        ]);
        // The name of a node that has not even spoken.
        check(&[
            ("n2", Some(("n1", "192.0.2.2")), &[]),
            ("n2", Some(("n2", "192.0.2.2")), &["n2"]),
        ]);
        // Who came first stays, whatever the names' order.
        check(&[
            ("n3", Some(("id", "192.0.2.3")), &["n3"]),
            ("n1", Some(("id", "192.0.2.1")), &["n3"]),
            ("n2", Some(("n2", "192.0.2.3")), &["n3"]),
            ("n3", Some(("n3", "192.0.2.9")), &["n1", "n2", "n3"]),
        ]);
        check(&[
            ("n2", Some(("n2", "192.0.2.2")), &["n2"]),
            ("n1", Some(("n1", "192.0.2.2")), &["n2"]),
            ("n2", None, &["n1"]),
        ]);
    }

    #[test]
    fn a_doubt_is_told_once_and_again_when_it_changes() {
        let mut identities = Identities::default();
        let (n1, n2) = (NodeName::from("n1"), NodeName::from("n2"));
        identities.join(&n1);
        identities.join(&n2);
        identities.say(&n1, said("n1", "192.0.2.1"));
        identities.say(&n2, said("n1", "192.0.2.2"));
        let told = identities.settle();
        assert_eq!(told.len(), 1);
        assert!(told[0].1.to_string().contains("system-id=n1"), "{told:?}");
        identities.say(&n1, said("n1", "192.0.2.7"));
        assert_eq!(identities.settle(), [], "still the same");
        identities.say(&n2, said("n2", "192.0.2.7"));
        let told = identities.settle();
        assert!(told[0].1.to_string().contains("192.0.2.7"), "{told:?}");
    }
}
