//! The host side of nodes, and hosts outside of the cluster that reach it by a node.
//!
//! ```text
//! outside host  eth0 198.51.100.9 ── 198.51.100.1 outside0  node  weft0 ── br-int
//! ```
//!
//! Must not: configure what the node set-up configures.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use ipnet::IpNet;
use weft_cni::{
    Attached, HostSetup, HostUninstall,
    link::{Links, Reach},
    netns::Netns,
    set_up_host, uninstall_host,
};

use crate::{
    fabric::Fabric,
    node::{Node, UPLINK},
};

/// Networks that a cluster of these tests has.
#[derive(Clone, Debug)]
pub struct Networks {
    /// Of pods.
    pub cluster: Vec<IpNet>,
    /// Of hosts.
    pub join: Vec<IpNet>,
    /// Of services.
    pub services: Vec<IpNet>,
}

impl Default for Networks {
    /// What northd has by default, and a pool of load balancer addresses.
    fn default() -> Networks {
        let parse = |texts: &[&str]| {
            texts
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect::<Vec<IpNet>>()
        };
        Networks {
            cluster: parse(&["10.128.0.0/14", "fd77:6566:7400::/64"]),
            join: parse(&["100.64.0.0/16", "fd77:6566:7400:1::/64"]),
            services: parse(&[
                "10.96.0.0/16",
                "fd77:6566:7400:3::/112",
                "192.0.2.0/24",
                "2001:db8:2::/64",
            ]),
        }
    }
}

impl Node {
    /// What its host side is made of.
    #[must_use]
    pub fn host_setup(&self, networks: &Networks, patience: Duration) -> HostSetup {
        HostSetup {
            ovsdb: self.ovsdb(),
            node: self.name().to_owned(),
            cluster_cidrs: networks.cluster.clone(),
            join_cidrs: networks.join.clone(),
            service_cidrs: networks.services.clone(),
            node_ports: 30000..=32767,
            record: self.host_record(),
            patience,
        }
    }

    /// Where its kernel settings are written down.
    #[must_use]
    pub fn host_record(&self) -> PathBuf {
        self.directory().join("host-settings.json")
    }

    /// Makes its host side, which the controller has to answer.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn set_up_host(
        &self,
        networks: &Networks,
        patience: Duration,
    ) -> anyhow::Result<Attached> {
        let what = self.host_setup(networks, patience);
        let made = self
            .netns()
            .run_async(async move || set_up_host(&what).await);
        made.await?
            .with_context(|| format!("node {}: host side", self.name()))
    }

    /// Undoes [`Node::set_up_host`].
    ///
    /// # Errors
    /// The step that failed.
    pub async fn uninstall_host(&self, patience: Duration) -> anyhow::Result<()> {
        let what = HostUninstall {
            ovsdb: self.ovsdb(),
            record: self.host_record(),
            patience,
        };
        let undone = self
            .netns()
            .run_async(async move || uninstall_host(&what).await);
        undone
            .await?
            .with_context(|| format!("node {}: host side", self.name()))
    }
}

impl Fabric {
    /// Puts a host behind a node: on a network of its own, with the node as its way to everywhere.
    ///
    /// # Errors
    /// When the name is taken, or the kernel refuses.
    pub async fn add_outside_host(&self, name: &str, node: &Node) -> anyhow::Result<Netns> {
        let netns = Netns::create(Path::new("/run/netns").join(name))?;
        self.note_host(name);
        let peer = netns.clone();
        let on_node = node.netns().run_async(async move || {
            let links = Links::open()?;
            links.add_veth(OUTSIDE, UPLINK, &peer).await?;
            let addresses = addresses(GATEWAY4, GATEWAY6)?;
            links.set_addresses(OUTSIDE, &addresses).await?;
            links.up(OUTSIDE).await?;
            anyhow::Ok(())
        });
        on_node.await??;
        let outside = netns.run_async(async || {
            let links = Links::open()?;
            links.up("lo").await?;
            let addresses = addresses(OUTSIDE4, OUTSIDE6)?;
            links.set_addresses(UPLINK, &addresses).await?;
            links.up(UPLINK).await?;
            for gateway in [IpAddr::V4(GATEWAY4), IpAddr::V6(GATEWAY6)] {
                let reach = Reach::Connected;
                links.set_default_route(UPLINK, gateway, reach).await?;
            }
            anyhow::Ok(())
        });
        outside.await??;
        Ok(netns)
    }
}

fn addresses(ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> anyhow::Result<[IpNet; 2]> {
    Ok([IpNet::new(ipv4.into(), 24)?, IpNet::new(ipv6.into(), 64)?])
}

/// The node's interface towards an outside host.
pub const OUTSIDE: &str = "outside0";
/// The outside host's address.
pub const OUTSIDE4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
/// The outside host's address.
pub const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9);
/// The node's address towards the outside host.
pub const GATEWAY4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The node's address towards the outside host.
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
