//! A node: a network namespace with a real `ovsdb-server` and `ovs-vswitchd` in it.
//!
//! ```text
//! userspace datapath                            kernel datapath
//! br-phy (netdev, holds the underlay address)   eth0 (holds the underlay address)
//! └── eth0 ── underlay                          └── underlay
//! ```
//!
//! In the userspace datapath a tunnel leaves through a bridge that holds the underlay address; with the kernel's the
//! node's interface stays as it is. Nothing else differs. The integration bridge is the controller's to make.
//!
//! Must not: do what a controller does.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use ipnet::IpNet;
use weft_cni::{
    Setup, genetlink,
    link::{Links, Mac},
    netns::Netns,
    setup,
};

use crate::{patience::scaled, unixctl};

/// Which packet engine the switches use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datapath {
    /// The kernel's, module `openvswitch`.
    Kernel,
    /// `ovs-vswitchd`'s own, `datapath_type=netdev`.
    Userspace,
}

impl Datapath {
    /// The kernel's where it has one. Asking makes it load the module.
    #[must_use]
    pub fn of_this_machine() -> Datapath {
        if genetlink::family("ovs_datapath").is_ok() {
            Datapath::Kernel
        } else {
            Datapath::Userspace
        }
    }
}

/// A node of the fabric.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    number: u8,
    netns: Netns,
    directory: PathBuf,
    datapath: Datapath,
    encapsulation: IpAddr,
}

/// The underlay as a node sees it.
#[derive(Clone, Debug)]
pub(crate) struct Uplink {
    /// MTU of the underlay, in bytes.
    pub mtu: u32,
    /// Whether tunnels run over IPv6.
    pub is_ipv6: bool,
}

impl Node {
    /// Starts the daemons of node `number` (1 to 250), whose uplink `eth0` is in its namespace already.
    pub(crate) async fn start(
        name: &str,
        number: u8,
        netns: Netns,
        datapath: Datapath,
        uplink: &Uplink,
    ) -> anyhow::Result<Node> {
        let directory = PathBuf::from(RUN).join(name);
        fs::create_dir_all(&directory)?;
        let node = Node {
            name: name.to_owned(),
            number,
            netns,
            directory,
            datapath,
            encapsulation: if uplink.is_ipv6 {
                underlay_ipv6(number).into()
            } else {
                underlay_ipv4(number).into()
            },
        };
        node.start_daemons().await?;
        if datapath == Datapath::Userspace {
            let mac = format!("other-config:hwaddr={}", node.underlay_mac());
            node.vsctl(&[
                "add-br",
                BR_PHY,
                "--",
                "set",
                "bridge",
                BR_PHY,
                "datapath_type=netdev",
                &mac,
                "--",
                "add-port",
                BR_PHY,
                UPLINK,
            ])
            .await?;
        }
        node.address_uplink(uplink).await?;
        node.set_up().await?;
        Ok(node)
    }

    /// An Open vSwitch that is no node: nothing leads to it.
    pub(crate) async fn start_scratch(name: &str) -> anyhow::Result<Node> {
        let directory = PathBuf::from(RUN).join(name);
        fs::create_dir_all(&directory)?;
        let netns = Netns::create(Path::new("/run/netns").join(name))?;
        let node = Node {
            name: name.to_owned(),
            number: 0,
            netns,
            directory,
            datapath: Datapath::Userspace,
            encapsulation: Ipv4Addr::UNSPECIFIED.into(),
        };
        node.start_daemons().await?;
        Ok(node)
    }

    async fn start_daemons(&self) -> anyhow::Result<()> {
        self.run("ovsdb-tool", &["create", "conf.db", SCHEMA])
            .await?;
        self.start_ovsdb_server().await?;
        self.vsctl(&["--no-wait", "init"]).await?;
        self.start_vswitchd().await
    }

    /// Its name, which is also its `system-id`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The address its tunnels have.
    #[must_use]
    pub fn encapsulation(&self) -> IpAddr {
        self.encapsulation
    }

    /// Its Ethernet address on the underlay.
    #[must_use]
    pub fn underlay_mac(&self) -> Mac {
        Mac([0x02, 0, 0, 0, 0, self.number])
    }

    /// Which packet engine it uses.
    #[must_use]
    pub fn datapath(&self) -> Datapath {
        self.datapath
    }

    /// The interface that holds the underlay address.
    #[must_use]
    pub fn underlay_interface(&self) -> &'static str {
        match self.datapath {
            Datapath::Kernel => UPLINK,
            Datapath::Userspace => BR_PHY,
        }
    }

    /// Socket of its `ovsdb-server`.
    #[must_use]
    pub fn ovsdb(&self) -> PathBuf {
        self.directory.join("db.sock")
    }

    /// Socket on which its integration bridge speaks OpenFlow.
    #[must_use]
    pub fn openflow(&self) -> PathBuf {
        self.directory.join(format!("{BR_INT}.mgmt"))
    }

    /// The directory of its sockets and logs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What its daemons have logged.
    #[must_use]
    pub fn logs(&self) -> String {
        ["ovsdb-server.log", "ovs-vswitchd.log"]
            .iter()
            .map(|file| fs::read_to_string(self.directory.join(file)).unwrap_or_default())
            .collect()
    }

    /// Asks `ovs-vswitchd` something, as `ovs-appctl` does.
    ///
    /// # Errors
    /// What it answered.
    pub async fn appctl(&self, command: &str, arguments: &[&str]) -> anyhow::Result<String> {
        unixctl::call(&self.directory.join("ovs-vswitchd.ctl"), command, arguments).await
    }

    /// Asks `ovsdb-server` something, as `ovs-appctl` does.
    ///
    /// # Errors
    /// What it answered.
    pub async fn ovsdb_appctl(&self, command: &str, arguments: &[&str]) -> anyhow::Result<String> {
        unixctl::call(&self.directory.join("ovsdb-server.ctl"), command, arguments).await
    }

    /// Runs `ovs-vsctl` on its database.
    ///
    /// # Errors
    /// What it wrote to standard error.
    pub async fn vsctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let database = format!("--db=unix:{}", self.ovsdb().display());
        let timeout = tool_timeout();
        let mut all = vec![database.as_str(), &timeout];
        all.extend(arguments);
        self.run("ovs-vsctl", &all).await
    }

    /// Runs `ovs-ofctl` for OpenFlow 1.5 with a command and arguments; `%` stands for the integration bridge.
    ///
    /// # Errors
    /// What it wrote to standard error.
    pub async fn ofctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let bridge = format!("unix:{}", self.openflow().display());
        let timeout = tool_timeout();
        let mut all = vec!["-O", "OpenFlow15", &timeout];
        all.extend(arguments.iter().map(|argument| {
            if *argument == "%" {
                bridge.as_str()
            } else {
                argument
            }
        }));
        self.run("ovs-ofctl", &all).await
    }

    /// Starts `ovs-vswitchd` and waits until it is ready.
    ///
    /// # Errors
    /// What it wrote to standard error.
    pub async fn start_vswitchd(&self) -> anyhow::Result<()> {
        let database = format!("unix:{}", self.ovsdb().display());
        let mut arguments = vec![database.as_str()];
        if self.datapath == Datapath::Userspace {
            // Else it says at every start that the kernel has none.
            arguments.push("--disable-system");
        }
        self.start_daemon("ovs-vswitchd", &arguments).await
    }

    /// Ends `ovs-vswitchd` in an orderly way; its datapath goes with it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn stop_vswitchd(&self) -> anyhow::Result<()> {
        let process = self.process("ovs-vswitchd")?;
        self.appctl("exit", &["--cleanup"]).await?;
        gone(&process).await
    }

    /// Ends `ovs-vswitchd` as a crash would. In userspace the packets stop, in the kernel what was decided goes on.
    ///
    /// # Errors
    /// When it did not run.
    pub async fn kill_vswitchd(&self) -> anyhow::Result<()> {
        self.kill("ovs-vswitchd").await
    }

    /// Ends `ovsdb-server` as a crash would.
    ///
    /// # Errors
    /// When it did not run.
    pub async fn kill_ovsdb_server(&self) -> anyhow::Result<()> {
        self.kill("ovsdb-server").await
    }

    async fn kill(&self, program: &str) -> anyhow::Result<()> {
        let process = self.process(program)?;
        let pid = process
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        let pid = nix::unistd::Pid::from_raw(pid.context("a pid file without a number")?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)?;
        gone(&process).await
    }

    /// Ends `ovsdb-server` in an orderly way.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn stop_ovsdb_server(&self) -> anyhow::Result<()> {
        let process = self.process("ovsdb-server")?;
        unixctl::call(&self.directory.join("ovsdb-server.ctl"), "exit", &[]).await?;
        gone(&process).await
    }

    /// Starts `ovsdb-server` and waits until it listens.
    ///
    /// # Errors
    /// What it wrote to standard error.
    pub async fn start_ovsdb_server(&self) -> anyhow::Result<()> {
        let remote = format!("--remote=punix:{}", self.ovsdb().display());
        // As distributions start it.
        let arguments = [
            "conf.db",
            &remote,
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
            "--private-key=db:Open_vSwitch,SSL,private_key",
            "--certificate=db:Open_vSwitch,SSL,certificate",
            "--ca-cert=db:Open_vSwitch,SSL,ca_cert",
        ];
        self.start_daemon("ovsdb-server", &arguments).await
    }

    /// Tells the userspace datapath where another node's underlay address is, so that the first packet through a tunnel
    /// is not lost to the question. The kernel keeps such a packet by itself.
    pub(crate) async fn introduce(&self, other: &Node) -> anyhow::Result<()> {
        if self.datapath == Datapath::Userspace {
            let (address, mac) = (
                other.encapsulation.to_string(),
                other.underlay_mac().to_string(),
            );
            self.appctl("tnl/neigh/set", &[BR_PHY, &address, &mac])
                .await?;
        }
        Ok(())
    }

    async fn start_daemon(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let file = |suffix: &str| {
            self.directory
                .join(format!("{program}.{suffix}"))
                .display()
                .to_string()
        };
        let own = [
            // The program that was started ends when the daemon is ready: that is what is waited for.
            "--detach".to_owned(),
            "--no-chdir".to_owned(),
            format!("--pidfile={}", file("pid")),
            format!("--log-file={}", file("log")),
            format!("--unixctl={}", file("ctl")),
            "-vconsole:emer".to_owned(),
        ];
        let mut all: Vec<&str> = arguments.to_vec();
        all.extend(own.iter().map(String::as_str));
        self.run(program, &all).await.map(drop)
    }

    pub(crate) async fn address_uplink(&self, uplink: &Uplink) -> anyhow::Result<()> {
        let interface = self.underlay_interface();
        let addresses = [
            IpNet::new(underlay_ipv4(self.number).into(), 24)?,
            IpNet::new(underlay_ipv6(self.number).into(), 64)?,
        ];
        let mac = self.underlay_mac();
        let (is_kernel, mtu) = (self.datapath == Datapath::Kernel, uplink.mtu);
        self.netns
            .run_async(async move || {
                let links = Links::open()?;
                links.up("lo").await?;
                if is_kernel {
                    links.set_mac(interface, mac).await?;
                }
                links.set_mtu(interface, mtu).await?;
                links.set_addresses(interface, &addresses).await?;
                links.up(interface).await?;
                anyhow::Ok(())
            })
            .await?
            .with_context(|| format!("node {}: underlay address", self.name))
    }

    async fn set_up(&self) -> anyhow::Result<()> {
        let what = Setup {
            ovsdb: self.ovsdb(),
            system_id: self.name.clone(),
            encap_ip: self.encapsulation,
            datapath_type: (self.datapath == Datapath::Userspace).then(|| "netdev".to_owned()),
            patience: scaled(PATIENCE),
        };
        self.netns
            .run_async(async move || setup(&what).await)
            .await?
            .with_context(|| format!("node {}: set-up", self.name))
    }

    /// Runs a program to its end on the node, in its directory; its output.
    ///
    /// # Errors
    /// What it wrote to standard error.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let (netns, directory) = (self.netns.clone(), self.directory.clone());
        let (program, arguments) = (
            program.to_owned(),
            arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect::<Vec<_>>(),
        );
        let what = format!("node {}: {program} {}", self.name, arguments.join(" "));
        let output = tokio::task::spawn_blocking(move || {
            netns.run(|| {
                Command::new(program)
                    .args(arguments)
                    .current_dir(&directory)
                    .env("OVS_RUNDIR", &directory)
                    .env("PATH", search_path())
                    .stdin(Stdio::null())
                    .output()
            })
        })
        .await?
        .and_then(|result| result)
        .with_context(|| what.clone())?;
        if !output.status.success() {
            bail!(
                "{what}: {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn process(&self, program: &str) -> anyhow::Result<PathBuf> {
        let pid = fs::read_to_string(self.directory.join(format!("{program}.pid")))?;
        Ok(PathBuf::from("/proc").join(pid.trim()))
    }
}

/// Says what of Open vSwitch is missing on this machine, if anything.
///
/// # Errors
/// When a program or its schema is not there; the message says how to install it.
pub fn check_open_vswitch() -> anyhow::Result<()> {
    let path = search_path();
    for program in [
        "ovs-vswitchd",
        "ovsdb-server",
        "ovsdb-tool",
        "ovs-vsctl",
        "ovs-ofctl",
    ] {
        if !path
            .split(':')
            .any(|directory| Path::new(directory).join(program).is_file())
        {
            bail!(
                "Open vSwitch is not installed: no {program} on PATH or in {SYSTEM_PATH}; install it with: apt-get install openvswitch-switch"
            );
        }
    }
    if !Path::new(SCHEMA).is_file() {
        bail!(
            "Open vSwitch is not installed whole: no {SCHEMA}; install it with: apt-get install openvswitch-switch"
        );
    }
    Ok(())
}

/// IPv4 address of a host on the underlay.
#[must_use]
pub fn underlay_ipv4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 0, number)
}

/// IPv6 address of a host on the underlay.
#[must_use]
pub fn underlay_ipv6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd30, 0, 0, 0, 0, 0, 0, number.into())
}

/// For a program of Open vSwitch that is run to its end.
fn tool_timeout() -> String {
    format!("--timeout={}", scaled(PATIENCE).as_secs())
}

/// A user's search path may lack the directories in which distributions put daemons.
fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:{SYSTEM_PATH}")
}

const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// Waits for the end of a process that is not a child of this one.
async fn gone(process: &Path) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let all = async {
        while process.exists() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(scaled(PATIENCE), all)
        .await
        .with_context(|| format!("{} has not ended", process.display()))
}

/// Directory of everything the nodes keep: in memory, and the sandbox's own.
pub const RUN: &str = "/run/weft";
/// The integration bridge.
pub const BR_INT: &str = "br-int";
const BR_PHY: &str = "br-phy";
/// The node's interface on the underlay.
pub(crate) const UPLINK: &str = "eth0";
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const PATIENCE: Duration = Duration::from_secs(10);
