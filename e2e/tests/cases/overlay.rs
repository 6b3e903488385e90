//! The tunnels: what a node accepts from the underlay.

use anyhow::{Context, ensure};
use weft_e2e::{
    node::underlay_ipv4,
    probe::Family,
    tap::{Direction, Tap},
};

use super::{
    lab::{self, Watch, address, gateway_mac, manifests, token},
    packet::{contains, ethernet, kind_of, parse_geneve, set_underlay_source, udp},
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
            let real = sent[0].first().context("nothing on the underlay")?.clone();
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
