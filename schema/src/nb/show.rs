//! The text of `ovn-nbctl show`, from typed rows.
//!
//! Format and order are the tool's (23.03), to the character; the tests compare with the real one.
//! Order: ports, addresses and NAT rules by the order of their set (UUIDs and strings ascending),
//! switches and routers in the order in which the C client library's hash table yields them
//! ([`client_order`]), which says nothing but is the same for the same rows.
//! Must not: read the database; the caller gives the rows.

mod client_order;

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use uuid::Uuid;

use super::{
    GatewayChassis, LogicalRouter, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort, Nat,
};
use crate::keys;

/// The rows that [`show`] prints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// Switches.
    pub logical_switches: Vec<LogicalSwitch>,
    /// Switch ports.
    pub logical_switch_ports: BTreeMap<Uuid, LogicalSwitchPort>,
    /// Routers.
    pub logical_routers: Vec<LogicalRouter>,
    /// Router ports.
    pub logical_router_ports: BTreeMap<Uuid, LogicalRouterPort>,
    /// Candidates of gateway ports.
    pub gateway_chassis: BTreeMap<Uuid, GatewayChassis>,
    /// NAT rules.
    pub nat: BTreeMap<Uuid, Nat>,
}

impl Shown {
    /// Names of the tables that are printed.
    pub const TABLES: &'static [&'static str] = &[
        "Logical_Switch",
        "Logical_Switch_Port",
        "Logical_Router",
        "Logical_Router_Port",
        "Gateway_Chassis",
        "NAT",
    ];

    /// Adds one row read from the database; rows of other tables are passed over.
    ///
    /// # Errors
    /// A column holds what its type does not allow.
    pub fn add(
        &mut self,
        table: &str,
        uuid: Uuid,
        row: &weft_ovsdb::Row,
    ) -> Result<(), crate::ColumnError> {
        use crate::Table as _;
        match table {
            "Logical_Switch" => self
                .logical_switches
                .push(LogicalSwitch::from_row(uuid, row)?),
            "Logical_Switch_Port" => {
                self.logical_switch_ports
                    .insert(uuid, LogicalSwitchPort::from_row(uuid, row)?);
            }
            "Logical_Router" => self
                .logical_routers
                .push(LogicalRouter::from_row(uuid, row)?),
            "Logical_Router_Port" => {
                self.logical_router_ports
                    .insert(uuid, LogicalRouterPort::from_row(uuid, row)?);
            }
            "Gateway_Chassis" => {
                self.gateway_chassis
                    .insert(uuid, GatewayChassis::from_row(uuid, row)?);
            }
            "NAT" => {
                self.nat.insert(uuid, Nat::from_row(uuid, row)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// What `ovn-nbctl show` prints for these rows.
#[must_use]
pub fn show(rows: &Shown) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = print(rows, &mut text);
    text
}

fn print(rows: &Shown, text: &mut String) -> fmt::Result {
    let switches: BTreeMap<Uuid, &LogicalSwitch> = rows
        .logical_switches
        .iter()
        .map(|switch| (switch.uuid, switch))
        .collect();
    for switch in client_order::sort(switches) {
        print_switch(rows, switch, text)?;
    }
    let routers: BTreeMap<Uuid, &LogicalRouter> = rows
        .logical_routers
        .iter()
        .map(|router| (router.uuid, router))
        .collect();
    for router in client_order::sort(routers) {
        print_router(rows, router, text)?;
    }
    Ok(())
}

fn print_switch(rows: &Shown, switch: &LogicalSwitch, text: &mut String) -> fmt::Result {
    write!(text, "switch {} ({})", switch.uuid, switch.name)?;
    print_alias(&switch.external_ids, "neutron:network_name", text)?;
    for port in ascending(&switch.ports, &rows.logical_switch_ports) {
        write!(text, "    port {}", port.name)?;
        print_alias(&port.external_ids, "neutron:port_name", text)?;
        if !port.kind.is_empty() {
            writeln!(text, "        type: {}", port.kind)?;
        }
        if let Some(parent) = &port.parent_name {
            writeln!(text, "        parent: {parent}")?;
        }
        if let Some(tag) = port.tag {
            writeln!(text, "        tag: {tag}")?;
        }
        let only_router = port.addresses.len() == 1 && port.addresses.contains("router");
        if !port.addresses.is_empty() && !only_router {
            writeln!(text, "        addresses: [{}]", quoted(&port.addresses))?;
        }
        if let Some(peer) = port.options.get(keys::ROUTER_PORT) {
            writeln!(text, "        router-port: {peer}")?;
        }
    }
    Ok(())
}

fn print_router(rows: &Shown, router: &LogicalRouter, text: &mut String) -> fmt::Result {
    write!(text, "router {} ({})", router.uuid, router.name)?;
    print_alias(&router.external_ids, "neutron:router_name", text)?;
    for port in ascending(&router.ports, &rows.logical_router_ports) {
        writeln!(text, "    port {}", port.name)?;
        writeln!(text, "        mac: \"{}\"", port.mac)?;
        if !port.networks.is_empty() {
            writeln!(text, "        networks: [{}]", quoted(&port.networks))?;
        }
        // The tool means to sort these by priority, but does not read the column.
        let candidates = ascending(&port.gateway_chassis, &rows.gateway_chassis);
        if !candidates.is_empty() {
            let names: Vec<&str> = candidates
                .iter()
                .map(|chassis| chassis.chassis_name.as_str())
                .collect();
            writeln!(text, "        gateway chassis: [{}]", names.join(" "))?;
        }
    }
    for nat in ascending(&router.nat, &rows.nat) {
        writeln!(text, "    nat {}", nat.uuid)?;
        writeln!(text, "        external ip: \"{}\"", nat.external_ip)?;
        if !nat.external_port_range.is_empty() {
            writeln!(
                text,
                "        external port(s): \"{}\"",
                nat.external_port_range
            )?;
        }
        writeln!(text, "        logical ip: \"{}\"", nat.logical_ip)?;
        writeln!(text, "        type: \"{}\"", nat.kind)?;
    }
    Ok(())
}

/// Ends a heading's line, with the name that Neutron gave the object.
fn print_alias(
    external_ids: &BTreeMap<String, String>,
    key: &str,
    text: &mut String,
) -> fmt::Result {
    match external_ids.get(key) {
        Some(alias) if !alias.is_empty() => writeln!(text, " (aka {alias})"),
        _ => writeln!(text),
    }
}

/// The rows named by a set of references, in the set's order. Dangling references are passed over.
fn ascending<'a, T>(references: &[Uuid], rows: &'a BTreeMap<Uuid, T>) -> Vec<&'a T> {
    let mut references = references.to_vec();
    references.sort_unstable();
    references
        .iter()
        .filter_map(|uuid| rows.get(uuid))
        .collect()
}

fn quoted<'a>(strings: impl IntoIterator<Item = &'a String>) -> String {
    strings
        .into_iter()
        .map(|string| format!("\"{string}\""))
        .collect::<Vec<_>>()
        .join(", ")
}
