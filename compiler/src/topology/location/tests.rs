//! The promises of location prefixes, against the plain definition.
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Four address bits vary, so that facts meet: 10.0.0.0/28.
fn address(low: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, low & 15))
}

fn network(low: u8, length: u8) -> IpNet {
    let length = 28 + length % 5;
    IpNet::new(address(low), length)
        .expect("at most 32")
        .trunc()
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        2 => (0u8..16, 0u8..5).prop_map(|(low, length)| Fact::Connected(network(low, length))),
        1 => (0u8..16, 0u8..5).prop_map(|(low, length)| Fact::Static(network(low, length))),
        1 => (0u8..16, 0u8..5).prop_map(|(low, length)| Fact::Discarded(network(low, length))),
        6 => (0u8..16, 0u8..3).prop_map(|(low, which)| {
            // A row is on one node.
            let row = Uuid::from_u128(u128::from(low) * 3 + u128::from(which));
            Fact::At(address(low), NodeName::from(format!("n{}", which.max(low % 2))), row)
        }),
    ]
}

/// What decides about a prefix; of two the later goes before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Discarded,
    Static,
    Connected,
}

#[derive(Default)]
struct Model {
    locations: Locations,
    facts: BTreeSet<Fact>,
    prefixes: BTreeSet<(IpNet, NodeName)>,
    doubles: BTreeSet<IpAddr>,
}

impl Model {
    fn change(&mut self, fact: &Fact, is_added: bool) -> Vec<LocationChange> {
        let is_news = match is_added {
            true => self.facts.insert(fact.clone()),
            false => self.facts.remove(fact),
        };
        if !is_news {
            return Vec::new();
        }
        let changes = self.locations.change(fact, is_added);
        for change in &changes {
            let is_news = match change.clone() {
                LocationChange::Prefix(prefix, node, true) => self.prefixes.insert((prefix, node)),
                LocationChange::Prefix(prefix, node, false) => {
                    self.prefixes.remove(&(prefix, node))
                }
                LocationChange::Double(address, true) => self.doubles.insert(address),
                LocationChange::Double(address, false) => self.doubles.remove(&address),
            };
            assert!(is_news, "{change:?} is no change");
        }
        changes
    }

    /// What the routing table says: the node, or that no location may (`Some(None)`: a static route decides, or there is none, or one discards what
    /// somebody has), or nothing.
    fn truth(&self, address: IpAddr) -> Option<Option<NodeName>> {
        let mut best: Option<(u8, Kind)> = None;
        let mut owner = None;
        for fact in &self.facts {
            match fact {
                Fact::Connected(network) if network.contains(&address) => {
                    best = best.max(Some((network.prefix_len(), Kind::Connected)));
                }
                Fact::Static(network) if network.contains(&address) => {
                    best = best.max(Some((network.prefix_len(), Kind::Static)));
                }
                Fact::Discarded(network) if network.contains(&address) => {
                    best = best.max(Some((network.prefix_len(), Kind::Discarded)));
                }
                Fact::At(at, node, row) if *at == address => {
                    let this = (*row, node.clone());
                    owner = Some(owner.map_or(this.clone(), |other: (Uuid, NodeName)| {
                        if other.0 <= this.0 { other } else { this }
                    }));
                }
                _ => {}
            }
        }
        match best {
            Some((_, Kind::Connected)) => owner.map(|(_, node)| Some(node)),
            Some((_, Kind::Static)) => Some(None),
            Some((_, Kind::Discarded)) => owner.map(|_| None),
            None => None,
        }
    }

    fn check(&self) {
        for low in 0..16 {
            let address = address(low);
            let covering: Vec<_> = self
                .prefixes
                .iter()
                .filter(|(prefix, _)| prefix.contains(&address))
                .collect();
            assert!(covering.len() <= 1, "{address} is covered by {covering:?}");
            match self.truth(address) {
                Some(None) => assert!(
                    covering.is_empty(),
                    "{address} is a static route's: {covering:?}"
                ),
                Some(Some(node)) if !self.doubles.contains(&address) => {
                    let found = covering.first().map(|(_, node)| node);
                    assert_eq!(found, Some(&node), "{address}: {:?}", self.prefixes);
                }
                _ => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn prefixes_cover_what_is_allocated_and_depend_on_nothing_else(
        steps in prop::collection::vec((fact(), prop::bool::weighted(0.7)), 1..60),
    ) {
        let mut model = Model::default();
        for (fact, is_added) in &steps {
            model.change(fact, *is_added);
        }
        model.check();
        let mut fresh = Model::default();
        for fact in model.facts.iter().rev() {
            fresh.change(fact, true);
        }
        prop_assert_eq!(&model.prefixes, &fresh.prefixes);
        prop_assert_eq!(&model.doubles, &fresh.doubles);
    }

    #[test]
    fn a_changed_address_changes_prefixes_on_its_path_and_right_beside_it_only(
        facts in prop::collection::btree_set(fact(), 1..30),
        low in 0u8..16,
    ) {
        let mut model = Model::default();
        for fact in &facts {
            model.change(fact, true);
        }
        let new = Fact::At(address(low), NodeName::from("n9"), Uuid::from_u128(99));
        for change in model.change(&new, true) {
            if let LocationChange::Prefix(prefix, ..) = change {
                let parent = prefix.supernet().unwrap_or(prefix);
                prop_assert!(parent.contains(&address(low)), "{prefix} is far from {}", address(low));
            }
        }
    }

    #[test]
    fn prefixes_are_the_shallowest_there_can_be(facts in prop::collection::btree_set(fact(), 1..30)) {
        let mut model = Model::default();
        for fact in &facts {
            model.change(fact, true);
        }
        for (prefix, node) in &model.prefixes {
            let parent = prefix.supernet().filter(|parent| parent.prefix_len() >= 28);
            let Some(parent) = parent else { continue };
            let mut all = BTreeMap::new();
            for low in (0..16).filter(|low| parent.contains(&address(*low))) {
                if let Some(truth) = model.truth(address(low)) {
                    all.insert(truth, low);
                }
            }
            prop_assert!(all.len() > 1, "{parent} holds nothing but {node}'s, and yet {prefix} stands alone");
        }
    }
}

#[test]
fn nothing_is_left_when_all_is_gone() {
    let mut model = Model::default();
    let facts = [
        Fact::Connected("fd00::/64".parse().expect("a network")),
        Fact::At(
            "fd00::9".parse().expect("an address"),
            NodeName::from("n1"),
            Uuid::from_u128(1),
        ),
    ];
    for fact in &facts {
        model.change(fact, true);
    }
    assert_eq!(model.prefixes.len(), 1);
    for fact in &facts {
        model.change(fact, false);
    }
    assert!(model.prefixes.is_empty() && model.locations.is_empty());
}

#[test]
fn what_a_route_discards_keeps_prefixes_wide_beside_a_route_for_everything() {
    let net = |text: &str| text.parse::<IpNet>().expect("a network");
    let at = |text: &str, row| {
        let address = text.parse().expect("an address");
        Fact::At(address, NodeName::from("n1"), Uuid::from_u128(row))
    };
    let mut model = Model::default();
    for fact in [
        Fact::Static(net("0.0.0.0/0")),
        Fact::Connected(net("10.0.1.0/29")),
        Fact::Connected(net("10.0.1.64/29")),
        at("10.0.1.2", 1),
        at("10.0.1.66", 2),
    ] {
        model.change(&fact, true);
    }
    assert_eq!(model.prefixes.len(), 2, "{:?}", model.prefixes);
    model.change(&Fact::Discarded(net("10.0.1.0/24")), true);
    let one = (net("10.0.1.0/24"), NodeName::from("n1"));
    assert_eq!(model.prefixes, BTreeSet::from([one]));
}
