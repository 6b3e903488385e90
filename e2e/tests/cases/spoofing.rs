//! What a pod may say about who it is: addresses before it has one, neighbour discovery, and addresses that nobody has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::ensure;
use weft_cni::link::Mac;
use weft_e2e::{probe::Family, tap::Direction};

use super::{
    l2::{PODS, lan, v4, v6},
    lab::{self, Watch, gateway},
    packet::{
        ARP, BROADCAST, IPV4, IPV6, arp, ethernet, icmpv6, multicast_mac, neighbour,
        parse_advertisement, parse_arp, solicitation, solicited_node, udp, udp_between,
    },
};

const NOBODY: Mac = Mac([0x0a, 0x58, 0xde, 0xad, 0xbe, 0xef]);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE: u8 = 1;
const TARGET: u8 = 2;

fn link_local(Mac([a, b, c, d, e, f]): Mac) -> Ipv6Addr {
    let low = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(low))
}

pub async fn what_a_host_says_before_it_has_an_address_passes() -> anyhow::Result<()> {
    lab::run(3, &lan(), async |lab| {
        let [a, b, c, d, x, y] = lab.pods(PODS).await?;
        let pings = [(&*a, &*b), (&*a, &*c), (&*a, &*d), (&*x, &*y)];
        let own = a.attached().mac;
        let (none4, none6) = (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
        let everyone = IpAddr::V4(Ipv4Addr::BROADCAST);
        let discover = |source: Mac, to: IpAddr, ports: (u16, u16)| {
            let packet = udp_between(none4.into(), to, 64, ports, b"discover");
            ethernet(source, BROADCAST, IPV4, &packet)
        };
        let all_routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
        let listener_report = icmpv6(none6.into(), all_routers.into(), 1, 143, &[0; 4]);
        let probe = |source: Mac, sha: Mac| {
            let target = Ipv4Addr::new(10, 1, 0, 210);
            ethernet(
                source,
                BROADCAST,
                ARP,
                &arp(1, sha, none4, Mac([0; 6]), target),
            )
        };
        for (what, frame, arrives) in [
            ("DHCP", discover(own, everyone, (68, 67)), 1),
            (
                "DHCP from another's MAC",
                discover(NOBODY, everyone, (68, 67)),
                0,
            ),
            ("not DHCP", discover(own, everyone, (68, 68)), 0),
            ("DHCP to one", discover(own, v4(&c)?.into(), (68, 67)), 0),
            ("a probe for duplicates", probe(own, own), 1),
            ("a probe that names another's MAC", probe(own, NOBODY), 0),
            (
                "a probe for duplicates over IPv6",
                solicitation(none6, own, "fd01::210".parse()?),
                1,
            ),
            (
                "a listener's report",
                ethernet(own, multicast_mac(all_routers), IPV6, &listener_report),
                1,
            ),
            (
                "data from no address",
                ethernet(
                    own,
                    multicast_mac(ALL_NODES),
                    IPV6,
                    &udp(none6.into(), ALL_NODES.into(), 1, 9, b"data"),
                ),
                0,
            ),
        ] {
            // Two nodes away, and on the node where another pod is too; never back to the asker.
            let watch = Watch::pods(&[&b, &c, &d, &a, &x])?;
            a.tap()?.send(&frame).await?;
            let is_it = |seen: &[u8]| seen == frame.as_slice();
            let seen = watch.after(&pings, Direction::In, is_it).await?;
            let counts: Vec<_> = seen.iter().map(Vec::len).collect();
            ensure!(
                counts == [arrives, arrives, arrives, 0, 0],
                "{what}: received {counts:?}"
            );
        }
        Ok(())
    })
    .await
}

pub async fn neighbour_discovery_may_name_ones_own_addresses_alone() -> anyhow::Result<()> {
    lab::run(3, &lan(), async |lab| {
        let [a, b, c, d, x, y] = lab.pods(PODS).await?;
        let pings = [(&*a, &*b), (&*a, &*c), (&*a, &*d), (&*x, &*y)];
        let (own, a6, b6) = (a.attached().mac, v6(&a)?, v6(&b)?);
        let IpAddr::V6(router) = gateway(&a, Family::Ipv6)? else {
            anyhow::bail!("the gateway is not IPv6")
        };
        let (own_link_local, foreign_link_local) = (link_local(own), link_local(b.attached().mac));
        let unknown: Ipv6Addr = "fd01::99".parse()?;
        let asks = |from: Ipv6Addr, options: &[(u8, Mac)]| {
            let way = (from, solicited_node(unknown));
            neighbour(own, way, SOLICITATION, unknown, options)
        };
        let tells = |from: Ipv6Addr, target: Ipv6Addr, options: &[(u8, Mac)]| {
            neighbour(own, (from, ALL_NODES), ADVERTISEMENT, target, options)
        };
        for (what, frame, arrives) in [
            ("asking", asks(a6, &[(SOURCE, own)]), 1),
            (
                "asking from link-local",
                asks(own_link_local, &[(SOURCE, own)]),
                1,
            ),
            ("asking without option", asks(a6, &[]), 1),
            ("asking from another's", asks(b6, &[(SOURCE, own)]), 0),
            (
                "asking from another's link-local",
                asks(foreign_link_local, &[(SOURCE, own)]),
                0,
            ),
            (
                "asking from the router's",
                asks(router, &[(SOURCE, own)]),
                0,
            ),
            (
                "asking with another's MAC",
                asks(a6, &[(SOURCE, NOBODY)]),
                0,
            ),
            (
                "asking with two MACs",
                asks(a6, &[(SOURCE, own), (SOURCE, NOBODY)]),
                0,
            ),
            (
                "asking with another's MAC twice",
                asks(a6, &[(SOURCE, NOBODY), (SOURCE, NOBODY)]),
                0,
            ),
            (
                "asking with another's MAC last",
                asks(a6, &[(TARGET, own), (SOURCE, NOBODY)]),
                0,
            ),
            ("telling", tells(a6, a6, &[(TARGET, own)]), 1),
            (
                "telling of link-local",
                tells(own_link_local, own_link_local, &[(TARGET, own)]),
                1,
            ),
            ("telling without option", tells(a6, a6, &[]), 1),
            ("telling of another's", tells(a6, b6, &[(TARGET, own)]), 0),
            ("telling of another's without option", tells(a6, b6, &[]), 0),
            (
                "telling of another's link-local",
                tells(a6, foreign_link_local, &[(TARGET, own)]),
                0,
            ),
            (
                "telling of the router's",
                tells(a6, router, &[(TARGET, own)]),
                0,
            ),
            (
                "telling from the router's",
                tells(router, router, &[(TARGET, own)]),
                0,
            ),
            (
                "telling of no address",
                tells(a6, Ipv6Addr::UNSPECIFIED, &[(TARGET, own)]),
                0,
            ),
            (
                "telling another's MAC",
                tells(a6, a6, &[(TARGET, NOBODY)]),
                0,
            ),
            (
                "telling two MACs",
                tells(a6, a6, &[(TARGET, own), (TARGET, NOBODY)]),
                0,
            ),
        ] {
            let watch = Watch::pods(&[&c, &d])?;
            a.tap()?.send(&frame).await?;
            let is_it = |seen: &[u8]| seen == frame.as_slice();
            let seen = watch.after(&pings, Direction::In, is_it).await?;
            let counts: Vec<_> = seen.iter().map(Vec::len).collect();
            ensure!(counts == [arrives, arrives], "{what}: received {counts:?}");
        }
        // The same over IPv4, for the router's address.
        let IpAddr::V4(router) = gateway(&a, Family::Ipv4)? else {
            anyhow::bail!("the gateway is not IPv4")
        };
        for operation in [1, 2] {
            let frame = ethernet(
                own,
                BROADCAST,
                ARP,
                &arp(operation, own, router, BROADCAST, router),
            );
            let watch = Watch::pods(&[&b, &c, &d])?;
            a.tap()?.send(&frame).await?;
            let is_it = |seen: &[u8]| seen == frame.as_slice();
            let seen = watch.after(&pings, Direction::In, is_it).await?;
            ensure!(
                seen.iter().all(Vec::is_empty),
                "ARP {operation} as the router: {seen:02x?}"
            );
        }
        Ok(())
    })
    .await
}

pub async fn an_address_that_nobody_has_is_nobodys_answer() -> anyhow::Result<()> {
    lab::run(3, &lan(), async |lab| {
        let [a, b, c, d, x, y] = lab.pods(PODS).await?;
        let pings = [(&*a, &*b), (&*a, &*c), (&*a, &*d), (&*x, &*y)];
        let (own, a4, a6) = (a.attached().mac, v4(&a)?, v6(&a)?);
        // In the subnet and held by nobody, another tenant's, and of no subnet at all.
        let targets4 = [
            Ipv4Addr::new(10, 1, 0, 200),
            v4(&x)?,
            Ipv4Addr::new(203, 0, 113, 9),
        ];
        let targets6: [Ipv6Addr; 3] = ["fd01::200".parse()?, v6(&x)?, "2001:db8::9".parse()?];
        let (asker, tenant) = (Watch::pods(&[&a])?, Watch::pods(&[&x, &y])?);
        for target in targets4 {
            let request = arp(1, own, a4, Mac([0; 6]), target);
            a.tap()?
                .send(&ethernet(own, BROADCAST, ARP, &request))
                .await?;
        }
        for target in targets6 {
            a.tap()?.send(&solicitation(a6, own, target)).await?;
        }
        let about = |frame: &[u8]| {
            parse_arp(frame).is_some_and(|(_, _, spa, _)| targets4.contains(&spa))
                || parse_advertisement(frame)
                    .is_some_and(|(_, target, _)| targets6.contains(&target))
        };
        let answers = asker.after(&pings, Direction::In, about).await?;
        ensure!(answers[0].is_empty(), "answered: {answers:02x?}");
        let of_asker = |frame: &[u8]| frame[6..12] == own.0;
        let heard = tenant.after(&[], Direction::In, of_asker).await?;
        ensure!(
            heard.iter().all(Vec::is_empty),
            "another tenant heard {heard:02x?}"
        );
        Ok(())
    })
    .await
}
