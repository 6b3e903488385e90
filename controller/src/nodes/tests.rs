//! What a nodes file may say, and what becomes of one that says something else.
//!
//! Must not: wait by time; the watcher's tests await the published value.

use super::*;

fn parse_text(text: &str) -> Result<Nodes, String> {
    parse(Path::new("nodes.yaml"), text).map_err(|error| error.to_string())
}

#[test]
fn a_node_needs_a_name_and_an_ovsdb_address_and_derives_the_rest() {
    let nodes = parse_text(
        "nodes:\n- {name: n1, ovsdb: 'unix:/run/n1/db.sock'}\n- {name: n2, ovsdb: 'tcp:[2001:db8::2]:6640', encapIp: 192.0.2.2}\n\
         - {name: n3, ovsdb: 'tcp:host:6640', openflow: 'tcp:host:7000'}\n- {name: n4, ovsdb: 'ssl:192.0.2.4:6640'}\n\
         - {name: A_1, ovsdb: 'unix:/x'}\n",
    )
    .unwrap();
    let of = |name: &str| nodes[&NodeName::from(name)].openflow("br-int").to_string();
    assert_eq!(of("n1"), "unix:/run/n1/br-int.mgmt");
    assert_eq!(of("n2"), "tcp:[2001:db8::2]:6653");
    assert_eq!(of("n3"), "tcp:host:7000");
    assert_eq!(of("n4"), "ssl:192.0.2.4:6653");
    let listens = |name: &str| nodes[&NodeName::from(name)].listener();
    assert_eq!(listens("n1"), None);
    let target = |name: &str| listens(name).map(|listener| listener.target);
    assert_eq!(target("n2").as_deref(), Some("ptcp:6653:[2001:db8::2]"));
    assert_eq!(target("n3").as_deref(), Some("ptcp:7000"));
    assert_eq!(target("n4").as_deref(), Some("pssl:6653:192.0.2.4"));
    assert_eq!(
        nodes[&NodeName::from("n2")].encap_ip,
        Some("192.0.2.2".parse().unwrap())
    );
    assert_eq!(nodes[&NodeName::from("n1")].encap_ip, None);
}

#[test]
fn an_empty_file_names_no_nodes() {
    assert!(parse_text("").unwrap().is_empty());
    assert!(parse_text("# none yet\n").unwrap().is_empty());
    assert!(parse_text("nodes: []\n").unwrap().is_empty());
}

#[test]
fn a_complaint_names_the_file_the_node_and_the_field() {
    for (text, expected) in [
        (
            "nodes: [{name: a, ovsdb: 'tls:x:1'}]",
            "nodes.yaml:1: nodes[0] \"a\": ovsdb: \"tls:x:1\" is no remote",
        ),
        (
            "nodes: [{name: A_1, ovsdb: 'ssl:x:1'}]",
            "nodes.yaml:1: nodes[0] \"A_1\": name: \"A_1\" cannot be the name in a certificate",
        ),
        (
            "nodes: [{name: A_1, ovsdb: 'unix:/x', openflow: 'ssl:x:1'}]",
            "name: \"A_1\" cannot be the name in a certificate",
        ),
        (
            "nodes: [{name: a, ovsdb: 'tcp:h:x'}]",
            "nodes.yaml:1: nodes[0] \"a\": ovsdb: \"tcp:h:x\" has no port from 1",
        ),
        (
            "nodes: [{name: a, ovsdb: 'tcp:h:0'}]",
            "\"tcp:h:0\" has no port from 1",
        ),
        ("nodes: [{name: a, ovsdb: 'unix:'}]", "write unix:PATH"),
        ("nodes: [{name: a, ovsdb: 'tcp:6640'}]", "has no port"),
        ("nodes: [{name: '', ovsdb: 'unix:/x'}]", "name: is empty"),
        (
            "nodes: [{name: a, ovsdb: 'unix:/x', encapIp: here}]",
            "encapIp: \"here\" is no IP address",
        ),
        (
            "nodes: [{name: a, ovsdb: 'unix:/x', openflow: x}]",
            "openflow: \"x\" is no remote",
        ),
        (
            "nodes: [{name: a, ovsdb: 'unix:/x'}, {name: a, ovsdb: 'unix:/y'}]",
            "nodes[1] \"a\": name: is used twice",
        ),
        (
            "nodes:\n- name: a\n  ovsdb: unix:/x\n- name: b\n  ovsdb: unix:/x\n",
            "nodes.yaml:5: nodes[1] \"b\": ovsdb: is that of node \"a\"",
        ),
        (
            "nodes:\n- {name: a, ovsdb: 'unix:/x', encapIp: 192.0.2.1}\n- {name: b, ovsdb: 'unix:/y', encapIp: 192.0.2.1}\n",
            "nodes.yaml:3: nodes[1] \"b\": encapIp: is that of node \"a\"",
        ),
        (
            "nodes:\n- name: a\n  ovsdb: unix:/x\n  encapIp: 192.0.2.300\n",
            "nodes.yaml:4: nodes[0] \"a\": encapIp: \"192.0.2.300\"",
        ),
        ("nodes:\n- name: a\n", "nodes.yaml:2: "),
        ("nodes:\n- name: a\n", "`ovsdb`"),
        (
            "nodes:\n- name: a\n  ovsdb: unix:/x\n  colour: red\n",
            "nodes.yaml:4: ",
        ),
        (
            "nodes:\n- name: a\n  ovsdb: unix:/x\n  colour: red\n",
            "`colour`",
        ),
        ("nodes:\n- name: a\n  ovsdb: [unix:/x]\n", "nodes.yaml:3: "),
        ("nodes:\n- name: [\n", "nodes.yaml:"),
    ] {
        let error = parse_text(text).unwrap_err();
        assert!(
            error.contains(expected),
            "{text}\n  said {error}\n  not  {expected}"
        );
    }
}

#[tokio::test]
async fn a_changed_file_is_published_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nodes.yaml");
    let write = |text: &str| {
        // As editors and ConfigMap mounts do: a new file takes the old one's place.
        let next = directory.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, &path).unwrap();
    };
    write("nodes: [{name: a, ovsdb: 'unix:/a'}]");
    let mut nodes = watch(&path).unwrap();
    assert_eq!(nodes.borrow_and_update().len(), 1);
    write("nodes: [{name: a, ovsdb: 'unix:/a'}");
    write("nodes: [{name: a, ovsdb: 'unix:/a'}, {name: b, ovsdb: 'unix:/b'}]");
    let names = |nodes: &Nodes| nodes.keys().map(ToString::to_string).collect::<Vec<_>>();
    let seen = tokio::time::timeout(
        Duration::from_secs(10),
        nodes.wait_for(|nodes| nodes.len() == 2),
    )
    .await;
    assert_eq!(
        names(&seen.expect("the change was not seen").unwrap()),
        ["a", "b"]
    );
}
