//! Ports whose MAC and addresses follow from one number are served by computed flows: the network does what it does without these.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use weft_compiler::Options;
use weft_compiler::interpret::{Outcome, Outlet, interpret};
use weft_expr::{Mac, Packet, Symbol};

use crate::network::Network;
use crate::plain::{
    Port, Probe, Shape, build, fewer_cases, ipv4, ipv6, link_local, packet, port_mac, probe,
    router_mac, shape,
};

/// What is different of a port's row.
#[derive(Clone, Copy, Debug)]
enum Twist {
    Not,
    OnlyIpv4,
    OnlyIpv6,
    /// Held to less than its addresses.
    HeldToIpv4,
    /// Held to a network.
    HeldToNetwork,
    /// A second MAC.
    TwoMacs,
    /// Its own IPv6 address twice: one with another prefix.
    TwoPrefixes,
}

/// What is different of a packet.
#[derive(Clone, Copy, Debug)]
enum Lie {
    Not,
    /// The sender's MAC in ARP and ND.
    Inside,
    /// A request becomes an answer: of the target, or of the sender's own address.
    Advertises,
    AdvertisesItself,
    AdvertisesItsLinkLocal,
    /// Without MAC.
    AdvertisesBarely,
    Bare,
    /// The source, of IP and of ND.
    FromLinkLocal,
    FromOthersLinkLocal,
    FromNowhere,
    /// What is asked or sent to.
    ToLinkLocal,
    ToOthersLinkLocal,
    ToItself,
    /// An IPv6 address that ends like another's.
    ToAnotherPrefix,
    FromAnotherPrefix,
    /// Straight to a port's MAC.
    Directly,
    ByMulticast,
}

const TWISTS: [Twist; 7] = [
    Twist::Not,
    Twist::OnlyIpv4,
    Twist::OnlyIpv6,
    Twist::HeldToIpv4,
    Twist::HeldToNetwork,
    Twist::TwoMacs,
    Twist::TwoPrefixes,
];

const LIES: [Lie; 17] = [
    Lie::Not,
    Lie::Inside,
    Lie::Advertises,
    Lie::AdvertisesItself,
    Lie::AdvertisesItsLinkLocal,
    Lie::AdvertisesBarely,
    Lie::Bare,
    Lie::FromLinkLocal,
    Lie::FromOthersLinkLocal,
    Lie::FromNowhere,
    Lie::ToLinkLocal,
    Lie::ToOthersLinkLocal,
    Lie::ToItself,
    Lie::ToAnotherPrefix,
    Lie::FromAnotherPrefix,
    Lie::Directly,
    Lie::ByMulticast,
];

/// Ends like that of the port with this host number.
fn elsewhere(switch: u8, host: u8) -> std::net::Ipv6Addr {
    let low = ipv6(switch, host).to_bits() & 0xffff_ffff;
    std::net::Ipv6Addr::from_bits((0xfd99 << 112) | low)
}

fn twisted(shape: &Shape, twists: &[Twist]) -> Network {
    let mut network = build(shape);
    for (index, ((switch, host, ..), twist)) in (1..).zip(shape.ports.iter().zip(twists)) {
        let name = format!("p{index}");
        let row = network.ports.values_mut().find(|row| row.name == name);
        let row = row.expect("every port is there");
        let (mac, four, six) = (
            port_mac(*switch, *host),
            ipv4(*switch, *host),
            ipv6(*switch, *host),
        );
        let one = |text: String| BTreeSet::from([text]);
        let is_held = !row.port_security.is_empty();
        let all = row.addresses.clone();
        (row.addresses, row.port_security) = match twist {
            Twist::Not => continue,
            Twist::OnlyIpv4 => (one(format!("{mac} {four}")), one(format!("{mac} {four}"))),
            Twist::OnlyIpv6 => (one(format!("{mac} {six}")), one(format!("{mac} {six}"))),
            Twist::HeldToIpv4 => (all, one(format!("{mac} {four}"))),
            Twist::HeldToNetwork => (all, one(format!("{mac} {four}/29 {six}"))),
            Twist::TwoMacs => {
                let other = Mac([0x0a, 0x58, 10, *switch, 1, *host]);
                let mut both = all;
                both.insert(format!("{other} 10.{switch}.1.{host}"));
                (both.clone(), both)
            }
            Twist::TwoPrefixes => {
                let text = format!("{mac} {four} {six} {}", elsewhere(*switch, *host));
                (one(text.clone()), one(text))
            }
        };
        if !is_held {
            row.port_security.clear();
        }
    }
    network
}

fn lying(probe: &Probe, lie: Lie, other: Port, ports: &[Port]) -> (usize, Packet) {
    let (index, mut packet) = packet(probe, ports);
    let (own, foreign) = (
        port_mac(ports[index].0, ports[index].1),
        port_mac(other.0, other.1),
    );
    let is_arp = packet.get(Symbol::EthType) == 0x806;
    let is_ipv6 = packet.get(Symbol::EthType) == 0x86dd;
    let is_nd = packet.get(Symbol::Icmp6Type) == 135;
    let advertises = |packet: &mut Packet, target: Option<std::net::Ipv6Addr>, mac: Mac| {
        if is_arp {
            packet.set(Symbol::ArpOp, 2u8);
        }
        if is_nd {
            packet.set(Symbol::Icmp6Type, 136u8);
            packet.set(Symbol::NdSll, 0u8);
            packet.set(Symbol::NdTll, mac);
            packet.set(Symbol::NdOptionsType, 2u8);
            if let Some(target) = target {
                packet.set(Symbol::NdTarget, target);
            }
        }
    };
    let own6 = ipv6(ports[index].0, ports[index].1);
    match lie {
        Lie::Not => {}
        Lie::Inside if is_arp => packet.set(Symbol::ArpSha, foreign),
        Lie::Inside if is_nd => packet.set(Symbol::NdSll, foreign),
        Lie::Advertises => advertises(&mut packet, None, own),
        Lie::AdvertisesItself => advertises(&mut packet, Some(own6), own),
        Lie::AdvertisesItsLinkLocal => advertises(&mut packet, Some(link_local(own)), own),
        Lie::AdvertisesBarely => advertises(&mut packet, Some(own6), Mac::default()),
        Lie::Bare if is_nd => packet.set(Symbol::NdSll, 0u8),
        Lie::FromLinkLocal if is_ipv6 => packet.set(Symbol::Ip6Src, link_local(own)),
        Lie::FromOthersLinkLocal if is_ipv6 => packet.set(Symbol::Ip6Src, link_local(foreign)),
        Lie::FromNowhere if is_ipv6 => packet.set(Symbol::Ip6Src, 0u8),
        Lie::FromNowhere if is_arp => packet.set(Symbol::ArpSpa, 0u8),
        Lie::FromNowhere => packet.set(Symbol::Ip4Src, 0u8),
        Lie::ToLinkLocal if is_nd => packet.set(Symbol::NdTarget, link_local(own)),
        Lie::ToOthersLinkLocal if is_nd => packet.set(Symbol::NdTarget, link_local(foreign)),
        Lie::ToOthersLinkLocal if is_ipv6 => {
            packet.set(Symbol::Ip6Dst, link_local(foreign));
            packet.set(Symbol::EthDst, foreign);
        }
        Lie::ToItself if is_arp => {
            packet.set(Symbol::ArpTpa, ipv4(ports[index].0, ports[index].1));
        }
        Lie::ToItself if is_nd => packet.set(Symbol::NdTarget, own6),
        Lie::ToAnotherPrefix if is_nd => {
            packet.set(Symbol::NdTarget, elsewhere(other.0, other.1));
        }
        Lie::ToAnotherPrefix if is_ipv6 => {
            packet.set(Symbol::Ip6Dst, elsewhere(other.0, other.1));
            packet.set(Symbol::EthDst, foreign);
        }
        Lie::FromAnotherPrefix if is_ipv6 => {
            packet.set(Symbol::Ip6Src, elsewhere(ports[index].0, ports[index].1));
        }
        Lie::Directly => packet.set(Symbol::EthDst, foreign),
        Lie::ByMulticast => packet.set(Symbol::EthDst, Mac::BROADCAST),
        _ => packet.set(Symbol::EthDst, router_mac(ports[index].0)),
    }
    (index, packet)
}

/// Whether all that came of a request is the answer that derived ports have.
pub fn is_answer(outcome: &Outcome, request: &Packet, asker: &str) -> bool {
    let mut deliveries = outcome.deliveries.iter();
    let (Some(answer), None) = (deliveries.next(), deliveries.next()) else {
        return false;
    };
    let mac = 0x0a58 << 32 | request.get(Symbol::ArpTpa);
    &*answer.port == asker
        && request.get(Symbol::ArpOp) == 1
        && answer.packet.get(Symbol::ArpOp) == 2
        && answer.packet.get(Symbol::ArpSha) == mac
        && answer.packet.get(Symbol::EthSrc) == mac
        && answer.packet.get(Symbol::EthDst) == request.get(Symbol::EthSrc)
        && answer.packet.get(Symbol::ArpTha) == request.get(Symbol::ArpSha)
        && answer.packet.get(Symbol::ArpTpa) == request.get(Symbol::ArpSpa)
        && answer.packet.get(Symbol::ArpSpa) == request.get(Symbol::ArpTpa)
}

proptest! {
    #![proptest_config(fewer_cases())]

    #[test]
    fn derived_ports_are_served_as_others_are(
        shape in shape(),
        twists in prop::collection::vec(select(TWISTS.as_slice()), 14),
        plain_path in any::<bool>(),
        probes in prop::collection::vec((probe(), select(LIES.as_slice()), any::<prop::sample::Index>()), 1..60),
    ) {
        let network = twisted(&shape, &twists);
        let compile = |derived_ports| {
            network.compile_with(Options { plain_path, derived_ports, ..Options::default() }).0
        };
        let (derived, usual) = (compile(true), compile(false));
        let (derived, usual) = (derived.view(), usual.view());
        for (probe, lie, other) in &probes {
            let (index, packet) = lying(probe, *lie, *other.get(&shape.ports), &shape.ports);
            let name = format!("p{}", index + 1);
            let Some((datapath, Outlet::Bound(node))) = derived.find_port(&name) else { continue };
            let one = interpret(&derived, &node, datapath, &name, &packet);
            let two = interpret(&usual, &node, datapath, &name, &packet);
            prop_assert!(!one.is_cut && !two.is_cut);
            if is_answer(&one, &packet, &name) && !is_answer(&two, &packet, &name) {
                // With the MAC, which is wanted on more nodes, goes the answer. Otherwise the request goes to the owner, who says the same.
                let owner = shape.ports.iter().zip(&twists).zip(1..).find(|((port, _), _)| {
                    u128::from(ipv4(port.0, port.1).to_bits()) == packet.get(Symbol::ArpTpa)
                });
                let ((port, twist), number) = owner.expect("who is answered for is there");
                prop_assert!(port.0 == shape.ports[index].0 && number != index + 1, "{}", one.trace);
                prop_assert!(!matches!(twist, Twist::OnlyIpv6), "{}", one.trace);
                continue;
            }
            prop_assert_eq!(
                &one.deliveries, &two.deliveries,
                "{:?} {:?} from {} on {}\nderived:\n{}\nusual:\n{}", lie, packet, name, node, one.trace, two.trace
            );
        }
    }
}
