//! Options about certificates: those that a command shows and believes, and those that `weft pki` makes.
//!
//! Must not: read a file.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use weft_stream::PeerName;

/// What `ssl:` and `pssl:` need, under the names that Open vSwitch's tools have for it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options for ssl: and pssl: (weft pki makes the files)")]
pub(crate) struct Certificates {
    /// Our private key (PEM)
    #[arg(
        short = 'p',
        long,
        env = "WEFT_PRIVATE_KEY",
        value_name = "FILE",
        requires = "certificate"
    )]
    pub(crate) private_key: Option<PathBuf>,

    /// Our certificate (PEM)
    #[arg(
        short = 'c',
        long,
        env = "WEFT_CERTIFICATE",
        value_name = "FILE",
        requires = "private_key"
    )]
    pub(crate) certificate: Option<PathBuf>,

    /// The CA of who is at the other end of the northbound database: the controllers' (PEM)
    #[arg(
        short = 'C',
        long,
        env = "WEFT_CA_CERT",
        value_name = "FILE",
        requires = "private_key"
    )]
    pub(crate) ca_cert: Option<PathBuf>,
}

/// What the sessions with nodes need beside [`Certificates`].
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct NodesCertificates {
    /// The CA that has signed the nodes' certificates (PEM); each has to name the node that is dialled
    #[arg(
        long,
        env = "WEFT_NODES_CA_CERT",
        value_name = "FILE",
        requires = "private_key",
        help_heading = "Options for ssl: and pssl: (weft pki makes the files)"
    )]
    pub(crate) nodes_ca_cert: Option<PathBuf>,
}

/// What `weft pki` makes.
#[derive(Debug, Subcommand)]
pub(crate) enum Pki {
    /// Makes the two CAs: one signs for controllers, one for nodes
    Init(Init),
    /// Makes a node's key and certificate, and says what to run on the node
    Node(Node),
    /// Makes the key and certificate of a controller, or of a client of the northbound database
    Controller(ForController),
}

/// Options of `weft pki init`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft pki init /etc/weft/pki
  weft pki init /etc/weft/pki --days 1825

Nodes believe the controllers' CA and no other, controllers the nodes' CA and no other, so that no node can command
another. Whoever has a file that ends in .key can make certificates: keep the directory to yourself.")]
pub(crate) struct Init {
    /// The directory to make them in
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// For how many days they are good
    #[arg(long, default_value_t = 3650, value_name = "DAYS", value_parser = days())]
    pub(crate) days: u16,
}

/// Options of `weft pki node`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft pki node /etc/weft/pki n1
  weft pki node /etc/weft/pki n1 --renew        files with new names, for Open vSwitch takes no notice of old ones")]
pub(crate) struct Node {
    /// The directory that weft pki init made
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// The node's name in the nodes file
    #[arg(value_name = "NAME", value_parser = PeerName::new)]
    pub(crate) name: PeerName,

    #[command(flatten)]
    pub(crate) certificate: Certificate,
}

/// Options of `weft pki controller`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft pki controller /etc/weft/pki
  weft pki controller /etc/weft/pki --renew                  a running weft takes up the new files by itself
  weft pki controller /etc/weft/pki --name admin             for ovn-nbctl -p … -c … -C …")]
pub(crate) struct ForController {
    /// The directory that weft pki init made
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Whose certificate it is; nobody checks it
    #[arg(long, default_value = "controller", value_name = "NAME", value_parser = PeerName::new)]
    pub(crate) name: PeerName,

    #[command(flatten)]
    pub(crate) certificate: Certificate,
}

/// About any certificate.
#[derive(Args, Debug)]
pub(crate) struct Certificate {
    /// For how many days it is good
    #[arg(long, default_value_t = 365, value_name = "DAYS", value_parser = days())]
    pub(crate) days: u16,

    /// Make a newer one where there is one already
    #[arg(long)]
    pub(crate) renew: bool,
}

fn days() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=36_500)
}
