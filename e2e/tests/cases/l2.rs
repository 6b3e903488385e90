//! Within a logical switch that spans nodes: unicast, broadcast, multicast, port security, ARP, ND, duplicate detection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, bail, ensure};
use weft_cni::link::Mac;
use weft_e2e::{
    patience::scaled,
    pod::Pod,
    probe::Family,
    tap::{Direction, Tap},
};

use super::{
    lab::{self, PATIENCE, Watch, address, gateway, gateway_mac, manifests, token},
    packet::{
        ARP, BROADCAST, IPV4, IPV6, arp, contains, ethernet, fragments, geneve, kind_of,
        multicast_mac, parse_advertisement, parse_arp, parse_geneve, parse_solicitation,
        solicitation, udp,
    },
};

/// `lan` has pods on three nodes, two of them on n2; `other` is another tenant with a pod on each of two nodes.
pub fn lan() -> String {
    manifests(
        &[
            (
                "lan",
                &[("router", "lan"), ("subnets", "10.1.0.0/24,fd01::/64")],
            ),
            (
                "other",
                &[("router", "other"), ("subnets", "10.2.0.0/24,fd02::/64")],
            ),
        ],
        &[
            ("lan/a", "n1"),
            ("lan/b", "n2"),
            ("lan/c", "n2"),
            ("lan/d", "n3"),
            ("other/x", "n1"),
            ("other/y", "n2"),
        ],
    )
}

pub const PODS: [&str; 6] = ["lan/a", "lan/b", "lan/c", "lan/d", "other/x", "other/y"];

pub fn v4(pod: &Pod) -> anyhow::Result<Ipv4Addr> {
    match address(pod, Family::Ipv4)? {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => bail!("{address} is not IPv4"),
    }
}

pub fn v6(pod: &Pod) -> anyhow::Result<Ipv6Addr> {
    match address(pod, Family::Ipv6)? {
        IpAddr::V6(address) => Ok(address),
        IpAddr::V4(address) => bail!("{address} is not IPv6"),
    }
}

pub async fn a_unicast_frame_crosses_to_its_node_unchanged_and_reaches_nobody_else()
-> anyhow::Result<()> {
    lab::run(3, &lan(), async |lab| {
        let [a, b, c, d, x, y] = lab.pods(PODS).await?;
        let pings = [(&*a, &*b), (&*a, &*c), (&*a, &*d), (&*x, &*y)];
        for family in Family::ALL {
            let watch = Watch::pods(&[&b, &c, &d, &x, &y])?;
            let (token, from, to) = (token(), address(&a, family)?, address(&b, family)?);
            let frame = ethernet(
                a.attached().mac,
                b.attached().mac,
                kind_of(to),
                &udp(from, to, 9, 9, &token),
            );
            a.tap()?.send(&frame).await?;
            let seen = watch
                .after(&pings, Direction::In, |frame| contains(frame, &token))
                .await?;
            ensure!(
                seen == [vec![frame], vec![], vec![], vec![], vec![]],
                "{family}: {seen:02x?}"
            );
        }
        Ok(())
    })
    .await
}

pub async fn broadcast_and_multicast_reach_every_pod_of_the_switch_once_with_one_copy_per_node()
-> anyhow::Result<()> {
    lab::run(3, &lan(), async |lab| {
        let [a, b, c, d, x, y] = lab.pods(PODS).await?;
        let pings = [(&*a, &*b), (&*a, &*c), (&*a, &*d), (&*x, &*y)];
        let (v4, v6) = (address(&a, Family::Ipv4)?, address(&a, Family::Ipv6)?);
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x1234);
        for (destination, mac) in [
            (IpAddr::from([255, 255, 255, 255]), BROADCAST),
            (
                IpAddr::from([239, 1, 2, 3]),
                Mac([0x01, 0x00, 0x5e, 1, 2, 3]),
            ),
            (IpAddr::from(group), multicast_mac(group)),
        ] {
            let (pods, uplinks) = (
                Watch::pods(&[&a, &b, &c, &d, &x, &y])?,
                Watch::uplinks(lab)?,
            );
            let (token, from) = (token(), if destination.is_ipv4() { v4 } else { v6 });
            let frame = ethernet(
                a.attached().mac,
                mac,
                kind_of(from),
                &udp(from, destination, 3, 9, &token),
            );
            a.tap()?.send(&frame).await?;
            let received = pods.count_received(&pings, &token).await?;
            ensure!(
                received == [0, 1, 1, 1, 0, 0],
                "{destination}: received {received:?}"
            );
            let sent = uplinks
                .after(&pings, Direction::Out, |frame| contains(frame, &token))
                .await?;
            let copies: Vec<_> = sent.iter().map(Vec::len).collect();
            ensure!(
                copies == [2, 0, 0],
                "{destination}: copies on the underlay per node: {copies:?}"
            );
        }
        Ok(())
    })
    .await
}

pub async fn a_pod_cannot_send_with_an_address_that_is_not_its_own() -> anyhow::Result<()> {
    lab::run(3, &lan(), async |lab| {
        let [a, b, c, d, x, y] = lab.pods(PODS).await?;
        let pings = [(&*a, &*b), (&*a, &*c), (&*a, &*d), (&*x, &*y)];
        let (own, foreign) = (a.attached().mac, Mac([0x0a, 0x58, 0xde, 0xad, 0xbe, 0xef]));
        let (a4, a6, b4, b6, c4, c6) = (v4(&a)?, v6(&a)?, v4(&b)?, v6(&b)?, v4(&c)?, v6(&c)?);
        let to_c = |source: Mac, from: IpAddr, to: IpAddr, token: &[u8]| {
            ethernet(
                source,
                c.attached().mac,
                kind_of(to),
                &udp(from, to, 64, 9, token),
            )
        };
        // What is forged carries a token where it can; ARP and ND are told by their addresses.
        for (what, source, from, to, arrives) in [
            ("control, IPv4", own, IpAddr::V4(a4), IpAddr::V4(c4), 1),
            ("control, IPv6", own, IpAddr::V6(a6), IpAddr::V6(c6), 1),
            (
                "another's MAC",
                b.attached().mac,
                IpAddr::V4(a4),
                IpAddr::V4(c4),
                0,
            ),
            ("nobody's MAC", foreign, IpAddr::V6(a6), IpAddr::V6(c6), 0),
            (
                "a multicast MAC",
                Mac([1, 0, 0x5e, 0, 0, 1]),
                IpAddr::V4(a4),
                IpAddr::V4(c4),
                0,
            ),
            (
                "another's IPv4 address",
                own,
                IpAddr::V4(b4),
                IpAddr::V4(c4),
                0,
            ),
            (
                "nobody's IPv4 address",
                own,
                IpAddr::from([10, 1, 0, 200]),
                IpAddr::V4(c4),
                0,
            ),
            (
                "another's IPv6 address",
                own,
                IpAddr::V6(b6),
                IpAddr::V6(c6),
                0,
            ),
            (
                "a foreign link-local address",
                own,
                IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9)),
                IpAddr::V6(c6),
                0,
            ),
        ] {
            let (watch, token) = (Watch::pods(&[&c])?, token());
            a.tap()?.send(&to_c(source, from, to, &token)).await?;
            let received = watch.count_received(&pings, &token).await?;
            ensure!(
                received == [arrives],
                "{what}: {received:?} of {arrives} received"
            );
        }
        let claim = |sha: Mac, spa: Ipv4Addr| {
            ethernet(own, BROADCAST, ARP, &arp(2, sha, spa, BROADCAST, spa))
        };
        let ask = |sha: Mac, spa: Ipv4Addr| {
            ethernet(
                own,
                BROADCAST,
                ARP,
                &arp(1, sha, spa, Mac([0; 6]), Ipv4Addr::new(10, 1, 0, 201)),
            )
        };
        let mut tagged = ethernet(own, BROADCAST, 0x8100, &[0, 5, 8, 6]);
        tagged.extend(arp(1, own, a4, Mac([0; 6]), Ipv4Addr::new(10, 1, 0, 202)));
        for (what, frame, arrives) in [
            ("control, gratuitous ARP", claim(own, a4), 1),
            ("ARP reply for another's address", claim(own, b4), 0),
            (
                "ARP reply with another's MAC",
                claim(b.attached().mac, a4),
                0,
            ),
            ("ARP request from another's address", ask(own, b4), 0),
            ("ARP request with another's MAC", ask(foreign, a4), 0),
            ("a VLAN tag", tagged, 0),
            (
                "control, advertisement",
                super::packet::advertisement(a6, own, a6, own),
                1,
            ),
            (
                "advertisement of another's address",
                super::packet::advertisement(a6, own, b6, own),
                0,
            ),
            (
                "advertisement with another's MAC",
                super::packet::advertisement(a6, own, a6, foreign),
                0,
            ),
            (
                "solicitation with another's MAC",
                {
                    let mut frame =
                        solicitation(a6, foreign, Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 0x99));
                    frame[6..12].copy_from_slice(&own.0);
                    frame
                },
                0,
            ),
        ] {
            let watch = Watch::pods(&[&c])?;
            a.tap()?.send(&frame).await?;
            let seen = watch
                .after(&pings, Direction::In, |seen| seen == frame.as_slice())
                .await?;
            ensure!(
                seen[0].len() == arrives,
                "{what}: {} of {arrives} received",
                seen[0].len()
            );
        }
        Ok(())
    })
    .await
}

pub async fn a_pod_cannot_send_tunnel_packets_to_a_node() -> anyhow::Result<()> {
    lab::run(3, &lan(), async |lab| {
        let [a, b, c, d, x, y] = lab.pods(PODS).await?;
        let pings = [(&*a, &*b), (&*a, &*c), (&*a, &*d), (&*x, &*y)];
        let (own, through, from) = (a.attached().mac, gateway_mac(&a).await?, v4(&a)?);
        for node in lab.fabric.nodes() {
            let host = Tap::open(node.netns(), node.underlay_interface())?;
            for key in [1, 2, 3] {
                let (token, pods, uplinks) = (
                    token(),
                    Watch::pods(&[&b, &c, &d, &x, &y])?,
                    Watch::uplinks(lab)?,
                );
                let inner = ethernet(
                    own,
                    b.attached().mac,
                    IPV4,
                    &udp(from.into(), v4(&b)?.into(), 64, 9, &token),
                );
                let packet = geneve(from.into(), node.encapsulation(), key, &inner);
                let [first, rest] = fragments(&packet, 24);
                for mac in [through, node.underlay_mac(), BROADCAST] {
                    for packet in [&packet, &first, &rest] {
                        a.tap()?.send(&ethernet(own, mac, IPV4, packet)).await?;
                    }
                }
                // The broadcast is one to the pods of the switch, as any other. What is inside must come out nowhere.
                let inside = pods
                    .after(&pings, Direction::In, |frame| frame[..] == inner[..])
                    .await?;
                ensure!(
                    inside.iter().all(Vec::is_empty),
                    "to {} with key {key}: {inside:02x?}",
                    node.name()
                );
                // On the underlay it may be carried, in a tunnel packet of the node's; it must not be one itself.
                let is_raw =
                    |frame: &[u8]| contains(frame, &token) && frame[26..30] == from.octets();
                let outside = uplinks.after(&[], Direction::Out, is_raw).await?;
                ensure!(
                    outside.iter().all(Vec::is_empty),
                    "to {} with key {key}: {outside:02x?}",
                    node.name()
                );
                let taken = host
                    .pending()?
                    .into_iter()
                    .filter(|frame| is_raw(&frame.bytes))
                    .count();
                ensure!(
                    taken == 0,
                    "{} itself got {taken} with key {key}",
                    node.name()
                );
            }
        }
        Ok(())
    })
    .await
}

pub async fn duplicate_detection_hears_nothing_about_ones_own_address_and_the_owner_of_anothers()
-> anyhow::Result<()> {
    lab::run(3, &lan(), async |lab| {
        let [a, b, c, d, x, y] = lab.pods(PODS).await?;
        let pings = [(&*a, &*b), (&*a, &*c), (&*a, &*d), (&*x, &*y)];
        let own = a.attached().mac;
        let zero = (Mac([0; 6]), Ipv4Addr::UNSPECIFIED);
        let probe =
            |target: Ipv4Addr| ethernet(own, BROADCAST, ARP, &arp(1, own, zero.1, zero.0, target));

        // Its own address: nobody answers, but the question goes round, so that a second owner would hear it.
        let (asker, others) = (Watch::pods(&[&a])?, Watch::pods(&[&b, &c, &d])?);
        a.tap()?.send(&probe(v4(&a)?)).await?;
        a.tap()?
            .send(&solicitation(Ipv6Addr::UNSPECIFIED, own, v6(&a)?))
            .await?;
        let (a4, a6) = (v4(&a)?, v6(&a)?);
        let answers = asker
            .after(&pings, Direction::In, |frame| {
                parse_arp(frame).is_some_and(|(_, _, spa, _)| spa == a4)
                    || parse_advertisement(frame).is_some_and(|(_, target, _)| target == a6)
            })
            .await?;
        ensure!(
            answers[0].is_empty(),
            "answers about one's own address: {answers:02x?}"
        );
        let arps = |frame: &[u8]| {
            parse_arp(frame)
                .is_some_and(|(operation, sha, _, tpa)| operation == 1 && sha == own && tpa == a4)
        };
        let heard = others
            .after(&pings, Direction::In, |frame| {
                arps(frame) || parse_solicitation(frame) == Some(a6)
            })
            .await?;
        ensure!(
            heard.iter().all(|frames| frames.len() == 2),
            "the others heard {heard:02x?}"
        );

        // Another's address: its owner is named, whichever node it is on.
        for owner in [&b, &d] {
            let (tap, target) = (a.tap()?, v4(owner)?);
            tap.send(&probe(target)).await?;
            let reply = tap
                .receive(scaled(PATIENCE), |frame| {
                    parse_arp(frame)
                        .is_some_and(|(operation, _, spa, _)| operation == 2 && spa == target)
                })
                .await;
            let (_, mac, ..) = reply
                .as_deref()
                .and_then(parse_arp)
                .with_context(|| format!("no answer about {target}"))?;
            ensure!(
                mac == owner.attached().mac,
                "{target} is at {mac}, it was answered"
            );
            let target = v6(owner)?;
            tap.send(&solicitation(Ipv6Addr::UNSPECIFIED, own, target))
                .await?;
            let reply = tap
                .receive(scaled(PATIENCE), |frame| {
                    parse_advertisement(frame).is_some_and(|(_, about, _)| about == target)
                })
                .await;
            let (_, _, mac) = reply
                .as_deref()
                .and_then(parse_advertisement)
                .with_context(|| format!("no answer about {target}"))?;
            ensure!(
                mac == Some(owner.attached().mac),
                "{target} is at {mac:?}, it was answered"
            );
        }
        Ok(())
    })
    .await
}

pub async fn arp_and_nd_are_answered_without_a_packet_on_the_tunnel() -> anyhow::Result<()> {
    lab::run(3, &lan(), async |lab| {
        let [a, b, c, d, x, y] = lab.pods(PODS).await?;
        let pings = [(&*a, &*b), (&*a, &*c), (&*a, &*d), (&*x, &*y)];
        let (own, a4, a6) = (a.attached().mac, v4(&a)?, v6(&a)?);
        let uplinks = Watch::uplinks(lab)?;
        for owner in [&b, &c, &d] {
            let (tap, mac) = (a.tap()?, owner.attached().mac);
            let target = v4(owner)?;
            tap.send(&ethernet(
                own,
                BROADCAST,
                ARP,
                &arp(1, own, a4, Mac([0; 6]), target),
            ))
            .await?;
            let reply = tap
                .receive(scaled(PATIENCE), |frame| {
                    parse_arp(frame).is_some_and(|(operation, _, spa, tpa)| {
                        operation == 2 && spa == target && tpa == a4
                    })
                })
                .await;
            let reply = reply.with_context(|| format!("no answer about {target}"))?;
            ensure!(
                parse_arp(&reply).is_some_and(|(_, sha, ..)| sha == mac) && reply[..6] == own.0,
                "{reply:02x?}"
            );
            let target = v6(owner)?;
            tap.send(&solicitation(a6, own, target)).await?;
            let reply = tap
                .receive(scaled(PATIENCE), |frame| {
                    parse_advertisement(frame).is_some_and(|(_, about, _)| about == target)
                })
                .await;
            let reply = reply.with_context(|| format!("no answer about {target}"))?;
            // Solicited and override, and not a router.
            ensure!(
                parse_advertisement(&reply) == Some((0x60, target, Some(mac))),
                "{reply:02x?}"
            );
        }
        let asked = uplinks
            .after(&pings, Direction::Out, |frame| {
                let carried = parse_geneve(frame)
                    .map(|(_, carried)| carried)
                    .unwrap_or_default();
                let about_arp = parse_arp(carried)
                    .is_some_and(|(operation, sha, ..)| operation == 1 && sha == own);
                let about_nd = parse_solicitation(carried).is_some() && carried[6..12] == own.0;
                (about_arp || about_nd)
                    && [&b, &c, &d].iter().any(|owner| {
                        parse_arp(carried)
                            .is_some_and(|(.., tpa)| Ok(tpa) == v4(owner).map_err(drop))
                            || parse_solicitation(carried).map(Ok) == Some(v6(owner).map_err(drop))
                    })
            })
            .await?;
        ensure!(
            asked.iter().all(Vec::is_empty),
            "questions on the underlay: {asked:02x?}"
        );
        let _ = (IPV6, gateway(&a, Family::Ipv6)?);
        Ok(())
    })
    .await
}
