//! The one-shot node set-up: what a node has to say about itself before a controller can use it.
//!
//! It writes the same keys that OVN's documentation asks for, so that a node set up for OVN needs none of this, and one
//! more: the MTU of the interface that holds the tunnel address, of which the pods' MTU follows.
//!
//! Must not: make or change a bridge; that is the controller's.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use weft_schema::{Table, keys};

use crate::{Error, link::Links, ovs::LocalOvsdb};

/// What is to be known about a node.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Socket of the local `ovsdb-server`.
    pub ovsdb: PathBuf,
    /// The node's name, `system-id`.
    pub system_id: String,
    /// The address that tunnels of other nodes lead to. An interface of this node must hold it.
    pub encap_ip: IpAddr,
    /// `netdev` where the kernel has no `openvswitch` module; `None` leaves the choice to Open vSwitch: the kernel.
    pub datapath_type: Option<String>,
    /// How long to wait for the local OVSDB.
    pub patience: Duration,
}

/// Writes the node's keys into `Open_vSwitch.external_ids`. Keys that are right already are left alone.
///
/// Runs in the network namespace of the node.
///
/// # Errors
/// When no interface holds the address, or the local OVSDB does not answer in time.
pub async fn setup(setup: &Setup) -> Result<(), Error> {
    let mtu = underlay_mtu(setup.encap_ip).await?;
    let mut ovsdb = LocalOvsdb::new(&setup.ovsdb, setup.patience);
    let old = ovsdb
        .wait(
            "a row in Open_vSwitch, which the start of Open vSwitch makes",
            |state| Ok(state.open_vswitch().cloned()),
            |_| "none".to_owned(),
        )
        .await?;
    let mut new = old.clone();
    let mut put = |key: &str, value: String| new.external_ids.insert(key.to_owned(), value);
    put(keys::SYSTEM_ID, setup.system_id.clone());
    put(keys::OVN_ENCAP_IP, setup.encap_ip.to_string());
    put(keys::OVN_ENCAP_TYPE, "geneve".to_owned());
    put(keys::UNDERLAY_MTU, mtu.to_string());
    if let Some(datapath_type) = &setup.datapath_type {
        put(keys::OVN_BRIDGE_DATAPATH_TYPE, datapath_type.clone());
    }
    let operations = new.update_from(&old);
    if operations.is_empty() {
        return Ok(());
    }
    tracing::info!(node = %setup.system_id, encap_ip = %setup.encap_ip, mtu, "node set up");
    ovsdb.transact(operations).await.map(drop)
}

async fn underlay_mtu(address: IpAddr) -> Result<u32, Error> {
    let links = Links::open().map_err(|source| Error::Link {
        action: "rtnetlink".to_owned(),
        interface: "*".to_owned(),
        source,
    })?;
    let holder = links
        .addresses()
        .await?
        .into_iter()
        .find(|(_, network)| network.addr() == address);
    let (index, _) = holder.ok_or(Error::NoSuchAddress { address })?;
    let link = links
        .list()
        .await?
        .into_iter()
        .find(|link| link.index == index);
    link.map(|link| link.mtu)
        .ok_or(Error::NoSuchAddress { address })
}
