//! Stand-alone northd, end to end: a directory of YAML on one side, a northbound database on the
//! other; and the rows of the examples.

mod quickstart;
mod service;
mod world;

use weft_ovsdb::{Condition, Datum, Mutation, Mutator, Operation, Row};
use weft_schema::Table;
use weft_schema::nb::{LogicalRouter, LogicalSwitch, LogicalSwitchPort};
use world::World;

const SHOP: &str = "
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {}
  template: {spec: {containers: []}}
";

#[tokio::test]
async fn manifests_become_rows_and_edits_become_changes() {
    let mut world = World::start(&[("shop.yaml", SHOP)]).await;
    world
        .await_ports(&["shop_web-0@n1 10.128.0.1/32", "shop_web-1@n2 10.128.1.1/32"])
        .await;
    world.write("shop.yaml", &SHOP.replace("replicas: 2", "replicas: 3"));
    world
        .await_ports(&[
            "shop_web-0@n1 10.128.0.1/32",
            "shop_web-1@n2 10.128.1.1/32",
            "shop_web-2@n1 10.128.0.2/32",
        ])
        .await;
    world.write(
        "more.yaml",
        "kind: Pod\nmetadata: {name: db, namespace: shop}\nspec: {nodeName: n2, containers: []}\n",
    );
    world.await_port("shop_db@n2 10.128.1.2/32").await;
    world.remove("shop.yaml");
    world.await_ports(&["shop_db@n2 10.128.1.2/32"]).await;
    world.remove("more.yaml");
    world.await_rows(0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_torn_write_changes_nothing() {
    let mut world = World::start(&[("shop.yaml", SHOP)]).await;
    world
        .await_ports(&["shop_web-0@n1 10.128.0.1/32", "shop_web-1@n2 10.128.1.1/32"])
        .await;
    world.write("shop.yaml", &SHOP[..SHOP.len() - 30]);
    // What comes after the torn file is in force shows that it was looked at.
    world.write(
        "more.yaml",
        "kind: Pod\nmetadata: {name: db, namespace: shop}\nspec: {nodeName: n2, containers: []}\n",
    );
    world
        .await_ports(&[
            "shop_db@n2 10.128.1.2/32",
            "shop_web-0@n1 10.128.0.1/32",
            "shop_web-1@n2 10.128.1.1/32",
        ])
        .await;
    world.stop().await;
}

#[tokio::test]
async fn pods_without_a_node_move_when_nodes_change() {
    let mut world = World::start(&[("shop.yaml", SHOP)]).await;
    world.await_port("shop_web-1@n2 10.128.1.1/32").await;
    world.nodes.send_replace(vec!["n1".into(), "n3".into()]);
    world
        .await_ports(&["shop_web-0@n1 10.128.0.1/32", "shop_web-1@n3 10.128.2.1/32"])
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_every_address_and_place() {
    let mut world = World::start(&[("shop.yaml", SHOP)]).await;
    world.await_port("shop_web-1@n2 10.128.1.1/32").await;
    // History that a start from scratch would not repeat: web-0 goes, and comes back elsewhere.
    world.write("shop.yaml", &SHOP.replace("name: web", "name: app"));
    world
        .await_ports(&["shop_app-0@n1 10.128.0.9/32", "shop_app-1@n2 10.128.1.9/32"])
        .await;
    let before = world.rows().await;
    world.restart().await;
    world.write("more.yaml", "kind: Namespace\nmetadata: {name: done}\n");
    world.await_row("done").await;
    let mut after = world.rows().await;
    after.retain(|_, row| row.name() != "done");
    after.retain(|uuid, _| before.contains_key(uuid));
    assert_eq!(after, before);
    world.stop().await;
}

#[tokio::test]
async fn rows_and_columns_of_others_survive_and_northds_own_are_repaired() {
    let mut world = World::start(&[("shop.yaml", SHOP)]).await;
    world.await_port("shop_web-1@n2 10.128.1.1/32").await;
    let switch = world.row("shop").await;
    let port = world.row("shop_web-0").await;
    let by_hand = LogicalSwitchPort {
        uuid: uuid::Uuid::from_u128(1),
        name: "by-hand".into(),
        ..Default::default()
    };
    let own = LogicalSwitch {
        uuid: uuid::Uuid::from_u128(2),
        name: "own".into(),
        ..Default::default()
    };
    let mutate = |table: &str, uuid, column: &str, value: Datum| Operation::Mutate {
        table: table.into(),
        conditions: vec![Condition::uuid(uuid)],
        mutations: vec![Mutation::new(column, Mutator::Insert, value)],
    };
    world
        .transact(vec![
            own.insert(),
            by_hand.insert(),
            mutate(
                "Logical_Switch",
                switch,
                "ports",
                Datum::scalar(by_hand.uuid),
            ),
            mutate(
                "Logical_Switch_Port",
                port,
                "external_ids",
                [("note", "mine")].into_iter().collect(),
            ),
            // What the controller writes.
            Operation::Update {
                table: "Logical_Switch_Port".into(),
                conditions: vec![Condition::uuid(port)],
                row: Row::default().with("up", true),
            },
        ])
        .await;
    // Damage to rows of northd's own.
    let web_1 = world.row("shop_web-1").await;
    let router = world.row("cluster").await;
    world
        .transact(vec![
            Operation::Mutate {
                table: "Logical_Switch".into(),
                conditions: vec![Condition::uuid(switch)],
                mutations: vec![Mutation::new("ports", Mutator::Delete, web_1)],
            },
            Operation::Update {
                table: "Logical_Switch_Port".into(),
                conditions: vec![Condition::uuid(port)],
                row: Row::default().with("addresses", "unknown"),
            },
            LogicalRouter::delete(router),
        ])
        .await;
    world
        .await_ports(&["shop_web-0@n1 10.128.0.1/32", "shop_web-1@n2 10.128.1.1/32"])
        .await;
    world.await_row("cluster").await;
    world
        .await_that("the port's addresses are repaired", |rows| {
            rows.get(&port).is_some_and(|row| match row {
                weft_northd::index::NbRow::LogicalSwitchPort(port) => {
                    port.addresses == port.port_security
                        && port.up == Some(true)
                        && port.external_ids["note"] == "mine"
                }
                _ => false,
            })
        })
        .await;
    world.remove("shop.yaml");
    // The switch goes, and a port by hand with it, as when `ovn-nbctl ls-del` removes it.
    world.await_rows(1).await;
    world.row("own").await;
    world.stop().await;
}

#[tokio::test]
async fn a_name_that_somebody_elses_port_has_keeps_one_port_back_and_nothing_else() {
    let mut world = World::start(&[]).await;
    let theirs = LogicalSwitchPort {
        uuid: uuid::Uuid::from_u128(1),
        name: "shop_web-0".into(),
        ..Default::default()
    };
    let switch = LogicalSwitch {
        uuid: uuid::Uuid::from_u128(2),
        name: "theirs".into(),
        ports: vec![theirs.uuid],
        ..Default::default()
    };
    world.transact(vec![theirs.insert(), switch.insert()]).await;
    world.write("shop.yaml", SHOP);
    world.await_ports(&["shop_web-1@n2 10.128.1.1/32"]).await;
    world
        .transact(vec![LogicalSwitch::delete(switch.uuid)])
        .await;
    world
        .await_ports(&["shop_web-0@n1 10.128.0.1/32", "shop_web-1@n2 10.128.1.1/32"])
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_said_so_at_once() {
    let error = World::start_on("/nonexistent/manifests".into())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("manifest directory /nonexistent/manifests: "),
        "{error}"
    );
}
