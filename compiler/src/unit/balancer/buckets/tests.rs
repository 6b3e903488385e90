//! Buckets follow from the endpoints there are, and hardly from each other.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn endpoint(number: u32) -> Backend {
    Backend {
        address: Ipv4Addr::from_bits(0x0a80_0000 + number).into(),
        port: Some(8080),
    }
}

fn endpoints(numbers: impl IntoIterator<Item = u32>) -> Vec<Backend> {
    numbers.into_iter().map(endpoint).collect()
}

#[test]
fn an_endpoint_more_leaves_the_ids_of_the_others() {
    let few = endpoints(0..100);
    let more = endpoints(0..101);
    assert_eq!(ids(&few)[..], ids(&more)[..100]);
    // Another port is another endpoint.
    let mut other = few[0];
    other.port = Some(8081);
    assert_ne!(ids(&[other]), ids(&few[..1]));
}

proptest! {
    #[test]
    fn every_endpoint_has_one_place_and_no_group_too_many(
        numbers in prop::collection::btree_set(0u32..1 << 20, 257..2000),
    ) {
        let all = endpoints(numbers);
        let parts = BalancerGroups::parts(all.len());
        prop_assert!(parts.is_power_of_two() && parts <= BalancerGroups::BUCKETS);
        let shares = share_out(&all, parts);
        prop_assert_eq!(shares.len(), parts);
        prop_assert!(shares.iter().all(|share| share.len() <= BalancerGroups::BUCKETS));
        let mut shared: Vec<Backend> = shares.concat();
        shared.sort_unstable();
        prop_assert_eq!(&shared, &all);
        for share in shares {
            let ids = ids(&share);
            prop_assert!(ids.iter().all(|id| (1..=IDS).contains(id)));
            prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), share.len());
        }
    }
}

#[test]
fn endpoints_that_hash_alike_overflow_into_the_next_group() {
    let all: Vec<Backend> = (0u32..)
        .map(endpoint)
        .filter(|endpoint| first_choice(part_name(*endpoint), 4) == 4)
        .take(300)
        .collect();
    let lengths: Vec<usize> = share_out(&all, 4).iter().map(Vec::len).collect();
    assert_eq!(lengths, [44, 0, 0, 256]);
}

#[test]
fn what_tells_connections_apart_chooses_unless_the_row_says_otherwise() {
    let vip = |address: &str, port| Vip {
        address: address.parse().unwrap(),
        port,
    };
    let tcp = Some((Protocol::Tcp, 80));
    assert_eq!(
        selection(vip("10.96.0.1", tcp), &[]),
        [Field::Ipv4Src, Field::Ipv4Dst, Field::TcpSrc, Field::TcpDst]
    );
    let of_all = selection(vip("fd96::1", None), &[]);
    assert_eq!(
        of_all[..3],
        [Field::Ipv6Src, Field::Ipv6Dst, Field::IpProto]
    );
    assert_eq!(of_all.len(), 9);
    let wanted = [HashField::IpSrc, HashField::UdpDst];
    let of_row = selection(vip("fd96::1", Some((Protocol::Udp, 53))), &wanted);
    assert_eq!(of_row, [Field::Ipv6Src, Field::UdpDst]);
}
