//! Hosts: the static side of a node, set up once, and packets between hosts, pods, and the outside.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, ensure};
use weft_cni::netns::Netns;
use weft_e2e::{
    host::{GATEWAY4, GATEWAY6, Networks, OUTSIDE4, OUTSIDE6},
    node::{Node, underlay_ipv4, underlay_ipv6},
    patience::scaled,
    probe::Family,
    tap::{Direction, Tap},
};

use super::{
    lab::{self, Lab, PATIENCE, address, gateway_mac, manifests, token},
    packet::{contains, ethernet, kind_of, udp},
    witness::{Over, Witness, ask},
};

/// Makes this program `weft-cni`: see `main`.
pub const AS_WEFT_CNI: &str = "WEFT_AS_WEFT_CNI";

/// A port that nobody else listens on.
const PORT: u16 = 8080;

pub async fn hosts_pods_and_the_outside_reach_each_other_also_after_the_switch_was_killed()
-> anyhow::Result<()> {
    let yaml = manifests(&[("shop", &[])], &[("shop/a", "n1"), ("shop/b", "n2")]);
    lab::run(2, &yaml, async |lab| {
        let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
        let hosts = Hosts::start(lab).await?;
        let outside = &hosts.outside;
        let [n1, n2] = [0, 1].map(|index| Arc::clone(&lab.fabric.nodes()[index]));
        let mut witnesses = vec![Witness::start(outside, "outside", PORT)?];
        for (number, node) in [(1, &n1), (2, &n2)] {
            let own = Family::ALL.map(|family| [underlay(number, family), join(number, family)]);
            let own = own.as_flattened();
            witnesses.push(Witness::start_at(node.netns(), node.name(), PORT, own)?);
        }
        for (pod, name) in [(&a, "a"), (&b, "b")] {
            witnesses.push(Witness::start(pod.netns(), name, PORT)?);
        }
        for is_back in [false, true] {
            if is_back {
                lab.expect("dialling again");
                n1.kill_vswitchd().await?;
                n1.start_vswitchd().await?;
                lab.fabric.restore_underlay(&n1).await?;
                lab.flows_are_as_computed().await?;
            }
            for family in Family::ALL {
                let way = |from: &Netns, to: IpAddr| (from.clone(), SocketAddr::new(to, PORT));
                let [at_a, at_b] = [address(&a, family)?, address(&b, family)?];
                let [host1, host2] = [1, 2].map(|number| underlay(number, family));
                let (beyond, gateway) = outside_of(family);
                let join1 = join(1, family);
                for ((from, to), expected) in [
                    (way(n1.netns(), at_a), ("a", join1)),
                    (way(n1.netns(), at_b), ("b", join1)),
                    // Another host is reached beside the cluster; from a pod, by its own host and with its address.
                    (way(n1.netns(), host2), ("n2", host1)),
                    (way(a.netns(), host1), ("n1", at_a)),
                    (way(b.netns(), host1), ("n1", host2)),
                    (way(a.netns(), join1), ("n1", at_a)),
                    (way(b.netns(), join1), ("n1", at_b)),
                    (way(a.netns(), beyond), ("outside", gateway)),
                    (way(b.netns(), beyond), ("outside", host2)),
                ] {
                    must_see(&from, to, expected)
                        .await
                        .with_context(|| format!("switch killed before: {is_back}"))?;
                }
            }
        }
        hosts.stop(lab).await
    })
    .await
}

pub async fn nothing_of_a_tunnel_is_forwarded_by_a_host() -> anyhow::Result<()> {
    let yaml = manifests(&[("shop", &[])], &[("shop/a", "n1")]);
    lab::run(2, &yaml, async |lab| {
        let [a] = lab.pods(["shop/a"]).await?;
        let hosts = Hosts::start(lab).await?;
        let n1 = Arc::clone(&lab.fabric.nodes()[0]);
        let uplink = Tap::open(n1.netns(), "eth0")?;
        let through = gateway_mac(&a).await?;
        for family in Family::ALL {
            let (source, target) = (address(&a, family)?, underlay(2, family));
            let mut tokens = Vec::new();
            for port in [6081, 6082] {
                let token = token();
                let packet = udp(source, target, 64, port, &token);
                let frame = ethernet(a.attached().mac, through, kind_of(target), &packet);
                a.tap()?.send(&frame).await?;
                tokens.push(token);
            }
            // The second was sent after the first: once it is out, the first is out or never will be.
            uplink
                .receive(scaled(PATIENCE), |frame| contains(frame, &tokens[1]))
                .await
                .with_context(|| format!("{family}: the other packet did not come"))?;
            let seen = uplink.pending()?;
            ensure!(
                !seen
                    .iter()
                    .any(|frame| frame.direction == Direction::Out
                        && contains(&frame.bytes, &tokens[0])),
                "{family}: a tunnel packet left the node"
            );
        }
        hosts.stop(lab).await
    })
    .await
}

pub async fn a_set_up_that_is_repeated_changes_nothing_and_one_that_is_undone_leaves_nothing()
-> anyhow::Result<()> {
    let yaml = manifests(&[("shop", &[])], &[("shop/a", "n1")]);
    lab::run(1, &yaml, async |lab| {
        let [a] = lab.pods(["shop/a"]).await?;
        join_rows(lab).await?;
        let node = Arc::clone(&lab.fabric.nodes()[0]);
        let before = state(&node).await?;
        let encap = node.encapsulation().to_string();
        let setup = [
            "setup",
            "--node",
            node.name(),
            "--encap-ip",
            &encap,
            "--datapath-type",
            match node.datapath() {
                weft_e2e::node::Datapath::Kernel => "system",
                weft_e2e::node::Datapath::Userspace => "netdev",
            },
        ];
        program(&node, &setup)?;
        let first = state(&node).await?;
        for (what, text) in &first {
            ensure!(before[what] != *text, "the set-up did nothing to {what}");
        }
        program(&node, &setup)?;
        is_same(&first, &state(&node).await?).context("the second set-up changed something")?;
        // What somebody took away comes back.
        node.run("ip", &["route", "del", "10.96.0.0/16"]).await?;
        node.run("nft", &["flush", "chain", "inet", "weft", "way_out"])
            .await?;
        program(&node, &setup)?;
        is_same(&first, &state(&node).await?).context("the third set-up did not repair")?;
        let witness = Witness::start(a.netns(), "a", PORT)?;
        for family in Family::ALL {
            let to = SocketAddr::new(address(&a, family)?, PORT);
            must_see(node.netns(), to, ("a", join(1, family))).await?;
        }
        drop(witness);
        for _ in 0..2 {
            program(&node, &["uninstall"])?;
            is_same(&before, &state(&node).await?).context("uninstall left something")?;
        }
        remove_join_rows(lab).await
    })
    .await
}

pub async fn a_set_up_says_what_is_missing() -> anyhow::Result<()> {
    lab::run(1, "", async |lab| {
        let node = Arc::clone(&lab.fabric.nodes()[0]);
        let encap = node.encapsulation().to_string();
        let setup = [
            "setup",
            "--node",
            node.name(),
            "--encap-ip",
            &encap,
            "--timeout",
            "1",
        ];
        // Nobody knows of a host here.
        let said = program(&node, &setup).expect_err("no answer").to_string();
        ensure!(
            said.contains("waited") && said.contains("the controller's answer"),
            "{said}"
        );
        let mut command = weft_cni_command(&node, &setup);
        command.env("PATH", "/nowhere");
        let said = output(&node, command)?.expect_err("no nft").to_string();
        // The program looks where distributions put it, too, so that it is found all the same.
        ensure!(said.contains("waited"), "{said}");
        let said = program(
            &node,
            &["setup", "--node", "n1", "--encap-ip", "192.0.2.77"],
        )
        .expect_err("no such address")
        .to_string();
        ensure!(said.contains("192.0.2.77"), "{said}");
        program(&node, &["uninstall"])
    })
    .await
}

/// The hosts of a lab, set up, and one outside of it behind n1.
struct Hosts {
    outside: Netns,
}

impl Hosts {
    async fn start(lab: &mut Lab) -> anyhow::Result<Hosts> {
        join_rows(lab).await?;
        for node in lab.fabric.nodes() {
            let attached = node
                .set_up_host(&Networks::default(), scaled(PATIENCE))
                .await?;
            ensure!(
                !attached.addresses.is_empty(),
                "{}: {attached:?}",
                node.name()
            );
        }
        let n1 = &lab.fabric.nodes()[0];
        let outside = lab.fabric.add_outside_host("outside", n1).await?;
        // The others' way to it is n1, as that of a router would be.
        for node in lab.fabric.nodes().iter().skip(1) {
            for family in Family::ALL {
                let (beyond, _) = outside_of(family);
                let to = format!("{beyond}/{}", if beyond.is_ipv4() { 32 } else { 128 });
                let via = underlay(1, family).to_string();
                node.run("ip", &["route", "add", &to, "via", &via]).await?;
            }
        }
        lab.audit().await?;
        Ok(Hosts { outside })
    }

    async fn stop(self, lab: &mut Lab) -> anyhow::Result<()> {
        for node in lab.fabric.nodes() {
            node.uninstall_host(scaled(PATIENCE)).await?;
        }
        remove_join_rows(lab).await
    }
}

/// Fails unless what is asked at an address says so, over TCP and UDP: who answers, and whom it sees. Tried again on a machine that is too
/// busy for the first.
async fn must_see(from: &Netns, to: SocketAddr, expected: (&str, IpAddr)) -> anyhow::Result<()> {
    for over in [Over::Tcp, Over::Udp] {
        let mut answers = Vec::new();
        while answers.last() != Some(&Some((expected.0.to_owned(), expected.1))) {
            ensure!(
                answers.len() < 5,
                "{to} over {over:?}: expected {expected:?}, got {answers:?}"
            );
            answers.push(ask(from, over, to).await);
        }
    }
    Ok(())
}

fn underlay(number: u8, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => underlay_ipv4(number).into(),
        Family::Ipv6 => underlay_ipv6(number).into(),
    }
}

fn join(number: u8, family: Family) -> IpAddr {
    let low = number + 1;
    let text = match family {
        Family::Ipv4 => format!("100.64.0.{low}"),
        Family::Ipv6 => format!("fd77:6566:7400:1::{low}"),
    };
    text.parse().expect("an address")
}

/// The outside host's address, and its node's on the way to it.
fn outside_of(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::Ipv4 => (OUTSIDE4.into(), GATEWAY4.into()),
        Family::Ipv6 => (OUTSIDE6.into(), GATEWAY6.into()),
    }
}

/// The hosts' switch and ports on the cluster's router, and the ways out by them.
async fn join_rows(lab: &Lab) -> anyhow::Result<()> {
    let mut commands = "ls-add _join
lrp-add cluster cluster_to__join 0a:57:00:00:00:99 100.64.0.1/16 fd77:6566:7400:1::1/64
lsp-add _join _join_to_cluster
lsp-set-type _join_to_cluster router
lsp-set-addresses _join_to_cluster router
lsp-set-options _join_to_cluster router-port=cluster_to__join
"
    .to_owned();
    for prefix in [
        "10.128.0.0/14",
        "100.64.0.0/16",
        "fd77:6566:7400::/64",
        "fd77:6566:7400:1::/64",
    ] {
        commands += &format!("lr-route-add cluster {prefix} discard\n");
    }
    for (number, node) in (1u8..).zip(lab.fabric.nodes()) {
        let (node, low) = (node.name(), number + 1);
        let [v4, v6] = Family::ALL.map(|family| join(number, family));
        let blank = '\u{a0}';
        commands += &format!(
            "lsp-add _join _join_{node}
lsp-set-addresses _join_{node} 0a:58:64:40:00:{low:02x}{blank}{v4}{blank}{v6}
lsp-set-port-security _join_{node} 0a:58:64:40:00:{low:02x}
lsp-set-options _join_{node} requested-chassis={node} weft-host=true
set logical_switch_port _join_{node} external_ids:weft-node={node} external_ids:weft-addresses=\"{v4}/32{blank}{v6}/128\" external_ids:weft-gateways=\"100.64.0.1{blank}fd77:6566:7400:1::1\"
"
        );
        for (all, hop) in [("0.0.0.0/0", v4), ("::/0", v6)] {
            let id = format!("{node}_{}", u8::from(hop.is_ipv4()));
            commands += &format!(
                "--id=@{id} create logical_router_static_route ip_prefix=\"{all}\" nexthop=\"{hop}\" output_port=cluster_to__join options:weft-node={node}
add logical_router cluster static_routes @{id}
"
            );
        }
    }
    lab.nbctl(&commands).await.map(drop)
}

async fn remove_join_rows(lab: &Lab) -> anyhow::Result<()> {
    let commands =
        "clear logical_router cluster static_routes\nlrp-del cluster_to__join\nls-del _join\n";
    lab.nbctl(commands).await.map(drop)
}

/// What a set-up changes, as the system's own tools print it.
async fn state(node: &Node) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let mut state = BTreeMap::new();
    for (what, script) in [
        // An address that is being tried out is there all the same.
        (
            "interfaces",
            "{ ip -o addr; ip -o link; } | sed 's/ tentative//'",
        ),
        (
            "routes",
            "ip route show table all; ip -6 route show table all",
        ),
        ("filter", "nft list ruleset"),
        (
            "settings",
            "grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward 2>/dev/null | sort",
        ),
    ] {
        state.insert(what, node.run("sh", &["-c", script]).await?);
    }
    Ok(state)
}

fn is_same(
    one: &BTreeMap<&'static str, String>,
    other: &BTreeMap<&'static str, String>,
) -> anyhow::Result<()> {
    for (what, text) in one {
        let other = &other[what];
        let differing: Vec<&str> = text
            .lines()
            .filter(|line| !other.lines().any(|it| it == *line))
            .chain(
                other
                    .lines()
                    .filter(|line| !text.lines().any(|it| it == *line)),
            )
            .collect();
        ensure!(text == other, "{what}: {}", differing.join("\n"));
    }
    Ok(())
}

/// Runs the program on a node, to its end; the error is what it said.
fn program(node: &Node, arguments: &[&str]) -> anyhow::Result<()> {
    output(node, weft_cni_command(node, arguments))?
}

fn output(node: &Node, mut command: Command) -> anyhow::Result<anyhow::Result<()>> {
    let output = node.netns().run(|| command.output())??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(match output.status.success() {
        true => Ok(()),
        false => Err(anyhow::anyhow!("weft-cni: {}: {said}", output.status)),
    })
}

fn weft_cni_command(node: &Node, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("/proc is mounted"));
    command
        .args(arguments)
        .arg(format!("--ovsdb={}", node.ovsdb().display()))
        .arg(format!("--record={}", node.host_record().display()))
        .env(AS_WEFT_CNI, "1");
    command
}
