//! The fabric: nodes on one underlay network.
//!
//! Must not: be made outside a sandbox (`crate::sandbox`).

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use ipnet::IpNet;
use weft_cni::{link::Links, netns::Netns};

use crate::{
    node::{Datapath, Node, UPLINK, Uplink, check_open_vswitch, underlay_ipv4, underlay_ipv6},
    sandbox,
};

/// What a fabric is to be.
#[derive(Clone, Debug)]
pub struct FabricConfig {
    /// Number of nodes, 1 to 200.
    pub nodes: u8,
    /// MTU of the underlay, in bytes.
    pub underlay_mtu: u32,
    /// Whether tunnels run over IPv6 instead of IPv4.
    pub is_underlay_ipv6: bool,
    /// Which packet engine; `None` for what the machine has.
    pub datapath: Option<Datapath>,
}

impl Default for FabricConfig {
    fn default() -> FabricConfig {
        FabricConfig {
            nodes: 3,
            underlay_mtu: 1500,
            is_underlay_ipv6: false,
            datapath: None,
        }
    }
}

/// One step of the bring-up, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The underlay network is there.
    Underlay,
    /// A node's switch is ready.
    Node {
        /// Its name.
        name: String,
        /// Its tunnel address.
        address: IpAddr,
        /// Its packet engine.
        datapath: Datapath,
    },
    /// All nodes are ready.
    Ready,
}

/// Nodes on one underlay network. They end with the sandbox.
#[derive(Debug)]
pub struct Fabric {
    nodes: Vec<Arc<Node>>,
    underlay: Netns,
    /// Names of hosts that are no nodes.
    hosts: Mutex<BTreeSet<String>>,
    mtu: u32,
    datapath: Datapath,
}

impl Fabric {
    /// Makes underlay and nodes, the nodes side by side, and tells of every step.
    ///
    /// # Errors
    /// When Open vSwitch is not installed, this is no sandbox, or a step fails.
    pub async fn start(config: &FabricConfig, progress: impl Fn(Step)) -> anyhow::Result<Fabric> {
        check_open_vswitch()?;
        ensure!(
            sandbox::is_inside(),
            "a fabric is made inside a sandbox only: it would change this machine's own network"
        );
        ensure!(
            (1..=NODES_MAX).contains(&config.nodes),
            "a fabric has 1 to {NODES_MAX} nodes, not {}",
            config.nodes
        );
        let datapath = config.datapath.unwrap_or_else(Datapath::of_this_machine);
        let underlay = Netns::create("/run/netns/underlay")?;
        let mtu = config.underlay_mtu;
        underlay
            .run_async(async move || {
                Links::open()?
                    .add_bridge(UNDERLAY_BRIDGE, mtu)
                    .await
                    .map_err(anyhow::Error::from)
            })
            .await?
            .context("underlay")?;
        progress(Step::Underlay);
        let mut fabric = Fabric {
            nodes: Vec::new(),
            underlay,
            hosts: Mutex::default(),
            mtu,
            datapath,
        };
        let uplink = Uplink {
            mtu,
            is_ipv6: config.is_underlay_ipv6,
        };
        let starts = (1..=config.nodes).map(|number| {
            let (fabric, uplink, progress) = (&fabric, &uplink, &progress);
            async move {
                let name = format!("n{number}");
                let netns = fabric.plug_in(&name).await?;
                let node = Node::start(&name, number, netns, datapath, uplink).await?;
                progress(Step::Node {
                    name,
                    address: node.encapsulation(),
                    datapath,
                });
                anyhow::Ok(Arc::new(node))
            }
        });
        fabric.nodes = try_join_all(starts).await?;
        for node in &fabric.nodes {
            for other in fabric
                .nodes
                .iter()
                .filter(|other| other.name() != node.name())
            {
                node.introduce(other).await?;
            }
        }
        progress(Step::Ready);
        Ok(fabric)
    }

    /// The nodes, in order.
    #[must_use]
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.name() == name)
    }

    /// Which packet engine its switches use.
    #[must_use]
    pub fn datapath(&self) -> Datapath {
        self.datapath
    }

    /// MTU of the underlay, in bytes.
    #[must_use]
    pub fn underlay_mtu(&self) -> u32 {
        self.mtu
    }

    /// The nodes file that `weft run --nodes` reads.
    #[must_use]
    pub fn nodes_yaml(&self) -> String {
        let nodes: String = self
            .nodes
            .iter()
            .map(|node| {
                format!(
                    "- name: {}\n  ovsdb: \"unix:{}\"\n  openflow: \"unix:{}\"\n",
                    node.name(),
                    node.ovsdb().display(),
                    node.openflow().display()
                )
            })
            .collect();
        format!("nodes:\n{nodes}")
    }

    /// Puts another host on the underlay: one that is no node. Its interface is `eth0`, with the addresses of `number`,
    /// which must be above those of the nodes.
    ///
    /// # Errors
    /// When the number is taken, or the kernel refuses.
    pub async fn add_host(&self, name: &str, number: u8) -> anyhow::Result<Netns> {
        if usize::from(number) <= self.nodes.len() {
            bail!("underlay address {number} belongs to node n{number}");
        }
        let netns = self.plug_in(name).await?;
        self.note_host(name);
        let addresses = [
            IpNet::new(underlay_ipv4(number).into(), 24)?,
            IpNet::new(underlay_ipv6(number).into(), 64)?,
        ];
        netns
            .run_async(async move || {
                let links = Links::open()?;
                links.set_addresses(UPLINK, &addresses).await?;
                anyhow::Ok(())
            })
            .await??;
        Ok(netns)
    }

    /// Joins nodes by a network beside the underlay: an Ethernet segment of this name (at most eight characters), on which each has an
    /// interface `eth1` without addresses.
    ///
    /// # Errors
    /// When there is no such node, or the kernel refuses.
    pub async fn add_segment(&self, name: &str, nodes: &[&str]) -> anyhow::Result<()> {
        let (bridge, mtu) = (name.to_owned(), self.mtu);
        let mut peers = Vec::new();
        for name in nodes {
            let node = self.node(name).with_context(|| format!("no node {name}"))?;
            peers.push((format!("{bridge}-{name}"), node.netns().clone()));
        }
        let ports = peers.clone();
        let outside = self.underlay.run_async(async move || {
            let links = Links::open()?;
            links.add_bridge(&bridge, mtu).await?;
            for (port, peer) in &ports {
                links.add_veth(port, SEGMENT_INTERFACE, peer).await?;
                links.add_to_bridge(port, &bridge).await?;
                links.up(port).await?;
            }
            anyhow::Ok(())
        });
        outside.await?.with_context(|| format!("segment {name}"))?;
        for (_, peer) in peers {
            let up =
                peer.run_async(async || anyhow::Ok(Links::open()?.up(SEGMENT_INTERFACE).await?));
            up.await??;
        }
        Ok(())
    }

    pub(crate) fn note_host(&self, name: &str) {
        self.hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
    }

    /// Cuts two machines on the underlay off from each other; each still reaches all others.
    ///
    /// # Errors
    /// When there is no such machine.
    pub fn cut(&self, one: &str, other: &str) -> anyhow::Result<()> {
        self.isolate([one, other], "on")
    }

    /// Undoes [`Fabric::cut`].
    ///
    /// # Errors
    /// When there is no such machine.
    pub fn mend(&self, one: &str, other: &str) -> anyhow::Result<()> {
        self.isolate([one, other], "off")
    }

    /// Ports of a bridge that are isolated do not reach each other, and only each other.
    fn isolate(&self, machines: [&str; 2], is: &str) -> anyhow::Result<()> {
        for machine in machines {
            let port = format!("to-{machine}");
            let output = self.underlay.run(|| {
                std::process::Command::new("bridge")
                    .args(["link", "set", "dev", &port, "isolated", is])
                    .output()
            })??;
            ensure!(
                output.status.success(),
                "bridge link set dev {port}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }

    /// Gives a node whose switch was started again what a machine's network set-up gives it: in userspace its underlay
    /// address is on a device that ended with the switch before.
    ///
    /// # Errors
    /// When the kernel or the switch refuses.
    pub async fn restore_underlay(&self, node: &Node) -> anyhow::Result<()> {
        let uplink = Uplink {
            mtu: self.mtu,
            is_ipv6: node.encapsulation().is_ipv6(),
        };
        node.address_uplink(&uplink).await?;
        let others = self.nodes.iter();
        for other in others.filter(|other| other.name() != node.name()) {
            node.introduce(other).await?;
        }
        Ok(())
    }

    /// Whether a host of this name was put on the underlay.
    #[must_use]
    pub fn is_host(&self, name: &str) -> bool {
        self.hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(name)
    }

    /// Makes a network namespace with an interface `eth0` on the underlay, up.
    async fn plug_in(&self, name: &str) -> anyhow::Result<Netns> {
        let netns = Netns::create(Path::new("/run/netns").join(name))?;
        let (peer, port, mtu) = (netns.clone(), format!("to-{name}"), self.mtu);
        let outside = self.underlay.run_async(async move || {
            let links = Links::open()?;
            links.add_veth(&port, UPLINK, &peer).await?;
            links.set_mtu(&port, mtu).await?;
            links.add_to_bridge(&port, UNDERLAY_BRIDGE).await?;
            links.up(&port).await?;
            anyhow::Ok(())
        });
        outside
            .await?
            .with_context(|| format!("underlay port of {name}"))?;
        netns
            .run_async(async move || {
                let links = Links::open()?;
                links.up("lo").await?;
                links.set_mtu(UPLINK, mtu).await?;
                links.up(UPLINK).await?;
                anyhow::Ok(())
            })
            .await??;
        Ok(netns)
    }
}

const UNDERLAY_BRIDGE: &str = "underlay";
/// A node's interface on a network beside the underlay.
pub const SEGMENT_INTERFACE: &str = "eth1";
const NODES_MAX: u8 = 200;
