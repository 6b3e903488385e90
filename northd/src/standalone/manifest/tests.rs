//! What files say, and what is said about bad ones.

use super::*;

fn files(contents: &[(&str, &str)]) -> Files {
    contents
        .iter()
        .map(|(name, text)| (Path::new(name).into(), Ok((*text).to_owned())))
        .collect()
}

fn read(contents: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let mut manifests = Manifests::default();
    manifests.update(&files(contents));
    names(&manifests)
}

fn names(manifests: &Manifests) -> (Vec<String>, Vec<String>) {
    let (objects, problems) = manifests.objects();
    let objects = objects
        .iter()
        .map(|object| object.value.reference().to_string())
        .collect();
    (objects, problems.iter().map(ToString::to_string).collect())
}

const POD: &str = "kind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {containers: []}\n";

fn deployment(replicas: &str) -> String {
    format!(
        "kind: Deployment\nmetadata: {{name: web, namespace: shop}}\nspec:\n  replicas: {replicas}\n  selector: {{}}\n  \
         template:\n    metadata: {{labels: {{app: web}}}}\n    spec: {{containers: [{{name: c, ports: [{{containerPort: 80}}]}}]}}\n"
    )
}

#[test]
fn a_file_is_a_list_of_documents_and_a_deployment_is_its_pods() {
    let text = format!(
        "# nothing\n---\nkind: Namespace\nmetadata: {{name: shop}}\n--- # next\n{}---\n{POD}",
        deployment("2")
    );
    let (objects, problems) = read(&[("a.yaml", &text)]);
    assert_eq!(
        objects,
        [
            "Namespace shop",
            "Pod shop/web-0",
            "Pod shop/web-1",
            "Pod shop/a"
        ]
    );
    assert_eq!(problems, [""; 0]);
}

#[test]
fn json_is_read_too() {
    let text = r#"{"kind": "Pod", "metadata": {"name": "a", "namespace": "shop"}, "spec": {"containers": []}}"#;
    assert_eq!(
        read(&[("a.json", text)]),
        (vec!["Pod shop/a".to_owned()], vec![])
    );
}

#[test]
fn pods_of_a_deployment_carry_its_template() {
    let mut manifests = Manifests::default();
    manifests.update(&files(&[("a.yaml", &deployment("1"))]));
    let (objects, _) = manifests.objects();
    let Object::Pod(pod) = &objects[0].value else {
        unreachable!()
    };
    assert_eq!(pod.metadata.labels.as_ref().unwrap()["app"], "web");
    assert_eq!(
        pod.spec.as_ref().unwrap().containers[0]
            .ports
            .as_ref()
            .unwrap()[0]
            .container_port,
        80
    );
}

#[test]
fn what_does_not_parse_is_named_with_line_and_column_and_harms_nobody_else() {
    let text = format!("{POD}---\nkind: Pod\nmetadata: {{name: [\n");
    let (objects, problems) = read(&[
        ("bad.yaml", &text),
        ("good.yaml", &POD.replace("name: a", "name: b")),
    ]);
    assert_eq!(objects, ["Pod shop/a", "Pod shop/b"]);
    assert_eq!(problems.len(), 1);
    let (place, message) = problems[0].split_once(": ").unwrap();
    assert!(
        place.starts_with("bad.yaml:6:") || place.starts_with("bad.yaml:7:"),
        "{place}"
    );
    assert!(!message.is_empty() && !message.contains('\n'), "{message}");
}

#[test]
fn a_field_of_the_wrong_type_is_named_with_line_and_column() {
    let (objects, problems) = read(&[("a.yaml", &deployment("many"))]);
    assert_eq!(objects, [""; 0]);
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("a.yaml:4:13: Deployment shop/web: "),
        "{}",
        problems[0]
    );
}

#[test]
fn a_torn_write_keeps_the_last_good_version_in_force() {
    let mut manifests = Manifests::default();
    manifests.update(&files(&[("a.yaml", &deployment("2"))]));
    let torn = deployment("3");
    assert!(manifests.update(&files(&[("a.yaml", &torn[..torn.len() - 20])])));
    let (objects, problems) = names(&manifests);
    assert_eq!(objects, ["Pod shop/web-0", "Pod shop/web-1"]);
    assert!(
        problems[0].ends_with("the file's last good version stays in force"),
        "{problems:?}"
    );
    assert!(manifests.update(&files(&[("a.yaml", &torn)])));
    let (objects, problems) = names(&manifests);
    assert_eq!((objects.len(), problems.len()), (3, 0));
    assert!(
        !manifests.update(&files(&[("a.yaml", &torn)])),
        "the same contents are no change"
    );
}

#[test]
fn a_file_that_goes_takes_its_objects_with_it() {
    let mut manifests = Manifests::default();
    manifests.update(&files(&[("a.yaml", POD)]));
    assert!(manifests.update(&Files::new()));
    assert_eq!(names(&manifests), (vec![], vec![]));
}

#[test]
fn other_kinds_are_reported_once_each_and_passed_over() {
    let secret = "kind: Secret\nmetadata: {name: web, namespace: shop}\n";
    let (objects, problems) = read(&[
        ("a.yaml", secret),
        ("b.yaml", &format!("{secret}---\n{POD}")),
    ]);
    assert_eq!(objects, ["Pod shop/a"]);
    assert_eq!(
        problems,
        ["a.yaml: Secret shop/web: kind Secret has no meaning in stand-alone mode; passed over"]
    );
}

#[test]
fn services_their_endpoints_and_nodes_are_objects_too() {
    let text = "kind: Service
metadata: {name: web, namespace: shop, annotations: {weft.dev/load-balancer-ip: 198.51.100.1, weft.dev/mac: x}}
---
kind: EndpointSlice
metadata: {name: web-1, namespace: shop}
addressType: IPv4
endpoints: []
---
kind: Node
metadata: {name: n1.example.org}
---
kind: Service
metadata: {name: web.shop, namespace: shop}
";
    let (objects, problems) = read(&[("a.yaml", text)]);
    let expected = [
        "Service shop/web",
        "EndpointSlice shop/web-1",
        "Node n1.example.org",
    ];
    assert_eq!(objects, expected);
    assert_eq!(
        problems,
        [
            "a.yaml: Service shop/web: metadata.annotations[weft.dev/mac]: means nothing here and is passed over; a Service takes weft.dev/load-balancer-ip",
            "a.yaml: Service shop/web.shop: metadata.name: \"web.shop\" is not a name for Kubernetes: at most 63 lower case letters, digits and '-', a letter or digit at either end",
        ]
    );
}

#[test]
fn an_object_in_two_files_counts_once() {
    let (objects, problems) = read(&[("a.yaml", POD), ("b.yaml", POD)]);
    assert_eq!(objects, ["Pod shop/a"]);
    assert_eq!(
        problems,
        ["b.yaml: Pod shop/a: is defined in a.yaml already, which counts; remove one of them"]
    );
}

#[test]
fn names_that_are_not_for_kubernetes_are_refused() {
    let rule = "lower case letters, digits and '-', a letter or digit at either end";
    for (document, message) in [
        (
            "kind: Pod\nmetadata: {name: A_b, namespace: shop}\n",
            "Pod shop/A_b: metadata.name: \"A_b\" is not a name for Kubernetes: at most 253 lower case letters, digits, '-' and '.', a letter or digit at either end of each part"
                .to_owned(),
        ),
        (
            "kind: Pod\nmetadata: {name: a, namespace: a_b}\n",
            format!(
                "Pod a_b/a: metadata.namespace: \"a_b\" is not a name for Kubernetes: at most 63 {rule}"
            ),
        ),
        (
            "kind: Namespace\nmetadata: {name: a.b}\n",
            format!(
                "Namespace a.b: metadata.name: \"a.b\" is not a name for Kubernetes: at most 63 {rule}"
            ),
        ),
        (
            "kind: Namespace\nmetadata: {}\n",
            "Namespace: metadata.name: is missing".to_owned(),
        ),
    ] {
        let (objects, problems) = read(&[("a.yaml", document)]);
        assert_eq!(
            (objects, problems),
            (vec![], vec![format!("a.yaml: {message}")])
        );
    }
}

#[test]
fn a_slip_in_the_number_of_replicas_is_refused() {
    for replicas in ["1000000000", "-1"] {
        let (objects, problems) = read(&[("a.yaml", &deployment(replicas))]);
        assert_eq!(objects, [""; 0]);
        let message = format!("spec.replicas: {replicas} is not a number of pods from 0 to 10000");
        assert_eq!(
            problems,
            [format!("a.yaml: Deployment shop/web: {message}")]
        );
    }
}

#[test]
fn a_document_without_a_kind_and_a_file_that_cannot_be_read_are_reported() {
    let (_, problems) = read(&[("a.yaml", "metadata: {name: a}\n")]);
    assert_eq!(
        problems,
        ["a.yaml: kind: is missing in a document; write what it is, such as Pod"]
    );
    let mut manifests = Manifests::default();
    manifests.update(&Files::from([(
        Path::new("a.yaml").into(),
        Err("not UTF-8 text".to_owned()),
    )]));
    assert_eq!(
        names(&manifests).1,
        ["a.yaml: cannot be read: not UTF-8 text"]
    );
}

#[test]
fn the_field_that_is_wrong_is_named() {
    let pod = "kind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {nodeName: [n1]}\n";
    for (document, message) in [
        (
            pod.to_owned(),
            "a.yaml:3:18: Pod shop/a: spec.nodeName: expected text",
        ),
        (
            deployment("many"),
            "a.yaml:4:13: Deployment shop/web: spec.replicas: not a whole number",
        ),
        (
            format!("{POD}---\nkind: Pod\nmetadata: {{name: [b]}}\n"),
            "a.yaml:6:18: metadata.name: expected text",
        ),
    ] {
        let problems = read(&[("a.yaml", &document)]).1;
        assert_eq!(problems, [message]);
    }
}

#[test]
fn an_annotation_that_weft_does_not_know_is_told_and_the_object_counts() {
    let typo =
        "kind: Namespace\nmetadata: {name: red, annotations: {weft.dev/subnet: 10.0.0.0/24}}\n";
    let astray = POD.replace("name: a", "name: a, annotations: {weft.dev/router: red}");
    let (objects, problems) = read(&[("a.yaml", typo), ("b.yaml", &astray)]);
    assert_eq!(objects, ["Namespace red", "Pod shop/a"]);
    assert_eq!(
        problems,
        [
            "a.yaml: Namespace red: metadata.annotations[weft.dev/subnet]: means nothing here and is passed over; \
             a Namespace takes weft.dev/subnets and weft.dev/router",
            "b.yaml: Pod shop/a: metadata.annotations[weft.dev/router]: means nothing here and is passed over; \
             a Pod takes weft.dev/addresses and weft.dev/mac"
        ]
    );
}
