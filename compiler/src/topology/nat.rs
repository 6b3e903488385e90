//! Address translations of routers, and the routers that can have them: those that are on one node alone.
//!
//! A connection is known where its first packet was translated, so all of its packets have to come by there. `options:chassis` of a router
//! names that node; its pipeline is there and nowhere else.
//!
//! Must not: take a row for less than it says. What cannot be done as a row says is left undone.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use uuid::Uuid;
use weft_schema::nb;

use super::{Side, address, row};
use crate::diagnostic::Diagnostic;
use crate::engine::{Emission, Key, Member, Reader, Value};
use crate::node::NodeName;

/// A translation, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Nat {
    pub(crate) router: Uuid,
    /// What is seen outside.
    pub(crate) external: IpAddr,
    /// What is inside; of one address if destinations are translated.
    pub(crate) logical: IpNet,
    /// `snat`, `dnat_and_snat`
    pub(crate) of_sources: bool,
    /// `dnat`, `dnat_and_snat`
    pub(crate) of_destinations: bool,
}

/// The node that a row says its router is on.
pub(super) fn chassis(row: &nb::LogicalRouter) -> Option<&str> {
    let chassis = row.options.get(CHASSIS).map(String::as_str);
    chassis.filter(|chassis| !chassis.is_empty())
}

/// The node that a router is on, if it is on one alone. Whether there is such a node is another question.
pub(crate) fn residence(reader: &mut Reader<'_>, router: Uuid) -> Option<NodeName> {
    let name = reader.read(Key::Residence(router)).name();
    name.map(|name| NodeName::from(Arc::clone(name)))
}

/// As [`residence`] says it.
pub(super) fn read_residence(reader: &mut Reader<'_>, router: Uuid) -> Value {
    let row = reader.read(Key::RouterRow(router)).router_row();
    let chassis = row.and_then(|row| chassis(row)).map(Arc::from);
    chassis.map_or(Value::Absent, Value::Name)
}

/// Puts the node of a router among those of its domain.
pub(super) fn resident_node(reader: &mut Reader<'_>, router: Uuid) -> Value {
    let Some(node) = residence(reader, router) else {
        return Value::Absent;
    };
    if reader.read(Key::Node(node.clone())).is_absent() {
        let row = reader.read(Key::RouterRow(router)).router_row().cloned();
        if let Some(row) = row {
            reader.diagnose(Diagnostic {
                table: "Logical_Router",
                uuid: router,
                name: row.name.clone(),
                column: "options",
                message: format!(
                    "{CHASSIS}={node} names no node that is known; the router is nowhere until there is one"
                ),
            });
        }
        return Value::Absent;
    }
    let component = reader.read(Key::Component(router)).row().copied();
    let nodes = Key::NodesOfDomain(component.unwrap_or(router));
    reader.emit(Emission::Member(nodes, Member::Node(node)));
    Value::Flag
}

/// A message about a translation.
pub(crate) fn diagnostic(row: &nb::Nat, column: &'static str, message: String) -> Diagnostic {
    Diagnostic {
        table: "NAT",
        uuid: row.uuid,
        name: format!("{} {} {}", row.kind, row.external_ip, row.logical_ip),
        column,
        message: format!("{message}; the row is left out"),
    }
}

/// Reads a row, and claims what it translates.
pub(super) fn parse(reader: &mut Reader<'_>, nat: Uuid) -> Value {
    let Some(row) = reader.read(Key::NatRow(nat)).nat_row().cloned() else {
        return Value::Absent;
    };
    let Some(router) = reader.first_row(Key::RoutersOfNat(nat)) else {
        return Value::Absent;
    };
    let what = format!("the translation to {}", row.external_ip);
    row::listed_twice(reader, Key::RoutersOfNat(nat), "nat", &what);
    let router_row = reader.read(Key::RouterRow(router)).router_row().cloned();
    let Some(router_row) = router_row.filter(|row| row.enabled != Some(false)) else {
        return Value::Absent;
    };
    let read = read(&row, &router_row);
    let read = match read {
        Ok(read) => read,
        Err((column, message)) => {
            reader.diagnose(diagnostic(&row, column, message));
            return Value::Absent;
        }
    };
    for (side, claimed) in read.claims() {
        let claims = Key::NatClaims(router, side, claimed);
        reader.emit(Emission::Member(claims, Member::Claim(0, nat)));
    }
    Value::Nat(Arc::new(read))
}

impl Nat {
    /// What no other translation of the router may look at: of destinations what is asked for from outside, of sources who is inside.
    pub(crate) fn claims(&self) -> Vec<(Side, IpNet)> {
        let destination = (Side::Destination, IpNet::from(self.external));
        let mut claims = Vec::new();
        claims.extend(self.of_destinations.then_some(destination));
        claims.extend(self.of_sources.then_some((Side::Source, self.logical)));
        claims
    }
}

fn read(row: &nb::Nat, router: &nb::LogicalRouter) -> Result<Nat, (&'static str, String)> {
    if chassis(router).is_none() {
        let message = format!(
            "router {:?} is on every node, and only one that is on a single node translates: set its options:{CHASSIS} to a node's name (gateway ports are not served yet)",
            router.name
        );
        return Err(("external_ip", message));
    }
    let (of_sources, of_destinations) = match row.kind.as_str() {
        "snat" => (true, false),
        "dnat" => (false, true),
        "dnat_and_snat" => (true, true),
        other => {
            let message = format!("{other:?} is none of snat, dnat and dnat_and_snat");
            return Err(("type", message));
        }
    };
    let external: IpAddr = row.external_ip.parse().map_err(|_| {
        let message = format!(
            "{:?} is no address, such as 192.0.2.1 or 2001:db8::1",
            row.external_ip
        );
        ("external_ip", message)
    })?;
    let Some(logical) = address::parse_prefix(&row.logical_ip) else {
        let message = format!(
            "{:?} is neither an address nor a prefix, such as 10.0.0.0/24",
            row.logical_ip
        );
        return Err(("logical_ip", message));
    };
    for (column, address) in [("external_ip", external), ("logical_ip", logical.addr())] {
        let is_impossible = address.is_multicast() || address.is_loopback();
        let is_unspecified = address.is_unspecified() && column == "external_ip";
        if is_impossible || is_unspecified {
            return Err((column, format!("{address} can be nobody's address")));
        }
    }
    if external.is_ipv4() != logical.addr().is_ipv4() {
        let message = format!("{external} and {logical} are of different families");
        return Err(("logical_ip", message));
    }
    if of_destinations && logical.prefix_len() != logical.max_prefix_len() {
        let message = format!(
            "{logical} is a prefix, and {} is to one address; only snat takes a prefix",
            row.kind
        );
        return Err(("logical_ip", message));
    }
    if let Some(column) = unserved_column(row) {
        return Err((column, format!("{column} is not served yet")));
    }
    Ok(Nat {
        router: router.uuid,
        external,
        logical,
        of_sources,
        of_destinations,
    })
}

/// A column that narrows or changes what the row does, and is not served.
fn unserved_column(row: &nb::Nat) -> Option<&'static str> {
    let is_stateless = row.options.get("stateless").is_some_and(|v| v == "true");
    [
        (!row.external_port_range.is_empty(), "external_port_range"),
        (row.allowed_ext_ips.is_some(), "allowed_ext_ips"),
        (row.exempted_ext_ips.is_some(), "exempted_ext_ips"),
        (!row.match_expression.is_empty(), "match"),
        (is_stateless, "options"),
    ]
    .into_iter()
    .find_map(|(is_set, column)| is_set.then_some(column))
}

/// Which node a router is on: OVN's key.
const CHASSIS: &str = "chassis";
