//! What the rows of a Service say beyond OVN, and the addresses that rows, flows and a node's set-up agree on.
//!
//! Which endpoints of a virtual address a node uses is said in `Load_Balancer.options`, one row for all nodes:
//!
//! ```text
//! weft-local         = true                      a node uses the endpoints that its list names, and no others
//! weft-node:n1       = 10.128.1.9 fd00::a80:109  n1 uses these
//! weft-zone:zone-a   = 10.128.1.9 10.128.2.9     nodes of zone-a without a list of their own use these
//! ```
//!
//! Lists hold addresses without ports, of both families. Without [`LOCAL`], a list that names none of a virtual address's endpoints says
//! nothing about that address: the node uses the next best list, and in the end all. With it, a node whose list names none has none, and
//! drops; `reject` is about a virtual address that has no endpoint anywhere.
//!
//! Invariant: what [`Placement::write`] wrote, [`Placement::of`] reads back. Must not: know ports, nodes or zones but by name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `true`: each node uses the endpoints that reside on it, and no others.
pub const LOCAL: &str = "weft-local";
/// With a node's name: the endpoints that this node uses.
pub const NODE_PREFIX: &str = "weft-node:";
/// With a zone's name: the endpoints that the nodes of this zone use.
pub const ZONE_PREFIX: &str = "weft-zone:";

/// Where a node's packet filter sends the node-port range of its local addresses, keeping the port: a virtual address like any other.
pub const NODE_PORTS: (Ipv4Addr, Ipv6Addr) = fixed(2);
/// The source of what a host sends to a service whose endpoint is no address of the cluster, perhaps the host itself.
pub const MASQUERADE: (Ipv4Addr, Ipv6Addr) = fixed(3);
/// The source of what a pod sends to itself through a service (`options:hairpin_snat_ip`).
pub const HAIRPIN: (Ipv4Addr, Ipv6Addr) = fixed(4);

/// The switch of the hosts. No namespace is called so, and no pod's port begins so.
pub const JOIN: &str = "_join";

/// The port of a node's host, its `weft0`.
#[must_use]
pub fn host_port(node: &str) -> String {
    format!("{JOIN}_{node}")
}

/// Link-local and unique local: routed nowhere but into a node's own `weft0`.
const fn fixed(last: u16) -> (Ipv4Addr, Ipv6Addr) {
    let [_, low] = last.to_be_bytes();
    (
        Ipv4Addr::new(169, 254, 77, low),
        Ipv6Addr::new(0xfd69, 0x77, 0, 0, 0, 0, 0, last),
    )
}

/// Which endpoints of a load balancer's virtual addresses a node uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Whether a node uses the endpoints of its own list only.
    pub is_local: bool,
    /// Endpoints of nodes.
    pub nodes: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Endpoints of zones.
    pub zones: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Placement {
    /// Reads the options of a load balancer, and the keys of those that cannot be read, which count as not being there.
    #[must_use]
    pub fn of(options: &BTreeMap<String, String>) -> (Self, Vec<String>) {
        let mut placement = Self {
            is_local: options.get(LOCAL).is_some_and(|value| value == "true"),
            ..Self::default()
        };
        let mut bad = Vec::new();
        for (key, value) in options {
            let (lists, name) = if let Some(node) = key.strip_prefix(NODE_PREFIX) {
                (&mut placement.nodes, node)
            } else if let Some(zone) = key.strip_prefix(ZONE_PREFIX) {
                (&mut placement.zones, zone)
            } else {
                continue;
            };
            match value.split_whitespace().map(str::parse).collect() {
                Ok(addresses) => {
                    lists.insert(name.to_owned(), addresses);
                }
                Err(_) => bad.push(key.clone()),
            }
        }
        (placement, bad)
    }

    /// Writes it among the options of a load balancer.
    pub fn write(&self, options: &mut BTreeMap<String, String>) {
        if self.is_local {
            options.insert(LOCAL.to_owned(), "true".to_owned());
        }
        let lists = [(NODE_PREFIX, &self.nodes), (ZONE_PREFIX, &self.zones)];
        for (prefix, lists) in lists {
            for (name, addresses) in lists {
                let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
                options.insert(format!("{prefix}{name}"), addresses.join(" "));
            }
        }
    }

    /// Whether every node uses all endpoints.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        !self.is_local && self.nodes.is_empty() && self.zones.is_empty()
    }

    /// The endpoints of one virtual address that a node in a zone uses, in the order given.
    pub fn choose<E: Clone>(
        &self,
        node: &str,
        zone: Option<&str>,
        endpoints: &[E],
        address: impl Fn(&E) -> IpAddr,
    ) -> Vec<E> {
        let named = |list: Option<&BTreeSet<IpAddr>>| -> Vec<E> {
            let Some(list) = list else {
                return Vec::new();
            };
            let uses = |endpoint: &&E| list.contains(&address(endpoint));
            endpoints.iter().filter(uses).cloned().collect()
        };
        let own = named(self.nodes.get(node));
        if self.is_local || !own.is_empty() {
            return own;
        }
        let near = named(zone.and_then(|zone| self.zones.get(zone)));
        if near.is_empty() {
            endpoints.to_vec()
        } else {
            near
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter()
            .map(|address| address.parse().unwrap())
            .collect()
    }

    fn check(placement: &Placement, node: &str, zone: Option<&str>, chosen: &[&str]) {
        let all = addresses(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let found = placement.choose(node, zone, &all, |address| *address);
        assert_eq!(found, addresses(chosen), "{node} in {zone:?}");
    }

    #[test]
    fn a_node_uses_its_own_list_then_its_zones_then_all() {
        let (placement, bad) = Placement::of(&options(&[
            ("reject", "true"),
            ("weft-node:n1", "10.0.0.1"),
            ("weft-node:n2", "fd00::1"),
            ("weft-zone:a", "10.0.0.2 fd00::1 10.0.0.3"),
            ("weft-zone:b", "10.0.0.x"),
        ]));
        assert_eq!(bad, ["weft-zone:b"]);
        assert!(!placement.is_everywhere());
        check(&placement, "n1", Some("a"), &["10.0.0.1"]);
        check(&placement, "n2", Some("a"), &["10.0.0.2", "10.0.0.3"]);
        let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
        check(&placement, "n2", None, &all);
        check(&placement, "n3", Some("b"), &all);
    }

    #[test]
    fn what_is_local_is_used_by_its_own_node_only() {
        let (placement, _) = Placement::of(&options(&[
            ("weft-local", "true"),
            ("weft-node:n1", "10.0.0.1"),
            ("weft-zone:a", "10.0.0.2"),
        ]));
        check(&placement, "n1", Some("a"), &["10.0.0.1"]);
        check(&placement, "n2", Some("a"), &[]);
        assert!(!placement.is_everywhere());
        assert!(Placement::of(&BTreeMap::new()).0.is_everywhere());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let placement = Placement {
            is_local: true,
            nodes: [(
                "n1".to_owned(),
                addresses(&["10.0.0.1"]).into_iter().collect(),
            )]
            .into(),
            zones: [(
                "a".to_owned(),
                addresses(&["fd00::1", "10.0.0.2"]).into_iter().collect(),
            )]
            .into(),
        };
        let mut written = options(&[("reject", "true")]);
        placement.write(&mut written);
        assert_eq!(
            written,
            options(&[
                ("reject", "true"),
                ("weft-local", "true"),
                ("weft-node:n1", "10.0.0.1"),
                ("weft-zone:a", "10.0.0.2 fd00::1"),
            ])
        );
        assert_eq!(Placement::of(&written), (placement, Vec::new()));
    }
}
