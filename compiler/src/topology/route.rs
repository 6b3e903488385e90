//! Static routes.
//!
//! Routes of one router for the same prefix, by the same side of a packet, are a group: several next hops. A route that counts on one node
//! alone (`options:weft-node`) is in no group.
//!
//! Must not: choose between routes; priorities and the location table do.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use uuid::Uuid;
use weft_schema::{keys, nb};

use super::{Fact, address, row};
use crate::diagnostic::Diagnostic;
use crate::engine::{Emission, Key, Member, Reader, Value};
use crate::node::NodeName;

/// A static route of a router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    pub(crate) router: Uuid,
    /// Which of a packet's addresses is looked at.
    pub(crate) side: Side,
    pub(crate) prefix: IpNet,
    /// `None` discards.
    pub(crate) next_hop: Option<NextHop>,
    /// The node that alone follows it; `None` for every node.
    pub(crate) node: Option<NodeName>,
}

/// Which address of a packet a route is about (ovn-nb(5), `policy`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Side {
    /// `dst-ip`, and when nothing is said.
    Destination,
    /// `src-ip`: before routes by destination that are shorter, after those that are as long.
    Source,
}

/// Where a route leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NextHop {
    pub(crate) address: IpAddr,
    /// The router port it is reached by.
    pub(crate) port: Uuid,
}

fn diagnostic(
    row: &nb::LogicalRouterStaticRoute,
    column: &'static str,
    message: String,
) -> Diagnostic {
    Diagnostic {
        table: "Logical_Router_Static_Route",
        uuid: row.uuid,
        name: String::new(),
        column,
        message,
    }
}

/// Reads a row.
pub(super) fn parse(reader: &mut Reader<'_>, route: Uuid) -> Value {
    let Some(row) = reader.read(Key::RouteRow(route)).route_row().cloned() else {
        return Value::Absent;
    };
    let Some(router) = reader.first_row(Key::RoutersOfRoute(route)) else {
        return Value::Absent;
    };
    let what = format!("the route for {}", row.ip_prefix);
    row::listed_twice(reader, Key::RoutersOfRoute(route), "static_routes", &what);
    match read(reader, &row, router) {
        Ok(read) => {
            // Neither is about a destination alone.
            if read.side == Side::Source || read.node.is_some() {
                let sources = Key::SourceRoutes(router);
                reader.emit(Emission::Member(sources, Member::Network(read.prefix)));
            }
            if read.node.is_none() {
                let group = Key::RouteGroup(router, read.side, read.prefix);
                reader.emit(Emission::Member(group, Member::Row(route)));
            }
            if let Some(hop) = &read.next_hop {
                let hops = Key::NextHops(router, hop.address);
                reader.emit(Emission::Member(hops, Member::Row(route)));
                reader.emit(Emission::Member(
                    Key::RoutedPorts(hop.port),
                    Member::Row(route),
                ));
            }
            Value::Route(Arc::new(read))
        }
        Err((column, message)) => {
            reader.diagnose(diagnostic(&row, column, message));
            Value::Absent
        }
    }
}

/// Tells what a route decides about: who is to find nodes by address must leave that to it.
///
/// A route that discards has the last word only where no route by source, or of one node, is longer: those are asked before it.
pub(super) fn decided(reader: &mut Reader<'_>, route: Uuid) -> Value {
    let Some(read) = reader.read(Key::Route(route)).route().cloned() else {
        return Value::Absent;
    };
    let router = read.router;
    let is_for_all = read.side == Side::Destination && read.node.is_none();
    let is_last_word = is_for_all && read.next_hop.is_none() && {
        let sources = reader.members(Key::SourceRoutes(router));
        !sources.iter().any(|member| {
            matches!(member, Member::Network(source)
                if source.addr().is_ipv4() == read.prefix.addr().is_ipv4()
                    && source.prefix_len() > read.prefix.prefix_len())
        })
    };
    let (prefixes, fact, prefix) = match (is_last_word, read.side) {
        (true, _) => {
            let fact = Fact::Discarded(read.prefix);
            (Key::DiscardedPrefixes(router), fact, read.prefix)
        }
        (false, Side::Destination) => {
            let fact = Fact::Static(read.prefix);
            (Key::StaticPrefixes(router), fact, read.prefix)
        }
        // Packets to anywhere may have such a source.
        (false, Side::Source) => {
            let all = everywhere(read.prefix);
            (Key::StaticPrefixes(router), Fact::Static(all), all)
        }
    };
    reader.emit(Emission::Fact(router, fact));
    reader.emit(Emission::Member(prefixes, Member::Network(prefix)));
    Value::Flag
}

/// All addresses of a prefix's family.
fn everywhere(prefix: IpNet) -> IpNet {
    match prefix {
        IpNet::V4(_) => IpNet::V4(Ipv4Net::default()),
        IpNet::V6(_) => IpNet::V6(Ipv6Net::default()),
    }
}

fn read(
    reader: &mut Reader<'_>,
    row: &nb::LogicalRouterStaticRoute,
    router: Uuid,
) -> Result<Route, (&'static str, String)> {
    let side = match row.policy.as_deref() {
        None | Some("dst-ip") => Side::Destination,
        Some("src-ip") => Side::Source,
        Some(other) => {
            return Err(("policy", format!("{other:?} is neither dst-ip nor src-ip")));
        }
    };
    if !row.route_table.is_empty() {
        let message = "route tables are not served yet; the route is left out".to_owned();
        return Err(("route_table", message));
    }
    let node = row.options.get(keys::NODE);
    let node = node.map(|node| NodeName::from(node.as_str()));
    let prefix = address::parse_prefix(&row.ip_prefix).ok_or_else(|| {
        let message = format!("{:?} is no prefix, such as 10.0.0.0/8", row.ip_prefix);
        ("ip_prefix", message)
    })?;
    if row.nexthop == "discard" {
        return Ok(Route {
            router,
            side,
            prefix,
            next_hop: None,
            node,
        });
    }
    let address: IpAddr = row.nexthop.parse().map_err(|_| {
        let message = format!(r#"{:?} is neither an address nor "discard""#, row.nexthop);
        ("nexthop", message)
    })?;
    if address.is_ipv4() != prefix.addr().is_ipv4() {
        let message = format!("{address} and {prefix} are of different families");
        return Err(("nexthop", message));
    }
    let port = port_to(reader, row, router, address)?;
    let next_hop = Some(NextHop { address, port });
    Ok(Route {
        router,
        side,
        prefix,
        next_hop,
        node,
    })
}

/// The router port in whose longest network the next hop is, or the one the row names.
fn port_to(
    reader: &mut Reader<'_>,
    row: &nb::LogicalRouterStaticRoute,
    router: Uuid,
    address: IpAddr,
) -> Result<Uuid, (&'static str, String)> {
    if let Some(name) = row.output_port.as_deref().filter(|name| !name.is_empty()) {
        let port = reader.first_row(Key::RouterPortsNamed(Arc::from(name)));
        let is_own = |port: &Uuid| reader.first_row(Key::RoutersOf(*port)) == Some(router);
        return port.filter(is_own).ok_or_else(|| {
            let message = format!("the router has no port {name:?}; the route is left out");
            ("output_port", message)
        });
    }
    let connected = reader.read(Key::ConnectedOf(router)).set().keys();
    let best = connected
        .filter_map(|member| match member {
            Member::Connected(network, port) if network.contains(&address) => Some((network, port)),
            _ => None,
        })
        .max_by_key(|(network, port)| (network.prefix_len(), **port));
    best.map(|(_, port)| *port).ok_or_else(|| {
        let message =
            format!("{address} is in no network of the router's ports; the route is left out");
        ("nexthop", message)
    })
}
