//! What is read of rows, and which switches have one set.

use super::*;

fn check(text: &str, expected: Option<&str>) {
    let read = read_vip(text, Protocol::Udp).ok();
    assert_eq!(
        read.map(|vip| vip.to_string()).as_deref(),
        expected,
        "{text}"
    );
}

#[test]
fn virtual_addresses_are_read_in_both_families_with_and_without_port() {
    check("10.96.0.1:53", Some("10.96.0.1:53/udp"));
    check("10.96.0.1", Some("10.96.0.1"));
    check("[fd96::1]:53", Some("[fd96::1]:53/udp"));
    check("[fd96::1]", Some("fd96::1"));
    check("fd96::1", Some("fd96::1"));
    for bad in [
        "",
        "10.96.0.1:",
        "10.96.0.1:0",
        "10.96.0.1:65536",
        "10.96.0.1:53:53",
        "10.96.0",
        "fd96::1:53:",
        "224.0.0.1:53",
        "0.0.0.0:53",
        "[::]:53",
        "^vip:53",
        " 10.96.0.1:53",
    ] {
        check(bad, None);
    }
}

#[test]
fn a_set_is_what_is_listed_whatever_the_order() {
    let row = |balancers: &[u128], groups: &[u128]| {
        set_of_row(&nb::LogicalSwitch {
            load_balancer: balancers.iter().copied().map(Uuid::from_u128).collect(),
            load_balancer_group: groups.iter().copied().map(Uuid::from_u128).collect(),
            ..nb::LogicalSwitch::default()
        })
    };
    assert_eq!(row(&[], &[]), None);
    assert_eq!(row(&[1, 2], &[3]), row(&[2, 1, 2], &[3]));
    let distinct = [
        row(&[1], &[2]),
        row(&[2], &[1]),
        row(&[1, 2], &[]),
        row(&[], &[1, 2]),
    ];
    let known: std::collections::BTreeSet<_> = distinct.iter().collect();
    assert_eq!(known.len(), 4);
}

#[test]
fn more_endpoints_than_a_group_holds_are_parted_in_powers_of_two() {
    for (endpoints, parts) in [
        (0, 0),
        (256, 0),
        (257, 4),
        (512, 4),
        (513, 8),
        (1000, 8),
        (5000, 64),
        (ENDPOINTS_MAX, 256),
    ] {
        assert_eq!(BalancerGroups::parts(endpoints), parts, "{endpoints}");
    }
}
