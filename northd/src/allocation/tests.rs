//! What is handed out, and what is kept.

use std::sync::Arc;

use super::*;

/// A switch with an `other_config`, and ports on it by name with their `addresses`.
fn rows(other_config: &[(&str, &str)], ports: &[(&str, &[&str])]) -> Allocation {
    let mut allocation = Allocation::default();
    let mut changes = Vec::new();
    let id = |name: &str| Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let change = |table: &str, uuid, row| RowChange {
        table: Arc::from(table),
        uuid,
        row: Some(Arc::new(row)),
    };
    let switch = LogicalSwitch {
        uuid: id("switch"),
        name: "lan".to_owned(),
        ports: ports.iter().map(|(name, _)| id(name)).collect(),
        other_config: other_config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..LogicalSwitch::default()
    };
    changes.push(change(LogicalSwitch::NAME, switch.uuid, switch.to_row()));
    for (name, addresses) in ports {
        let port = LogicalSwitchPort {
            uuid: id(name),
            name: (*name).to_owned(),
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            ..LogicalSwitchPort::default()
        };
        changes.push(change(LogicalSwitchPort::NAME, port.uuid, port.to_row()));
    }
    allocation.observe(Event::Snapshot(changes));
    allocation
}

/// The rows after the plan, for ports that have something, and what could not be done.
fn outcome(allocation: &mut Allocation) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let complaints = allocation.plan().complaints;
    settle(allocation);
    let has = |port: &LogicalSwitchPort| Some((port.name.clone(), port.dynamic_addresses.clone()?));
    (
        allocation.ports.values().filter_map(has).collect(),
        complaints,
    )
}

/// Carries the plan out, and sees that nothing is left to do.
fn settle(allocation: &mut Allocation) {
    for operation in allocation.plan().operations {
        let Operation::Update {
            conditions, row, ..
        } = operation
        else {
            panic!("{operation:?}")
        };
        let port = allocation
            .ports
            .values_mut()
            .find(|port| conditions == [weft_ovsdb::Condition::uuid(port.uuid)])
            .expect("a port that there is");
        let mut whole = port.to_row();
        for (column, value) in &row {
            whole.set(column.clone(), value.clone());
        }
        *port = LogicalSwitchPort::from_row(port.uuid, &whole).unwrap();
    }
    assert_eq!(allocation.plan().operations, [], "a second plan");
}

#[test]
fn ports_get_the_lowest_free_addresses_and_macs_that_say_them() {
    let mut allocation = rows(
        &[
            ("subnet", "10.0.0.0/28"),
            ("exclude_ips", "10.0.0.2 10.0.0.4..10.0.0.12"),
            ("ipv6_prefix", "fd00:1::/64"),
        ],
        &[
            ("a", &["0a:00:00:00:00:01 10.0.0.3"]),
            ("b", &["dynamic"]),
            ("c", &["unknown", "0a:00:00:00:00:09 dynamic"]),
        ],
    );
    let (addresses, complaints) = outcome(&mut allocation);
    assert_eq!(complaints, BTreeSet::new());
    let values: BTreeSet<&str> = addresses.values().map(String::as_str).collect();
    let of = |last: u8| {
        addresses
            .values()
            .any(|text| text.contains(&format!("10.0.0.{last} ")))
    };
    assert!(of(13) && of(14), "{values:?}");
    assert!(addresses["b"].starts_with("0a:58:0a:00:00:0"), "{values:?}");
    assert!(
        addresses["b"].ends_with(" fd00:1::858:aff:fe00:d")
            || addresses["b"].ends_with(" fd00:1::858:aff:fe00:e")
    );
    assert!(addresses["c"].starts_with("0a:00:00:00:00:09 10.0.0.1"));
    assert!(addresses["c"].ends_with(" fd00:1::800:ff:fe00:9"));
}

#[test]
fn what_was_handed_out_is_kept_while_it_fits() {
    let mut allocation = rows(
        &[("subnet", "10.0.0.0/24")],
        &[("a", &["dynamic"]), ("b", &["dynamic"])],
    );
    let (before, _) = outcome(&mut allocation);
    // Somebody takes b's address by hand: b gets another, a keeps its own.
    let taken = before["b"].split(' ').nth(1).unwrap().to_owned();
    let a = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"c");
    allocation.ports.insert(
        a,
        LogicalSwitchPort {
            uuid: a,
            name: "c".to_owned(),
            addresses: BTreeSet::from([format!("0a:00:00:00:00:01 {taken}")]),
            ..LogicalSwitchPort::default()
        },
    );
    for switch in allocation.switches.values_mut() {
        switch.ports.push(a);
    }
    let (after, _) = outcome(&mut allocation);
    assert_eq!(after["a"], before["a"]);
    assert_ne!(after["b"], before["b"]);
    // A port that asks for nothing any more has nothing.
    for port in allocation.ports.values_mut() {
        port.addresses.remove("dynamic");
    }
    assert_eq!(outcome(&mut allocation).0, BTreeMap::new());
}

#[test]
fn a_full_subnet_and_bad_settings_are_told() {
    let mut allocation = rows(
        &[("subnet", "10.0.0.0/30"), ("exclude_ips", "ten")],
        &[("a", &["dynamic"]), ("b", &["dynamic"])],
    );
    let (addresses, complaints) = outcome(&mut allocation);
    assert_eq!(addresses.len(), 1);
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(
        complaints[0]
            .ends_with(r#"exclude_ips: "ten" is no address, or range such as 10.0.0.2..10.0.0.9"#),
        "{complaints:?}"
    );
    assert!(
        complaints[1].ends_with(r#"addresses: switch "lan" has no address of 10.0.0.0/30 left"#),
        "{complaints:?}"
    );
    let mut allocation = rows(
        &[("mac_only", "true"), ("subnet", "10.0.0.0/24")],
        &[("a", &["dynamic"])],
    );
    let (addresses, _) = outcome(&mut allocation);
    assert!(
        addresses["a"].starts_with("0e:") && addresses["a"].len() == 17,
        "{addresses:?}"
    );
    let mut allocation = rows(&[], &[("a", &["dynamic 10.9.0.9"]), ("b", &["dynamic"])]);
    let (addresses, _) = outcome(&mut allocation);
    assert_eq!(
        addresses,
        BTreeMap::from([("a".to_owned(), "0a:58:0a:09:00:09 10.9.0.9".to_owned())])
    );
}

#[test]
fn nested_ports_get_the_tag_they_ask_for_or_the_lowest_free_one() {
    let mut allocation = rows(&[], &[("a", &[]), ("b", &[]), ("c", &[]), ("d", &[])]);
    for port in allocation.ports.values_mut() {
        port.tag_request = Some(if port.name == "a" { 1 } else { 0 });
        port.parent_name = (port.name != "d").then(|| "vm".to_owned());
        allocation.wanting.insert(port.uuid);
    }
    settle(&mut allocation);
    let mut tags: Vec<(String, Option<i64>)> = allocation
        .ports
        .values()
        .map(|port| (port.name.clone(), port.tag))
        .collect();
    tags.sort();
    assert_eq!(tags[0].1, Some(1));
    assert_eq!(
        BTreeSet::from([tags[1].1, tags[2].1]),
        BTreeSet::from([Some(2), Some(3)])
    );
    assert_eq!(tags[3].1, None, "nested in nothing");
}

#[test]
fn a_tag_that_somebody_wrote_is_given_to_nobody_else_and_a_localnet_port_gets_its_own() {
    let mut allocation = rows(&[], &[("a", &[]), ("b", &[]), ("ln", &[])]);
    for port in allocation.ports.values_mut() {
        match port.name.as_str() {
            "a" => port.tag = Some(1),
            "b" => port.tag_request = Some(0),
            _ => {
                port.kind = "localnet".to_owned();
                port.tag_request = Some(1);
            }
        }
        port.parent_name = (port.name != "ln").then(|| "vm".to_owned());
        if wants(port) {
            allocation.wanting.insert(port.uuid);
        }
    }
    settle(&mut allocation);
    let tags: BTreeMap<&str, Option<i64>> = allocation
        .ports
        .values()
        .map(|port| (port.name.as_str(), port.tag))
        .collect();
    assert_eq!(
        tags,
        BTreeMap::from([("a", Some(1)), ("b", Some(2)), ("ln", Some(1))])
    );
}
