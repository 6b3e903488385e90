//! Services in a directory of YAML, and their rows in the database.

use std::collections::BTreeMap;

use uuid::Uuid;
use weft_northd::index::NbRow;
use weft_schema::nb::{LoadBalancer, LoadBalancerGroup};
use weft_schema::{RowId, Table};

use crate::world::World;

const SERVICE: &str = "kind: Service
apiVersion: v1
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
";

fn labelled(replicas: u8) -> String {
    format!(
        "kind: Deployment
apiVersion: apps/v1
metadata: {{name: web, namespace: shop}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, ports: [{{name: http, containerPort: 8080}}]}}]}}
"
    )
}

#[tokio::test]
async fn a_service_follows_its_pods_and_is_repaired_with_what_others_put_beside_it() {
    let pods = labelled(1);
    let mut world = World::start(&[("a.yaml", SERVICE), ("b.yaml", &pods)]).await;
    let row = RowId::<LoadBalancer>::derived("shop/web:tcp").uuid();
    let vip = |rows: &BTreeMap<Uuid, NbRow>| match rows.get(&row) {
        Some(NbRow::LoadBalancer(row)) => row.vips.get("10.96.0.10:80").cloned(),
        _ => None,
    };
    let one = Some("10.128.0.1:8080".to_owned());
    world
        .await_that("one endpoint", |rows| vip(rows) == one)
        .await;
    world.write("b.yaml", &labelled(2));
    let two = Some("10.128.0.1:8080,10.128.1.1:8080".to_owned());
    world
        .await_that("two endpoints", |rows| vip(rows) == two)
        .await;

    // By hand: another load balancer in the group, an option, and a virtual address taken away.
    let group = RowId::<LoadBalancerGroup>::derived("cluster").uuid();
    let own = LoadBalancer {
        uuid: Uuid::from_u128(7),
        name: "own".into(),
        ..LoadBalancer::default()
    };
    let rows = world.rows().await;
    let (NbRow::LoadBalancer(there), NbRow::LoadBalancerGroup(members)) =
        (&rows[&row], &rows[&group])
    else {
        unreachable!()
    };
    let mut damaged = (**there).clone();
    damaged.vips.clear();
    damaged.options.insert("ct_flush".into(), "true".into());
    let mut joined = (**members).clone();
    joined.load_balancer.push(own.uuid);
    let mut operations = vec![own.insert()];
    operations.extend(damaged.update_from(there));
    operations.extend(joined.update_from(members));
    world.transact(operations).await;
    let is_repaired = |rows: &BTreeMap<Uuid, NbRow>| match (rows.get(&row), rows.get(&group)) {
        (Some(NbRow::LoadBalancer(row)), Some(NbRow::LoadBalancerGroup(group))) => {
            row.vips.len() == 1
                && row.options.contains_key("ct_flush")
                && group.load_balancer.len() == 2
        }
        _ => false,
    };
    world.await_that("the row is repaired", is_repaired).await;

    // It goes, and with it the group and what the switch says of it.
    world.remove("a.yaml");
    let is_gone = |rows: &BTreeMap<Uuid, NbRow>| {
        let switches = rows.values().filter_map(|row| match row {
            NbRow::LogicalSwitch(row) => Some(row.load_balancer_group.len()),
            _ => None,
        });
        !rows.contains_key(&row) && switches.sum::<usize>() == 0
    };
    world.await_that("the Service is gone", is_gone).await;
    world.stop().await;
}

#[tokio::test]
async fn a_node_of_the_manifests_counts_only_if_the_nodes_file_has_it() {
    let node = |name: &str| {
        format!(
            "kind: Node
apiVersion: v1
metadata: {{name: {name}, labels: {{topology.kubernetes.io/zone: a}}}}
---
kind: Pod
apiVersion: v1
metadata: {{name: on-{name}, namespace: shop, labels: {{app: web}}}}
spec: {{nodeName: {name}, containers: []}}
---
"
        )
    };
    let near = format!("{SERVICE}  trafficDistribution: PreferClose\n").replace("http", "80");
    let nodes = node("n1") + &node("n9");
    let mut world = World::start(&[("a.yaml", &near), ("b.yaml", &nodes)]).await;
    world
        .await_that("n1 has its zone, and n9 has no pod", |rows| {
            rows.values().any(|row| match row {
                NbRow::LoadBalancer(row) => {
                    row.options.get("weft-zone:a").map(String::as_str) == Some("10.128.0.1")
                        && row.vips["10.96.0.10:80"] == "10.128.0.1:80"
                }
                _ => false,
            })
        })
        .await;
    world.stop().await;
}
