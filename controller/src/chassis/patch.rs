//! The patch ports that connect a node's integration bridge to its physical networks, as they should be, less what is there.
//!
//! ```text
//! Open_vSwitch.external_ids:ovn-bridge-mappings   physnet1:br-eth1,…
//! localnet port LN, options:network_name=physnet1
//!        ⇒  br-int [patch-br-int-to-LN] ◀──peers──▶ [patch-LN-to-br-int] br-eth1
//! ```
//!
//! Names, and the key `ovn-localnet-port` on both ports that tells them from ports of others, are ovn-controller's: a node that it left behind is
//! taken over as it is.
//!
//! Invariants: of bridges that are not the integration bridge nothing but these ports is touched; nothing is taken away before it is known which
//! localnet ports there are, and nothing is made in the transaction that takes something away (names are unique over all bridges).
//!
//! Must not: decide which localnet port a switch uses on the node; the compiler does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;
use weft_compiler::Ofport;
use weft_ovsdb::Operation;
use weft_schema::vswitch::{Bridge, Interface, Port};
use weft_schema::{RowId, Table, keys};

use super::{Rows, ofport};

/// Localnet ports of the northbound database, each with the name of its physical network.
pub type Localnets = BTreeMap<Arc<str>, Arc<str>>;

/// Which localnet ports are connected, and by which port of the integration bridge.
pub(super) fn plugs(rows: &Rows, integration: &str) -> BTreeMap<Arc<str>, Ofport> {
    let Some(bridge) = rows.bridge(integration) else {
        return BTreeMap::new();
    };
    let mut plugs = BTreeMap::new();
    for port in ports_of(rows, bridge) {
        let interface = interface_of(rows, port).filter(|interface| interface.kind == PATCH);
        if let Some(localnet) = port.external_ids.get(keys::OVN_LOCALNET_PORT)
            && let Some(ofport) = interface.and_then(|interface| interface.ofport.and_then(ofport))
        {
            plugs.insert(localnet.as_str().into(), ofport);
        }
    }
    plugs
}

/// What has to be done so that these localnet ports, and no others, are connected where the node has their network.
pub(super) fn plan(
    rows: &Rows,
    integration: &str,
    localnets: Option<&Localnets>,
    complaints: &mut BTreeSet<String>,
) -> Vec<Operation> {
    let networks = networks(rows, integration, complaints);
    let Some(localnets) = localnets.filter(|_| rows.bridge(integration).is_some()) else {
        return Vec::new();
    };
    let mut wanted: BTreeMap<(&str, String), Patch<'_>> = BTreeMap::new();
    for (localnet, network) in localnets {
        let Some(bridge) = networks.get(&**network) else {
            continue;
        };
        let (near, far) = (name(integration, localnet), name(localnet, integration));
        for (bridge, own, peer) in [(integration, &near, &far), (*bridge, &far, &near)] {
            let patch = Patch {
                localnet,
                peer: peer.clone(),
            };
            wanted.insert((bridge, own.clone()), patch);
        }
    }
    let removals = removals(rows, integration, &wanted);
    if !removals.is_empty() {
        return removals;
    }
    let mut operations = Vec::new();
    let mut by_bridge: BTreeMap<&str, Vec<(&String, &Patch<'_>)>> = BTreeMap::new();
    for ((bridge, own), patch) in &wanted {
        by_bridge.entry(bridge).or_default().push((own, patch));
    }
    for (bridge, patches) in by_bridge {
        let Some(bridge) = rows.bridge(bridge) else {
            continue;
        };
        let known: BTreeMap<&str, &Port> = ports_of(rows, bridge)
            .map(|port| (port.name.as_str(), port))
            .collect();
        let mut with_more = bridge.clone();
        for (own, patch) in patches {
            match known.get(own.as_str()) {
                Some(port) => operations.extend(patch.repair(rows, port)),
                None => {
                    let (port, insertions) = patch.insert(own);
                    with_more.ports.push(port);
                    operations.extend(insertions);
                }
            }
        }
        operations.extend(with_more.update_from(bridge));
    }
    if !operations.is_empty() {
        let comment = "weft: connect localnet ports".to_owned();
        operations.push(Operation::Comment(comment));
    }
    operations
}

struct Patch<'a> {
    localnet: &'a Arc<str>,
    peer: String,
}

impl Patch<'_> {
    fn configure(&self, port: &mut Port, interface: &mut Interface) {
        let key = keys::OVN_LOCALNET_PORT.to_owned();
        port.external_ids.insert(key, self.localnet.to_string());
        PATCH.clone_into(&mut interface.kind);
        interface
            .options
            .insert("peer".to_owned(), self.peer.clone());
    }

    fn repair(&self, rows: &Rows, known: &Port) -> Vec<Operation> {
        let Some(interface) = interface_of(rows, known) else {
            return Vec::new();
        };
        let (mut port, mut repaired) = (known.clone(), interface.clone());
        self.configure(&mut port, &mut repaired);
        let mut operations = port.update_from(known);
        operations.extend(repaired.update_from(interface));
        operations
    }

    fn insert(&self, name: &str) -> (Uuid, Vec<Operation>) {
        let mut interface = Interface {
            uuid: RowId::<Interface>::derived(name).uuid(),
            name: name.to_owned(),
            ..Interface::default()
        };
        let mut port = Port {
            uuid: RowId::<Port>::derived(name).uuid(),
            name: name.to_owned(),
            interfaces: vec![interface.uuid],
            ..Port::default()
        };
        self.configure(&mut port, &mut interface);
        (port.uuid, vec![interface.insert(), port.insert()])
    }
}

/// Takes away what bears the key and is not wanted where it is. What the names say is another integration bridge's is left alone: a machine may have
/// several.
fn removals(
    rows: &Rows,
    integration: &str,
    wanted: &BTreeMap<(&str, String), Patch<'_>>,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    for bridge in rows.bridges.values() {
        let is_stale = |port: &Uuid| {
            rows.ports.get(port).is_some_and(|port| {
                let localnet = port.external_ids.get(keys::OVN_LOCALNET_PORT);
                let is_ours = localnet.is_some_and(|localnet| {
                    [name(integration, localnet), name(localnet, integration)].contains(&port.name)
                });
                is_ours && !wanted.contains_key(&(bridge.name.as_str(), port.name.clone()))
            })
        };
        let mut without = bridge.clone();
        without.ports.retain(|port| !is_stale(port));
        operations.extend(without.update_from(bridge));
    }
    if !operations.is_empty() {
        let comment = "weft: disconnect localnet ports".to_owned();
        operations.push(Operation::Comment(comment));
    }
    operations
}

/// The physical networks that the node has, each with its bridge. What is wrong with the mappings is one complaint.
fn networks<'a>(
    rows: &'a Rows,
    integration: &str,
    complaints: &mut BTreeSet<String>,
) -> BTreeMap<&'a str, &'a str> {
    let mut networks = BTreeMap::new();
    let external_ids = rows
        .open_vswitch
        .values()
        .next()
        .map(|row| &row.external_ids);
    let Some(text) = external_ids.and_then(|ids| ids.get(keys::OVN_BRIDGE_MAPPINGS)) else {
        return networks;
    };
    let mut faults = Vec::new();
    for entry in text.split(',').map(str::trim) {
        let pair = entry.split_once(':');
        let pair = pair.map(|(network, bridge)| (network.trim(), bridge.trim()));
        let Some((network, bridge)) =
            pair.filter(|(network, bridge)| !network.is_empty() && !bridge.is_empty())
        else {
            // A comma at the end, or two, harm nobody.
            if !entry.is_empty() {
                faults.push(format!(
                    "{entry:?} is no NETWORK:BRIDGE, such as physnet1:br-eth1"
                ));
            }
            continue;
        };
        match fault(rows, integration, bridge) {
            Some(fault) => faults.push(format!("{entry:?}: {fault}")),
            None if networks.contains_key(network) => {
                faults.push(format!("{entry:?}: the network has a bridge already"));
            }
            None => drop(networks.insert(network, bridge)),
        }
    }
    if !faults.is_empty() {
        complaints.insert(format!(
            "Open_vSwitch: external_ids:{}: {}; localnet ports are not connected there",
            keys::OVN_BRIDGE_MAPPINGS,
            faults.join("; ")
        ));
    }
    networks
}

/// Why patch ports to a bridge would lead nowhere.
fn fault(rows: &Rows, integration: &str, name: &str) -> Option<String> {
    if name == integration {
        return Some(format!("{name} is the integration bridge"));
    }
    let Some(bridge) = rows.bridge(name) else {
        return Some(format!(
            "there is no bridge {name} (ovs-vsctl add-br {name})"
        ));
    };
    // "system" is the written-out form of the default.
    let kind = |bridge: &Bridge| match bridge.datapath_type.as_str() {
        "" => "system".to_owned(),
        kind => kind.to_owned(),
    };
    let (here, there) = (kind(rows.bridge(integration)?), kind(bridge));
    (here != there).then(|| {
        format!(
            "{name} is in datapath {there} and {integration} in {here}, which patch ports do not join"
        )
    })
}

fn name(from: &str, to: &str) -> String {
    format!("patch-{from}-to-{to}")
}

fn ports_of<'a>(rows: &'a Rows, bridge: &'a Bridge) -> impl Iterator<Item = &'a Port> {
    bridge.ports.iter().filter_map(|port| rows.ports.get(port))
}

fn interface_of<'a>(rows: &'a Rows, port: &Port) -> Option<&'a Interface> {
    rows.interfaces.get(port.interfaces.first()?)
}

const PATCH: &str = "patch";

#[cfg(test)]
mod tests;
