//! Attaching a pod's interface to the integration bridge, and taking it away.
//!
//! ```text
//! veth pair ─▶ port with iface-id in the local OVSDB ─▶ wait for the controller's answer ─▶ configure and bring up eth0
//! └──────────────── undone when a later step fails ────────────────┘
//! ```
//!
//! The host end's name is derived from sandbox and interface, so that a repeated call finds its own work, and removal
//! needs no record and no namespace. Both functions run in the network namespace of the node.
//!
//! Invariants: one port per `iface-id` at any moment (older ones go in the transaction that brings the new one);
//! nothing that another call made is undone.
//!
//! Must not: bring up the pod's end before `ovn-installed`.

use std::{io, net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use uuid::{Uuid, uuid};
use weft_schema::{
    Table, keys,
    vswitch::{Interface, Port},
};

use crate::{
    Answer, Error,
    link::{Links, Mac, Reach, Route, set_ipv6_setting},
    netns::Netns,
    offload::disable_transmit_checksums,
    ovs::{self, LocalOvsdb, State},
};

/// What is to be attached.
#[derive(Clone, Debug)]
pub struct Attach {
    /// Socket of the local `ovsdb-server`.
    pub ovsdb: PathBuf,
    /// File of the pod's network namespace.
    pub netns: PathBuf,
    /// Name of the interface in the pod: `eth0`.
    pub interface: String,
    /// Name of the logical switch port.
    pub iface_id: String,
    /// The pod's UID: which incarnation of the port this is.
    pub uid: String,
    /// The container ID of the pod's sandbox.
    pub sandbox: String,
    /// How long to wait for bridge, answer and flows, in all.
    pub patience: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The node's end of the veth pair.
    pub host_interface: String,
    /// The pod's Ethernet address.
    pub mac: Mac,
    /// The pod's addresses.
    pub addresses: Vec<IpNet>,
    /// The pod's default gateways.
    pub gateways: Vec<IpAddr>,
    /// The pod's MTU, in bytes.
    pub mtu: u32,
}

/// What is to be taken away.
#[derive(Clone, Debug)]
pub struct Detach {
    /// Socket of the local `ovsdb-server`.
    pub ovsdb: PathBuf,
    /// Name of the interface in the pod: `eth0`.
    pub interface: String,
    /// The container ID of the pod's sandbox.
    pub sandbox: String,
    /// How long to wait for the local OVSDB.
    pub patience: Duration,
}

/// Where the interface leads.
#[derive(Clone, Debug)]
pub(crate) enum Ways {
    /// Everywhere: it is a pod's only one.
    Default,
    /// To these networks, without host bits: it is the node's own.
    Networks(Vec<IpNet>),
}

/// Attaches a pod's interface and returns how it is configured.
///
/// # Errors
/// What failed; what this call had made by then is gone again.
pub async fn attach(attach: &Attach) -> Result<Attached, Error> {
    attach_with(attach, Ways::Default).await
}

/// As [`attach`], with the routes as told.
pub(crate) async fn attach_with(attach: &Attach, ways: Ways) -> Result<Attached, Error> {
    let host = host_interface_name(&attach.sandbox, &attach.interface);
    let node = open_links()?;
    let mut made = Made::default();
    let outcome = try_attach(attach, ways, &node, &host, &mut made).await;
    if outcome.is_err() {
        made.undo(attach, &node, &host).await;
    }
    outcome
}

/// Takes a pod's interface away. What is gone already is not missed; with Open vSwitch away the veth pair goes
/// nevertheless, and the port is left to the controller, which removes ports whose pod is gone.
///
/// # Errors
/// When the kernel refuses to remove the veth pair.
pub async fn detach(detach: &Detach) -> Result<(), Error> {
    let host = host_interface_name(&detach.sandbox, &detach.interface);
    let mut ovsdb = LocalOvsdb::new(&detach.ovsdb, detach.patience);
    // The port first: a port whose device is gone makes ovs-vswitchd complain.
    if let Err(error) = remove_port(&mut ovsdb, |interface| {
        is_of(interface, &host, &detach.sandbox)
    })
    .await
    {
        tracing::warn!(error = %error.with_causes(), interface = %host, "port left to the controller");
    }
    open_links()?.delete(&host).await
}

/// The name of the node's end of a veth pair: 14 characters that only this sandbox and interface have.
#[must_use]
pub fn host_interface_name(sandbox: &str, interface: &str) -> String {
    let hash = Uuid::new_v5(&NAMES, format!("{sandbox}\0{interface}").as_bytes())
        .simple()
        .to_string();
    format!("weft{}", hash.get(..10).unwrap_or_default())
}

async fn try_attach(
    attach: &Attach,
    ways: Ways,
    node: &Links,
    host: &str,
    made: &mut Made,
) -> Result<Attached, Error> {
    let netns = Netns::open(&attach.netns).map_err(|source| Error::Namespace {
        path: attach.netns.clone(),
        source,
    })?;
    let mut ovsdb = LocalOvsdb::new(&attach.ovsdb, attach.patience);
    let bridge = ovsdb
        .wait(
            "the integration bridge, which the controller makes",
            |state| Ok(state.integration_bridge().cloned()),
            |state| format!("{} bridges", state.bridges.len()),
        )
        .await?;
    made.is_veth = ensure_veth(node, &netns, attach, host).await?;
    if bridge.datapath_type == "netdev" {
        prepare_for_userspace(&netns, attach, host)?;
    }
    // Only the node's side of it would speak, to the pod alone.
    set_ipv6_setting(host, "disable_ipv6", "1")?;
    node.up(host).await?;

    let (interface, is_new) = ensure_port(&mut ovsdb, attach, host).await?;
    made.is_port = is_new;
    let answer = ovsdb
        .wait(
            "the controller's answer and ovn-installed=true",
            |state| look_for_answer(state, interface, host),
            |state| describe(state, interface),
        )
        .await?;
    node.set_mtu(host, answer.mtu).await?;
    configure(&netns, attach, answer.clone(), ways).await?;
    tracing::debug!(port = %attach.iface_id, interface = %host, "attached");
    let Answer {
        mac,
        addresses,
        gateways,
        mtu,
    } = answer;
    Ok(Attached {
        host_interface: host.to_owned(),
        mac,
        addresses,
        gateways,
        mtu,
    })
}

/// True when the pair was made by this call.
async fn ensure_veth(
    node: &Links,
    netns: &Netns,
    attach: &Attach,
    host: &str,
) -> Result<bool, Error> {
    let name = attach.interface.clone();
    let inside = enter(netns, async move || open_links()?.find(&name).await).await?;
    if let Some(link) = node.find(host).await? {
        if inside.is_some_and(|inside| inside.peer == Some(link.index)) {
            return Ok(false);
        }
        // Its pod's end is not where it should be: left by an attempt that was cut short.
        node.delete(host).await?;
    }
    node.add_veth(host, &attach.interface, netns).await?;
    Ok(true)
}

/// In the userspace datapath the node's own network stack sees a copy of every packet of the pod; it must neither
/// answer nor take it.
fn prepare_for_userspace(netns: &Netns, attach: &Attach, host: &str) -> Result<(), Error> {
    for (setting, value) in [("arp_ignore", "8"), ("rp_filter", "1"), ("forwarding", "0")] {
        let path = format!("/proc/sys/net/ipv4/conf/{host}/{setting}");
        std::fs::write(&path, value).map_err(|source| Error::Link {
            action: format!("{path} = {value}"),
            interface: host.to_owned(),
            source,
        })?;
    }
    netns
        .run(|| disable_transmit_checksums(&attach.interface))
        .and_then(|result| result)
        .map_err(|source| Error::Link {
            action: "switching off transmit checksums".to_owned(),
            interface: attach.interface.clone(),
            source,
        })
}

/// The interface's row, and whether this call made it.
async fn ensure_port(
    ovsdb: &mut LocalOvsdb,
    attach: &Attach,
    host: &str,
) -> Result<(Uuid, bool), Error> {
    let (bridge, right, wrong) = ovsdb
        .wait(
            "the integration bridge",
            |state| {
                let Some(bridge) = state.integration_bridge() else {
                    return Ok(None);
                };
                let id = |interface: &Interface, key| {
                    interface.external_ids.get(key).cloned().unwrap_or_default()
                };
                let is_right = |interface: &Interface| {
                    interface.name == host
                        && id(interface, keys::IFACE_ID) == attach.iface_id
                        && id(interface, keys::IFACE_ID_VER) == attach.uid
                        && id(interface, keys::SANDBOX) == attach.sandbox
                };
                let wrong = state.ports_where(|interface| {
                    !is_right(interface)
                        && (interface.name == host
                            || id(interface, keys::IFACE_ID) == attach.iface_id)
                });
                let right = state
                    .ports_where(is_right)
                    .first()
                    .and_then(|port| state.ports.get(port));
                Ok(Some((
                    bridge.uuid(),
                    right.and_then(|port| port.interfaces.first().copied()),
                    wrong,
                )))
            },
            |_| "none".to_owned(),
        )
        .await?;
    let mut operations = Vec::new();
    if !wrong.is_empty() {
        operations.push(ovs::remove_ports(bridge, &wrong));
    }
    let interface = match right {
        Some(uuid) => uuid,
        None => {
            let interface = new_interface(attach, host);
            let port = new_port(host, interface.uuid());
            operations.extend([
                interface.insert(),
                port.insert(),
                ovs::add_port(bridge, port.uuid()),
            ]);
            interface.uuid()
        }
    };
    if !operations.is_empty() {
        ovsdb.transact(operations).await?;
        // Until the monitor shows the row its absence means nothing.
        ovsdb
            .wait(
                "the new row",
                |state| Ok(state.interfaces.contains_key(&interface).then_some(())),
                |_| "no row".to_owned(),
            )
            .await?;
    }
    Ok((interface, right.is_none()))
}

fn new_interface(attach: &Attach, host: &str) -> Interface {
    let ids = [
        (keys::IFACE_ID, &attach.iface_id),
        (keys::IFACE_ID_VER, &attach.uid),
        (keys::SANDBOX, &attach.sandbox),
    ];
    Interface {
        uuid: Uuid::new_v4(),
        name: host.to_owned(),
        external_ids: ids
            .into_iter()
            // A node's own interface has no UID.
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect(),
        ..Interface::default()
    }
}

fn new_port(host: &str, interface: Uuid) -> Port {
    Port {
        uuid: Uuid::new_v4(),
        name: host.to_owned(),
        interfaces: vec![interface],
        ..Port::default()
    }
}

fn look_for_answer(state: &State, uuid: Uuid, host: &str) -> Result<Option<Answer>, Error> {
    let refused = |message: &str| Error::Refused {
        interface: host.to_owned(),
        message: message.to_owned(),
    };
    let Some(row) = state.interfaces.get(&uuid) else {
        return Err(refused(
            "its row was removed meanwhile: the pod was attached again, or is gone",
        ));
    };
    match &row.error {
        Some(message) => Err(refused(message)),
        None => Answer::read(host, &row.external_ids),
    }
}

fn describe(state: &State, uuid: Uuid) -> String {
    state.interfaces.get(&uuid).map_or_else(
        || "no row".to_owned(),
        |row| {
            format!(
                "interface {} with ofport {:?} and external_ids {:?}",
                row.name, row.ofport, row.external_ids
            )
        },
    )
}

async fn configure(
    netns: &Netns,
    attach: &Attach,
    answer: Answer,
    ways: Ways,
) -> Result<(), Error> {
    let name = attach.interface.clone();
    enter(netns, async move || {
        let links = open_links()?;
        links.up("lo").await?;
        links.set_mac(&name, answer.mac).await?;
        links.set_mtu(&name, answer.mtu).await?;
        if answer
            .addresses
            .iter()
            .any(|network| network.addr().is_ipv6())
        {
            set_ipv6_setting(&name, "disable_ipv6", "0")?;
        }
        // The addresses are assigned: a pod on the same switch must not be able to add one, or a route, by a router
        // advertisement. The link-local address follows from the MAC, which port security expects.
        set_ipv6_setting(&name, "accept_ra", "0")?;
        set_ipv6_setting(&name, "addr_gen_mode", "0")?;
        links.set_addresses(&name, &answer.addresses).await?;
        links.up(&name).await?;
        match ways {
            Ways::Default => set_default_routes(&links, &name, &answer).await,
            Ways::Networks(networks) => links.set_routes(&name, &routes(&answer, &networks)).await,
        }
    })
    .await
}

async fn set_default_routes(links: &Links, name: &str, answer: &Answer) -> Result<(), Error> {
    for gateway in &answer.gateways {
        let is_connected = answer
            .addresses
            .iter()
            .any(|network| network.contains(gateway));
        let reach = if is_connected {
            Reach::Connected
        } else {
            Reach::OnLink
        };
        links.set_default_route(name, *gateway, reach).await?;
    }
    Ok(())
}

/// A route to each network of a family that has an address and a gateway.
fn routes(answer: &Answer, networks: &[IpNet]) -> Vec<Route> {
    let of = |to: &IpNet| {
        let is_of_family = |address: &IpAddr| address.is_ipv4() == to.addr().is_ipv4();
        let addresses = answer.addresses.iter().map(IpNet::addr);
        Some(Route {
            to: *to,
            via: answer.gateways.iter().copied().find(is_of_family)?,
            source: addresses.into_iter().find(is_of_family)?,
        })
    };
    networks.iter().filter_map(of).collect()
}

/// Removes the wanted ports and waits until `ovs-vswitchd` has let go of their devices.
async fn remove_port(
    ovsdb: &mut LocalOvsdb,
    mut is_wanted: impl FnMut(&Interface) -> bool,
) -> Result<(), Error> {
    let found = ovsdb
        .wait(
            "the list of bridges",
            |state| {
                let Some(root) = state.open_vswitch() else {
                    return Ok(None);
                };
                let ports = state.ports_where(&mut is_wanted);
                Ok(Some(
                    state
                        .integration_bridge()
                        .map(|bridge| (root.clone(), bridge.uuid(), ports)),
                ))
            },
            |_| "none".to_owned(),
        )
        .await?;
    let Some((root, bridge, ports)) = found.filter(|(_, _, ports)| !ports.is_empty()) else {
        return Ok(());
    };
    let [raise, ask] = ovs::raise_generation(&root);
    let operations = vec![ovs::remove_ports(bridge, &ports), raise, ask];
    let results = ovsdb.transact(operations).await?;
    let Some(generation) = ovs::generation(&results) else {
        // The row went: Open vSwitch was set up anew, without the port.
        return Ok(());
    };
    ovsdb
        .wait(
            "ovs-vswitchd to let go of the device",
            |state| {
                Ok(state
                    .open_vswitch()
                    .is_some_and(|root| root.cur_cfg >= generation)
                    .then_some(()))
            },
            |state| {
                format!(
                    "cur_cfg {:?}, wanted {generation}",
                    state.open_vswitch().map(|root| root.cur_cfg)
                )
            },
        )
        .await
}

fn is_of(interface: &Interface, host: &str, sandbox: &str) -> bool {
    interface.name == host
        && interface
            .external_ids
            .get(keys::SANDBOX)
            .is_some_and(|found| found == sandbox)
}

/// What a call has made and would have to take away again.
#[derive(Default)]
struct Made {
    is_veth: bool,
    is_port: bool,
}

impl Made {
    async fn undo(&self, attach: &Attach, node: &Links, host: &str) {
        if self.is_port {
            let mut ovsdb = LocalOvsdb::new(&attach.ovsdb, UNDO_PATIENCE);
            if let Err(error) = remove_port(&mut ovsdb, |interface| {
                is_of(interface, host, &attach.sandbox)
            })
            .await
            {
                tracing::warn!(error = %error.with_causes(), interface = %host, "port left to the controller");
            }
        }
        if self.is_veth
            && let Err(error) = node.delete(host).await
        {
            tracing::warn!(error = %error.with_causes(), "veth pair left behind");
        }
    }
}

fn open_links() -> Result<Links, Error> {
    Links::open().map_err(|source| Error::Link {
        action: "rtnetlink".to_owned(),
        interface: "*".to_owned(),
        source,
    })
}

async fn enter<T, F>(netns: &Netns, inside: impl FnOnce() -> F + Send + 'static) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>>,
{
    let result: io::Result<Result<T, Error>> = netns.run_async(inside).await;
    result.map_err(|source| Error::Namespace {
        path: netns.path().to_owned(),
        source,
    })?
}

/// Namespace of the names of host interfaces.
const NAMES: Uuid = uuid!("6d3c0f0a-57a6-4c0e-9a54-9f7d1a1d1e33");
/// Clean-up after a failure is worth this much waiting.
const UNDO_PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_interface_name_fits_the_kernel_and_tells_sandboxes_apart() {
        let name = host_interface_name("3f0c", "eth0");
        assert_eq!(name.len(), 14);
        assert_eq!(name, host_interface_name("3f0c", "eth0"));
        assert_ne!(name, host_interface_name("3f0d", "eth0"));
        assert_ne!(name, host_interface_name("3f0c", "eth1"));
    }
}
