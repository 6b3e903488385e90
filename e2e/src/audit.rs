//! The audit that ends every case on real switches.
//!
//! - What is installed is what a compiler makes from scratch of the rows and the bindings as they are now: no flow is
//!   missing, stale, or a leftover of an earlier state.
//! - Nothing unexpected was logged.
//! - In the end nothing is left: no pod's namespace, no veth, no port row.
//!
//! ```text
//! rows, bindings ─▶ new compiler ─bytes─▶ scratch switch ─ovs-ofctl─▶ text ┐
//!                                          node's switch ─ovs-ofctl─▶ text ┴▶ equal?
//! ```
//!
//! The computed flows are loaded into an Open vSwitch of the audit's own, so that Open vSwitch itself says what they
//! mean, and a mistake in weft's reading of dumps hides nothing.
//!
//! Must not: use the controller's view of anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use openflow_rs::{
    ALL_GROUPS, ALL_METERS, FlowMod, GroupMod, Message, Meter, MeterCommand, MeterMod,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::{Instant, interval, timeout},
};
use weft_cni::link::Links;
use weft_compiler::{
    Binding, Compiler, Input, NodeName, NodeState, Ofport, Options,
    pipeline::{OPTION_CLASS, OPTION_LENGTH, OPTION_TYPE, TUNNEL_OFPORT},
};
use weft_ovsdb::{Connection, Event, MonitorTable};
use weft_schema::nb;

use crate::{
    fabric::Fabric,
    node::{BR_INT, Node},
    patience::scaled,
    switch,
};

/// Compares nodes with what they should hold.
#[derive(Debug)]
pub struct Auditor {
    scratch: Node,
    /// By node: what was computed for it last, as messages, and how Open vSwitch prints that.
    dumped: Mutex<BTreeMap<String, (Vec<u8>, Dump)>>,
}

/// Flows, groups and meters as `ovs-ofctl` prints them.
type Dump = (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>);

impl Auditor {
    /// Starts the scratch switch.
    ///
    /// # Errors
    /// When Open vSwitch does not start.
    pub async fn start() -> anyhow::Result<Auditor> {
        let scratch = Node::start_scratch(SCRATCH).await?;
        scratch
            .vsctl(&[
                "add-br",
                BR_INT,
                "--",
                "set",
                "bridge",
                BR_INT,
                "datapath_type=netdev",
                "fail_mode=secure",
            ])
            .await?;
        let option = format!(
            "{{class={OPTION_CLASS:#x},type={OPTION_TYPE:#x},len={OPTION_LENGTH}}}->tun_metadata0"
        );
        scratch.ofctl(&["add-tlv-map", "%", &option]).await?;
        Ok(Auditor {
            scratch,
            dumped: Mutex::default(),
        })
    }

    /// Waits until every node holds what a recompute says.
    ///
    /// # Errors
    /// When the time is over; the message lists what is too much and what is missing.
    pub async fn flows_are_as_computed(
        &self,
        fabric: &Fabric,
        nb: &Connection,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        let mut ticks = interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            let computed = recompute(fabric, nb).await?;
            let differences = self.differences(fabric, &computed).await?;
            if differences.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "installed and computed differ after {patience:?}:\n{}",
                    differences.join("\n")
                );
            }
        }
    }

    /// What nodes hold and should not, and what they lack, according to a recompute of before.
    ///
    /// # Errors
    /// When a switch does not answer, or refuses what was computed.
    pub async fn differences(
        &self,
        fabric: &Fabric,
        compiler: &Compiler,
    ) -> anyhow::Result<Vec<String>> {
        let mut differences = Vec::new();
        for node in fabric.nodes() {
            let computed = compiler.desired(&NodeName::from(node.name()));
            let (flows, groups, meters) = self
                .as_dumped(node, computed)
                .await
                .with_context(|| format!("what is computed for {}", node.name()))?;
            for (computed, installed) in [
                (flows, switch::flows(node).await?),
                (groups, switch::groups(node).await?),
                (meters, switch::meters(node).await?),
            ] {
                differences.extend(
                    computed
                        .difference(&installed)
                        .map(|line| format!("{} lacks   {line}", node.name())),
                );
                differences.extend(
                    installed
                        .difference(&computed)
                        .map(|line| format!("{} has too {line}", node.name())),
                );
            }
        }
        Ok(differences)
    }

    /// Flows, groups and meters as `ovs-ofctl` prints them once a switch holds them. Asked again only when they changed: most audits of a
    /// case find what the one before them found, and starting a program is dear on an emulated processor.
    async fn as_dumped(&self, node: &Node, computed: Option<&NodeState>) -> anyhow::Result<Dump> {
        let mut messages = delete_everything()?;
        if let Some(computed) = computed {
            let meters = computed.meters().map(|meter| &meter.add[..]);
            let groups = computed.groups().values().map(|group| &group.add[..]);
            // They have no order.
            let mut flows: Vec<&[u8]> = computed.flows().map(|flow| &flow.add()[..]).collect();
            flows.sort_unstable();
            messages.extend(meters.chain(groups).chain(flows).flatten());
        }
        let known = self.dumped().get(node.name()).cloned();
        if let Some((_, dump)) = known.filter(|(known, _)| *known == messages) {
            return Ok(dump);
        }
        timeout(scaled(LOAD_PATIENCE), load(&self.scratch, &messages))
            .await
            .context("the scratch switch does not answer")??;
        let dump = (
            switch::flows(&self.scratch).await?,
            switch::groups(&self.scratch).await?,
            switch::meters(&self.scratch).await?,
        );
        let entry = (messages, dump.clone());
        self.dumped().insert(node.name().to_owned(), entry);
        Ok(dump)
    }

    fn dumped(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Vec<u8>, Dump)>> {
        self.dumped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Flows first: a switch takes those along that use what it loses.
fn delete_everything() -> anyhow::Result<Vec<u8>> {
    let flows = Message::FlowMod(Box::new(FlowMod::delete_all())).encode(0)?;
    let groups = Message::GroupMod(GroupMod::delete(ALL_GROUPS)).encode(0)?;
    let meter = Meter {
        id: ALL_METERS,
        flags: 0,
        bands: Vec::new(),
    };
    let command = MeterCommand::Delete;
    let meters = Message::MeterMod(MeterMod { command, meter }).encode(0)?;
    Ok([flows, groups, meters].concat())
}

/// Sends whole messages to a switch, and a barrier after them.
async fn load(switch: &Node, messages: &[u8]) -> anyhow::Result<()> {
    const HELLO: [u8; 8] = [6, 0, 0, 8, 0, 0, 0, 1];
    const BARRIER_REQUEST: [u8; 8] = [6, 20, 0, 8, 0, 0, 0, 2];
    let (mut reader, mut writer) = UnixStream::connect(switch.openflow()).await?.into_split();
    let everything = [&HELLO, messages, &BARRIER_REQUEST].concat();
    let send = async { Ok(writer.write_all(&everything).await?) };
    let receive = async {
        loop {
            let mut header = [0; 8];
            reader.read_exact(&mut header).await?;
            let mut body =
                vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])).saturating_sub(8)];
            reader.read_exact(&mut body).await?;
            match header[1] {
                1 => bail!(
                    "the switch refuses a computed flow, group or meter: error {:02x?} about {:02x?}",
                    &body[..4.min(body.len())],
                    body.get(4..)
                ),
                21 => return Ok(()),
                // Hello, and whatever else a switch says by itself.
                _ => {}
            }
        }
    };
    futures::future::try_join(send, receive).await.map(drop)
}

/// Fails when a switch or weft logged a warning or an error that is not to be expected.
///
/// # Errors
/// The lines in question.
pub fn logs_are_clean(fabric: &Fabric, weft: &str) -> anyhow::Result<()> {
    logs_are_clean_but(fabric, weft, &[])
}

/// As [`logs_are_clean`], for a case that provokes lines that hold one of these texts.
///
/// # Errors
/// The lines in question.
pub fn logs_are_clean_but(fabric: &Fabric, weft: &str, provoked: &[&str]) -> anyhow::Result<()> {
    let is_bad = |line: &&str| {
        [" WARN ", " ERROR ", "panicked at"]
            .iter()
            .any(|level| line.contains(level))
    };
    let mut unexpected: Vec<String> = fabric
        .nodes()
        .iter()
        .flat_map(|node| unexpected_of(node))
        .collect();
    unexpected.extend(
        weft.lines()
            .filter(is_bad)
            .filter(|line| !is_expected(line))
            .map(|line| format!("weft: {line}")),
    );
    unexpected.retain(|line| !provoked.iter().any(|text| line.contains(text)));
    ensure!(
        unexpected.is_empty(),
        "unexpected in the logs:\n{}",
        unexpected.join("\n")
    );
    Ok(())
}

/// As [`logs_are_clean`], for one node's switch.
///
/// # Errors
/// The lines in question.
pub fn node_log_is_clean(node: &Node) -> anyhow::Result<()> {
    let unexpected = unexpected_of(node);
    ensure!(
        unexpected.is_empty(),
        "unexpected in the log:\n{}",
        unexpected.join("\n")
    );
    Ok(())
}

fn unexpected_of(node: &Node) -> Vec<String> {
    let is_bad = |line: &&str| {
        ["|WARN|", "|ERR|", "|EMER|"]
            .iter()
            .any(|level| line.contains(level))
    };
    let log = node.logs();
    let lines = log.lines().filter(is_bad).filter(|line| !is_expected(line));
    lines
        .map(|line| format!("{}: {line}", node.name()))
        .collect()
}

/// Fails when a pod has left anything on a node.
///
/// # Errors
/// What is there and should not be.
pub async fn nothing_is_left(fabric: &Fabric) -> anyhow::Result<()> {
    for node in fabric.nodes() {
        let links = node
            .netns()
            .run_async(async || Links::open()?.list().await.map_err(anyhow::Error::from))
            .await??;
        let left: Vec<_> = links
            .iter()
            .filter(|link| link.name.starts_with("weft"))
            .map(|link| &link.name)
            .collect();
        ensure!(
            left.is_empty(),
            "{}: interfaces are left: {left:?}",
            node.name()
        );
        let rows = node
            .vsctl(&[
                "--bare",
                "--columns=name",
                "find",
                "Interface",
                "external_ids:iface-id!=\"\"",
            ])
            .await?;
        ensure!(
            rows.trim().is_empty(),
            "{}: ports are left: {}",
            node.name(),
            rows.trim()
        );
    }
    let known: BTreeSet<String> = fabric
        .nodes()
        .iter()
        .map(|node| node.name().to_owned())
        .chain(["underlay", SCRATCH].map(str::to_owned))
        .collect();
    for entry in fs::read_dir("/run/netns")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        ensure!(
            known.contains(&name) || fabric.is_host(&name),
            "network namespace {name} is left"
        );
    }
    Ok(())
}

/// What Open vSwitch says in a life without faults.
fn is_expected(line: &str) -> bool {
    EXPECTED.iter().any(|text| line.contains(text))
}

/// Compiles the rows and bindings as they are now, from scratch.
///
/// # Errors
/// When a database does not answer.
pub async fn recompute(fabric: &Fabric, nb: &Connection) -> anyhow::Result<Compiler> {
    let mut compiler = Compiler::new(Options::default());
    let tables = nb::database_schema()
        .tables
        .keys()
        .map(|table| MonitorTable::new(Arc::clone(table)))
        .collect();
    let mut monitor = nb.monitor(tables).await?;
    let Some(Event::Snapshot(rows)) = monitor.next().await else {
        bail!("the northbound database does not answer")
    };
    for row in &rows {
        if let Some(change) = nb::Change::from_row_change(row) {
            compiler.apply(Input::Nb(change?));
        }
    }
    for node in fabric.nodes() {
        let name = NodeName::from(node.name());
        compiler.apply(Input::Node(name.clone(), Some(as_compiled(node)?)));
        for (port, ofport) in plugs(node).await? {
            compiler.apply(Input::Plug(name.clone(), port.into(), Some(ofport)));
        }
        for (port, ofport) in bindings(node).await? {
            compiler.apply(Input::Binding(
                port.into(),
                Some(Binding {
                    node: name.clone(),
                    ofport,
                }),
            ));
        }
    }
    compiler.compile();
    Ok(compiler)
}

fn as_compiled(node: &Node) -> anyhow::Result<weft_compiler::Node> {
    let tunnel_ofport = Ofport::new(TUNNEL_OFPORT).context("the tunnel has no OpenFlow port")?;
    Ok(weft_compiler::Node {
        encap_ip: node.encapsulation(),
        tunnel_ofport,
    })
}

/// Localnet ports that are connected on the node: the patch ports of its integration bridge that say so.
async fn plugs(node: &Node) -> anyhow::Result<Vec<(String, Ofport)>> {
    let text = node
        .vsctl(&[
            "--bare",
            "--columns=name",
            "find",
            "Port",
            "external_ids:ovn-localnet-port!=\"\"",
        ])
        .await?;
    let near = format!("patch-{BR_INT}-to-");
    let mut plugs = Vec::new();
    for name in text.lines() {
        let Some(localnet) = name.strip_prefix(&near) else {
            continue;
        };
        // It may go while it is looked at.
        let ofport = node
            .vsctl(&["--if-exists", "get", "Interface", name, "ofport"])
            .await?;
        if let Some(ofport) = ofport.trim().parse().ok().and_then(Ofport::new) {
            plugs.push((localnet.to_owned(), ofport));
        }
    }
    Ok(plugs)
}

/// Ports of the node that are bound: the interface has an OpenFlow port and names a logical port.
async fn bindings(node: &Node) -> anyhow::Result<Vec<(String, Ofport)>> {
    let text = node
        .vsctl(&[
            "--format=csv",
            "--no-headings",
            "--data=bare",
            "--columns=ofport,external_ids",
            "find",
            "Interface",
            "external_ids:iface-id!=\"\"",
        ])
        .await?;
    let mut bindings = Vec::new();
    for line in text.lines() {
        let (ofport, ids) = line
            .split_once(',')
            .with_context(|| format!("{}: {line:?}", node.name()))?;
        let port = ids
            .trim_matches('"')
            .split(' ')
            .find_map(|pair| pair.strip_prefix("iface-id="));
        if let (Some(ofport), Some(port)) = (ofport.parse().ok().and_then(Ofport::new), port) {
            bindings.push((port.to_owned(), ofport));
        }
    }
    Ok(bindings)
}

const SCRATCH: &str = "audit";
const LOAD_PATIENCE: Duration = Duration::from_secs(10);
/// Parts of lines, each with its reason.
const EXPECTED: &[&str] = &[
    // A client of ovsdb-server that goes while an update is on its way to it, as ovs-vsctl and an attachment do once
    // they have what they came for.
    "|jsonrpc|WARN|unix#",
    "|reconnect|WARN|unix#",
    // As ovs-ofctl does: what it was told meanwhile does not reach it.
    "|rconn|WARN|br-int<->unix#",
    // A switch that has just started has no option map yet, and its peers send already: it drops what they send.
    "|ofproto_dpif_xlate|WARN|Invalid Geneve tunnel metadata",
    // A patch port that goes: Open vSwitch asks the kernel about it, whose names are shorter.
    "|dpif|WARN|system@ovs-system: failed to query port patch-",
    // A flow that the kernel's datapath had a moment ago, of those that cases have it forget. They are a cache.
    "failed to flow_get (No such file or directory)",
    "failed to flow_del (No such file or directory)",
    "Failed to acquire udpif_key corresponding to unexpected flow (No such file or directory)",
    // How long Open vSwitch was kept from running, by whichever thread: about the machine, which may do much else.
    "|timeval|WARN|",
    "|timeval(",
    "|WARN|blocked ",
    // A switch that takes longer than two seconds to make its bridge. One that was reached and is lost is said otherwise.
    "switch is not reachable; trying again",
];
