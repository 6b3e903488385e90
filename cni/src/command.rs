//! The program's command line: parses, calls, says what went wrong in one line.
//!
//! Must not: do anything a command does.

use std::{
    ffi::OsString,
    io::{self, Write},
    net::IpAddr,
    ops::RangeInclusive,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use crate::{Error, HostSetup, HostUninstall, Setup, set_up_host, setup, uninstall_host};

/// weft-cni: what a node runs once, and nothing that stays.
#[derive(Debug, Parser)]
#[command(
    name = "weft-cni",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    propagate_version = true,
    after_help = "Examples:
  weft-cni setup --node n1 --encap-ip 192.0.2.1
  weft-cni setup --help        all that can be told
  weft-cni uninstall"
)]
struct Arguments {
    /// How much is logged: error, warn, info, debug, trace, or a list such as info,weft_cni=debug
    #[arg(
        long = "log",
        global = true,
        env = "WEFT_LOG",
        value_name = "LEVEL",
        default_value = "info"
    )]
    log: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(SetupArguments),
    Uninstall(UninstallArguments),
}

/// Set this node up: tell Open vSwitch its name and tunnel address, and connect the host to pods and services
///
/// Waits for the controller, which makes the integration bridge and gives the host its addresses. May be run again at any
/// time: it repairs what is missing and changes nothing else. After a reboot it has to be run again.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft-cni setup --node n1 --encap-ip 192.0.2.1
  weft-cni setup --node n1 --encap-ip 192.0.2.1 --cluster-cidr 10.0.0.0/14 --service-cidr 10.96.0.0/16,198.51.100.0/28")]
struct SetupArguments {
    /// The node's name, as the controller knows it
    #[arg(long, value_name = "NAME")]
    node: String,

    /// The address that other nodes' tunnels lead to; an interface of this node must have it
    #[arg(long, value_name = "ADDRESS")]
    encap_ip: IpAddr,

    /// Datapath of the integration bridge: system or netdev [default: Open vSwitch's, the kernel's]
    #[arg(long, value_name = "TYPE", value_parser = ["system", "netdev"])]
    datapath_type: Option<String>,

    /// Networks that pods have their addresses from
    #[arg(long = "cluster-cidr", value_name = "CIDR,…", value_delimiter = ',', default_values = ["10.128.0.0/14", "fd77:6566:7400::/64"])]
    cluster_cidrs: Vec<IpNet>,

    /// Networks that hosts have their addresses from
    #[arg(long = "join-cidr", value_name = "CIDR,…", value_delimiter = ',', default_values = ["100.64.0.0/16", "fd77:6566:7400:1::/64"])]
    join_cidrs: Vec<IpNet>,

    /// Networks that services have their addresses from: cluster addresses, and pools of load balancer addresses
    #[arg(long = "service-cidr", value_name = "CIDR,…", value_delimiter = ',', default_values = ["10.96.0.0/16", "fd77:6566:7400:3::/112"])]
    service_cidrs: Vec<IpNet>,

    /// The node-port range
    #[arg(long, value_name = "FIRST-LAST", default_value = "30000-32767", value_parser = parse_ports)]
    node_ports: RangeInclusive<u16>,

    #[command(flatten)]
    node_files: NodeFiles,
}

/// Undo what setup did to the host: its interface, routes, settings and packet filter table
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  weft-cni uninstall")]
struct UninstallArguments {
    #[command(flatten)]
    node_files: NodeFiles,
}

#[derive(Args, Debug)]
struct NodeFiles {
    /// Socket of the node's ovsdb-server
    #[arg(
        long,
        value_name = "SOCKET",
        default_value = "/run/openvswitch/db.sock"
    )]
    ovsdb: PathBuf,

    /// Where kernel settings are written down before they are changed: a file that does not outlive the boot
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/run/weft/host-settings.json"
    )]
    record: PathBuf,

    /// How long to wait for Open vSwitch and the controller, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    timeout: u32,
}

impl NodeFiles {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }
}

/// The program: parses the arguments (the first is the program's name), runs the command, prints what went wrong.
pub fn main_from(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help that nobody reads to its end is no failure.
            let _ = error.print();
            return match error.use_stderr() {
                true => ExitCode::from(USAGE),
                false => ExitCode::SUCCESS,
            };
        }
    };
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "weft-cni: {message}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> Result<(), String> {
    let filter = EnvFilter::try_new(&arguments.log).map_err(|error| {
        format!(
            "--log {:?}: {error}; give error, warn, info, debug or trace",
            arguments.log
        )
    })?;
    // A subscriber that is there already (the test binary's, say) stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .try_init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("runtime: {error}"))?;
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Setup(arguments) => run_setup(arguments).await,
            Command::Uninstall(UninstallArguments { node_files }) => {
                let patience = node_files.patience();
                let uninstall = HostUninstall {
                    ovsdb: node_files.ovsdb,
                    record: node_files.record,
                    patience,
                };
                uninstall_host(&uninstall).await
            }
        }
    });
    done.map_err(|error| error.with_causes())
}

async fn run_setup(arguments: SetupArguments) -> Result<(), Error> {
    let patience = arguments.node_files.patience();
    let NodeFiles { ovsdb, record, .. } = arguments.node_files;
    let node = Setup {
        ovsdb: ovsdb.clone(),
        system_id: arguments.node.clone(),
        encap_ip: arguments.encap_ip,
        datapath_type: arguments.datapath_type,
        patience,
    };
    setup(&node).await?;
    let host = HostSetup {
        ovsdb,
        node: arguments.node,
        cluster_cidrs: arguments.cluster_cidrs,
        join_cidrs: arguments.join_cidrs,
        service_cidrs: arguments.service_cidrs,
        node_ports: arguments.node_ports,
        record,
        patience,
    };
    set_up_host(&host).await.map(drop)
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "give a first and a last port, such as 30000-32767".to_owned();
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(wrong()),
    }
}

/// The command line could not be understood, as other programs end with then.
const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_is_read_and_any_other_text_refused() {
        assert_eq!(parse_ports("30000-32767"), Ok(30000..=32767));
        assert_eq!(parse_ports("80-80"), Ok(80..=80));
        for text in ["", "80", "-", "81-80", "0-80", "1-65536", "a-b"] {
            assert!(parse_ports(text).is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn the_help_of_every_command_has_examples_that_are_right() {
        use clap::CommandFactory;
        let mut command = Arguments::command();
        command.build();
        let all = std::iter::once(&command).chain(command.get_subcommands());
        let helps = all.filter(|command| command.get_name() != "help");
        let helps: Vec<String> = helps
            .map(|command| command.clone().term_width(0).render_long_help().to_string())
            .collect();
        for help in helps {
            let (_, examples) = help.split_once("Examples:").expect("examples");
            for line in examples
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
            {
                let (line, _) = line.split_once("   ").unwrap_or((line, ""));
                let words = line.split_whitespace();
                let parsed = Arguments::try_parse_from(words);
                let is_right = match &parsed {
                    Ok(_) => true,
                    Err(error) => !error.use_stderr(),
                };
                assert!(is_right, "{line}: {parsed:?}");
            }
        }
    }
}
