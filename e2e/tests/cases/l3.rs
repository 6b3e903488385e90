//! Between logical switches: routing, TTL, the router's own answers, packets without a route, packet size.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::{Context, ensure};
use weft_e2e::{fabric::FabricConfig, patience::scaled, pod::Pod, probe::Family, tap::Direction};

use super::{
    lab::{self, PATIENCE, Watch, address, gateway, gateway_mac, manifests, token},
    packet::{
        contains, echo_request, ethernet, is_echo_reply, kind_of, parse_advertisement,
        solicitation, ttl, udp,
    },
};

/// Node-major switches, and a switch that spans nodes, all on the cluster's router.
fn cluster() -> String {
    manifests(
        &[
            ("shop", &[]),
            ("office", &[]),
            ("lan", &[("subnets", "10.1.0.0/24,fd01::/64")]),
        ],
        &[
            ("shop/a", "n1"),
            ("shop/b", "n2"),
            ("office/c", "n1"),
            ("office/d", "n2"),
            ("lan/e", "n1"),
            ("lan/f", "n2"),
        ],
    )
}

const PODS: [&str; 6] = ["shop/a", "shop/b", "office/c", "office/d", "lan/e", "lan/f"];

pub async fn a_router_takes_one_from_the_ttl_and_drops_what_has_none_left() -> anyhow::Result<()> {
    lab::run(2, &cluster(), async |lab| {
        let pods = lab.pods(PODS).await?;
        let [a, b, c, d, e, f] = &pods;
        for from in [a, e] {
            let through = gateway_mac(from).await?;
            for to in [b, c, d, if from.name() == e.name() { a } else { f }] {
                for family in Family::ALL {
                    let (source, target) = (address(from, family)?, address(to, family)?);
                    for (sent, expected) in [(64, Some(63)), (2, Some(1)), (1, None)] {
                        let (watch, token) = (Watch::pods(&[to])?, token());
                        let packet = udp(source, target, sent, 9, &token);
                        from.tap()?
                            .send(&ethernet(
                                from.attached().mac,
                                through,
                                kind_of(target),
                                &packet,
                            ))
                            .await?;
                        let seen = watch
                            .after(&[(from, to)], Direction::In, |frame| {
                                contains(frame, &token)
                            })
                            .await?;
                        let ttls: Vec<_> = seen[0].iter().map(|frame| ttl(frame)).collect();
                        let wanted: Vec<_> = expected.into_iter().map(Some).collect();
                        ensure!(
                            ttls == wanted,
                            "{} to {} over {family} with TTL {sent}: came with {ttls:?}",
                            from.name(),
                            to.name()
                        );
                        ensure!(
                            seen[0]
                                .iter()
                                .all(|frame| frame[..6] == to.attached().mac.0),
                            "to the wrong MAC: {seen:02x?}"
                        );
                    }
                }
            }
        }
        Ok(())
    })
    .await
}

pub async fn the_router_answers_ping_arp_and_nd_on_every_switch() -> anyhow::Result<()> {
    lab::run(2, &cluster(), async |lab| {
        let pods = lab.pods(PODS).await?;
        for pod in &pods {
            // Answering ARP is what this call fails without.
            let through = gateway_mac(pod).await?;
            let (tap, mac) = (pod.tap()?, pod.attached().mac);
            let (IpAddr::V6(own), IpAddr::V6(target)) =
                (address(pod, Family::Ipv6)?, gateway(pod, Family::Ipv6)?)
            else {
                anyhow::bail!("{}: not IPv6", pod.name())
            };
            tap.send(&solicitation(own, mac, target)).await?;
            let reply = tap
                .receive(scaled(PATIENCE), |frame| {
                    parse_advertisement(frame).is_some_and(|(_, about, _)| about == target)
                })
                .await;
            let reply = reply.with_context(|| {
                format!("{}: the gateway {target} does not answer ND", pod.name())
            })?;
            // Router, solicited and override.
            ensure!(
                parse_advertisement(&reply) == Some((0xe0, target, Some(through))),
                "{}: {reply:02x?}",
                pod.name()
            );

            let link_local = link_local_of(through);
            let own_link_local = link_local_of(mac);
            for (from, to) in [
                (address(pod, Family::Ipv4)?, gateway(pod, Family::Ipv4)?),
                (own.into(), target.into()),
                (own_link_local.into(), link_local.into()),
            ] {
                let token = token();
                tap.send(&ethernet(
                    mac,
                    through,
                    kind_of(to),
                    &echo_request(from, to, 64, &token),
                ))
                .await?;
                tap.receive(scaled(PATIENCE), |frame| is_echo_reply(frame, &token))
                    .await
                    .with_context(|| {
                        format!("{}: the router does not answer a ping to {to}", pod.name())
                    })?;
            }
        }
        // The gateway of a block that lives on the other node.
        let [a, b, ..] = &pods;
        let through = gateway_mac(a).await?;
        for family in Family::ALL {
            let (tap, token, to) = (a.tap()?, token(), gateway(b, family)?);
            tap.send(&ethernet(
                a.attached().mac,
                through,
                kind_of(to),
                &echo_request(address(a, family)?, to, 64, &token),
            ))
            .await?;
            tap.receive(scaled(PATIENCE), |frame| is_echo_reply(frame, &token))
                .await
                .with_context(|| format!("no answer from the far gateway {to}"))?;
        }
        Ok(())
    })
    .await
}

pub async fn a_packet_without_a_route_goes_nowhere() -> anyhow::Result<()> {
    lab::run(2, &cluster(), async |lab| {
        let pods = lab.pods(PODS).await?;
        let [a, ..] = &pods;
        let all: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
        let pings: Vec<(&Pod, &Pod)> = all[1..].iter().map(|pod| (&**a, *pod)).collect();
        let through = gateway_mac(a).await?;
        for target in [
            "203.0.113.9",
            "10.127.255.255",
            "10.1.0.200",
            "2001:db8::9",
            "fd01::dead",
            "127.0.0.1",
            "224.0.0.1",
        ] {
            let target: IpAddr = target.parse()?;
            let (token, receivers, uplinks) =
                (token(), Watch::pods(&all[1..])?, Watch::uplinks(lab)?);
            let source = address(a, Family::of(target))?;
            a.tap()?
                .send(&ethernet(
                    a.attached().mac,
                    through,
                    kind_of(target),
                    &udp(source, target, 64, 9, &token),
                ))
                .await?;
            let received = receivers.count_received(&pings, &token).await?;
            ensure!(
                received.iter().all(|count| *count == 0),
                "{target}: received {received:?}"
            );
            let sent = uplinks
                .after(&pings, Direction::Out, |frame| contains(frame, &token))
                .await?;
            // An address that nobody has may cross to the node that has its prefix, which drops it.
            let limit = usize::from(
                target == "10.1.0.200".parse::<IpAddr>()?
                    || target == "fd01::dead".parse::<IpAddr>()?,
            );
            ensure!(
                sent.iter().all(|frames| frames.len() <= limit),
                "{target}: on the underlay {sent:02x?}"
            );
        }
        Ok(())
    })
    .await
}

pub async fn a_pod_gets_the_mtu_that_the_underlay_leaves_and_a_full_packet_crosses_whole()
-> anyhow::Result<()> {
    for_underlay(1500, false, 62).await
}

pub async fn an_underlay_with_a_larger_mtu_gives_pods_a_larger_one() -> anyhow::Result<()> {
    for_underlay(2000, false, 62).await
}

pub async fn tunnels_over_ipv6_cost_twenty_bytes_more() -> anyhow::Result<()> {
    for_underlay(1500, true, 82).await
}

async fn for_underlay(
    underlay_mtu: u32,
    is_underlay_ipv6: bool,
    overhead: u32,
) -> anyhow::Result<()> {
    let config = FabricConfig {
        nodes: 2,
        underlay_mtu,
        is_underlay_ipv6,
        ..FabricConfig::default()
    };
    lab::run_with(config, &cluster(), async |lab| {
        let pods = lab.pods(PODS).await?;
        let [a, b, _, _, e, f] = &pods;
        for (from, to) in [(a, b), (e, f)] {
            let mtu = from.attached().mtu;
            ensure!(mtu == underlay_mtu - overhead, "MTU {mtu}");
            let through = if from.name() == e.name() {
                to.attached().mac
            } else {
                gateway_mac(from).await?
            };
            for (family, headers) in [(Family::Ipv4, 28), (Family::Ipv6, 48)] {
                let (source, target) = (address(from, family)?, address(to, family)?);
                let (watch, uplinks) = (Watch::pods(&[to])?, Watch::uplinks(lab)?);
                let mut payload = token();
                let token = payload.clone();
                payload.resize(usize::try_from(mtu)? - headers, b'.');
                let frame = ethernet(
                    from.attached().mac,
                    through,
                    kind_of(target),
                    &udp(source, target, 64, 9, &payload),
                );
                from.tap()?.send(&frame).await?;
                let seen = watch
                    .after(&[(from, to)], Direction::In, |frame| {
                        contains(frame, &payload)
                    })
                    .await?;
                ensure!(
                    seen[0].len() == 1,
                    "{family}: a packet of {mtu} bytes came {} times",
                    seen[0].len()
                );
                let outer = uplinks
                    .after(&[], Direction::Out, |frame| contains(frame, &token))
                    .await?;
                // From the sender's node; the receiver may answer that nobody listens.
                let lengths: Vec<_> = outer[0].iter().map(Vec::len).collect();
                ensure!(
                    lengths.len() == 1 && lengths[0] <= usize::try_from(underlay_mtu)? + 14,
                    "{family}: on the underlay {lengths:?}"
                );
                payload.push(b'.');
                let larger = ethernet(
                    from.attached().mac,
                    through,
                    kind_of(target),
                    &udp(source, target, 64, 9, &payload),
                );
                ensure!(
                    from.tap()?.send(&larger).await.is_err(),
                    "{family}: a packet of {} bytes left the pod",
                    mtu + 1
                );
            }
        }
        Ok(())
    })
    .await
}

/// RFC 4291, appendix A.
fn link_local_of(mac: weft_cni::link::Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ])
}
