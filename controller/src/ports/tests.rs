//! Claims against terms, said with data.
//!
//! Must not: touch a database.

use super::*;

fn row(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn claim(port: &str, interface: &str, ofport: u16) -> Claim {
    Claim {
        iface_id: port.into(),
        version: None,
        interface: interface.into(),
        ofport: Ofport::new(ofport).expect("a good port number"),
    }
}

fn node(name: &str) -> NodeName {
    NodeName::from(name)
}

fn show(decisions: &Decisions) -> Vec<String> {
    let bindings = decisions.bindings.iter().map(|(port, bound)| match bound {
        Some(bound) => format!(
            "{port} -> {} {} {}",
            bound.node,
            bound.interface,
            bound.ofport.get()
        ),
        None => format!("{port} -> nobody"),
    });
    bindings
        .chain(decisions.refusals.iter().map(ToString::to_string))
        .collect()
}

#[test]
fn a_claimed_port_is_bound_once_both_sides_are_there_in_either_order() {
    for terms_first in [true, false] {
        let mut ports = Ports::default();
        let claims = BTreeMap::from([(row(1), claim("p", "veth0", 5))]);
        if terms_first {
            ports.set_terms(&"p".into(), Some(Terms::default()));
            assert!(show(&ports.settle()).is_empty());
            ports.set_claims(&node("n1"), &claims);
        } else {
            ports.set_claims(&node("n1"), &claims);
            assert!(show(&ports.settle()).is_empty());
            ports.set_terms(&"p".into(), Some(Terms::default()));
        }
        assert_eq!(show(&ports.settle()), ["p -> n1 veth0 5"]);
        ports.set_claims(
            &node("n1"),
            &BTreeMap::from([(row(1), claim("p", "veth0", 7))]),
        );
        assert_eq!(
            show(&ports.settle()),
            ["p -> n1 veth0 7"],
            "a new port number is followed"
        );
        ports.set_claims(
            &node("n1"),
            &BTreeMap::from([(row(1), claim("p", "eth9", 7))]),
        );
        assert_eq!(
            show(&ports.settle()),
            ["p -> n1 eth9 7"],
            "a new name is followed"
        );
        ports.set_claims(&node("n1"), &BTreeMap::new());
        assert_eq!(show(&ports.settle()), ["p -> nobody"]);
    }
}

#[test]
fn a_second_claim_is_refused_once_with_both_names_and_granted_when_the_first_ends() {
    let mut ports = Ports::default();
    ports.set_terms(&"p".into(), Some(Terms::default()));
    ports.set_claims(
        &node("n2"),
        &BTreeMap::from([(row(2), claim("p", "veth2", 2))]),
    );
    assert_eq!(show(&ports.settle()), ["p -> n2 veth2 2"]);
    ports.set_claims(
        &node("n1"),
        &BTreeMap::from([(row(1), claim("p", "veth1", 1))]),
    );
    let refusal = "interface veth1 of node n1 claims port p, which interface veth2 of node n2 holds; delete one of the two";
    assert_eq!(show(&ports.settle()), [refusal]);
    ports.set_claims(
        &node("n1"),
        &BTreeMap::from([(row(1), claim("p", "veth1", 3))]),
    );
    assert!(
        show(&ports.settle()).is_empty(),
        "the same refusal is not said again"
    );
    ports.set_claims(&node("n2"), &BTreeMap::new());
    assert_eq!(show(&ports.settle()), ["p -> n1 veth1 3"]);
}

#[test]
fn two_interfaces_of_one_node_cannot_share_a_port() {
    let mut ports = Ports::default();
    ports.set_terms(&"p".into(), Some(Terms::default()));
    let both = BTreeMap::from([(row(1), claim("p", "a", 1)), (row(2), claim("p", "b", 2))]);
    ports.set_claims(&node("n1"), &both);
    assert_eq!(
        show(&ports.settle()),
        [
            "p -> n1 a 1",
            "interface b of node n1 claims port p, which interface a of node n1 holds; delete one of the two"
        ]
    );
}

#[test]
fn requested_chassis_lets_no_other_node_claim_even_when_it_comes_first() {
    let mut ports = Ports::default();
    ports.set_terms(
        &"p".into(),
        Some(Terms {
            requested_chassis: Some("n2".into()),
            version: None,
        }),
    );
    ports.set_claims(
        &node("n1"),
        &BTreeMap::from([(row(1), claim("p", "veth1", 1))]),
    );
    let refusal = "interface veth1 of node n1 claims port p, which options:requested-chassis gives to n2 alone";
    assert_eq!(show(&ports.settle()), [refusal]);
    ports.set_claims(
        &node("n2"),
        &BTreeMap::from([(row(2), claim("p", "veth2", 2))]),
    );
    assert_eq!(show(&ports.settle()), ["p -> n2 veth2 2"]);
    ports.set_terms(
        &"p".into(),
        Some(Terms {
            requested_chassis: Some("n1".into()),
            version: None,
        }),
    );
    assert_eq!(
        show(&ports.settle()),
        [
            "p -> n1 veth1 1",
            "interface veth2 of node n2 claims port p, which options:requested-chassis gives to n1 alone"
        ]
    );
}

#[test]
fn an_interface_of_another_incarnation_is_not_bound() {
    let mut ports = Ports::default();
    ports.set_terms(
        &"p".into(),
        Some(Terms {
            requested_chassis: None,
            version: Some("uid-2".into()),
        }),
    );
    let mut old = claim("p", "veth1", 1);
    ports.set_claims(&node("n1"), &BTreeMap::from([(row(1), old.clone())]));
    assert!(show(&ports.settle())[0].contains("has no external_ids:iface-id-ver"));
    old.version = Some("uid-1".into());
    let mut new = claim("p", "veth2", 2);
    new.version = Some("uid-2".into());
    ports.set_claims(&node("n1"), &BTreeMap::from([(row(1), old), (row(2), new)]));
    let shown = show(&ports.settle());
    assert_eq!(shown[0], "p -> n1 veth2 2");
    assert!(
        shown[1].contains("gives to uid-2 alone; the interface is uid-1"),
        "{shown:?}"
    );
}

#[test]
fn a_deleted_port_is_let_go_and_its_refusals_are_forgotten() {
    let mut ports = Ports::default();
    ports.set_terms(&"p".into(), Some(Terms::default()));
    ports.set_claims(&node("n1"), &BTreeMap::from([(row(1), claim("p", "a", 1))]));
    ports.settle();
    ports.set_terms(&"p".into(), None);
    assert_eq!(show(&ports.settle()), ["p -> nobody"]);
    assert_eq!(ports.bindings().count(), 0);
}
