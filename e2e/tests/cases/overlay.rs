//! The tunnels: what a node accepts from the underlay.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Context, ensure};
use weft_cni::link::Mac;
use weft_e2e::{
    node::underlay_ipv4,
    probe::Family,
    switch,
    tap::{Direction, Tap},
};

use super::{
    lab::{self, Watch, address, gateway_mac, manifests, token},
    packet::{
        BROADCAST, IPV4, UDP, contains, ethernet, forget_underlay_checksum, kind_of, parse_geneve,
        set_underlay_source, udp, with_tunnel,
    },
};

pub async fn a_node_takes_tunnel_packets_from_nodes_alone_and_for_known_networks_alone()
-> anyhow::Result<()> {
    let yaml = manifests(
        &[
            ("shop", &[]),
            ("lan", &[("router", "lan"), ("subnets", "10.1.0.0/24")]),
        ],
        &[
            ("shop/a", "n1"),
            ("shop/b", "n2"),
            ("lan/e", "n1"),
            ("lan/f", "n2"),
        ],
    );
    lab::run(2, &yaml, async |lab| {
        let [a, b, e, f] = lab.pods(["shop/a", "shop/b", "lan/e", "lan/f"]).await?;
        let pings = [(&*a, &*b), (&*e, &*f)];
        let outsider = lab.fabric.add_host("outsider", 250).await?;
        let outside = Tap::open(&outsider, "eth0")?;
        let inside = Tap::open(lab.fabric.nodes()[0].netns(), "eth0")?;
        for (from, to, through) in [(&a, &b, gateway_mac(&a).await?), (&e, &f, f.attached().mac)] {
            // A real tunnel packet, taken from the underlay.
            let (token, watch, uplinks) = (token(), Watch::pods(&[&b, &f])?, Watch::uplinks(lab)?);
            let (source, target) = (address(from, Family::Ipv4)?, address(to, Family::Ipv4)?);
            let packet = udp(source, target, 64, 9, &token);
            from.tap()?
                .send(&ethernet(
                    from.attached().mac,
                    through,
                    kind_of(target),
                    &packet,
                ))
                .await?;
            let sent = uplinks
                .after(&pings, Direction::Out, |frame| contains(frame, &token))
                .await?;
            let mut real = sent[0].first().context("nothing on the underlay")?.clone();
            forget_underlay_checksum(&mut real);
            ensure!(
                watch
                    .count_received(&pings, &token)
                    .await?
                    .iter()
                    .sum::<usize>()
                    == 1,
                "the real one did not arrive"
            );
            let (geneve, _) = parse_geneve(&real).context("not Geneve")?;

            let again = real.clone();
            let mut unknown_key = real.clone();
            unknown_key[geneve + 4..geneve + 7].copy_from_slice(&[0xff, 0xff, 0xee]);
            let mut from_outside = real.clone();
            set_underlay_source(&mut from_outside, underlay_ipv4(250));
            for (what, tap, frame, arrives) in [
                ("control: the same again, from the node", &inside, &again, 1),
                ("with a key that no network has", &inside, &unknown_key, 0),
                (
                    "from an address that is no node's",
                    &outside,
                    &from_outside,
                    0,
                ),
            ] {
                let watch = Watch::pods(&[&b, &f])?;
                tap.send(frame).await?;
                let received: usize = watch.count_received(&pings, &token).await?.iter().sum();
                ensure!(received == arrives, "{what}: received {received} times");
            }
        }
        Ok(())
    })
    .await
}

/// Every datapath and port that a node knows, and none, from a node that is known: whatever one node may say, another passes it on to
/// no third.
pub async fn what_comes_out_of_a_tunnel_goes_to_no_other_node() -> anyhow::Result<()> {
    let yaml = manifests(
        &[
            ("shop", &[]),
            ("lan", &[("subnets", "10.1.0.0/24,fd01::/64")]),
        ],
        &[
            ("shop/a", "n1"),
            ("shop/b", "n2"),
            ("shop/c", "n3"),
            ("lan/e", "n1"),
            ("lan/f", "n2"),
            ("lan/g", "n3"),
        ],
    );
    lab::run(3, &yaml, async |lab| {
        let names = ["shop/a", "shop/b", "shop/c", "lan/e", "lan/f", "lan/g"];
        let [a, b, c, e, f, g] = lab.pods(names).await?;
        let pings = [(&*a, &*b), (&*b, &*c), (&*e, &*f), (&*f, &*g)];
        let (token, uplinks) = (token(), Watch::uplinks(lab)?);
        let (source, target) = (address(&e, Family::Ipv4)?, address(&f, Family::Ipv4)?);
        let frame = |destination: Mac, to: IpAddr| {
            let packet = udp(source, to, 64, 9, &token);
            ethernet(e.attached().mac, destination, IPV4, &packet)
        };
        e.tap()?.send(&frame(f.attached().mac, target)).await?;
        let sent = uplinks
            .after(&pings, Direction::Out, |frame| contains(frame, &token))
            .await?;
        let real = sent[0].first().context("nothing on the underlay")?;

        let [_, n2, _] = lab.fabric.nodes() else {
            anyhow::bail!("not three nodes")
        };
        let (datapaths, mut ports) = keys(&switch::flows(n2).await?);
        ensure!(
            datapaths.len() >= 3 && ports.len() >= 6,
            "{datapaths:?} {ports:?}"
        );
        ports.extend([0, 0x8000, 0x8001, 0x8002]);
        let inside = Tap::open(lab.fabric.nodes()[0].netns(), "eth0")?;
        let (uplinks, ends) = (Watch::uplinks(lab)?, Watch::pods(&[&f])?);
        let mut destinations = vec![
            (BROADCAST, address(&g, Family::Ipv4)?),
            (g.attached().mac, address(&g, Family::Ipv4)?),
            // What shows that they are taken for tunnel packets at all.
            (f.attached().mac, target),
        ];
        for (gateway, to) in [(&e, &c), (&e, &g), (&a, &c), (&a, &g)] {
            destinations.push((gateway_mac(gateway).await?, address(to, Family::Ipv4)?));
        }
        let mut count = 0;
        for datapath in &datapaths {
            for port in &ports {
                for (mac, to) in &destinations {
                    let tunnelled = with_tunnel(real, *datapath, (1, *port), &frame(*mac, *to));
                    inside.send(&tunnelled).await?;
                    count += 1;
                }
            }
            // They must not wait in a queue that is too short for them all.
            lab::must_reach(&e, &f, Family::Ipv4).await?;
        }
        // Not what the pod answers to those that reach it: nobody listens there.
        let is_one_of_them = |frame: &[u8]| {
            let carried = parse_geneve(frame).map(|(_, carried)| carried);
            contains(frame, &token) && carried.and_then(|frame| frame.get(23)) == Some(&UDP)
        };
        let passed_on = uplinks
            .after(&pings, Direction::Out, is_one_of_them)
            .await?;
        let counts: Vec<_> = passed_on.iter().map(Vec::len).collect();
        // The first node's are those that were sent here.
        ensure!(counts == [count, 0, 0], "passed on: {counts:?} of {count}");
        let arrived = ends.count_received(&[], &token).await?;
        ensure!(
            arrived[0] > 0,
            "none of {count} was taken for a tunnel packet"
        );
        Ok(())
    })
    .await
}

/// Keys of datapaths and of ports that the output table knows.
fn keys(flows: &BTreeSet<String>) -> (BTreeSet<u32>, BTreeSet<u16>) {
    let value = |flow: &str, name: &str| {
        let (_, rest) = flow.split_once(&format!("{name}=0x"))?;
        let end = rest
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len());
        u32::from_str_radix(&rest[..end], 16).ok()
    };
    let output = flows.iter().filter(|flow| flow.contains("table=64,"));
    let (mut datapaths, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for flow in output {
        ports.extend(value(flow, "reg15").and_then(|key| u16::try_from(key).ok()));
    }
    datapaths.extend(flows.iter().filter_map(|flow| value(flow, "metadata")));
    (datapaths, ports)
}
