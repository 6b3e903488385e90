//! `nb::show` against the real `ovn-nbctl show`, to the character.

use uuid::Uuid;
use weft_ovsdb::{Event, MonitorTable, Operation};
use weft_schema::Table;
use weft_schema::nb::{
    self, GatewayChassis, LogicalRouter, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort, Nat,
    Shown,
};

use crate::server::{Nbctl, Server};

async fn check(server: &Server) {
    let tables = Shown::TABLES
        .iter()
        .map(|table| MonitorTable::new(*table))
        .collect();
    let mut monitor = server.connection().monitor(tables).await.unwrap();
    let Some(Event::Snapshot(rows)) = monitor.next().await else {
        panic!("a monitor begins with a snapshot")
    };
    let mut shown = Shown::default();
    for change in rows {
        shown
            .add(&change.table, change.uuid, &change.row.unwrap())
            .unwrap();
    }
    let printed = Nbctl::new(server).run("show").await;
    assert_eq!(printed.stderr, "");
    assert_eq!(nb::show(&shown), printed.stdout);
}

async fn insert(server: &Server, operations: Vec<Operation>) {
    server.connection().transact(operations).await.unwrap();
}

#[tokio::test]
async fn every_kind_of_line_is_printed_as_ovn_nbctl_prints_it() {
    let server = Server::weft().await;
    check(&server).await;
    let id = |number: u128| Uuid::from_u128(number << 96 | number);
    let map = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let set = |strings: &[&str]| strings.iter().map(|string| (*string).to_owned()).collect();
    let port = |number, name: &str| LogicalSwitchPort {
        uuid: id(number),
        name: name.into(),
        ..Default::default()
    };
    let switch_ports = [
        LogicalSwitchPort {
            addresses: set(&["02:00:00:00:00:02 10.0.0.2", "02:00:00:00:00:01"]),
            ..port(9, "two")
        },
        LogicalSwitchPort {
            addresses: set(&["unknown"]),
            external_ids: map("neutron:port_name", "nick"),
            ..port(3, "un")
        },
        LogicalSwitchPort {
            parent_name: Some("un".into()),
            tag: Some(7),
            tag_request: Some(7),
            ..port(4, "child")
        },
        LogicalSwitchPort {
            kind: "router".into(),
            addresses: set(&["router"]),
            options: map("router-port", "lrp"),
            ..port(5, "to-router")
        },
        LogicalSwitchPort {
            kind: "localnet".into(),
            addresses: set(&["router", "unknown"]),
            tag: Some(9),
            ..port(6, "net")
        },
        LogicalSwitchPort {
            addresses: set(&["dynamic"]),
            dynamic_addresses: Some("x".into()),
            ..port(7, "\"q\" é")
        },
    ];
    let switch = LogicalSwitch {
        uuid: id(1),
        name: "sw".into(),
        ports: switch_ports.iter().map(|port| port.uuid).collect(),
        external_ids: map("neutron:network_name", "net"),
        ..Default::default()
    };
    let gateway = |number, priority, name: &str| GatewayChassis {
        uuid: id(number),
        name: name.into(),
        chassis_name: format!("chassis-{name}"),
        priority,
        ..Default::default()
    };
    let gateways = [
        gateway(20, 1, "a"),
        gateway(21, 5, "b"),
        gateway(22, 5, "c"),
    ];
    let router_ports = [
        LogicalRouterPort {
            uuid: id(31),
            name: "lrp".into(),
            mac: "0a:00:00:00:00:01".into(),
            networks: set(&["fd00::1/64", "10.0.0.1/24"]),
            gateway_chassis: gateways.iter().map(|gateway| gateway.uuid).collect(),
            ..Default::default()
        },
        LogicalRouterPort {
            uuid: id(30),
            name: "bare".into(),
            networks: set(&["10.9.0.1/24"]),
            ..Default::default()
        },
    ];
    let nats = [
        Nat {
            uuid: id(41),
            external_ip: "1.1.1.1".into(),
            logical_ip: "10.0.0.0/24".into(),
            kind: "snat".into(),
            ..Default::default()
        },
        Nat {
            uuid: id(40),
            external_ip: "1.1.1.2".into(),
            external_port_range: "1-100".into(),
            logical_ip: "10.0.0.2".into(),
            kind: "dnat_and_snat".into(),
            ..Default::default()
        },
    ];
    let router = LogicalRouter {
        uuid: id(10),
        name: "lr".into(),
        ports: router_ports.iter().map(|port| port.uuid).collect(),
        nat: nats.iter().map(|nat| nat.uuid).collect(),
        external_ids: map("neutron:router_name", "r"),
        ..Default::default()
    };
    let nameless = LogicalSwitch {
        uuid: id(2),
        ..Default::default()
    };
    let mut operations = vec![switch.insert(), nameless.insert(), router.insert()];
    operations.extend(switch_ports.iter().map(Table::insert));
    operations.extend(gateways.iter().map(Table::insert));
    operations.extend(router_ports.iter().map(Table::insert));
    operations.extend(nats.iter().map(Table::insert));
    insert(&server, operations).await;
    check(&server).await;
}

/// Order is where a guess would go wrong, so it is tried on many sizes, with UUIDs as random as
/// those of a database, but the same in every run.
#[tokio::test]
async fn databases_of_every_size_are_printed_in_ovn_nbctls_order() {
    for size in (0..24).chain([31, 32, 33, 63, 64, 65, 100, 200]) {
        let server = Server::weft().await;
        let id = |kind: &str, number: usize| {
            Uuid::new_v5(
                &Uuid::NAMESPACE_OID,
                format!("{size} {kind} {number}").as_bytes(),
            )
        };
        let mut operations = Vec::new();
        for number in 0..size {
            let ports: Vec<LogicalSwitchPort> = (0..number % 4)
                .map(|port| LogicalSwitchPort {
                    uuid: id("port", number * 10 + port),
                    name: format!("p{number}-{port}"),
                    ..Default::default()
                })
                .collect();
            let switch = LogicalSwitch {
                uuid: id("switch", number),
                name: format!("sw{number}"),
                ports: ports.iter().map(|port| port.uuid).collect(),
                ..Default::default()
            };
            let router = LogicalRouter {
                uuid: id("router", number),
                name: format!("lr{number}"),
                ..Default::default()
            };
            operations.extend([switch.insert(), router.insert()]);
            operations.extend(ports.iter().map(Table::insert));
        }
        insert(&server, operations).await;
        check(&server).await;
    }
}
