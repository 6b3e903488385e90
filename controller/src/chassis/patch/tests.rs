//! Plans against rows in memory: what is made, repaired, moved and taken away, and what is said of mappings.

use super::*;

/// Rows of a node: these mappings, and bridges with the names of their ports.
#[derive(Default)]
struct World(Rows);

impl World {
    fn new(mappings: &str) -> World {
        let mut world = World::default();
        let uuid = Uuid::from_u128(1);
        let mut row = weft_schema::vswitch::OpenVSwitch {
            uuid,
            ..Default::default()
        };
        let key = keys::OVN_BRIDGE_MAPPINGS.to_owned();
        row.external_ids.insert(key, mappings.to_owned());
        world.0.open_vswitch.insert(uuid, row);
        for name in ["br-int", "br-eth1", "br-eth2"] {
            world.bridge(name, "");
        }
        world
    }

    fn bridge(&mut self, name: &str, datapath_type: &str) {
        let uuid = RowId::<Bridge>::derived(name).uuid();
        let row = Bridge {
            uuid,
            name: name.to_owned(),
            datapath_type: datapath_type.to_owned(),
            ..Bridge::default()
        };
        self.0.bridges.insert(uuid, row);
    }

    fn patch(&mut self, bridge: &str, name: &str, localnet: &str, peer: &str, ofport: i64) {
        let patch = Patch {
            localnet: &localnet.into(),
            peer: peer.to_owned(),
        };
        let mut interface = Interface {
            uuid: RowId::<Interface>::derived(name).uuid(),
            name: name.to_owned(),
            ofport: Some(ofport),
            ..Interface::default()
        };
        let mut port = Port {
            uuid: RowId::<Port>::derived(name).uuid(),
            name: name.to_owned(),
            interfaces: vec![interface.uuid],
            ..Port::default()
        };
        patch.configure(&mut port, &mut interface);
        let bridge = RowId::<Bridge>::derived(bridge).uuid();
        let bridge = self.0.bridges.get_mut(&bridge).expect("made before");
        bridge.ports.push(port.uuid);
        self.0.ports.insert(port.uuid, port);
        self.0.interfaces.insert(interface.uuid, interface);
    }

    fn pair(&mut self, bridge: &str, localnet: &str) {
        let (near, far) = (name("br-int", localnet), name(localnet, "br-int"));
        self.patch("br-int", &near, localnet, &far, 5);
        self.patch(bridge, &far, localnet, &near, 1);
    }

    /// Operations as JSON without what is the same everywhere, and the complaint.
    fn plan(&self, localnets: Option<&[(&str, &str)]>) -> (Vec<String>, Vec<String>) {
        let localnets: Option<Localnets> = localnets.map(|pairs| {
            let pairs = pairs.iter();
            pairs
                .map(|(port, of)| ((*port).into(), (*of).into()))
                .collect()
        });
        let mut complaints = BTreeSet::new();
        let operations = plan(&self.0, "br-int", localnets.as_ref(), &mut complaints);
        let texts = operations
            .iter()
            .map(|operation| operation.to_json().to_string());
        (texts.collect(), complaints.into_iter().collect())
    }
}

#[test]
fn a_pair_of_patch_ports_is_made_once_and_bears_the_key() {
    let mut world = World::new("physnet1:br-eth1,physnet2:br-eth2");
    let localnets: &[(&str, &str)] = &[("ln", "physnet1"), ("elsewhere", "physnet9")];
    let (operations, complaints) = world.plan(Some(localnets));
    assert_eq!(complaints, [""; 0]);
    let all = operations.join("\n");
    for part in [
        r#""patch-br-int-to-ln""#,
        r#""patch-ln-to-br-int""#,
        r#"["map",[["ovn-localnet-port","ln"]]]"#,
        r#"["map",[["peer","patch-ln-to-br-int"]]]"#,
        r#"["map",[["peer","patch-br-int-to-ln"]]]"#,
    ] {
        assert!(all.contains(part), "no {part} in {all}");
    }
    assert!(!all.contains("elsewhere"), "{all}");
    world.pair("br-eth1", "ln");
    assert_eq!(world.plan(Some(localnets)), (vec![], vec![]));
    let plugs = plugs(&world.0, "br-int");
    let expected = BTreeMap::from([(Arc::from("ln"), Ofport::new(5).expect("in range"))]);
    assert_eq!(plugs, expected);
}

#[test]
fn nothing_is_taken_away_before_it_is_known_what_there_is() {
    let mut world = World::new("physnet1:br-eth1");
    world.pair("br-eth1", "ln");
    // Of somebody with an integration bridge of his own, on the same bridge to the network.
    let (near, far) = ("patch-br-other-to-ln", "patch-ln-to-br-other");
    world.patch("br-eth1", far, "ln", near, 3);
    assert_eq!(world.plan(None), (vec![], vec![]));
    let (operations, _) = world.plan(Some(&[]));
    // One port of each of the two bridges, and the comment.
    assert_eq!(operations.len(), 3, "{operations:?}");
    let all = operations.join("\n");
    assert!(all.contains("delete") && !all.contains("insert"), "{all}");
}

#[test]
fn a_network_that_moves_to_another_bridge_is_disconnected_first_and_then_connected_there() {
    let mut world = World::new("physnet1:br-eth2");
    world.pair("br-eth1", "ln");
    let (operations, _) = world.plan(Some(&[("ln", "physnet1")]));
    let all = operations.join("\n");
    assert_eq!(operations.len(), 2, "{all}");
    assert!(all.contains("delete") && !all.contains("insert"), "{all}");
    let far = RowId::<Bridge>::derived("br-eth1").uuid();
    let far = world.0.bridges.get_mut(&far).expect("made before");
    let port = far.ports.pop().expect("made before");
    world.0.ports.remove(&port);
    let (operations, _) = world.plan(Some(&[("ln", "physnet1")]));
    let all = operations.join("\n");
    assert!(all.contains("insert") && !all.contains("delete"), "{all}");
    let there = RowId::<Bridge>::derived("br-eth2").uuid().to_string();
    assert!(all.contains(&there), "{all}");
}

#[test]
fn a_port_that_was_changed_by_hand_is_repaired_and_ports_of_others_are_left_alone() {
    let mut world = World::new("physnet1:br-eth1");
    world.pair("br-eth1", "ln");
    let near = RowId::<Interface>::derived("patch-br-int-to-ln").uuid();
    let interface = world.0.interfaces.get_mut(&near).expect("made before");
    interface
        .options
        .insert("peer".to_owned(), "nobody".to_owned());
    // Somebody's patch port, without the key.
    world.patch("br-eth1", "theirs", "x", "other", 9);
    let theirs = RowId::<Port>::derived("theirs").uuid();
    let theirs = world.0.ports.get_mut(&theirs).expect("made before");
    theirs.external_ids.clear();
    let (operations, _) = world.plan(Some(&[("ln", "physnet1")]));
    let all = operations.join("\n");
    assert_eq!(operations.len(), 2, "the interface, and the comment: {all}");
    assert!(
        all.contains(r#""Interface""#) && all.contains("patch-ln-to-br-int"),
        "{all}"
    );
}

#[test]
fn what_is_wrong_with_mappings_is_one_complaint_that_names_key_and_entries() {
    for (mappings, expected) in [
        ("physnet1:br-eth1,", ""),
        ("", ""),
        (
            "physnet1",
            r#""physnet1" is no NETWORK:BRIDGE, such as physnet1:br-eth1"#,
        ),
        (
            ":br-eth1",
            r#"":br-eth1" is no NETWORK:BRIDGE, such as physnet1:br-eth1"#,
        ),
        (
            "physnet1:br-eth9",
            r#""physnet1:br-eth9": there is no bridge br-eth9 (ovs-vsctl add-br br-eth9)"#,
        ),
        (
            "physnet1:br-int",
            r#""physnet1:br-int": br-int is the integration bridge"#,
        ),
        (
            "physnet1:br-eth1,physnet1:br-eth2",
            r#""physnet1:br-eth2": the network has a bridge already"#,
        ),
        (
            "physnet1:br-user",
            r#""physnet1:br-user": br-user is in datapath netdev and br-int in system, which patch ports do not join"#,
        ),
        (
            "bad, physnet1:br-eth9",
            r#""bad" is no NETWORK:BRIDGE, such as physnet1:br-eth1; "physnet1:br-eth9": there is no bridge br-eth9 (ovs-vsctl add-br br-eth9)"#,
        ),
    ] {
        let mut world = World::new(mappings);
        world.bridge("br-user", "netdev");
        let (_, complaints) = world.plan(Some(&[]));
        let expected: Vec<String> = (!expected.is_empty())
            .then(|| {
                format!(
                    "Open_vSwitch: external_ids:ovn-bridge-mappings: {expected}; localnet ports are not connected there"
                )
            })
            .into_iter()
            .collect();
        assert_eq!(complaints, expected, "{mappings}");
    }
}
