//! The integration bridge and its tunnel port as they should be, less what is there.
//!
//! | row | what is seen to |
//! | --- | --- |
//! | `Bridge` | `fail_mode=secure`, `protocols` include OpenFlow15, `other_config:disable-in-band`, `flow_tables` |
//! | `Controller` | a listener for OpenFlow, where the nodes file says that the switch is dialled over the network |
//! | `Flow_Table` | `prefixes` of the tables that match address prefixes |
//! | `Port`, `Interface` | one Geneve tunnel port: `remote_ip=flow`, `key=flow`, `csum`, `local_ip`, `ofport_request` |
//!
//! Invariants: what is missing is made in one transaction; settings of others on the same rows are left alone.
//!
//! Must not: change the datapath type of a bridge that exists, unless the node's set-up names one: that tears all ports down.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use weft_compiler::Ofport;
use weft_ovsdb::Operation;
use weft_schema::vswitch::{Bridge, Controller, FlowTable, Interface, OpenVSwitch, Port};
use weft_schema::{RowId, Table, keys};

use super::{Configuration, Rows, encap_ip, ofport};

/// The difference, and what it was computed from.
pub(super) struct Plan {
    pub(super) operations: Vec<Operation>,
    pub(super) bridge_name: String,
    /// The bridge exists.
    pub(super) exists: bool,
    /// The tunnel port's number once it is open.
    pub(super) tunnel: Option<Ofport>,
}

pub(super) fn plan(
    rows: &Rows,
    configuration: &Configuration,
    complaints: &mut BTreeSet<String>,
) -> Plan {
    let mut plan = Plan {
        operations: Vec::new(),
        bridge_name: keys::DEFAULT_BRIDGE.to_owned(),
        exists: false,
        tunnel: None,
    };
    // ovs-vswitchd makes this row when it first starts; there is nothing to hang a bridge on before.
    let Some(open_vswitch) = rows.open_vswitch.values().next() else {
        complaints.insert(
            "the database has no Open_vSwitch row; start ovs-vswitchd on the node".to_owned(),
        );
        return plan;
    };
    if let Some(name) = open_vswitch.external_ids.get(keys::OVN_BRIDGE) {
        plan.bridge_name.clone_from(name);
    }
    let mut builder = Builder {
        rows,
        configuration,
        operations: Vec::new(),
    };
    let known = rows.bridge(&plan.bridge_name);
    plan.exists = known.is_some();
    let mut wanted = match known {
        Some(bridge) => bridge.clone(),
        None => builder.new_bridge(&plan.bridge_name),
    };
    builder.configure(&mut wanted, open_vswitch);
    builder.listen(&mut wanted, complaints);
    let local_ip = encap_ip(rows, configuration, &mut BTreeSet::new());
    let local_ip = local_ip.map(|ip| ip.to_string());
    let is_ours = |interface: &Interface| interface.name == TUNNEL_NAME;
    match known.and_then(|bridge| {
        rows.interfaces_of(bridge)
            .find(|(_, interface)| is_ours(interface))
    }) {
        Some((_, interface)) => {
            plan.tunnel = interface.ofport.and_then(ofport);
            let mut repaired = interface.clone();
            builder.configure_tunnel(&mut repaired, local_ip);
            builder.operations.extend(repaired.update_from(interface));
        }
        None => {
            let uuid = RowId::<Interface>::derived(TUNNEL_NAME).uuid();
            let mut interface = Interface {
                uuid,
                name: TUNNEL_NAME.to_owned(),
                ..Interface::default()
            };
            builder.configure_tunnel(&mut interface, local_ip);
            wanted.ports.push(builder.new_port(&interface));
        }
    }
    match known {
        Some(bridge) => builder.operations.extend(wanted.update_from(bridge)),
        None => {
            builder.operations.push(wanted.insert());
            let mut with_bridge = open_vswitch.clone();
            with_bridge.bridges.push(wanted.uuid);
            builder
                .operations
                .extend(with_bridge.update_from(open_vswitch));
        }
    }
    if !builder.operations.is_empty() {
        builder.operations.push(Operation::Comment(format!(
            "weft: configure {}",
            plan.bridge_name
        )));
    }
    plan.operations = builder.operations;
    plan
}

struct Builder<'a> {
    rows: &'a Rows,
    configuration: &'a Configuration,
    operations: Vec<Operation>,
}

impl Builder<'_> {
    fn new_bridge(&mut self, name: &str) -> Bridge {
        let uuid = RowId::<Bridge>::derived(name).uuid();
        let mut bridge = Bridge {
            uuid,
            name: name.to_owned(),
            ..Bridge::default()
        };
        // For people with ovs-ofctl, which begins with OpenFlow 1.0; weft speaks 1.5 alone.
        bridge.protocols = ["OpenFlow10", "OpenFlow13", "OpenFlow15"]
            .map(str::to_owned)
            .into();
        let others = self.rows.bridges.values();
        bridge.datapath_type =
            default_datapath_type(self.rows.open_vswitch.values().next(), others);
        let uuid = RowId::<Interface>::derived(name).uuid();
        let kind = "internal".to_owned();
        let local = Interface {
            uuid,
            name: name.to_owned(),
            kind,
            ..Interface::default()
        };
        bridge.ports.push(self.new_port(&local));
        bridge
    }

    fn new_port(&mut self, interface: &Interface) -> Uuid {
        let uuid = RowId::<Port>::derived(&interface.name).uuid();
        let port = Port {
            uuid,
            name: interface.name.clone(),
            interfaces: vec![interface.uuid],
            ..Port::default()
        };
        self.operations.push(interface.insert());
        self.operations.push(port.insert());
        uuid
    }

    fn configure(&mut self, bridge: &mut Bridge, open_vswitch: &OpenVSwitch) {
        bridge.fail_mode = Some("secure".to_owned());
        // No set means all that Open vSwitch speaks.
        if !bridge.protocols.is_empty() {
            bridge.protocols.insert("OpenFlow15".to_owned());
        }
        bridge
            .other_config
            .insert("disable-in-band".to_owned(), "true".to_owned());
        if let Some(kind) = open_vswitch.external_ids.get(DATAPATH_TYPE) {
            // "system" is the written-out form of the default.
            let same = |kind: &str| {
                if kind == "system" {
                    String::new()
                } else {
                    kind.to_owned()
                }
            };
            if same(&bridge.datapath_type) != same(kind) {
                bridge.datapath_type.clone_from(kind);
            }
        }
        if self.configuration.prefix_tables.is_empty() {
            return;
        }
        let uuid = RowId::<FlowTable>::derived(FLOW_TABLE_NAME).uuid();
        let prefixes = PREFIXES.map(str::to_owned).into();
        match self.rows.flow_tables.get(&uuid) {
            Some(known) => {
                let repaired = FlowTable {
                    prefixes,
                    ..known.clone()
                };
                self.operations.extend(repaired.update_from(known));
            }
            None => {
                let name = Some(FLOW_TABLE_NAME.to_owned());
                self.operations.push(
                    FlowTable {
                        uuid,
                        name,
                        prefixes,
                        ..FlowTable::default()
                    }
                    .insert(),
                );
            }
        }
        let tables: BTreeMap<i64, Uuid> = self
            .configuration
            .prefix_tables
            .iter()
            .map(|table| (i64::from(*table), uuid))
            .collect();
        bridge.flow_tables.extend(tables);
    }

    /// Listeners of others stay; one of them on the same port will do, if it speaks what is wanted.
    fn listen(&mut self, bridge: &mut Bridge, complaints: &mut BTreeSet<String>) {
        let wanted = self.configuration.listener.as_ref();
        let name = bridge.name.clone();
        let own_id =
            |target: &str| RowId::<Controller>::derived(&format!("{name} {target}")).uuid();
        let is_stale = |row: &Uuid| {
            self.rows.controllers.get(row).is_some_and(|known| {
                *row == own_id(&known.target)
                    && wanted.is_none_or(|listener| listener.target != known.target)
            })
        };
        let count = bridge.controller.len();
        bridge.controller.retain(|row| !is_stale(row));
        let Some(listener) = wanted else {
            return;
        };
        if bridge.controller.len() < count {
            // Open vSwitch opens new listeners before it closes old ones: on the same port that would fail. The new one
            // comes with the next transaction, once this one is seen to be done.
            return;
        }
        let known = bridge.controller.iter();
        let known = known.filter_map(|row| self.rows.controllers.get(row));
        let mut on_port = known.filter(|row| port_of(&row.target) == Some(listener.port));
        if let Some(row) = on_port.next() {
            if scheme_of(&row.target) != scheme_of(&listener.target) {
                complaints.insert(format!(
                    "bridge {name} listens on {} where {} is wanted; take that Controller row away with ovs-vsctl, or \
                     give the node another openflow address in the nodes file",
                    row.target, listener.target
                ));
            }
            return;
        }
        let row = Controller {
            uuid: own_id(&listener.target),
            target: listener.target.clone(),
            ..Controller::default()
        };
        bridge.controller.push(row.uuid);
        self.operations.push(row.insert());
    }

    fn configure_tunnel(&self, interface: &mut Interface, local_ip: Option<String>) {
        interface.kind = "geneve".to_owned();
        for (key, value) in [("remote_ip", "flow"), ("key", "flow"), ("csum", "true")] {
            interface.options.insert(key.to_owned(), value.to_owned());
        }
        // The peers accept packets from this address only, so the sender must not leave it to its routing table.
        match local_ip {
            Some(ip) => interface.options.insert("local_ip".to_owned(), ip),
            None => interface.options.remove("local_ip"),
        };
        interface.ofport_request = Some(i64::from(self.configuration.tunnel_ofport.get()));
    }
}

/// `ptcp` or `pssl` of a listener.
fn scheme_of(target: &str) -> Option<&str> {
    let (scheme, _) = target.split_once(':')?;
    ["ptcp", "pssl"].contains(&scheme).then_some(scheme)
}

/// The port of a listener.
fn port_of(target: &str) -> Option<u16> {
    scheme_of(target)?;
    target.split(':').nth(1)?.parse().ok()
}

/// Userspace where nothing else is there: where Open vSwitch offers no other, or every other bridge is in userspace.
fn default_datapath_type<'a>(
    open_vswitch: Option<&OpenVSwitch>,
    mut others: impl Iterator<Item = &'a Bridge> + Clone,
) -> String {
    let offered = open_vswitch.map(|row| &row.datapath_types);
    let no_kernel =
        offered.is_some_and(|types| types.contains("netdev") && !types.contains("system"));
    let others_in_userspace =
        others.clone().next().is_some() && others.all(|bridge| bridge.datapath_type == "netdev");
    if no_kernel || others_in_userspace {
        "netdev".to_owned()
    } else {
        String::new()
    }
}

/// The tunnel port's name; a Linux interface name has at most 15 characters.
pub(super) const TUNNEL_NAME: &str = "weft-tunnel";
const FLOW_TABLE_NAME: &str = "weft";
/// Open vSwitch 3.1 keeps tries for three fields at most, and for IPv4 only unless told.
const PREFIXES: [&str; 3] = ["ip_dst", "ip_src", "ipv6_dst"];
/// OVN's key for the integration bridge's datapath type, in `Open_vSwitch.external_ids`.
const DATAPATH_TYPE: &str = "ovn-bridge-datapath-type";
