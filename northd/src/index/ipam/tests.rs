//! Laws of address management, on random histories.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;

fn ipv4(text: &str) -> u32 {
    text.parse::<std::net::Ipv4Addr>().unwrap().to_bits()
}

fn span(text: &str) -> Span {
    let (base, length) = text.split_once('/').unwrap();
    Span::containing(ipv4(base), length.parse().unwrap())
}

fn domain(cidr: &str) -> Domain {
    let networks: Vec<IpNet> = vec![cidr.parse().unwrap()];
    Domain::new(span(cidr), Addressing::of(&networks))
}

fn name(prefix: &str, number: u8) -> Arc<str> {
    format!("{prefix}{number}").into()
}

#[test]
fn a_number_given_back_is_taken_again_only_when_no_fresh_one_is_left() {
    let mut pool = Pool::new(1, 4);
    assert_eq!(
        (pool.take(), pool.take(), pool.take()),
        (Some(1), Some(2), Some(3))
    );
    pool.give_back(2);
    pool.give_back(1);
    assert_eq!(pool.take(), Some(4), "fresh first");
    assert_eq!(
        (pool.take(), pool.take(), pool.take()),
        (Some(2), Some(1), None),
        "then the oldest"
    );
    assert!(pool.is_full());
}

#[test]
fn an_index_is_both_addresses_and_the_mac() {
    let networks: Vec<IpNet> = vec![
        "10.128.0.0/14".parse().unwrap(),
        "fd00::/64".parse().unwrap(),
    ];
    let addressing = Addressing::of(&networks);
    let index = ipv4("10.128.0.9");
    let addresses: Vec<String> = addressing.prefixed(index, 32).collect();
    assert_eq!(addresses, ["10.128.0.9/32", "fd00::a80:9/128"]);
    assert_eq!(mac(index), "0a:58:0a:80:00:09");
    for address in addressing.addresses(index) {
        assert_eq!(addressing.index(address), Some(index));
    }
    assert_eq!(addressing.index("fd01::a80:9".parse().unwrap()), None);
}

#[test]
fn pods_of_a_node_share_an_aggregate_and_pods_of_a_namespace_on_it_a_block() {
    let mut domain = domain("10.128.0.0/14");
    let (shop, office, n1, n2) = (
        Arc::from("shop"),
        Arc::from("office"),
        Arc::from("n1"),
        Arc::from("n2"),
    );
    let mut take = |namespace, node| {
        let taken = domain.take(namespace, node).unwrap();
        (
            IpAddr::from(taken.index.to_be_bytes()).to_string(),
            IpAddr::from(taken.gateway.to_be_bytes()).to_string(),
        )
    };
    let expect = |index: &str, gateway: &str| (index.to_owned(), gateway.to_owned());
    assert_eq!(take(&shop, &n1), expect("10.128.0.1", "10.128.0.0"));
    assert_eq!(take(&office, &n1), expect("10.128.0.9", "10.128.0.8"));
    assert_eq!(take(&shop, &n2), expect("10.128.1.1", "10.128.1.0"));
    for last in 2..=6 {
        assert_eq!(
            take(&shop, &n1),
            expect(&format!("10.128.0.{last}"), "10.128.0.0")
        );
    }
    assert_eq!(
        take(&shop, &n1),
        expect("10.128.0.17", "10.128.0.16"),
        "not .7, the broadcast address"
    );
    assert_eq!(
        domain.blocks_of(&shop),
        [
            span("10.128.0.0/29"),
            span("10.128.0.16/29"),
            span("10.128.1.0/29")
        ]
    );
}

#[test]
fn blocks_become_smaller_when_space_is_short() {
    // One aggregate of 12 addresses' worth of blocks: a /29 and, beside a claimed one, a /30.
    let mut domain = domain("10.0.0.0/28");
    let (a, b, c, n1) = (
        Arc::from("a"),
        Arc::from("b"),
        Arc::from("c"),
        Arc::from("n1"),
    );
    domain.claim(&a, &n1, ipv4("10.0.0.1"), Some(30)).unwrap();
    assert_eq!(domain.take(&b, &n1).unwrap().index, ipv4("10.0.0.9"));
    assert_eq!(domain.take(&c, &n1).unwrap().index, ipv4("10.0.0.5"));
    assert_eq!(domain.blocks_of(&c), [span("10.0.0.4/30")]);
    let d = Arc::from("d");
    assert_eq!(domain.take(&d, &n1), Err(DomainError::UsedUp));
}

#[test]
fn a_node_with_pod_cidrs_gets_its_addresses_there_and_nowhere_else() {
    let mut domain = domain("10.128.0.0/14");
    let (shop, n1, n2) = (Arc::from("shop"), Arc::from("n1"), Arc::from("n2"));
    domain.fix(&n1, &[span("10.128.7.0/30")]).unwrap();
    assert_eq!(domain.take(&shop, &n1).unwrap().index, ipv4("10.128.7.1"));
    assert_eq!(domain.take(&shop, &n1).unwrap().index, ipv4("10.128.7.2"));
    assert_eq!(domain.take(&shop, &n1), Err(DomainError::NodeUsedUp));
    assert_eq!(domain.take(&shop, &n2).unwrap().index, ipv4("10.128.0.1"));
    let refused = domain.fix(&n2, &[span("10.128.7.0/24")]).unwrap_err();
    assert_eq!(refused, [(span("10.128.7.0/24"), n1)]);
}

#[test]
fn an_aggregate_stays_with_its_node_until_somebody_needs_it() {
    let mut domain = domain("10.0.0.0/29");
    let (shop, n1, n2) = (Arc::from("shop"), Arc::from("n1"), Arc::from("n2"));
    let first = domain.take(&shop, &n1).unwrap().index;
    assert_eq!(domain.take(&shop, &n2), Err(DomainError::UsedUp));
    domain.give_back(first);
    assert_eq!(domain.aggregates().count(), 1);
    assert_eq!(domain.take(&shop, &n2).unwrap().index, first);
    assert_eq!(domain.take(&shop, &n1), Err(DomainError::UsedUp));
}

#[test]
fn a_claim_is_refused_with_the_reason() {
    let mut domain = domain("10.128.0.0/14");
    let (shop, office, n1, n2) = (
        Arc::from("shop"),
        Arc::from("office"),
        Arc::from("n1"),
        Arc::from("n2"),
    );
    let mut claim = |namespace, node, address| {
        domain
            .claim(namespace, node, ipv4(address), None)
            .map(|_| ())
    };
    assert_eq!(claim(&shop, &n1, "10.128.5.9"), Ok(()));
    assert_eq!(claim(&shop, &n1, "10.128.5.9"), Err(DomainError::Taken));
    assert_eq!(
        claim(&shop, &n1, "10.128.5.8"),
        Err(DomainError::Edge(span("10.128.5.8/29")))
    );
    assert_eq!(
        claim(&shop, &n1, "10.128.6.15"),
        Err(DomainError::Edge(span("10.128.6.8/29")))
    );
    assert!(matches!(
        claim(&office, &n1, "10.128.5.10"),
        Err(DomainError::OtherBlock { .. })
    ));
    assert!(matches!(
        claim(&shop, &n2, "10.128.5.17"),
        Err(DomainError::OtherAggregate { .. })
    ));
    assert_eq!(
        claim(&shop, &n1, "10.0.0.1"),
        Err(DomainError::Outside(span("10.128.0.0/14")))
    );
    assert_eq!(
        domain.blocks().count(),
        1,
        "a refused claim leaves nothing behind"
    );
    assert_eq!(domain.aggregates().count(), 1);
}

#[test]
fn a_subnet_hands_out_what_hosts_can_have() {
    let mut pool = SubnetPool::new(&[
        "10.0.0.0/29".parse().unwrap(),
        "fd00:10::/64".parse().unwrap(),
    ])
    .unwrap();
    let domain = &mut domain("10.128.0.0/14");
    assert_eq!(
        pool.prefixed(pool.gateway()).collect::<Vec<_>>(),
        ["10.0.0.1/29", "fd00:10::a00:1/64"]
    );
    assert_eq!(
        pool.claim(domain, ipv4("10.0.0.1")),
        Err(SubnetError::Gateway)
    );
    assert_eq!(
        pool.claim(domain, ipv4("10.0.0.7")),
        Err(SubnetError::Outside),
        "broadcast"
    );
    assert_eq!(
        pool.claim(domain, ipv4("10.0.0.8")),
        Err(SubnetError::Outside)
    );
    assert_eq!(pool.claim(domain, ipv4("10.0.0.3")), Ok(()));
    assert_eq!(
        pool.claim(domain, ipv4("10.0.0.3")),
        Err(SubnetError::Taken)
    );
    let taken: Vec<u32> = std::iter::from_fn(|| pool.take(domain).ok()).collect();
    assert_eq!(
        taken,
        ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"].map(ipv4)
    );
    assert_eq!(pool.take(domain), Err(SubnetError::Full));
}

#[test]
fn without_ipv4_the_index_is_counted_once_for_all_subnets_of_the_domain() {
    let domain = &mut domain("10.128.0.0/14");
    let mut pools = ["fd00:10::/64", "fd00:20::/64"]
        .map(|subnet| SubnetPool::new(&[subnet.parse().unwrap()]).unwrap());
    let [one, other] = &mut pools;
    let taken = [one.take(domain), other.take(domain), one.take(domain)].map(Result::unwrap);
    assert_eq!(taken, [2, 3, 4]);
    assert_eq!(one.prefixed(2).collect::<Vec<_>>(), ["fd00:10::2/64"]);
    assert_eq!(other.prefixed(3).collect::<Vec<_>>(), ["fd00:20::3/64"]);
    assert_eq!(
        one.prefixed(one.gateway()).collect::<Vec<_>>(),
        ["fd00:10::1/64"]
    );
    assert_eq!(one.index("fd00:10::77".parse().unwrap()), Some(0x77));
    assert_eq!(other.claim(domain, 2), Err(SubnetError::Taken));
    assert_eq!(other.claim(domain, 0), Err(SubnetError::Outside));
    assert_eq!(other.claim(domain, 1), Err(SubnetError::Gateway));
    one.give_back(domain, 2);
    assert_eq!(other.claim(domain, 2), Ok(()));
}

#[test]
fn counted_indices_keep_off_those_that_addresses_decide() {
    let domain = &mut domain("10.128.0.0/14");
    let mut pool = SubnetPool::new(&["fd00:10::/64".parse().unwrap()]).unwrap();
    let (lan, other): (Arc<str>, Arc<str>) = ("lan".into(), "other".into());
    domain.reserve(&lan, span("0.0.0.0/30")).unwrap();
    assert_eq!(pool.take(domain), Ok(4), "2 and 3 belong to the subnet");
    for address in ["10.128.0.9", "0.0.0.3"] {
        let claimed = pool.claim(domain, ipv4(address));
        assert_eq!(claimed, Err(SubnetError::Taken), "{address}");
    }
    pool.claim(domain, ipv4("10.0.0.9")).unwrap();
    assert_eq!(
        domain.reserve(&other, span("10.0.0.0/24")),
        Err(ReserveError::Counted(ipv4("10.0.0.9")))
    );
    pool.give_back(domain, ipv4("10.0.0.9"));
    assert_eq!(domain.reserve(&other, span("10.0.0.0/24")), Ok(()));
}

#[derive(Clone, Debug)]
enum Step {
    Take {
        namespace: u8,
        node: u8,
    },
    Claim {
        namespace: u8,
        node: u8,
        offset: u32,
    },
    GiveBack(prop::sample::Index),
    Reserve {
        owner: u8,
        offset: u32,
    },
    Release {
        owner: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u8, 0..4_u8).prop_map(|(namespace, node)| Step::Take { namespace, node }),
        2 => (0..4_u8, 0..4_u8, 0..1024_u32)
            .prop_map(|(namespace, node, offset)| Step::Claim { namespace, node, offset }),
        4 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        1 => (0..2_u8, 0..1024_u32).prop_map(|(owner, offset)| Step::Reserve { owner, offset }),
        1 => (0..2_u8).prop_map(|owner| Step::Release { owner }),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_addresses_are_held_once_and_blocks_and_aggregates_are_disjoint(
        length in 22..=27_u8,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let space = Span::containing(ipv4("10.0.0.0"), length);
        let mut domain = Domain::new(space, Addressing { ipv4: true, ipv6: None });
        let mut held: BTreeMap<u32, (Arc<str>, Arc<str>)> = BTreeMap::new();
        let mut reserved: BTreeMap<u8, Span> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Take { namespace, node } => {
                    let (namespace, node) = (name("ns", namespace), name("n", node));
                    if let Ok(taken) = domain.take(&namespace, &node) {
                        prop_assert!(held.insert(taken.index, (namespace, node)).is_none());
                    }
                }
                Step::Claim { namespace, node, offset } => {
                    let (namespace, node) = (name("ns", namespace), name("n", node));
                    let index = space.first() + offset;
                    if domain.claim(&namespace, &node, index, None).is_ok() {
                        prop_assert!(held.insert(index, (namespace, node)).is_none());
                    }
                }
                Step::GiveBack(which) => {
                    if !held.is_empty() {
                        let index = *which.get(&held.keys().copied().collect::<Vec<_>>());
                        held.remove(&index);
                        domain.give_back(index);
                    }
                }
                Step::Reserve { owner, offset } => {
                    let subnet = Span::containing(space.first() + offset, 28);
                    if domain.reserve(&name("l2-", owner), subnet).is_ok() {
                        reserved.insert(owner, subnet);
                    }
                }
                Step::Release { owner } => {
                    reserved.remove(&owner);
                    domain.release(&name("l2-", owner));
                }
            }
            let blocks: Vec<_> = domain.blocks().collect();
            for pair in blocks.windows(2) {
                prop_assert!(!pair[0].0.overlaps(pair[1].0), "{} {}", pair[0].0, pair[1].0);
            }
            let aggregates: Vec<_> = domain.aggregates().collect();
            for pair in aggregates.windows(2) {
                prop_assert!(!pair[0].0.overlaps(pair[1].0), "{} {}", pair[0].0, pair[1].0);
            }
            for (aggregate, _) in &aggregates {
                prop_assert!(space.contains(aggregate.first()) && space.contains(aggregate.last()));
                prop_assert!(reserved.values().all(|subnet| !subnet.overlaps(*aggregate)));
            }
            let mut used = BTreeSet::new();
            for (index, (namespace, node)) in &held {
                let (block, owner, place) = blocks.iter().find(|(block, ..)| block.contains(*index)).unwrap();
                prop_assert_eq!((*owner, *place), (namespace, node));
                prop_assert!(*index != block.first() && *index != block.last());
                let (_, holder) = aggregates.iter().find(|(aggregate, _)| aggregate.contains(*index)).unwrap();
                prop_assert_eq!(*holder, node);
                used.insert(block.first());
            }
            prop_assert_eq!(used.len(), blocks.len(), "every block is in use");
        }
        for index in held.into_keys() {
            domain.give_back(index);
        }
        prop_assert_eq!(domain.blocks().count(), 0);
    }
}
