//! The way from a controller to the nodes: a host of its own on the underlay, and `ovsdb-server` listening there.
//!
//! ```text
//! host "controller" ──underlay──▶ node: ovsdb-server  pssl:6640 (Manager and SSL rows, as weft pki says)
//!                                       br-int        pssl:6653 (the controller asks for it over OVSDB)
//! ```
//!
//! Must not: do what a controller does.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use weft_cni::{netns::Netns, offload};
use weft_stream::{
    PeerName, TlsFiles,
    pki::{Directory, Existing, Made, Period},
};

use crate::{
    fabric::Fabric,
    node::{Node, RUN},
};

/// What is spoken on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP without anything, for tests that are about something else.
    Plain,
    /// Mutual TLS.
    Tls,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Management {
    transport: Transport,
    host: Netns,
    addresses: Vec<(String, std::net::IpAddr)>,
    certificates: Option<Certificates>,
}

#[derive(Clone, Debug)]
struct Certificates {
    directory: Directory,
    controller: TlsFiles,
}

impl Management {
    /// Puts the host on the underlay and has every node's `ovsdb-server` listen.
    ///
    /// # Errors
    /// When a node does not take its certificate, or the host cannot be made.
    pub async fn open(fabric: &Fabric, transport: Transport) -> anyhow::Result<Management> {
        let host = fabric.add_host(HOST, HOST_NUMBER).await?;
        // The nodes' userspace datapath takes frames as they are, and a veth leaves checksums to others.
        host.run(|| offload::disable_transmit_checksums("eth0"))??;
        let addresses = fabric.nodes().iter();
        let addresses = addresses.map(|node| (node.name().to_owned(), node.encapsulation()));
        let mut management = Management {
            transport,
            host,
            addresses: addresses.collect(),
            certificates: None,
        };
        if transport == Transport::Tls {
            let root = Path::new(RUN).join("pki");
            let directory = Directory::init(&root, period())?;
            let controller = PeerName::new(HOST)?;
            let controller = directory.controller(&controller, period(), Existing::Refuse)?;
            management.certificates = Some(Certificates {
                directory,
                controller: controller.files,
            });
        }
        let listening = fabric.nodes().iter().map(|node| management.listen(node));
        futures::future::try_join_all(listening).await?;
        Ok(management)
    }

    /// The host to run the controller on.
    #[must_use]
    pub fn host(&self) -> &Netns {
        &self.host
    }

    /// The nodes file; where the switches listen is the default.
    #[must_use]
    pub fn nodes_yaml(&self) -> String {
        let scheme = match self.transport {
            Transport::Plain => "tcp",
            Transport::Tls => "ssl",
        };
        let mut text = "nodes:\n".to_owned();
        for (name, address) in &self.addresses {
            let host = match address {
                std::net::IpAddr::V4(address) => address.to_string(),
                std::net::IpAddr::V6(address) => format!("[{address}]"),
            };
            let _never = writeln!(
                text,
                "- {{name: {name}, ovsdb: \"{scheme}:{host}:{PORT}\"}}"
            );
        }
        text
    }

    /// What `weft run` and `weft controller` are told about certificates.
    #[must_use]
    pub fn arguments(&self) -> Vec<PathBuf> {
        let Some(Certificates { controller, .. }) = &self.certificates else {
            return Vec::new();
        };
        vec![
            "--private-key".into(),
            controller.private_key.clone(),
            "--certificate".into(),
            controller.certificate.clone(),
            "--nodes-ca-cert".into(),
            controller.ca_certificate.clone(),
        ]
    }

    /// The CAs.
    ///
    /// # Errors
    /// When there is no TLS.
    pub fn directory(&self) -> anyhow::Result<&Directory> {
        let certificates = self.certificates.as_ref();
        Ok(&certificates.context("this way is without TLS")?.directory)
    }

    /// The controller's files.
    ///
    /// # Errors
    /// When there is no TLS.
    pub fn controller_files(&self) -> anyhow::Result<&TlsFiles> {
        let certificates = self.certificates.as_ref();
        Ok(&certificates.context("this way is without TLS")?.controller)
    }

    /// Gives a node another certificate, under new names and in one transaction, as `weft pki node --renew` says.
    ///
    /// # Errors
    /// When the node does not take it.
    pub async fn renew(&self, node: &Node) -> anyhow::Result<Made> {
        let name = PeerName::new(node.name())?;
        let made = self.directory()?.node(&name, period(), Existing::Renew)?;
        set_ssl(node, &made.files, &[]).await?;
        Ok(made)
    }

    async fn listen(&self, node: &Node) -> anyhow::Result<()> {
        let address = node.encapsulation();
        let listener = |scheme: &str| match address {
            std::net::IpAddr::V4(address) => format!("{scheme}:{PORT}:{address}"),
            std::net::IpAddr::V6(address) => format!("{scheme}:{PORT}:[{address}]"),
        };
        if self.transport == Transport::Plain {
            let manager = ["set-manager", &listener("ptcp")];
            return node.vsctl(&manager).await.map(drop);
        }
        let name = PeerName::new(node.name())?;
        let made = self.directory()?.node(&name, period(), Existing::Refuse)?;
        set_ssl(node, &made.files, &["--", "set-manager", &listener("pssl")]).await
    }
}

/// Tells a node's Open vSwitch what to show and whom to believe, and what else there is to do in the same transaction.
///
/// # Errors
/// When it is not taken.
pub async fn set_ssl(node: &Node, files: &TlsFiles, more: &[&str]) -> anyhow::Result<()> {
    let path = |path: &Path| path.display().to_string();
    let (key, certificate) = (path(&files.private_key), path(&files.certificate));
    let ca = path(&files.ca_certificate);
    let mut arguments = vec!["set-ssl", &key, &certificate, &ca];
    arguments.extend(more);
    node.vsctl(&arguments).await.map(drop)
}

/// Name of the controller's host on the underlay.
pub const HOST: &str = "controller";
/// Its number there, above that of any node.
const HOST_NUMBER: u8 = 250;
/// Where the nodes' `ovsdb-server` listens.
pub const PORT: u16 = weft_stream::OVSDB_PORT;

/// Longer than a sandbox lives, and than weft warns before a certificate's end.
fn period() -> Period {
    Period::days(30)
}
