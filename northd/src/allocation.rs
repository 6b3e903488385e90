//! What OVN's northd hands out for rows written by hand: `dynamic` addresses, and the VLAN tags of nested ports (ovn-nb(5), `addresses`,
//! `dynamic_addresses`, `tag_request`; `other_config` of `Logical_Switch`).
//!
//! ```text
//!   Logical_Switch (subnet, exclude_ips, ipv6_prefix, mac_only) ─┐
//!   Logical_Switch_Port, Logical_Router_Port ────────────────────┴─▶ plan ─▶ dynamic_addresses, tag
//! ```
//!
//! What was handed out stands in the rows, and is the record: it is kept as long as it fits. Everything else follows from the rows alone, port by
//! port in the order of their UUIDs, lowest address first, so that it does not matter who works it out, or when.
//!
//! Must not: do IO; know northd's own rows, which have their addresses from [`crate::index`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use uuid::Uuid;
use weft_ovsdb::{Event, MonitorTable, Operation, RowChange};
use weft_schema::nb::{LogicalRouterPort, LogicalSwitch, LogicalSwitchPort};
use weft_schema::{ColumnError, Table, keys};

mod run;
mod switch;

pub use run::{Closed, run};
use switch::Pool;

/// The rows, and what is wanted of them.
#[derive(Debug, Default)]
pub struct Allocation {
    switches: BTreeMap<Uuid, LogicalSwitch>,
    ports: BTreeMap<Uuid, LogicalSwitchPort>,
    router_ports: BTreeMap<Uuid, LogicalRouterPort>,
    /// Ports that want something, or have something that they may not want any more.
    wanting: BTreeSet<Uuid>,
}

/// What [`Allocation::plan`] found missing.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// The transaction that hands it out; empty if nothing is missing.
    pub operations: Vec<Operation>,
    /// What could not be handed out, and why.
    pub complaints: BTreeSet<String>,
}

impl Allocation {
    /// The tables and columns to watch.
    #[must_use]
    pub fn monitored() -> Vec<MonitorTable> {
        let table =
            |name: &str, columns: &[&str]| MonitorTable::new(name).columns(columns.iter().copied());
        vec![
            table(LogicalSwitch::NAME, &["name", "ports", "other_config"]),
            table(
                LogicalSwitchPort::NAME,
                &[
                    "name",
                    "type",
                    "options",
                    "parent_name",
                    "tag",
                    "tag_request",
                    "addresses",
                    "dynamic_addresses",
                ],
            ),
            table(LogicalRouterPort::NAME, &["name", "mac", "networks"]),
        ]
    }

    /// Takes note of what the database tells. A row that cannot be read counts as not being there; the controller complains about it.
    pub fn observe(&mut self, event: Event) {
        let changes = match event {
            Event::Snapshot(changes) => {
                *self = Allocation::default();
                changes
            }
            Event::Changes(changes) => changes,
            Event::Disconnected { .. } => Vec::new(),
        };
        for change in changes {
            match &*change.table {
                LogicalSwitch::NAME => store(&mut self.switches, &change),
                LogicalRouterPort::NAME => store(&mut self.router_ports, &change),
                LogicalSwitchPort::NAME => {
                    store(&mut self.ports, &change);
                    match self.ports.get(&change.uuid).is_some_and(wants) {
                        true => self.wanting.insert(change.uuid),
                        false => self.wanting.remove(&change.uuid),
                    };
                }
                _ => {}
            }
        }
    }

    /// What has to be written so that everybody has what they want.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        if self.wanting.is_empty() {
            return plan;
        }
        let mut wanted: BTreeMap<Uuid, LogicalSwitchPort> = self
            .wanting
            .iter()
            .filter_map(|uuid| Some((*uuid, self.ports.get(uuid)?.clone())))
            .collect();
        for switch in self.switches.values() {
            let its = |uuid: &&Uuid| self.wanting.contains(*uuid);
            if switch.ports.iter().any(|port| its(&port)) {
                self.hand_out_addresses(switch, &mut wanted, &mut plan.complaints);
            }
        }
        hand_out_tags(&mut wanted, &mut plan.complaints);
        for (uuid, row) in &wanted {
            if let Some(before) = self.ports.get(uuid) {
                plan.operations.extend(row.update_from(before));
            }
        }
        plan
    }

    fn hand_out_addresses(
        &self,
        switch: &LogicalSwitch,
        wanted: &mut BTreeMap<Uuid, LogicalSwitchPort>,
        complaints: &mut BTreeSet<String>,
    ) {
        let mut pool = Pool::new(switch, complaints);
        let members: BTreeSet<Uuid> = switch.ports.iter().copied().collect();
        for port in members.iter().filter_map(|uuid| self.ports.get(uuid)) {
            self.reserve(port, &mut pool);
        }
        // Those who have something keep it before anybody is given something new.
        let mut waiting = Vec::new();
        for uuid in &members {
            let Some(port) = wanted.get_mut(uuid) else {
                continue;
            };
            let Some(request) = request(port) else {
                port.dynamic_addresses = None;
                continue;
            };
            match pool.keep(&request, port.dynamic_addresses.as_deref()) {
                true => {}
                false => waiting.push((*uuid, request)),
            }
        }
        for (uuid, request) in waiting {
            let Some(port) = wanted.get_mut(&uuid) else {
                continue;
            };
            match pool.hand_out(&request, uuid) {
                Ok(addresses) => port.dynamic_addresses = addresses,
                Err(reason) => {
                    port.dynamic_addresses = None;
                    complaints.insert(format!(
                        "Logical_Switch_Port {:?} addresses: {reason}",
                        port.name
                    ));
                }
            }
        }
    }

    /// Takes what a port has by its row alone out of the pool.
    fn reserve(&self, port: &LogicalSwitchPort, pool: &mut Pool) {
        for text in port.addresses.iter().filter(|text| !is_dynamic(text)) {
            pool.take_all(text);
        }
        let peer = port.options.get(keys::ROUTER_PORT);
        if let (ROUTER, Some(peer)) = (port.kind.as_str(), peer) {
            for router_port in self.router_ports.values().filter(|row| row.name == *peer) {
                pool.take_all(&router_port.mac);
                for network in &router_port.networks {
                    pool.take_all(network.split('/').next().unwrap_or_default());
                }
            }
        }
    }
}

/// What a port asks for: the first of its `addresses` that says `dynamic`.
#[derive(Debug, Default, PartialEq)]
struct Request {
    mac: Option<String>,
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
}

fn request(port: &LogicalSwitchPort) -> Option<Request> {
    let text = port.addresses.iter().find(|text| is_dynamic(text))?;
    let mut request = Request::default();
    for word in text.split_whitespace() {
        match word.parse() {
            Ok(IpAddr::V4(address)) => request.ipv4 = Some(address),
            Ok(IpAddr::V6(address)) => request.ipv6 = Some(address),
            Err(_) if word == DYNAMIC => {}
            Err(_) => request.mac = Some(word.to_owned()),
        }
    }
    Some(request)
}

fn is_dynamic(text: &str) -> bool {
    text.split_whitespace().any(|word| word == DYNAMIC)
}

fn wants(port: &LogicalSwitchPort) -> bool {
    port.tag_request.is_some()
        // Nobody else in the same port may be given it.
        || port.tag.is_some()
        || port.dynamic_addresses.is_some()
        || port.addresses.iter().any(|text| is_dynamic(text))
}

/// A tag that was asked for, or for 0 the lowest that no other port nested in the same one has.
fn hand_out_tags(
    wanted: &mut BTreeMap<Uuid, LogicalSwitchPort>,
    complaints: &mut BTreeSet<String>,
) {
    let mut taken: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let parent = |port: &LogicalSwitchPort| port.parent_name.clone().unwrap_or_default();
    let chooses = |port: &LogicalSwitchPort| port.tag_request == Some(0);
    for port in wanted.values_mut().filter(|port| !chooses(port)) {
        if let Some(tag) = port.tag_request {
            port.tag = Some(tag);
        }
        let tags = taken.entry(parent(port)).or_default();
        tags.extend(port.tag);
    }
    let mut waiting = Vec::new();
    for (uuid, port) in wanted.iter() {
        if !chooses(port) || parent(port).is_empty() {
            continue;
        }
        let tags = taken.entry(parent(port)).or_default();
        match port.tag.is_some_and(|tag| tags.insert(tag)) {
            true => {}
            false => waiting.push(*uuid),
        }
    }
    for uuid in waiting {
        let Some(port) = wanted.get_mut(&uuid) else {
            continue;
        };
        let tags = taken.entry(parent(port)).or_default();
        port.tag = (1..=4095).find(|tag| !tags.contains(tag));
        match port.tag {
            Some(tag) => drop(tags.insert(tag)),
            None => drop(complaints.insert(format!(
                "Logical_Switch_Port {:?} tag_request: all tags of {:?} are taken",
                port.name,
                parent(port)
            ))),
        }
    }
}

fn store<T: Table>(rows: &mut BTreeMap<Uuid, T>, change: &RowChange) {
    rows.remove(&change.uuid);
    let read: Option<Result<T, ColumnError>> =
        change.row.as_ref().map(|row| T::from_row(change.uuid, row));
    if let Some(Ok(row)) = read {
        rows.insert(change.uuid, row);
    }
}

/// The addresses of a subnet that are handed out: all but the network's, the first, which is a router's by custom, and the broadcast address.
fn usable(subnet: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    subnet.hosts().skip(1)
}

const DYNAMIC: &str = "dynamic";
const ROUTER: &str = "router";

#[cfg(test)]
mod tests;
