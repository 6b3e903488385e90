//! `weft trace`: the way of a packet through the logical network, stage by stage.
//!
//! The packet is the one that the sender would send: to the MAC of the other when both are in one subnet, else to that of
//! its gateway. It runs through the compiler's own interpreter, over the flows that the compiler makes.
//!
//! Must not: know flows.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use weft_compiler::interpret::{Outlet, interpret};
use weft_e2e::probe::Probe;
use weft_expr::{Mac, Packet, Symbol};
use weft_schema::{keys, nb::LogicalSwitchPort};

use crate::{
    arguments::{Family, Trace},
    network::{self, Compiled},
    terminal,
};

/// `weft trace`.
pub(crate) async fn run(arguments: Trace) -> Result<()> {
    let compiled = network::compile(&arguments.database).await?;
    let from = compiled.port(&arguments.from)?;
    let (mac, sources) = addresses(from)?;
    let target = compiled.target(&arguments)?;
    let Some(source) = sources
        .iter()
        .copied()
        .find(|source| source.is_ipv4() == target.is_ipv4())
    else {
        bail!(
            "{} has no address of the family of {target}: its addresses are {:?}",
            from.name,
            from.addresses
        );
    };
    let Some(first_hop) = compiled.first_hop(from, source, target)? else {
        bail!(
            "{} has no neighbour and no router for {target}: its switch has no router port that covers {source}",
            from.name
        );
    };
    let packet = packet((mac, source), (first_hop, target), arguments.probe);

    let view = compiled.compiler.view();
    let Some((datapath, outlet)) = view.find_port(&from.name) else {
        bail!(
            "the compiler left {} out: weft trace --log warn says why",
            from.name
        );
    };
    let Outlet::Bound(node) = outlet else {
        bail!(
            "{} is on no node: its options:requested-chassis names none",
            from.name
        );
    };
    let outcome = interpret(&view, &node, datapath, &from.name, &packet);
    let mut text = format!(
        "{} from {} ({mac} {source}) to {target} by way of {first_hop}\n\n{}\n",
        arguments.probe, from.name, outcome.trace
    );
    match outcome.deliveries.len() {
        0 => text.push_str("dropped\n"),
        _ => {
            for delivery in &outcome.deliveries {
                let (port, node) = (&delivery.port, &delivery.node);
                let ttl = delivery.packet.get(Symbol::IpTtl);
                text.push_str(&match icmp_error(&delivery.packet) {
                    Some((kind, code)) => {
                        format!("dropped; ICMP error type {kind} code {code} to {port} on {node}\n")
                    }
                    None => format!("delivered to {port} on {node} with TTL {ttl}\n"),
                });
            }
        }
    }
    Ok(terminal::write_stdout(&text)?)
}

/// Type and code, if the packet is an ICMP error (RFC 792, RFC 4443 §2.1). No probe is one.
fn icmp_error(packet: &Packet) -> Option<(u128, u128)> {
    const ERRORS_V4: [u128; 5] = [3, 4, 5, 11, 12];
    let (v4, v6) = (packet.get(Symbol::Icmp4Type), packet.get(Symbol::Icmp6Type));
    match (packet.get(Symbol::EthType), packet.get(Symbol::IpProto)) {
        (0x0800, 1) if ERRORS_V4.contains(&v4) => Some((v4, packet.get(Symbol::Icmp4Code))),
        (0x86dd, 58) if v6 < 128 => Some((v6, packet.get(Symbol::Icmp6Code))),
        _ => None,
    }
}

impl Compiled {
    /// The port of this name, or of this pod (`namespace/name`).
    fn port(&self, name: &str) -> Result<&LogicalSwitchPort> {
        let port = self
            .ports
            .get(name)
            .or_else(|| self.ports.get(&name.replacen('/', "_", 1)));
        match port {
            Some(port) => Ok(port),
            None => bail!("no logical switch port is named {name:?}: weft show names them"),
        }
    }

    fn target(&self, arguments: &Trace) -> Result<IpAddr> {
        if let Ok(address) = arguments.to.parse() {
            return Ok(address);
        }
        let to = self.port(&arguments.to)?;
        let (_, known) = addresses(to)?;
        let wanted = known
            .iter()
            .copied()
            .find(|address| address.is_ipv4() == (arguments.family == Family::Ipv4));
        wanted.with_context(|| {
            format!(
                "{} has no such address: its addresses are {:?}; see --family",
                to.name, to.addresses
            )
        })
    }

    /// The MAC that the sender sends to.
    fn first_hop(
        &self,
        from: &LogicalSwitchPort,
        source: IpAddr,
        target: IpAddr,
    ) -> Result<Option<Mac>> {
        let Some(switch) = self
            .switches
            .iter()
            .find(|switch| switch.ports.contains(&from.uuid))
        else {
            bail!("{} belongs to no switch", from.name);
        };
        let siblings = || {
            self.ports
                .values()
                .filter(|port| switch.ports.contains(&port.uuid))
        };
        let peers = siblings()
            .filter_map(|port| self.router_ports.get(port.options.get(keys::ROUTER_PORT)?));
        let mut covering: Vec<(IpNet, Mac)> = Vec::new();
        for peer in peers {
            let mac = peer
                .mac
                .parse()
                .with_context(|| format!("router port {}: mac", peer.name))?;
            let networks = peer
                .networks
                .iter()
                .filter_map(|network| network.parse::<IpNet>().ok());
            covering.extend(
                networks
                    .filter(|network| network.contains(&source))
                    .map(|network| (network, mac)),
            );
        }
        covering.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        // A pod that holds its address as /32 asks for no neighbour: all it sends goes to the gateway.
        let own = from
            .external_ids
            .get(keys::ADDRESSES)
            .map(String::as_str)
            .unwrap_or_default();
        let own = own
            .split_whitespace()
            .filter_map(|network| network.parse::<IpNet>().ok())
            .find(|network| network.addr() == source);
        let is_alone = own.is_some_and(|own| own.prefix_len() == own.max_prefix_len());
        let neighbour = siblings().find_map(|port| {
            let (mac, known) = addresses(port).ok()?;
            known.contains(&target).then_some(mac)
        });
        let is_neighbour = covering
            .first()
            .is_none_or(|(network, _)| network.contains(&target));
        Ok(neighbour
            .filter(|_| is_neighbour && !is_alone)
            .or_else(|| covering.first().map(|(_, mac)| *mac)))
    }
}

/// MAC and addresses of the port's first element that has both.
fn addresses(port: &LogicalSwitchPort) -> Result<(Mac, Vec<IpAddr>)> {
    let read = |text: &String| {
        let mut words = text.split_whitespace();
        let mac = words.next()?.parse().ok()?;
        Some((
            mac,
            words
                .filter_map(|word| word.parse().ok())
                .collect::<Vec<IpAddr>>(),
        ))
    };
    let known = port.addresses.iter().find_map(read);
    known.with_context(|| {
        format!(
            "{} has no fixed addresses: its addresses are {:?}",
            port.name, port.addresses
        )
    })
}

fn packet(
    (mac, source): (Mac, IpAddr),
    (first_hop, target): (Mac, IpAddr),
    probe: Probe,
) -> Packet {
    let mut packet = Packet::new();
    packet.set(Symbol::EthSrc, mac);
    packet.set(Symbol::EthDst, first_hop);
    packet.set(Symbol::IpTtl, 64u8);
    let is_ipv4 = target.is_ipv4();
    let (ethernet, from, to) = match is_ipv4 {
        true => (0x0800u16, Symbol::Ip4Src, Symbol::Ip4Dst),
        false => (0x86ddu16, Symbol::Ip6Src, Symbol::Ip6Dst),
    };
    packet.set(Symbol::EthType, ethernet);
    packet.set(from, source);
    packet.set(to, target);
    let (protocol, field, value) = match (probe, is_ipv4) {
        (Probe::Icmp, true) => (1u8, Symbol::Icmp4Type, 8u16),
        (Probe::Icmp, false) => (58, Symbol::Icmp6Type, 128),
        (Probe::Tcp(port), _) => (6, Symbol::TcpDst, port),
        (Probe::Udp(port), _) => (17, Symbol::UdpDst, port),
    };
    packet.set(Symbol::IpProto, protocol);
    packet.set(field, value);
    packet
}
