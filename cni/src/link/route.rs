//! The routes through one interface, made exactly as wanted.
//!
//! Only routes of the main table that a person or a program like this one made (protocol `static`) count; what the kernel adds for an
//! interface's own addresses is left alone.
//!
//! Must not: touch another interface's routes.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol,
    },
};

use super::Links;
use crate::{Error, error::link_error};

/// A route to a network, by a gateway that is a neighbour by declaration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The network, without host bits.
    pub to: IpNet,
    /// The gateway, of the same family.
    pub via: IpAddr,
    /// What the node's own packets have as source, of the same family.
    pub source: IpAddr,
}

impl Links {
    /// Gives an interface that is up exactly these routes. Routes that are right already are left alone.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn set_routes(&self, name: &str, wanted: &[Route]) -> Result<(), Error> {
        let index = self.index(name).await?;
        let mut missing: BTreeSet<&Route> = wanted.iter().collect();
        for message in self.static_routes(index).await? {
            let known = read(&message);
            if known.is_some_and(|known| missing.remove(&known)) {
                continue;
            }
            let deleted = self.handle.route().del(message).execute().await;
            deleted.map_err(|error| link_error("removal of a stale route", name, error))?;
        }
        for route in missing {
            let added = self.handle.route().add(write(route, index)).replace();
            let action = format!("route to {} through {}", route.to, route.via);
            added
                .execute()
                .await
                .map_err(|error| link_error(action, name, error))?;
        }
        Ok(())
    }

    async fn static_routes(&self, index: u32) -> Result<Vec<RouteMessage>, Error> {
        let queries = [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ];
        let mut routes = Vec::new();
        for query in queries {
            let all = self.handle.route().get(query).execute();
            let all: Vec<RouteMessage> = all
                .try_collect()
                .await
                .map_err(|error| link_error("list of routes", "*", error))?;
            routes.extend(all.into_iter().filter(|route| {
                let is_there = route.attributes.contains(&RouteAttribute::Oif(index));
                is_there
                    && route.header.protocol == RouteProtocol::Static
                    && route.header.table == RouteHeader::RT_TABLE_MAIN
            }));
        }
        Ok(routes)
    }
}

/// `None` for a route of another shape.
fn read(message: &RouteMessage) -> Option<Route> {
    let find = |wanted: fn(&RouteAttribute) -> Option<&RouteAddress>| {
        let address = message.attributes.iter().find_map(wanted)?;
        match address {
            RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
            RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
            _ => None,
        }
    };
    let to = find(|attribute| match attribute {
        RouteAttribute::Destination(address) => Some(address),
        _ => None,
    })?;
    let via = find(|attribute| match attribute {
        RouteAttribute::Gateway(address) => Some(address),
        _ => None,
    })?;
    let source = find(|attribute| match attribute {
        RouteAttribute::PrefSource(address) => Some(address),
        _ => None,
    })?;
    let is_on_link = message.header.flags.contains(RouteFlags::Onlink);
    let to = IpNet::new(to, message.header.destination_prefix_length).ok()?;
    is_on_link.then_some(Route { to, via, source })
}

fn write(route: &Route, index: u32) -> RouteMessage {
    let length = route.to.prefix_len();
    match (route.to.addr(), route.via, route.source) {
        (IpAddr::V4(to), IpAddr::V4(via), IpAddr::V4(source)) => {
            RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(to, length)
                .gateway(via)
                .pref_source(source)
                .output_interface(index)
                .onlink()
                .build()
        }
        (IpAddr::V6(to), IpAddr::V6(via), IpAddr::V6(source)) => {
            RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(to, length)
                .gateway(via)
                .pref_source(source)
                .output_interface(index)
                .onlink()
                .build()
        }
        // The kernel refuses it, and says so.
        _ => RouteMessage::default(),
    }
}
