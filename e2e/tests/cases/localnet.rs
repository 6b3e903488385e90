//! Physical networks: nodes with a bridge to an Ethernet segment beside the underlay, and a host there that weft knows nothing of.
//!
//! ```text
//!  n1: br-int ═patch═ br-eth1 ─ eth1 ┐
//!  n2: br-int ═patch═ br-eth1 ─ eth1 ┼─ segment
//!  n3: br-int                   eth1 ┴─ br-seg ─ host0 (untagged), host7 (VLAN 7)
//! ```
//!
//! n3 has no such network: its pods are on the same switch, and reach the others by the tunnel. The host is in its namespace because a VLAN is Open
//! vSwitch's to tag, whatever the kernel can.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use anyhow::{Context, ensure};
use ipnet::IpNet;
use weft_cni::link::{Links, Mac};
use weft_e2e::{
    fabric::SEGMENT_INTERFACE,
    node::{Datapath, Node},
    patience::scaled,
    pod::Pod,
    probe::Family,
    tap::{Direction, Tap},
};

use super::{
    lab::{self, Lab, PATIENCE, Watch, address, must_reach, token},
    model::{joined, pod, without},
    packet::{
        ARP, BROADCAST, arp, contains, echo_request, ethernet, is_echo_reply, kind_of, parse_arp,
        udp,
    },
};

/// Pods x, y and z on switch `flat`, v and w on `vlan`, which is VLAN 7 of the same network; a router between the two.
fn rows() -> String {
    let mut text = String::from("ls-add flat\nls-add vlan\nlr-add r1\n");
    text += &joined("r1", "flat", ROUTER_TEXT, "10.81.0.1/24");
    text += &joined("r1", "vlan", "0a:00:00:00:01:02", "10.82.0.1/24");
    for (switch, tag) in [("flat", ""), ("vlan", " tag_request=7")] {
        text += &format!(
            "lsp-add {switch} ln-{switch}\nlsp-set-type ln-{switch} localnet\nlsp-set-addresses ln-{switch} unknown\n\
             lsp-set-options ln-{switch} network_name=physnet1\n"
        );
        if !tag.is_empty() {
            text += &format!("set Logical_Switch_Port ln-{switch}{tag}\n");
        }
    }
    for (switch, net, name, node, last) in [
        ("flat", 81, "x", "n1", 2),
        ("flat", 81, "y", "n2", 3),
        ("flat", 81, "z", "n3", 4),
        ("vlan", 82, "v", "n1", 2),
        ("vlan", 82, "w", "n2", 3),
    ] {
        let addresses = format!("0a:00:00:00:{net}:0{last} 10.{net}.0.{last}");
        text += &pod(switch, name, node, &addresses);
    }
    text
}

const PODS: [&str; 5] = ["hand/x", "hand/y", "hand/z", "hand/v", "hand/w"];
const ROUTER: Mac = Mac([0x0a, 0, 0, 0, 0x01, 0x01]);
const ROUTER_TEXT: &str = "0a:00:00:00:01:01";

/// The segment, a bridge to it on n1 and n2, and the host.
pub(super) struct Segment {
    /// n1 and n2, which have the network.
    nodes: Vec<Arc<Node>>,
    host: Arc<Node>,
}

/// One of the host's interfaces.
pub(super) struct Host {
    pub(super) tap: Tap,
    pub(super) mac: Mac,
    pub(super) address: Ipv4Addr,
}

impl Segment {
    pub(super) async fn build(lab: &Lab) -> anyhow::Result<Segment> {
        lab.fabric.add_segment("seg", &["n1", "n2", "n3"]).await?;
        let node = |name| lab.fabric.node(name).cloned().context("no such node");
        let segment = Segment {
            nodes: vec![node("n1")?, node("n2")?],
            host: node("n3")?,
        };
        for node in &segment.nodes {
            add_bridge(node, "br-eth1").await?;
            map(node, "physnet1:br-eth1").await?;
        }
        let host = &segment.host;
        add_bridge(host, "br-seg").await?;
        for (name, tag, address) in [
            ("host0", "tag=[]", "10.81.0.50/24"),
            ("host7", "tag=7", "10.82.0.50/24"),
        ] {
            let add = [
                "add-port",
                "br-seg",
                name,
                tag,
                "--",
                "set",
                "Interface",
                name,
                "type=internal",
            ];
            host.vsctl(&add).await?;
            let address: IpNet = address.parse()?;
            let configured = host.netns().run_async(async move || {
                let links = Links::open()?;
                links.set_addresses(name, &[address]).await?;
                links.up(name).await?;
                anyhow::Ok(())
            });
            configured.await??;
        }
        Ok(segment)
    }

    pub(super) async fn host(&self, name: &'static str) -> anyhow::Result<Host> {
        let text = self
            .host
            .vsctl(&["get", "Interface", name, "mac_in_use"])
            .await?;
        let mac = text
            .trim()
            .trim_matches('"')
            .parse()
            .map_err(|_| anyhow::anyhow!("{text:?} is no MAC"))?;
        let address = match name {
            "host0" => Ipv4Addr::new(10, 81, 0, 50),
            _ => Ipv4Addr::new(10, 82, 0, 50),
        };
        let tap = Tap::open(self.host.netns(), name)?;
        Ok(Host { tap, mac, address })
    }

    /// What passes between a node and the segment from now on.
    fn wire(&self, node: usize) -> anyhow::Result<Tap> {
        Ok(Tap::open(self.nodes[node].netns(), SEGMENT_INTERFACE)?)
    }
}

async fn add_bridge(node: &Node, bridge: &str) -> anyhow::Result<()> {
    let kind = match node.datapath() {
        Datapath::Kernel => "datapath_type=system",
        Datapath::Userspace => "datapath_type=netdev",
    };
    let add = [
        "add-br",
        bridge,
        "--",
        "set",
        "Bridge",
        bridge,
        kind,
        "--",
        "add-port",
        bridge,
        SEGMENT_INTERFACE,
    ];
    node.vsctl(&add).await.map(drop)
}

async fn map(node: &Node, mappings: &str) -> anyhow::Result<()> {
    let set = format!("external_ids:ovn-bridge-mappings=\"{mappings}\"");
    node.vsctl(&["set", "Open_vSwitch", ".", &set])
        .await
        .map(drop)
}

impl Host {
    /// Asks for a pod's address as hosts do, and pings it; how many answered the question.
    async fn reaches(&self, pod: &Pod) -> anyhow::Result<usize> {
        let (mac, target) = (pod.attached().mac, ipv4(pod)?);
        let answers = self.ask(target, Some(mac)).await?;
        let payload = token();
        let packet = echo_request(self.address.into(), target.into(), 64, &payload);
        self.tap
            .send(&ethernet(self.mac, mac, kind_of(target.into()), &packet))
            .await?;
        let reply = self
            .tap
            .receive(scaled(PATIENCE), |frame| is_echo_reply(frame, &payload));
        reply
            .await
            .with_context(|| format!("{} did not answer the host's ping", pod.name()))?;
        // The reply to the ping came behind all replies to the question.
        let more = self.tap.pending()?;
        let more = more
            .iter()
            .filter(|frame| is_answer(&frame.bytes, target))
            .count();
        Ok(answers + more)
    }

    /// Asks for an address; if `expected` is to answer, waits for that.
    pub(super) async fn ask(
        &self,
        target: Ipv4Addr,
        expected: Option<Mac>,
    ) -> anyhow::Result<usize> {
        let question = arp(1, self.mac, self.address, Mac([0; 6]), target);
        self.tap
            .send(&ethernet(self.mac, BROADCAST, ARP, &question))
            .await?;
        let Some(expected) = expected else {
            return Ok(0);
        };
        let answer = self
            .tap
            .receive(scaled(PATIENCE), |frame| is_answer(frame, target));
        let answer = answer
            .await
            .with_context(|| format!("nobody answers the host about {target}"))?;
        let (_, mac, ..) = parse_arp(&answer).context("no ARP")?;
        ensure!(mac == expected, "{target} is at {mac}, the host was told");
        Ok(1)
    }

    /// Sends this to everybody.
    async fn shout(&self, token: &[u8]) -> anyhow::Result<()> {
        let everybody = IpAddr::V4(Ipv4Addr::BROADCAST);
        let packet = udp(self.address.into(), everybody, 64, 9, token);
        let frame = ethernet(self.mac, BROADCAST, kind_of(everybody), &packet);
        Ok(self.tap.send(&frame).await?)
    }

    /// Waits until the host has received a frame with this.
    async fn hears(&self, token: &[u8]) -> anyhow::Result<()> {
        let heard = self
            .tap
            .receive(scaled(PATIENCE), |frame| contains(frame, token));
        heard.await.map(drop).context("the host did not hear it")
    }

    /// How many frames with this have come or gone that were not looked at yet, once a pod has been answered.
    async fn rest(&self, pod: &Pod, token: &[u8]) -> anyhow::Result<usize> {
        let (tap, mac, own) = (pod.tap()?, pod.attached().mac, ipv4(pod)?);
        let question = arp(1, mac, own, Mac([0; 6]), self.address);
        tap.send(&ethernet(mac, BROADCAST, ARP, &question)).await?;
        let answer = tap.receive(scaled(PATIENCE), |frame| is_answer(frame, self.address));
        answer
            .await
            .with_context(|| format!("the host does not answer {}", pod.name()))?;
        let frames = self.tap.pending()?;
        let received = frames
            .iter()
            .filter(|frame| frame.direction == Direction::In);
        Ok(received
            .filter(|frame| contains(&frame.bytes, token))
            .count())
    }
}

fn is_answer(frame: &[u8], about: Ipv4Addr) -> bool {
    parse_arp(frame).is_some_and(|(operation, _, spa, _)| operation == 2 && spa == about)
}

fn ipv4(pod: &Pod) -> anyhow::Result<Ipv4Addr> {
    match address(pod, Family::Ipv4)? {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => anyhow::bail!("an IPv6 address among the IPv4 ones"),
    }
}

/// A frame from a pod to a MAC and an address.
async fn send(from: &Pod, mac: Mac, to: Ipv4Addr, token: &[u8]) -> anyhow::Result<()> {
    let packet = udp(ipv4(from)?.into(), to.into(), 64, 9, token);
    let frame = ethernet(from.attached().mac, mac, kind_of(to.into()), &packet);
    Ok(from.tap()?.send(&frame).await?)
}

pub async fn a_physical_network_joins_the_nodes_that_have_it_in_its_vlan_and_without_one()
-> anyhow::Result<()> {
    lab::run(3, "", async |lab| {
        let segment = Segment::build(lab).await?;
        lab.nbctl(&rows()).await?;
        let pods = lab.pods(PODS).await?;
        let [x, y, z, v, w] = &pods;
        let (host0, host7) = (segment.host("host0").await?, segment.host("host7").await?);
        // The host reaches pods in its own VLAN, and each answers for itself, once.
        for (host, pod) in [(&host0, x), (&host0, y), (&host7, v), (&host7, w)] {
            let answers = host.reaches(pod).await?;
            ensure!(answers == 1, "{answers} answers about {}", pod.name());
        }
        let pings: [(&Pod, &Pod); 4] = [(x, y), (v, w), (x, z), (y, z)];
        // A pod of another node: by the segment, and not by the tunnel.
        for (from, to, wire) in [(x, y, 0), (w, v, 1)] {
            let token = token();
            let (wires, uplinks) = (Watch::of(vec![segment.wire(wire)?]), Watch::uplinks(lab)?);
            let taps = Watch::pods(&[to])?;
            send(from, to.attached().mac, ipv4(to)?, &token).await?;
            let received = taps.count_received(&pings, &token).await?;
            ensure!(received == [1], "{} received {received:?}", to.name());
            let has = |frame: &[u8]| contains(frame, &token);
            let out = wires.after(&[], Direction::Out, has).await?;
            ensure!(out[0].len() == 1, "on the segment: {out:02x?}");
            let tunnelled = uplinks.after(&[], Direction::Out, has).await?;
            ensure!(
                tunnelled.iter().all(Vec::is_empty),
                "in the tunnel: {tunnelled:02x?}"
            );
        }
        // To nobody that weft knows: out to the host.
        let unknown = token();
        send(x, host0.mac, host0.address, &unknown).await?;
        host0.hears(&unknown).await?;
        ensure!(host0.rest(x, &unknown).await? == 0, "twice");
        // To all: every pod of the switch and the host once, those of the other VLAN never.
        let (token1, watch) = (token(), Watch::pods(&[y, z, v, w])?);
        send(x, BROADCAST, Ipv4Addr::BROADCAST, &token1).await?;
        let received = watch.count_received(&pings, &token1).await?;
        ensure!(received == [1, 1, 0, 0], "y, z, v, w received {received:?}");
        host0.hears(&token1).await?;
        ensure!(host0.rest(x, &token1).await? == 0, "the host heard x twice");
        ensure!(host7.rest(v, &token1).await? == 0, "VLAN 7 heard x");
        // From the host to all: once to each node that has the network, and not on from there, nor back.
        for (host, near, expected) in [(&host0, x, [1, 1, 0, 0, 0]), (&host7, v, [0, 0, 0, 1, 1])] {
            let (token, watch) = (token(), Watch::pods(&[x, y, z, v, w])?);
            let uplinks = Watch::uplinks(lab)?;
            host.shout(&token).await?;
            host.reaches(near).await?;
            let received = watch.count_received(&pings, &token).await?;
            ensure!(received == expected, "x, y, z, v, w received {received:?}");
            ensure!(host.rest(near, &token).await? == 0, "it came back");
            let has = |frame: &[u8]| contains(frame, &token);
            let tunnelled = uplinks.after(&[], Direction::Out, has).await?;
            ensure!(
                tunnelled.iter().all(Vec::is_empty),
                "in the tunnel: {tunnelled:02x?}"
            );
        }
        // The node without the network: its pod reaches pods, and they it; the segment hears nothing of it.
        for (from, to) in [(z, x), (y, z)] {
            must_reach(from, to, Family::Ipv4).await?;
        }
        let (token2, watch) = (token(), Watch::pods(&[x, y])?);
        send(z, BROADCAST, Ipv4Addr::BROADCAST, &token2).await?;
        send(z, host0.mac, host0.address, &token2).await?;
        let received = watch.count_received(&pings, &token2).await?;
        ensure!(received == [1, 1], "x, y received {received:?}");
        ensure!(host0.rest(x, &token2).await? == 0, "the host heard z");
        routers_stay_inside(&segment, [x, y, v, w], &host0).await?;
        without(lab, &["flat", "vlan"], &["r1"]).await?;
        nothing_is_connected(&segment).await
    })
    .await
}

/// Between the switches the nodes route, and the segment sees nothing of the router.
async fn routers_stay_inside(
    segment: &Segment,
    [x, y, v, w]: [&Pod; 4],
    host: &Host,
) -> anyhow::Result<()> {
    let wires = Watch::of(vec![segment.wire(0)?, segment.wire(1)?]);
    for (from, to) in [(x, v), (x, w), (w, x), (v, y)] {
        must_reach(from, to, Family::Ipv4).await?;
    }
    let of_router = |frame: &[u8]| frame.get(6..11) == Some(&ROUTER.0[..5]);
    let seen = wires.after(&[], Direction::Out, of_router).await?;
    ensure!(
        seen.iter().all(Vec::is_empty),
        "the router showed itself: {seen:02x?}"
    );
    // Neither does it answer there, nor take what is sent to it.
    host.ask(Ipv4Addr::new(10, 81, 0, 1), None).await?;
    let (token, watch) = (token(), Watch::pods(&[v])?);
    let packet = udp(host.address.into(), ipv4(v)?.into(), 64, 9, &token);
    let frame = ethernet(host.mac, ROUTER, kind_of(ipv4(v)?.into()), &packet);
    host.tap.send(&frame).await?;
    host.reaches(x).await?;
    let received = watch.count_received(&[(x, v), (x, y)], &token).await?;
    ensure!(
        received == [0],
        "what was sent to the router from outside was routed"
    );
    let answered = host.rest(x, &ROUTER.0).await?;
    ensure!(answered == 0, "the router answered the host");
    Ok(())
}

async fn patches(node: &Node) -> anyhow::Result<String> {
    let find = [
        "--bare",
        "--columns=name",
        "find",
        "Interface",
        "type=patch",
    ];
    let mut names: Vec<String> = node
        .vsctl(&find)
        .await?
        .lines()
        .map(str::to_owned)
        .collect();
    names.retain(|name| !name.is_empty());
    names.sort();
    Ok(names.join(" "))
}

async fn patches_become(node: &Node, expected: &str) -> anyhow::Result<()> {
    let mut seen = String::new();
    let become_so = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            ticks.tick().await;
            seen = patches(node).await?;
            if seen == expected {
                return anyhow::Ok(());
            }
        }
    };
    let outcome = tokio::time::timeout(scaled(PATIENCE), become_so).await;
    outcome.with_context(|| format!("{}: patch ports {seen:?}, not {expected:?}", node.name()))?
}

pub(super) async fn nothing_is_connected(segment: &Segment) -> anyhow::Result<()> {
    for node in &segment.nodes {
        patches_become(node, "").await?;
    }
    Ok(())
}

pub async fn localnet_ports_follow_mappings_and_rows_and_bad_mappings_are_told_once()
-> anyhow::Result<()> {
    lab::run(3, "", async |lab| {
        lab.expect("ovn-bridge-mappings");
        let segment = Segment::build(lab).await?;
        lab.nbctl(&rows()).await?;
        let pods = lab.pods(PODS).await?;
        let [x, y, _, v, w] = &pods;
        let [n1, n2] = segment.nodes.as_slice() else {
            anyhow::bail!("two nodes");
        };
        let all = "patch-br-int-to-ln-flat patch-br-int-to-ln-vlan patch-ln-flat-to-br-int patch-ln-vlan-to-br-int";
        for node in &segment.nodes {
            patches_become(node, all).await?;
        }
        ensure!(patches(&segment.host).await?.is_empty(), "n3 has no such network");
        let (host0, host7) = (segment.host("host0").await?, segment.host("host7").await?);
        // A node that loses the network reaches the others by the tunnel; the host does not reach it.
        map(n2, "").await?;
        patches_become(n2, "").await?;
        lab.pods(PODS).await?;
        for (from, to) in [(x, y), (w, v)] {
            must_reach(from, to, Family::Ipv4).await?;
        }
        host0.reaches(x).await?;
        let (lost, watch) = (token(), Watch::pods(&[y])?);
        host0.shout(&lost).await?;
        host0.reaches(x).await?;
        let received = watch.count_received(&[(x, y)], &lost).await?;
        ensure!(received == [0], "it came without a network");
        // What is wrong with mappings is told with node and key, once, and harms nothing else.
        map(n2, "physnet1:br-nowhere,junk").await?;
        let line = lab.await_log(&["node=n2", "ovn-bridge-mappings", "br-nowhere", "junk"]).await?;
        ensure!(line.contains(" WARN "), "{line}");
        map(n2, "physnet1:br-eth1").await?;
        patches_become(n2, all).await?;
        lab.pods(PODS).await?;
        host0.reaches(y).await?;
        let told = lab.weft_log().lines().filter(|line| line.contains("ovn-bridge-mappings")).count();
        ensure!(told == 1, "told {told} times");
        // A patch port taken away by hand comes back.
        n1.vsctl(&["del-port", "br-eth1", "patch-ln-flat-to-br-int"]).await?;
        patches_become(n1, all).await?;
        lab.pods(PODS).await?;
        host0.reaches(x).await?;
        // Another VLAN.
        host7.reaches(v).await?;
        lab.nbctl("set Logical_Switch_Port ln-vlan tag=8 tag_request=8").await?;
        lab.pods(PODS).await?;
        let (lost, watch) = (token(), Watch::pods(&[v, w])?);
        host7.shout(&lost).await?;
        host0.reaches(x).await?;
        let received = watch.count_received(&[(v, w)], &lost).await?;
        ensure!(received == [0, 0], "VLAN 7 is the switch's no more: {received:?}");
        must_reach(v, w, Family::Ipv4).await?;
        // A port that goes takes its patch ports along, and one that is switched off.
        lab.nbctl("lsp-del ln-vlan\nlsp-set-enabled ln-flat disabled").await?;
        nothing_is_connected(&segment).await?;
        lab.pods(PODS).await?;
        for (from, to) in [(x, y), (v, w)] {
            must_reach(from, to, Family::Ipv4).await?;
        }
        without(lab, &["flat", "vlan"], &["r1"]).await
    })
    .await
}
