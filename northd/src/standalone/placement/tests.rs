//! Even, sticky, deterministic.

use super::*;

fn pods(names: &[&str]) -> Vec<Object> {
    names
        .iter()
        .map(|name| {
            let (name, node) = name
                .split_once('@')
                .map_or((*name, None), |(name, node)| (name, Some(node)));
            let mut pod = Pod::default();
            pod.metadata.name = Some(name.into());
            pod.metadata.namespace = Some("shop".into());
            pod.spec.get_or_insert_default().node_name = node.map(str::to_owned);
            Object::Pod(Box::new(pod))
        })
        .collect()
}

fn place(placement: &mut Placement, names: &[&str], nodes: &[&str]) -> Vec<String> {
    let mut objects = pods(names);
    placement.place(
        &mut objects,
        &nodes.iter().map(|node| Arc::from(*node)).collect(),
    );
    objects
        .iter()
        .map(|object| {
            let Object::Pod(pod) = object else {
                unreachable!()
            };
            let node = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.node_name.clone())
                .unwrap_or_default();
            format!("{}@{node}", pod.metadata.name.as_deref().unwrap())
        })
        .collect()
}

#[test]
fn replicas_are_spread_over_the_nodes() {
    let placed = place(
        &mut Placement::default(),
        &["web-0", "web-1", "web-2", "web-3"],
        &["n1", "n2", "n3"],
    );
    assert_eq!(placed, ["web-0@n1", "web-1@n2", "web-2@n3", "web-3@n1"]);
}

#[test]
fn a_pod_that_names_its_node_is_there_and_counts() {
    let placed = place(
        &mut Placement::default(),
        &["db@n1", "web-0"],
        &["n1", "n2"],
    );
    assert_eq!(placed, ["db@n1", "web-0@n2"]);
}

#[test]
fn a_pod_stays_where_it_is_until_its_node_goes() {
    let mut placement = Placement::default();
    place(&mut placement, &["web-0", "web-1"], &["n1", "n2"]);
    assert_eq!(
        place(
            &mut placement,
            &["a", "b", "web-0", "web-1"],
            &["n1", "n2", "n3"]
        )[2..],
        ["web-0@n1", "web-1@n2"]
    );
    assert_eq!(
        place(&mut placement, &["web-0", "web-1"], &["n1", "n3"]),
        ["web-0@n1", "web-1@n3"]
    );
}

#[test]
fn places_of_before_a_restart_are_kept() {
    let mut placement = Placement::default();
    placement.restore(&[Record {
        namespace: "shop".into(),
        pod: "web-0".into(),
        uid: String::new(),
        node: "n2".into(),
        address: [10, 0, 0, 1].into(),
        block_length: None,
    }]);
    assert_eq!(
        place(&mut placement, &["web-0"], &["n1", "n2"]),
        ["web-0@n2"]
    );
}

#[test]
fn without_nodes_nobody_is_placed() {
    assert_eq!(
        place(&mut Placement::default(), &["web-0"], &[]),
        ["web-0@"]
    );
}

#[test]
fn a_pod_on_another_node_is_another_pod() {
    let uid = |node: &str| {
        let mut objects = pods(&[&format!("web-0@{node}")]);
        Placement::default().place(&mut objects, &BTreeSet::from([Arc::from(node)]));
        let Object::Pod(pod) = objects.remove(0) else {
            unreachable!()
        };
        pod.metadata.uid.unwrap()
    };
    assert_eq!(uid("n1"), uid("n1"));
    assert_ne!(uid("n1"), uid("n2"));
}
