//! The host side of a node, static: an interface into the cluster's network, routes, settings and one packet filter table.
//!
//! ```text
//! pods, services ◀── br-int ── weftXXXXXXXXXX ── weft0 ── routes: cluster, services, join, 169.254.77.2 and .3
//!                                                         └─ nftables `inet weft`, kernel settings
//! ```
//!
//! `weft0` is attached as a pod's interface is: its name goes into the local OVSDB, addresses come back. What is balanced, and to whom, is
//! Open vSwitch's business; nothing here changes when a service does, and nothing has to run.
//!
//! Invariants: done twice, it changes nothing; undone, the node is as it was.
//!
//! Must not: know a service, a pod or another node.

mod firewall;
mod settings;

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use ipnet::IpNet;
use weft_schema::service;

use crate::{
    Attach, Attached, Detach, Error,
    attach::{Ways, attach_with},
    detach,
    netns::Netns,
};

/// What a host is to be to the cluster.
#[derive(Clone, Debug)]
pub struct HostSetup {
    /// Socket of the local `ovsdb-server`.
    pub ovsdb: PathBuf,
    /// The node's name.
    pub node: String,
    /// Where pods have their addresses.
    pub cluster_cidrs: Vec<IpNet>,
    /// Where hosts have theirs.
    pub join_cidrs: Vec<IpNet>,
    /// Where services have theirs: cluster addresses, pools of load balancer addresses.
    pub service_cidrs: Vec<IpNet>,
    /// The node-port range.
    pub node_ports: RangeInclusive<u16>,
    /// Where kernel settings are written down before they are changed; the file should not outlive the boot.
    pub record: PathBuf,
    /// How long to wait for bridge, answer and flows, in all.
    pub patience: Duration,
}

/// What is to be undone.
#[derive(Clone, Debug)]
pub struct HostUninstall {
    /// Socket of the local `ovsdb-server`.
    pub ovsdb: PathBuf,
    /// Where [`HostSetup::record`] was.
    pub record: PathBuf,
    /// How long to wait for the local OVSDB.
    pub patience: Duration,
}

/// Makes the host side, or repairs it, and returns how `weft0` is configured. Runs in the network namespace of the node.
///
/// # Errors
/// What failed; what was done before it stays, and is completed by another call.
pub async fn set_up_host(setup: &HostSetup) -> Result<Attached, Error> {
    // The filter is there before the first packet can come by weft0.
    let own: Vec<IpNet> = trunc([&setup.cluster_cidrs[..], &setup.join_cidrs].concat());
    let rules = firewall::Rules {
        own: &own,
        node_ports: &setup.node_ports,
    };
    firewall::apply(&rules).await?;
    settings::apply(&setup.record)?;
    let netns = Netns::current().map_err(|source| Error::Namespace {
        path: NETNS.into(),
        source,
    })?;
    let what = Attach {
        ovsdb: setup.ovsdb.clone(),
        netns: netns.path().to_owned(),
        interface: INTERFACE.to_owned(),
        iface_id: service::host_port(&setup.node),
        uid: String::new(),
        sandbox: SANDBOX.to_owned(),
        patience: setup.patience,
    };
    let fixed = [service::NODE_PORTS, service::MASQUERADE];
    let fixed = fixed.into_iter().flat_map(|(ipv4, ipv6)| {
        [
            IpNet::from(std::net::IpAddr::V4(ipv4)),
            IpNet::from(std::net::IpAddr::V6(ipv6)),
        ]
    });
    let networks = own
        .into_iter()
        .chain(trunc(setup.service_cidrs.clone()))
        .chain(fixed);
    let attached = attach_with(&what, Ways::Networks(networks.collect())).await?;
    settings::apply_to_interface(INTERFACE)?;
    tracing::info!(node = %setup.node, addresses = ?attached.addresses, "host side set up");
    Ok(attached)
}

/// Undoes [`set_up_host`]: interface, routes, filter and settings. Every step is tried; what is not there is not missed.
///
/// # Errors
/// The first step that failed.
pub async fn uninstall_host(uninstall: &HostUninstall) -> Result<(), Error> {
    let what = Detach {
        ovsdb: uninstall.ovsdb.clone(),
        interface: INTERFACE.to_owned(),
        sandbox: SANDBOX.to_owned(),
        patience: uninstall.patience,
    };
    // The filter last: as long as weft0 is there, so are its drops.
    let detached = detach(&what).await;
    let restored = settings::restore(&uninstall.record);
    let removed = firewall::remove().await;
    detached.and(restored).and(removed)
}

fn trunc(networks: Vec<IpNet>) -> Vec<IpNet> {
    let mut networks: Vec<IpNet> = networks.iter().map(IpNet::trunc).collect();
    networks.sort();
    networks.dedup();
    networks
}

/// Name of the host's interface into the cluster's network.
pub const INTERFACE: &str = "weft0";
/// Stands for the container ID that a pod's interface has.
const SANDBOX: &str = "host";
/// The network namespace of the calling thread.
const NETNS: &str = "/proc/thread-self/ns/net";
