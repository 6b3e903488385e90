//! The logical model as ovn-nb(5) has it, written with the real `ovn-nbctl`: rows that no manifest asks for.

use std::{collections::BTreeSet, net::Ipv4Addr};

use anyhow::{Context, ensure};
use weft_cni::link::Mac;
use weft_e2e::{
    node::{Datapath, Node},
    patience::scaled,
    pod::Pod,
    probe::Family,
    tap::Direction,
};

use super::{
    lab::{self, Lab, PATIENCE, Watch, address, gateway_mac, must_reach, token},
    packet::{BROADCAST, contains, ethernet, kind_of, ttl, udp},
};

/// The lines that make a port which the kubelet's part attaches as pod `hand/NAME` on a node.
pub fn pod(switch: &str, name: &str, node: &str, addresses: &str) -> String {
    format!(
        "lsp-add {switch} hand_{name}\n\
         lsp-set-addresses hand_{name} {quoted}\n\
         lsp-set-port-security hand_{name} {quoted}\n\
         {}",
        attached(name, node),
        quoted = quoted(addresses),
    )
}

/// The line that has the kubelet's part attach port `hand_NAME` as pod `hand/NAME` on a node.
pub fn attached(name: &str, node: &str) -> String {
    format!(
        "set Logical_Switch_Port hand_{name} options:requested-chassis={node} external_ids:namespace=hand external_ids:pod={name}\n"
    )
}

/// One argument with blanks in it: [`Lab::nbctl`] splits lines at blanks alone.
pub fn quoted(addresses: &str) -> String {
    addresses.replace(' ', "\u{a0}")
}

/// The lines that join a router to a switch.
pub fn joined(router: &str, switch: &str, mac: &str, networks: &str) -> String {
    format!(
        "lrp-add {router} {router}-{switch} {mac} {networks}\n\
         lsp-add {switch} {switch}-{router}\n\
         lsp-set-type {switch}-{router} router\n\
         lsp-set-addresses {switch}-{router} router\n\
         lsp-set-options {switch}-{router} router-port={router}-{switch}\n"
    )
}

pub async fn static_routes_lead_by_prefix_source_and_hash_through_joined_routers()
-> anyhow::Result<()> {
    lab::run(2, "", async |lab| {
        lab.nbctl(&ways()).await?;
        let pods = lab.pods(["hand/x", "hand/y", "hand/z"]).await?;
        let [x, y, z] = &pods;
        for (from, to) in [(x, y), (y, x), (z, y), (x, z)] {
            for family in Family::ALL {
                must_reach(from, to, family).await?;
            }
        }
        // x goes by either link, z by the longer way alone: a route by source, longer than those by destination,
        // and no longer than the networks connected.
        for family in Family::ALL {
            let both = BTreeSet::from([61, 62]);
            let ways = ttls(x, y, family).await?;
            ensure!(ways == both, "x to y over {family}: {ways:?}");
        }
        let ways = ttls(z, y, Family::Ipv4).await?;
        ensure!(ways == BTreeSet::from([61]), "z to y: {ways:?}");

        // A longer prefix that discards; taken away again, the shorter one holds.
        let (source, target) = (address(x, Family::Ipv4)?, address(y, Family::Ipv4)?);
        lab.nbctl("--id=@discard create Logical_Router_Static_Route ip_prefix=10.63.0.2/32 nexthop=discard\nadd Logical_Router r1 static_routes @discard").await?;
        lab.pods(["hand/x", "hand/y", "hand/z"]).await?;
        let (watch, token) = (Watch::pods(&[y])?, token());
        let through = gateway_mac(x).await?;
        x.tap()?
            .send(&ethernet(
                x.attached().mac,
                through,
                kind_of(target),
                &udp(source, target, 64, 9, &token),
            ))
            .await?;
        let pings: [(&Pod, &Pod); 1] = [(x, z)];
        let seen = watch.count_received(&pings, &token).await?;
        ensure!(seen == [0], "discarded and received: {seen:?}");
        lab.nbctl("lr-route-del r1 10.63.0.2/32").await?;
        lab.pods(["hand/x", "hand/y", "hand/z"]).await?;
        must_reach(x, y, Family::Ipv4).await?;
        without(lab, &["left", "right"], &["r1", "r2", "r3"]).await
    })
    .await
}

/// r1 – r2 directly; all of r2's goes to r1, which discards a prefix.
pub const TWO_ROUTERS: &str = "\
ls-add left
ls-add right
lr-add r1
lr-add r2
lrp-add r1 r1-left 0a:00:00:00:01:01 10.61.0.1/24 fd61::1/64
lsp-add left left-r1
lsp-set-type left-r1 router
lsp-set-addresses left-r1 router
lsp-set-options left-r1 router-port=r1-left
lrp-add r2 r2-right 0a:00:00:00:02:01 10.63.0.1/24 fd63::1/64
lsp-add right right-r2
lsp-set-type right-r2 router
lsp-set-addresses right-r2 router
lsp-set-options right-r2 router-port=r2-right
lrp-add r1 r1-r2 0a:00:00:00:11:01 10.60.1.1/30 fd60:1::1/64 peer=r2-r1
lrp-add r2 r2-r1 0a:00:00:00:11:02 10.60.1.2/30 fd60:1::2/64 peer=r1-r2
lr-route-add r1 10.63.0.0/24 10.60.1.2
lr-route-add r1 fd63::/64 fd60:1::2
lr-route-add r2 0.0.0.0/0 10.60.1.1
lr-route-add r2 ::/0 fd60:1::1
--id=@discard create Logical_Router_Static_Route ip_prefix=10.98.0.0/16 nexthop=discard
add Logical_Router r1 static_routes @discard
lsp-add left hand_x
lsp-set-addresses hand_x 0a:00:00:00:61:02\u{a0}10.61.0.2\u{a0}fd61::2
set Logical_Switch_Port hand_x options:requested-chassis=n1 external_ids:namespace=hand external_ids:pod=x
lsp-add right hand_y
lsp-set-addresses hand_y 0a:00:00:00:63:02\u{a0}10.63.0.2\u{a0}fd63::2
set Logical_Switch_Port hand_y options:requested-chassis=n2 external_ids:namespace=hand external_ids:pod=y
";

/// r1 – r2 directly, and by way of r3; two subnets on r1's port to the one switch.
fn ways() -> String {
    let mut text = String::from("ls-add left\nls-add right\nlr-add r1\nlr-add r2\nlr-add r3\n");
    text += &joined(
        "r1",
        "left",
        "0a:00:00:00:01:01",
        "10.61.0.1/24 10.62.0.1/24 fd61::1/64 fd62::1/64",
    );
    text += &joined(
        "r2",
        "right",
        "0a:00:00:00:02:01",
        "10.63.0.1/24 fd63::1/64",
    );
    for (one, other, number) in [("r1", "r2", 1), ("r1", "r3", 2), ("r3", "r2", 3)] {
        for (router, peer, end) in [(one, other, 1), (other, one, 2)] {
            text += &format!(
                "lrp-add {router} {router}-{peer} 0a:00:00:00:1{number}:0{end} 10.60.{number}.{end}/30 fd60:{number}::{end}/64 peer={peer}-{router}\n"
            );
        }
    }
    for (router, route) in [
        ("r1", "10.63.0.0/20 10.60.1.2"),
        ("r1", "10.63.0.0/20 10.60.2.2"),
        ("r1", "fd63::/64 fd60:1::2"),
        ("r1", "fd63::/64 fd60:2::2"),
        ("r3", "10.63.0.0/24 10.60.3.2"),
        ("r3", "fd63::/64 fd60:3::2"),
        ("r2", "0.0.0.0/0 10.60.1.1"),
        // The link-local address of r1's port.
        ("r2", "::/0 fe80::800:ff:fe00:1101 r2-r1"),
    ] {
        text += &format!("--ecmp lr-route-add {router} {route}\n");
    }
    text += "--policy=src-ip lr-route-add r1 10.62.0.0/24 10.60.2.2\n";
    text += &pod("left", "x", "n1", "0a:00:00:00:61:02 10.61.0.2 fd61::2");
    text += &pod("left", "z", "n2", "0a:00:00:00:62:02 10.62.0.2 fd62::2");
    text += &pod("right", "y", "n2", "0a:00:00:00:63:02 10.63.0.2 fd63::2");
    text
}

/// With which TTLs packets of many ports come out, that all left with 64. Each must come out once.
async fn ttls(from: &Pod, to: &Pod, family: Family) -> anyhow::Result<BTreeSet<u8>> {
    let (source, target) = (address(from, family)?, address(to, family)?);
    let (watch, token) = (Watch::pods(&[to])?, token());
    let through = gateway_mac(from).await?;
    for port in 1000..1040 {
        let packet = udp(source, target, 64, port, &token);
        let frame = ethernet(from.attached().mac, through, kind_of(target), &packet);
        from.tap()?.send(&frame).await?;
    }
    let seen = watch
        .after(&[(from, to)], Direction::In, |frame| {
            contains(frame, &token)
        })
        .await?;
    // The receiver says that nobody listens there, and quotes: that goes out, not in.
    ensure!(seen[0].len() == 40, "{} packets came", seen[0].len());
    Ok(seen[0].iter().filter_map(|frame| ttl(frame)).collect())
}

pub async fn a_nested_port_speaks_in_its_vlan_on_its_parents_interface() -> anyhow::Result<()> {
    lab::run(2, "", async |lab| {
        let mut text = String::from("ls-add lan\nls-add inner\nlr-add r1\n");
        text += &joined("r1", "lan", "0a:00:00:00:01:01", "10.71.0.1/24");
        text += &joined("r1", "inner", "0a:00:00:00:01:02", "10.72.0.1/24");
        text += &pod("lan", "y", "n2", "0a:00:00:00:71:09 10.71.0.9");
        // Written as for ovn-northd, which would turn what is asked for into `tag`.
        for (name, switch, more, addresses) in [
            ("vm", "lan", "", "0a:00:00:00:71:02 10.71.0.2"),
            ("one", "lan", " vm 7", "0a:00:00:00:71:03 10.71.0.3"),
            ("two", "inner", " vm 8", "0a:00:00:00:72:03 10.72.0.3"),
        ] {
            let addresses = quoted(addresses);
            text += &format!(
                "lsp-add {switch} {name}{more}\nlsp-set-addresses {name} {addresses}\nlsp-set-port-security {name} {addresses}\n"
            );
        }
        lab.nbctl(&text).await?;
        let [y] = &lab.pods(["hand/y"]).await?;
        let vm = Outside::attach(lab, "n1", "vm", &["external_ids:iface-id=vm"]).await?;
        for name in ["vm", "one", "two"] {
            lab.nbctl(&format!("wait-until Logical_Switch_Port {name} up=true"))
                .await?;
        }
        lab.pods(["hand/y"]).await?;
        let host = |last: u8| (Mac([10, 0, 0, 0, 0x71, last]), Ipv4Addr::new(10, 71, 0, last));
        let (own, one, other) = (host(2), host(3), host(9));
        let two = Ipv4Addr::new(10, 72, 0, 3);
        let router = Mac([10, 0, 0, 0, 1, 1]);
        for (cookie, matches) in [
            (1, "vlan_tci=0,udp,nw_dst=10.71.0.2"),
            (2, "dl_vlan=7,udp,nw_dst=10.71.0.3"),
            (3, "dl_vlan=8,udp,nw_dst=10.72.0.3,nw_ttl=63"),
            (4, "vlan_tci=0,udp,nw_dst=255.255.255.255"),
            (5, "dl_vlan=7,udp,nw_dst=255.255.255.255"),
            (6, "dl_vlan=8,udp,nw_dst=255.255.255.255"),
        ] {
            vm.count(cookie, matches).await?;
        }
        let frame = |from: (Mac, Ipv4Addr), mac: Mac, to: Ipv4Addr, payload: &[u8]| {
            let packet = udp(from.1.into(), to.into(), 64, 9, payload);
            ethernet(from.0, mac, kind_of(to.into()), &packet)
        };
        // From the VLAN to another node, and back into it.
        let (tap, token) = (y.tap()?, token());
        vm.send(Some(7), &frame(one, other.0, other.1, &token))
            .await?;
        tap.receive(scaled(PATIENCE), |frame| contains(frame, &token))
            .await
            .context("nothing came out of the VLAN")?;
        tap.send(&frame(other, one.0, one.1, b"back")).await?;
        vm.counted(2, 1).await?;
        // Between the ports of one interface: routed, to the parent and from it.
        vm.send(Some(7), &frame(one, router, two, b"routed"))
            .await?;
        vm.counted(3, 1).await?;
        vm.send(Some(7), &frame(one, own.0, own.1, b"out")).await?;
        vm.counted(1, 1).await?;
        vm.send(None, &frame(own, one.0, one.1, b"in")).await?;
        vm.counted(2, 2).await?;
        // What is sent in a VLAN that is nobody's reaches nobody; broadcast the others on the switch, and not the sender.
        let lost = super::lab::token();
        vm.send(Some(9), &frame(one, other.0, other.1, &lost))
            .await?;
        let to_all = frame(one, BROADCAST, Ipv4Addr::BROADCAST, b"to all");
        vm.send(Some(7), &to_all).await?;
        let mut seen_lost = false;
        tap.receive(scaled(PATIENCE), |frame| {
            seen_lost |= contains(frame, &lost);
            contains(frame, b"to all")
        })
        .await
        .context("no broadcast")?;
        ensure!(!seen_lost, "a frame of a VLAN that is nobody's came through");
        vm.counted(4, 1).await?;
        vm.counted(5, 0).await?;
        vm.counted(6, 0).await?;
        vm.detach().await?;
        without(lab, &["lan", "inner"], &["r1"]).await
    })
    .await
}

pub async fn dynamic_addresses_are_handed_out_and_served() -> anyhow::Result<()> {
    lab::run(2, "", async |lab| {
        let mut text = String::from(
            "ls-add lan\nset Logical_Switch lan other_config:subnet=10.74.0.0/24 other_config:exclude_ips=10.74.0.2..10.74.0.9 other_config:ipv6_prefix=fd74::\nlr-add r1\n",
        );
        text += &joined("r1", "lan", "0a:00:00:00:01:01", "10.74.0.1/24 fd74::1/64");
        for name in ["x", "y"] {
            text += &format!("lsp-add lan hand_{name}\nlsp-set-addresses hand_{name} dynamic\n");
        }
        lab.nbctl(&text).await?;
        let mut handed_out = BTreeSet::new();
        for (name, node) in [("x", "n1"), ("y", "n2")] {
            // A pod asks what it is when it comes: not before that is known.
            lab.nbctl(&format!(
                "wait-until Logical_Switch_Port hand_{name} dynamic_addresses!=[]"
            ))
            .await?;
            let found = lab
                .nbctl(&format!("get Logical_Switch_Port hand_{name} dynamic_addresses"))
                .await?;
            let words: Vec<&str> = found.trim().trim_matches('"').split(' ').collect();
            ensure!(words.len() == 3, "{found}");
            handed_out.insert(words[1].to_owned());
            lab.nbctl(&attached(name, node)).await?;
        }
        let expected = ["10.74.0.10", "10.74.0.11"].map(str::to_owned);
        ensure!(handed_out == BTreeSet::from(expected), "{handed_out:?}");
        let [x, y] = &lab.pods(["hand/x", "hand/y"]).await?;
        for family in Family::ALL {
            must_reach(x, y, family).await?;
        }
        without(lab, &["lan"], &["r1"]).await
    })
    .await
}

pub async fn frames_to_macs_that_no_port_has_reach_the_ports_that_take_them() -> anyhow::Result<()>
{
    lab::run(2, "", async |lab| {
        let mut text = String::from("ls-add lan\nlr-add r1\n");
        text += &joined("r1", "lan", "0a:00:00:00:01:01", "10.75.0.1/24");
        for (name, node, last) in [("x", "n1", 2), ("y", "n2", 3), ("near", "n1", 4), ("far", "n2", 5)]
        {
            let addresses = format!("0a:00:00:00:75:0{last} 10.75.0.{last}");
            text += &pod("lan", name, node, &addresses);
            if ["near", "far"].contains(&name) {
                let addresses = quoted(&addresses);
                text += &format!(
                    "lsp-set-addresses hand_{name} {addresses} unknown\nclear Logical_Switch_Port hand_{name} port_security\n"
                );
            }
        }
        lab.nbctl(&text).await?;
        let names = ["hand/x", "hand/y", "hand/near", "hand/far"];
        let pods = lab.pods(names).await?;
        let [x, y, near, far] = &pods;
        let pings: [(&Pod, &Pod); 3] = [(x, y), (x, near), (x, far)];
        let behind = Mac([0x0a, 0, 0, 0, 0x75, 0x99]);
        let beyond = Ipv4Addr::new(10, 75, 0, 99);
        let (source, target) = (address(x, Family::Ipv4)?, std::net::IpAddr::from(beyond));
        // To a MAC that no port has: to both that take it, on either node, and to none that does not.
        let (watch, lost) = (Watch::pods(&[y, near, far])?, token());
        let packet = udp(source, target, 64, 9, &lost);
        x.tap()?
            .send(&ethernet(x.attached().mac, behind, kind_of(target), &packet))
            .await?;
        let seen = watch.count_received(&pings, &lost).await?;
        ensure!(seen == [0, 1, 1], "received by y, near and far: {seen:?}");
        // From it: a port that takes any MAC may be the way to many.
        let (watch, back) = (Watch::pods(&[x, y, near])?, token());
        let packet = udp(target, source, 64, 9, &back);
        let frame = ethernet(behind, x.attached().mac, kind_of(source), &packet);
        far.tap()?.send(&frame).await?;
        let seen = watch.count_received(&pings, &back).await?;
        ensure!(seen == [1, 0, 0], "received by x, y and near: {seen:?}");
        // A MAC that some port has goes there, and nowhere else.
        let (watch, known) = (Watch::pods(&[y, near, far])?, token());
        let target = address(y, Family::Ipv4)?;
        let packet = udp(source, target, 64, 9, &known);
        let frame = ethernet(x.attached().mac, y.attached().mac, kind_of(target), &packet);
        x.tap()?.send(&frame).await?;
        let seen = watch.count_received(&pings, &known).await?;
        ensure!(seen == [1, 0, 0], "received by y, near and far: {seen:?}");
        without(lab, &["lan"], &["r1"]).await
    })
    .await
}

pub async fn a_port_that_is_not_enabled_neither_sends_nor_receives() -> anyhow::Result<()> {
    lab::run(2, "", async |lab| {
        let mut text = String::from("ls-add lan\nlr-add r1\n");
        text += &joined("r1", "lan", "0a:00:00:00:01:01", "10.73.0.1/24");
        for (name, node, last) in [("x", "n1", 2), ("y", "n2", 3), ("z", "n1", 4)] {
            let addresses = format!("0a:00:00:00:73:0{last} 10.73.0.{last}");
            text += &pod("lan", name, node, &addresses);
        }
        lab.nbctl(&text).await?;
        let names = ["hand/x", "hand/y", "hand/z"];
        let pods = lab.pods(names).await?;
        let [x, y, z] = &pods;
        must_reach(x, y, Family::Ipv4).await?;
        lab.nbctl("lsp-set-enabled hand_y disabled").await?;
        lab.pods(names).await?;
        let (watch, token) = (Watch::pods(&[x, y])?, token());
        for (from, to) in [(x, y), (y, x)] {
            let (source, target) = (address(from, Family::Ipv4)?, address(to, Family::Ipv4)?);
            for mac in [to.attached().mac, BROADCAST] {
                let packet = udp(source, target, 64, 9, &token);
                let frame = ethernet(from.attached().mac, mac, kind_of(target), &packet);
                from.tap()?.send(&frame).await?;
            }
        }
        let pings: [(&Pod, &Pod); 1] = [(x, z)];
        let seen = watch.count_received(&pings, &token).await?;
        ensure!(seen == [0, 0], "received by x and y: {seen:?}");
        lab.nbctl("lsp-set-enabled hand_y enabled").await?;
        lab.pods(names).await?;
        must_reach(y, x, Family::Ipv4).await?;
        without(lab, &["lan"], &["r1"]).await
    })
    .await
}

/// A bridge outside of weft's on a node, joined to it by patch ports: an interface that sends and counts frames with VLAN tags.
struct Outside<'a> {
    node: &'a Node,
    name: String,
    port: String,
}

impl<'a> Outside<'a> {
    /// Makes the bridge, and a patch port on the integration bridge with these settings.
    async fn attach(
        lab: &'a Lab,
        node: &str,
        name: &str,
        settings: &[&str],
    ) -> anyhow::Result<Outside<'a>> {
        let node = lab.fabric.node(node).context("no such node")?;
        let bridge = format!("br-{name}");
        let (near, far) = (format!("{name}-in"), format!("{name}-out"));
        let (to_near, to_far) = (
            format!("options:peer={near}"),
            format!("options:peer={far}"),
        );
        let mut arguments = vec!["add-port", &bridge, &far, "--", "set", "Interface", &far];
        arguments.extend(["type=patch", &to_near, "--", "add-port", "br-int", &near]);
        arguments.extend(["--", "set", "Interface", &near, "type=patch", &to_far]);
        arguments.extend(settings);
        add_bridge(node, &bridge).await?;
        node.vsctl(&arguments).await?;
        let port = node.vsctl(&["get", "Interface", &far, "ofport"]).await?;
        Ok(Outside {
            node,
            name: name.to_owned(),
            port: port.trim().to_owned(),
        })
    }

    fn openflow(&self) -> String {
        let socket = self.node.openflow();
        let socket = socket.with_file_name(format!("br-{}.mgmt", self.name));
        format!("unix:{}", socket.display())
    }

    /// Sends a frame from here, with a VLAN tag if there is one.
    async fn send(&self, tag: Option<u16>, frame: &[u8]) -> anyhow::Result<()> {
        let (addresses, rest) = frame.split_at(12);
        let mut tagged = addresses.to_vec();
        if let Some(tag) = tag {
            tagged.extend([0x81, 0]);
            tagged.extend(tag.to_be_bytes());
        }
        tagged.extend(rest);
        let bytes: String = tagged.iter().map(|byte| format!("{byte:02x}")).collect();
        let packet = format!("in_port=LOCAL packet={bytes} actions=output:{}", self.port);
        let sent = self
            .node
            .ofctl(&["packet-out", &self.openflow(), &packet])
            .await;
        sent.map(drop)
    }

    /// Counts frames that come here from now on.
    async fn count(&self, cookie: u8, matches: &str) -> anyhow::Result<()> {
        let flow = format!(
            "cookie={cookie},in_port={},{matches} actions=drop",
            self.port
        );
        let added = self
            .node
            .ofctl(&["add-flow", &self.openflow(), &flow])
            .await;
        added.map(drop)
    }

    /// Waits until so many frames were counted.
    async fn counted(&self, cookie: u8, expected: u64) -> anyhow::Result<()> {
        let matches = format!("cookie={cookie}/-1");
        let mut seen = String::new();
        let all_seen = async {
            loop {
                // Counters follow the packets when datapath flows are looked at.
                self.node.appctl("revalidator/purge", &[]).await?;
                seen = self
                    .node
                    .ofctl(&["dump-flows", &self.openflow(), &matches])
                    .await?;
                let count = seen.split("n_packets=").nth(1);
                let count = count.and_then(|rest| rest.split(',').next());
                if count.and_then(|count| count.parse().ok()) == Some(expected) {
                    return anyhow::Ok(());
                }
            }
        };
        let outcome = tokio::time::timeout(scaled(PATIENCE), all_seen).await;
        outcome.with_context(|| format!("expected {expected} packets: {seen}"))?
    }

    /// Takes the bridge and the patch port away.
    async fn detach(self) -> anyhow::Result<()> {
        let (bridge, near) = (format!("br-{}", self.name), format!("{}-in", self.name));
        let gone = self
            .node
            .vsctl(&[
                "--if-exists",
                "del-port",
                "br-int",
                &near,
                "--",
                "del-br",
                &bridge,
            ])
            .await;
        gone.map(drop)
    }
}

/// Makes a bridge that does nothing by itself.
async fn add_bridge(node: &Node, bridge: &str) -> anyhow::Result<()> {
    let kind = match node.datapath() {
        Datapath::Kernel => "datapath_type=system",
        Datapath::Userspace => "datapath_type=netdev",
    };
    let added = node
        .vsctl(&[
            "add-br",
            bridge,
            "--",
            "set",
            "Bridge",
            bridge,
            kind,
            "fail_mode=secure",
        ])
        .await;
    added.map(drop)
}

/// Takes switches and routers away, and waits until their pods are gone.
pub async fn without(lab: &Lab, switches: &[&str], routers: &[&str]) -> anyhow::Result<()> {
    let lines: String = switches
        .iter()
        .map(|name| format!("ls-del {name}\n"))
        .chain(routers.iter().map(|name| format!("lr-del {name}\n")))
        .collect();
    lab.nbctl(&lines).await?;
    lab.pods([]).await.map(drop)
}
