//! The command line: what each command takes and how its help reads.
//!
//! Values are parsed here, once: what the commands receive is valid by type. Commands are thin, a file each.
//!
//! Must not: do anything a command does.

mod certificates;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use weft_e2e::probe::Probe;
use weft_ovsdb::{Passive, Remote};

use crate::logging::LogFormat;
pub(crate) use certificates::{
    Certificate, Certificates, ForController, Init, Node, NodesCertificates, Pki,
};

/// weft: logical networks for Kubernetes on stock Open vSwitch, from one place.
#[derive(Debug, Parser)]
#[command(
    name = "weft",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    propagate_version = true,
    after_help = "Examples:
  sudo weft demo
  weft run --manifests ./manifests --nodes nodes.yaml
  weft show
  weft run --help        each command has examples of its own"
)]
pub struct Arguments {
    #[command(flatten)]
    pub(crate) log: Log,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How the process logs.
#[derive(Args, Debug)]
pub(crate) struct Log {
    /// How log lines are written to stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,

    /// How much is logged: error, warn, info, debug, trace, or a list such as info,weft_controller=debug
    /// [default: info for what keeps running, warn for demo, error for the rest]
    #[arg(long = "log", global = true, env = "WEFT_LOG", value_name = "LEVEL")]
    pub(crate) level: Option<String>,
}

/// What weft does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process: manifests in, flows on the nodes' switches out
    Run(Run),
    /// The northbound database alone: an OVN_Northbound server
    Nb(Nb),
    /// The translation alone: manifests in, rows of a northbound database out
    Northd(Northd),
    /// The node sessions alone: rows of a northbound database in, flows on the nodes' switches out
    Controller(Controller),
    /// The logical switches and routers with their ports, as ovn-nbctl show prints them
    Show(Show),
    /// The logical switches, as ovn-nbctl ls-list prints them
    LsList(Database),
    /// The logical routers, as ovn-nbctl lr-list prints them
    LrList(Database),
    /// The ports of a logical switch, as ovn-nbctl lsp-list prints them
    LspList(LspList),
    /// The logical flows that the compiler makes of a northbound database, as ovn-sbctl lflow-list prints them
    LflowList(LflowList),
    /// The way of a packet through the logical network, stage by stage, as ovn-trace prints it
    Trace(Trace),
    /// CAs and certificates for mutual TLS, without Kubernetes
    #[command(subcommand)]
    Pki(Pki),
    /// A small cluster on this machine: nodes with a real Open vSwitch, pods, and who reaches whom
    Demo(Demo),
}

/// Options of `weft run`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft run --manifests ./manifests --nodes nodes.yaml
  weft run --manifests ./manifests --nodes nodes.yaml --cluster-cidr 10.128.0.0/14 --cluster-cidr fd00:128::/48
  weft run --manifests ./manifests --nodes nodes.yaml --log-format json --log debug

The directory and the nodes file are watched. nodes.yaml:
  nodes:
    - name: n1
      ovsdb: unix:/run/openvswitch/db.sock
      encapIp: 192.0.2.1       # unless the node's external_ids:ovn-encap-ip says it")]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) manifests: Manifests,

    /// The nodes and where their Open vSwitch listens (YAML, watched)
    #[arg(long, value_name = "FILE")]
    pub(crate) nodes: PathBuf,

    /// Where the northbound database listens, such as punix:PATH or pssl:PORT:HOST; may be repeated
    #[arg(long, value_name = "REMOTE", default_value = DEFAULT_LISTEN)]
    pub(crate) nb_listen: Vec<Passive>,

    #[command(flatten)]
    pub(crate) sessions: Sessions,

    /// The file that the northbound database is kept in, for rows that are written by hand; made when there is none
    /// [default: none: the database holds what the manifests say, and is empty at the next start]
    #[arg(long, value_name = "FILE")]
    pub(crate) nb_db: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) certificates: Certificates,
}

/// Options of `weft nb`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft nb --listen punix:/run/weft/nb.sock --db /var/lib/weft/nb.db
  ovn-nbctl --db=unix:/run/weft/nb.sock ls-add blue
  ovsdb-tool show-log /var/lib/weft/nb.db")]
pub(crate) struct Nb {
    /// Where the database listens, such as punix:PATH or pssl:PORT:HOST; may be repeated
    #[arg(long, value_name = "REMOTE", default_value = DEFAULT_LISTEN)]
    pub(crate) listen: Vec<Passive>,

    /// The file that the database is kept in, as ovsdb-server keeps one; made when there is none
    /// [default: none: the database is empty at the next start]
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) certificates: Certificates,
}

/// Options of `weft northd`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft northd --manifests ./manifests --nodes nodes.yaml --nb unix:/run/weft/nb.sock")]
pub(crate) struct Northd {
    #[command(flatten)]
    pub(crate) manifests: Manifests,

    /// The nodes that pods may be on (YAML, watched; only the names are used)
    #[arg(long, value_name = "FILE")]
    pub(crate) nodes: PathBuf,

    /// The northbound database that the rows are written to
    #[arg(long, env = "OVN_NB_DB", value_name = "REMOTE", default_value = DEFAULT_CONNECT)]
    pub(crate) nb: Remote,

    #[command(flatten)]
    pub(crate) certificates: Certificates,
}

/// Options of `weft controller`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft controller --nb unix:/run/weft/nb.sock --nodes nodes.yaml     beside weft nb --listen punix:/run/weft/nb.sock
  weft controller --nb tcp:192.0.2.1:6641 --nodes nodes.yaml         an ovsdb-server that holds OVN_Northbound
  weft controller --nodes nodes.yaml -p key.pem -c cert.pem --nodes-ca-cert nodes-ca.pem      nodes over ssl:

The nodes file is watched; one that cannot be used changes nothing. A node that leaves it keeps its flows. nodes.yaml:
  nodes:
    - name: n1
      ovsdb: unix:/run/openvswitch/db.sock
    - name: n2
      ovsdb: ssl:192.0.2.2:6640      # or tcp: for tests; its certificate has to name n2
      openflow: ssl:192.0.2.2:6653   # by default, or the bridge's management socket beside a unix ovsdb
      encapIp: 192.0.2.2             # unless the node's external_ids:ovn-encap-ip says it")]
pub(crate) struct Controller {
    /// The northbound database to follow
    #[arg(long, env = "OVN_NB_DB", value_name = "REMOTE", default_value = DEFAULT_CONNECT)]
    pub(crate) nb: Remote,

    /// The nodes and where their Open vSwitch listens (YAML, watched)
    #[arg(long, value_name = "FILE")]
    pub(crate) nodes: PathBuf,

    #[command(flatten)]
    pub(crate) sessions: Sessions,

    #[command(flatten)]
    pub(crate) certificates: Certificates,
}

/// How the sessions with the nodes are kept.
#[derive(Args, Debug)]
pub(crate) struct Sessions {
    /// Seconds after which a node that says nothing is asked whether it is there; it is given up after a few times that
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) probe_interval: u64,

    /// Write down all that the sessions with the nodes hear and do, to be played again as a test; grows without bound
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) nodes_certificates: NodesCertificates,
}

/// Where objects come from in stand-alone mode.
#[derive(Args, Debug)]
pub(crate) struct Manifests {
    /// Directory of YAML files with Namespaces, Pods, Deployments, Services, EndpointSlices and Nodes (watched)
    #[arg(long, value_name = "DIR")]
    pub(crate) manifests: PathBuf,

    /// Network that pods get their addresses from; at most one of each address family
    /// [default: 10.128.0.0/14 and fd77:6566:7400::/64]
    #[arg(long, value_name = "CIDR", value_parser = cidr)]
    pub(crate) cluster_cidr: Vec<IpNet>,

    /// Network that Services without clusterIP get one from; at most one of each address family
    /// [default: 10.96.0.0/16 and fd77:6566:7400:3::/112]
    #[arg(long, value_name = "CIDR", value_parser = cidr)]
    pub(crate) service_cidr: Vec<IpNet>,

    /// Network that Services of type LoadBalancer without an address get one from; at most one of each address family
    /// [default: none: they have to name one]
    #[arg(long, value_name = "CIDR", value_parser = cidr)]
    pub(crate) load_balancer_pool: Vec<IpNet>,

    /// Give every node's host a port in the network: Services and pods from hosts, node ports, and a way out for pods
    #[arg(long)]
    pub(crate) hosts: bool,

    /// Network that hosts have their addresses in; at most one of each address family
    /// [default: 100.64.0.0/16 and fd77:6566:7400:1::/64]
    #[arg(long, value_name = "CIDR", value_parser = cidr, requires = "hosts")]
    pub(crate) join_cidr: Vec<IpNet>,
}

/// Which northbound database is looked at.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft show
  weft show --db unix:/run/weft/nb.sock
  OVN_NB_DB=tcp:192.0.2.1:6641 weft ls-list
  weft show --db ssl:192.0.2.1:6641 -p key.pem -c cert.pem -C controllers-ca.pem")]
pub(crate) struct Database {
    /// The northbound database to look at
    #[arg(long, env = "OVN_NB_DB", value_name = "REMOTE", default_value = DEFAULT_CONNECT)]
    pub(crate) db: Remote,

    #[command(flatten)]
    pub(crate) certificates: Certificates,
}

/// Options of `weft show`.
#[derive(Args, Debug)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) database: Database,

    /// Only this switch or router, by name or UUID
    #[arg(value_name = "SWITCH|ROUTER")]
    pub(crate) only: Option<String>,
}

/// Options of `weft lsp-list`.
#[derive(Args, Debug)]
pub(crate) struct LspList {
    #[command(flatten)]
    pub(crate) database: Database,

    /// The switch, by name or UUID
    #[arg(value_name = "SWITCH")]
    pub(crate) switch: String,
}

/// Options of `weft lflow-list`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft lflow-list
  weft lflow-list cluster          one switch or router")]
pub(crate) struct LflowList {
    #[command(flatten)]
    pub(crate) database: Database,

    /// Only this switch or router, by name or UUID
    #[arg(value_name = "SWITCH|ROUTER")]
    pub(crate) only: Option<String>,
}

/// Options of `weft trace`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft trace shop/web-0 office/desk-1
  weft trace shop/web-0 office/desk-1 --probe tcp:80 --family ipv6
  weft trace lsp-a 192.0.2.7

Every port is taken to be on the node that its options:requested-chassis names.")]
pub(crate) struct Trace {
    #[command(flatten)]
    pub(crate) database: Database,

    /// The sender: a pod (namespace/name) or a logical switch port
    #[arg(value_name = "FROM")]
    pub(crate) from: String,

    /// The receiver: a pod, a logical switch port or an address
    #[arg(value_name = "TO")]
    pub(crate) to: String,

    /// What is sent: icmp, tcp:PORT or udp:PORT
    #[arg(long, value_name = "PROBE", default_value = "icmp")]
    pub(crate) probe: Probe,

    /// Which of the receiver's addresses is meant
    #[arg(long, value_enum, default_value = "ipv4")]
    pub(crate) family: Family,
}

/// An address family, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Family {
    /// IPv4
    Ipv4,
    /// IPv6
    Ipv6,
}

/// Options of `weft demo`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  sudo weft demo
  sudo weft demo --nodes 5 --probe icmp,tcp:80,udp:53
  sudo weft demo --manifests examples/quickstart --keep     edit a file there and watch the network follow
  sudo weft demo --manifests examples/services              Services, asked from every pod
  sudo weft demo --json | jq .ok

Ends with status 0 when every pair of pods that should talk does and no other does, 1 otherwise.")]
pub(crate) struct Demo {
    /// How many nodes
    #[arg(
        long,
        default_value_t = 3,
        value_name = "NUMBER",
        value_parser = node_count,
        allow_negative_numbers = true
    )]
    pub(crate) nodes: u8,

    /// Directory of YAML files with Namespaces, Pods, Deployments and Services; two teams and two tenants when not given
    #[arg(long, value_name = "DIR")]
    pub(crate) manifests: Option<PathBuf>,

    /// What is tried from each pod to each other: icmp, tcp:PORT, udp:PORT, separated by commas
    #[arg(
        long,
        value_name = "PROBES",
        value_delimiter = ',',
        default_value = "icmp"
    )]
    pub(crate) probe: Vec<Probe>,

    /// Print one JSON object on stdout; progress goes to stderr
    #[arg(long)]
    pub(crate) json: bool,

    /// Leave it running until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
}

fn cidr(text: &str) -> Result<IpNet, String> {
    let network: IpNet = text.parse().map_err(|_| {
        "not a network: give an address and a prefix length, such as 10.128.0.0/14".to_owned()
    })?;
    if network.trunc() != network {
        return Err(format!(
            "has bits beyond its prefix length: did you mean {}?",
            network.trunc()
        ));
    }
    Ok(network)
}

fn node_count(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(count @ 1..=NODES_MAX) => Ok(count),
        _ => Err(format!(
            "not a number of nodes: give one from 1 to {NODES_MAX}"
        )),
    }
}

/// More than a machine carries; a bound so that a slip of a finger is told, not tried.
const NODES_MAX: u8 = 64;
const DEFAULT_LISTEN: &str = "punix:/run/weft/nb.sock";
const DEFAULT_CONNECT: &str = "unix:/run/weft/nb.sock";
