//! Interfaces, addresses and routes of one network namespace, over rtnetlink.
//!
//! A [`Links`] speaks to the namespace of the thread that opened it. Every change may be repeated: what is already so is
//! left alone, what is already gone is not missed.
//!
//! Must not: know pods, Open vSwitch or the controller.

mod route;

use std::{
    fmt, fs, io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
};

use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth,
    RouteMessageBuilder, new_connection,
    packet_route::{
        address::{AddressAttribute, AddressFlags, AddressScope},
        link::{InfoData, InfoVeth, LinkAttribute, LinkFlags, LinkMessage},
    },
};
use tokio::task::JoinHandle;

use crate::{Error, error::link_error, netns::Netns};

pub use route::Route;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Mac, NotAMac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(NotAMac)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| NotAMac)?;
        }
        if parts.next().is_some() {
            Err(NotAMac)
        } else {
            Ok(Mac(bytes))
        }
    }
}

/// Not six pairs of hexadecimal digits with colons between them.
#[derive(Debug, thiserror::Error)]
#[error("not an Ethernet address; write six pairs of hexadecimal digits, as in 0a:58:0a:80:00:09")]
pub struct NotAMac;

/// What is known about an interface.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, where it has one.
    pub mac: Option<Mac>,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub is_up: bool,
    /// The number of the other end, of a veth.
    pub peer: Option<u32>,
}

/// A connection to rtnetlink. Its task ends with it.
#[derive(Debug)]
pub struct Links {
    handle: Handle,
    task: JoinHandle<()>,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Links {
    /// Opens a connection in the calling thread's network namespace. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the kernel gives no socket.
    pub fn open() -> io::Result<Links> {
        let (connection, handle, _) = new_connection()?;
        Ok(Links {
            handle,
            task: tokio::spawn(connection),
        })
    }

    /// All interfaces.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn list(&self) -> Result<Vec<Link>, Error> {
        let messages: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|error| link_error("list", "*", error))?;
        Ok(messages.iter().map(Link::from_message).collect())
    }

    /// The interface of this name, if there is one.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn find(&self, name: &str) -> Result<Option<Link>, Error> {
        // By name the kernel answers an error for "none", which is no error here; a list has no such case.
        Ok(self
            .list()
            .await?
            .into_iter()
            .find(|link| link.name == name))
    }

    async fn index(&self, name: &str) -> Result<u32, Error> {
        let found = self.find(name).await?;
        found.map(|link| link.index).ok_or_else(|| Error::Link {
            action: "lookup".to_owned(),
            interface: name.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    /// Makes a veth pair: `name` here, `peer` in another namespace.
    ///
    /// # Errors
    /// What the kernel answered, for example that either name is taken.
    pub async fn add_veth(&self, name: &str, peer: &str, peer_netns: &Netns) -> Result<(), Error> {
        let peer_message = LinkUnspec::new_with_name(peer)
            .setns_by_fd(peer_netns.as_fd().as_raw_fd())
            .build();
        let message = LinkVeth::new(name, peer)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer_message)))
            .build();
        self.handle
            .link()
            .add(message)
            .execute()
            .await
            .map_err(|error| link_error("creation of the veth pair", name, error))
    }

    /// Makes a Linux bridge that neither learns about multicast nor speaks IPv6 itself, and brings it up.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn add_bridge(&self, name: &str, mtu: u32) -> Result<(), Error> {
        let message = LinkBridge::new(name)
            .mcast_snooping(false)
            .mtu(mtu)
            .up()
            .build();
        self.handle
            .link()
            .add(message)
            .execute()
            .await
            .map_err(|error| link_error("creation of the bridge", name, error))
    }

    /// Makes an interface a port of a bridge.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn add_to_bridge(&self, name: &str, bridge: &str) -> Result<(), Error> {
        let bridge = self.index(bridge).await?;
        self.set(name, "bridge membership", |message| {
            message.controller(bridge)
        })
        .await
    }

    /// Removes an interface if it is there.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let Some(link) = self.find(name).await? else {
            return Ok(());
        };
        match self.handle.link().del(link.index).execute().await {
            Err(error)
                if crate::error::io_error(error.clone()).raw_os_error()
                    != Some(nix::libc::ENODEV) =>
            {
                Err(link_error("removal", name, error))
            }
            _ => Ok(()),
        }
    }

    /// Brings an interface up.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn up(&self, name: &str) -> Result<(), Error> {
        self.set(name, "up", LinkMessageBuilder::up).await
    }

    /// Takes an interface down.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn down(&self, name: &str) -> Result<(), Error> {
        self.set(name, "down", LinkMessageBuilder::down).await
    }

    /// Sets the MTU.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn set_mtu(&self, name: &str, mtu: u32) -> Result<(), Error> {
        self.set(name, &format!("MTU {mtu}"), |message| message.mtu(mtu))
            .await
    }

    /// Sets the Ethernet address.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn set_mac(&self, name: &str, mac: Mac) -> Result<(), Error> {
        self.set(name, &format!("Ethernet address {mac}"), |message| {
            message.address(mac.0.to_vec())
        })
        .await
    }

    async fn set(
        &self,
        name: &str,
        action: &str,
        change: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> Result<(), Error> {
        let index = self.index(name).await?;
        let message = change(LinkUnspec::new_with_index(index)).build();
        self.handle
            .link()
            .set(message)
            .execute()
            .await
            .map_err(|error| link_error(action, name, error))
    }

    /// Every address of every interface, link-local ones included, with the interface's number.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn addresses(&self) -> Result<Vec<(u32, IpNet)>, Error> {
        let messages: Vec<_> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|error| link_error("list of addresses", "*", error))?;
        Ok(messages
            .iter()
            .filter_map(|message| {
                // IFA_LOCAL is the own address on IPv4; IPv6 has IFA_ADDRESS only.
                let local = message
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        AddressAttribute::Local(address) => Some(*address),
                        _ => None,
                    });
                let address = message
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        AddressAttribute::Address(address) => Some(*address),
                        _ => None,
                    });
                let network = IpNet::new(local.or(address)?, message.header.prefix_len).ok()?;
                Some((message.header.index, network))
            })
            .collect())
    }

    /// Gives an interface exactly these addresses besides its link-local ones.
    ///
    /// IPv6 addresses skip duplicate detection *for themselves*: they are assigned, hence unique, and a tentative one
    /// would keep the pod silent for a second. The interface's own settings stay, so that an address added inside the
    /// pod, and the link-local one, are detected as always.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn set_addresses(&self, name: &str, wanted: &[IpNet]) -> Result<(), Error> {
        let index = self.index(name).await?;
        for (_, stale) in self.addresses().await?.into_iter().filter(|(at, network)| {
            *at == index && !wanted.contains(network) && !is_link_local(network.addr())
        }) {
            self.delete_address(index, name, stale).await?;
        }
        for network in wanted {
            let mut request = self
                .handle
                .address()
                .add(index, network.addr(), network.prefix_len())
                .replace();
            if network.addr().is_ipv6() {
                request
                    .message_mut()
                    .attributes
                    .push(AddressAttribute::Flags(AddressFlags::Nodad));
            }
            request
                .execute()
                .await
                .map_err(|error| link_error(format!("address {network}"), name, error))?;
        }
        Ok(())
    }

    async fn delete_address(&self, index: u32, name: &str, network: IpNet) -> Result<(), Error> {
        let message = match network {
            IpNet::V4(network) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
                .index(index)
                .address(network.addr(), network.prefix_len())
                .build(),
            IpNet::V6(network) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
                .index(index)
                .address(network.addr(), network.prefix_len())
                .build(),
        };
        debug_assert_eq!(message.header.scope, AddressScope::Universe);
        self.handle
            .address()
            .del(message)
            .execute()
            .await
            .map_err(|error| link_error(format!("removal of address {network}"), name, error))
    }

    /// Makes `gateway` the default route of its family, through an interface that is up. An `onlink` one is believed to
    /// be a neighbour although no prefix of the interface contains it.
    ///
    /// # Errors
    /// What the kernel answered.
    pub async fn set_default_route(
        &self,
        name: &str,
        gateway: IpAddr,
        reach: Reach,
    ) -> Result<(), Error> {
        let index = self.index(name).await?;
        let message = match gateway {
            IpAddr::V4(gateway) => {
                let route = RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                    .gateway(gateway)
                    .output_interface(index);
                if reach == Reach::OnLink {
                    route.onlink()
                } else {
                    route
                }
                .build()
            }
            IpAddr::V6(gateway) => {
                let route = RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                    .gateway(gateway)
                    .output_interface(index);
                if reach == Reach::OnLink {
                    route.onlink()
                } else {
                    route
                }
                .build()
            }
        };
        self.handle
            .route()
            .add(message)
            .replace()
            .execute()
            .await
            .map_err(|error| link_error(format!("default route through {gateway}"), name, error))
    }
}

/// How a gateway is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It lies in a prefix of the interface.
    Connected,
    /// It is a neighbour by declaration.
    OnLink,
}

impl Link {
    fn from_message(message: &LinkMessage) -> Link {
        let mut link = Link {
            index: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            is_up: message.header.flags.contains(LinkFlags::Up),
            peer: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(bytes) => {
                    link.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac)
                }
                LinkAttribute::Link(index) => link.peer = Some(*index),
                _ => {}
            }
        }
        link
    }
}

/// Sets a per-interface IPv6 setting in the calling thread's network namespace. A kernel without IPv6 has none.
///
/// # Errors
/// When the setting is there and refuses the value.
pub fn set_ipv6_setting(interface: &str, setting: &str, value: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/{setting}");
    match fs::write(&path, value) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Link {
            action: format!("{path} = {value}"),
            interface: interface.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ethernet_address_reads_back_as_it_prints() {
        let mac = Mac([0x0a, 0x58, 0x0a, 0x80, 0, 9]);
        assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
    }

    #[test]
    fn what_is_no_ethernet_address_is_refused() {
        for text in [
            "",
            "0a:58:0a:80:00",
            "0a:58:0a:80:00:09:01",
            "0a:58:0a:80:00:zz",
            "a:58:0a:80:00:09",
            "+a:58:0a:80:00:09x",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text:?} passed");
        }
    }
}
