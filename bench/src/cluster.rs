//! A cluster on one machine: from nothing to acknowledged, what it weighs, and what one pod more costs.
//!
//! Before the clock starts the nodes have their interfaces, as a cluster has whose controller is started anew with
//! empty flow tables.
//!
//! Must not: leave anything running.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use weft_ovsdb::Operation;
use weft_schema::nb::{LogicalRouter, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort};
use weft_schema::{RowId, Table as _};

use crate::controller::{Controller, Ups, add_port, port};
use crate::report::{Report, milliseconds};
use crate::{compile, process};

/// Pods added one by one where CPU is counted.
const ADDED: usize = 100;

/// How large the cluster is.
#[derive(Clone, Copy)]
pub struct Size {
    pub pods: usize,
    pub namespaces: usize,
    pub nodes: u8,
    pub rounds: u32,
}

impl Size {
    /// Namespace and node (from 1) of each pod: each namespace has as many on each node.
    pub fn place(self, pod: usize) -> (usize, usize) {
        let (namespace, turn) = (pod % self.namespaces, pod / self.namespaces);
        (namespace, turn % usize::from(self.nodes) + 1)
    }

    fn text(self) -> String {
        format!(
            "{} pods, {} namespaces, {} nodes",
            self.pods, self.namespaces, self.nodes
        )
    }
}

/// Namespaces and pods from YAML.
pub async fn from_yaml(weft: &Path, size: Size, report: &mut Report) -> Result<()> {
    report.title(&format!("from YAML: {}", size.text()))?;
    let mut controller = Controller::new(weft, size.nodes)?;
    let id = |pod| {
        let (namespace, _) = size.place(pod);
        (format!("ns{namespace}_pod{pod}"), Some(uid(pod)))
    };
    attach(&controller, size, id);
    let mut files = vec![String::new(); size.namespaces];
    for (namespace, file) in files.iter_mut().enumerate() {
        write!(
            file,
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: ns{namespace}}}\n"
        )?;
    }
    for pod in 0..size.pods {
        files[size.place(pod).0] += &manifest(size, pod);
    }
    for (namespace, file) in files.iter().enumerate() {
        fs::write(
            controller.manifests().join(format!("ns{namespace}.yaml")),
            file,
        )?;
    }
    let begin = Instant::now();
    controller.start()?;
    let mut ups = controller.watch().await?;
    ups.reach(size.pods).await?;
    report.line(
        "from nothing to acknowledged",
        milliseconds(begin.elapsed()),
    )?;
    weigh(&controller, size, report)?;
    compile::measure(&controller, size, report).await?;
    let directory = controller.manifests();
    add(&controller, &mut ups, size, report, id, async |pod| {
        let path = directory.join(format!("added{pod}.yaml"));
        Ok(fs::write(&path, manifest(size, pod))?)
    })
    .await
}

/// The same pods, written as rows: a switch with a /24 for each namespace, one router.
pub async fn by_hand(weft: &Path, size: Size, report: &mut Report) -> Result<()> {
    report.title(&format!("by hand, a /24 each: {}", size.text()))?;
    let mut controller = Controller::new(weft, size.nodes)?;
    let id = |pod| (format!("pod{pod}"), None);
    attach(&controller, size, id);
    let begin = Instant::now();
    controller.start()?;
    let mut ups = controller.watch().await?;
    let nb = controller.northbound()?;
    nb.transact(rows(size)).await?;
    ups.reach(size.pods).await?;
    report.line(
        "from nothing to acknowledged",
        milliseconds(begin.elapsed()),
    )?;
    weigh(&controller, size, report)?;
    compile::measure(&controller, size, report).await?;
    add(&controller, &mut ups, size, report, id, async |pod| {
        let (namespace, row) = hand_port(size, pod);
        nb.transact(add_port(switch_uuid(namespace), &row)).await?;
        Ok(())
    })
    .await
}

/// Gives every node the interfaces of its pods, and those of the pods that are added later.
fn attach(controller: &Controller, size: Size, id: impl Fn(usize) -> (String, Option<String>)) {
    tokio::task::block_in_place(|| {
        for (index, node) in controller.nodes.iter().enumerate() {
            node.add_integration_bridge();
            let here = (0..size.pods).filter(|pod| size.place(*pod).1 == index + 1);
            node.attach_many(here.map(|pod| {
                let (iface_id, version) = id(pod);
                (format!("if{pod}"), iface_id, version)
            }));
        }
    });
}

fn weigh(controller: &Controller, size: Size, report: &mut Report) -> Result<()> {
    let flows: Vec<usize> = controller
        .nodes
        .iter()
        .map(|node| node.flows().len())
        .collect();
    let most = flows.iter().max().copied().unwrap_or_default();
    report.line(
        "flows per node",
        format_args!("{most} at most, {} in all", flows.iter().sum::<usize>()),
    )?;
    let pid = controller.pid()?;
    let (now, peak) = process::memory_kib(pid)?;
    let mebibytes = |kib: u64| kib as f64 / 1024.0;
    report.line(
        "resident memory of weft",
        format_args!(
            "{:.1} MiB, {:.1} MiB at most",
            mebibytes(now),
            mebibytes(peak)
        ),
    )?;
    report.line(
        "CPU until then",
        format_args!(
            "{} of weft, {} of all {} processes",
            milliseconds(process::cpu(pid)?),
            milliseconds(process::cpu_of_all(&controller.pids()?)?),
            usize::from(size.nodes) * 2 + 1
        ),
    )
}

/// One pod more, often: its interface is attached, its object written, its port awaited.
async fn add(
    controller: &Controller,
    ups: &mut Ups,
    size: Size,
    report: &mut Report,
    id: impl Fn(usize) -> (String, Option<String>),
    write: impl AsyncFn(usize) -> Result<()>,
) -> Result<()> {
    let pids = controller.pids()?;
    let (all_before, weft_before) = (
        process::cpu_of_all(&pids)?,
        process::cpu(controller.pid()?)?,
    );
    let mut times = Vec::new();
    for pod in size.pods..size.pods + ADDED {
        let node = &controller.nodes[size.place(pod).1 - 1];
        let (iface_id, version) = id(pod);
        let begin = Instant::now();
        write(pod).await?;
        tokio::task::block_in_place(|| {
            node.attach_many([(format!("if{pod}"), iface_id, version)].into_iter())
        });
        ups.reach(pod + 1).await?;
        times.push(begin.elapsed());
    }
    let per_pod = |before: Duration, after: Duration| {
        milliseconds((after - before) / u32::try_from(ADDED).unwrap_or(1))
    };
    report.times("one pod more, ovs-vsctl add-port included", times)?;
    report.line(
        "CPU for one pod more",
        format_args!(
            "{} of all processes, {} of them weft",
            per_pod(all_before, process::cpu_of_all(&pids)?),
            per_pod(weft_before, process::cpu(controller.pid()?)?),
        ),
    )
}

fn uid(pod: usize) -> String {
    format!("00000000-0000-4000-8000-{pod:012}")
}

fn manifest(size: Size, pod: usize) -> String {
    let (namespace, node) = size.place(pod);
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: pod{pod}, namespace: ns{namespace}, uid: {}}}\nspec: {{nodeName: n{node}, containers: []}}\n",
        uid(pod)
    )
}

fn switch_uuid(namespace: usize) -> uuid::Uuid {
    RowId::<LogicalSwitch>::derived(&format!("ls{namespace}")).uuid()
}

/// The switch's number, and the port of a pod on it.
fn hand_port(size: Size, pod: usize) -> (usize, LogicalSwitchPort) {
    let (namespace, host) = (pod % size.namespaces, pod / size.namespaces + 2);
    let addresses = format!("0a:58:0a:00:{namespace:02x}:{host:02x} 10.0.{namespace}.{host}");
    (namespace, port(&format!("pod{pod}"), addresses))
}

/// Switches of a /24 each on one router, with all their ports.
fn rows(size: Size) -> Vec<Operation> {
    let mut router = LogicalRouter {
        uuid: RowId::<LogicalRouter>::derived("lr").uuid(),
        name: "lr".to_owned(),
        ..LogicalRouter::default()
    };
    let mut switches = Vec::new();
    let mut operations = Vec::new();
    for namespace in 0..size.namespaces {
        let name = format!("lr-ls{namespace}");
        let router_port = LogicalRouterPort {
            uuid: RowId::<LogicalRouterPort>::derived(&name).uuid(),
            mac: format!("0a:57:0a:00:{namespace:02x}:01"),
            networks: [format!("10.0.{namespace}.1/24")].into(),
            name: name.clone(),
            ..LogicalRouterPort::default()
        };
        let side = format!("ls{namespace}-lr");
        let side = LogicalSwitchPort {
            uuid: RowId::<LogicalSwitchPort>::derived(&side).uuid(),
            name: side,
            kind: "router".to_owned(),
            addresses: ["router".to_owned()].into(),
            options: [("router-port".to_owned(), name)].into(),
            ..LogicalSwitchPort::default()
        };
        router.ports.push(router_port.uuid);
        switches.push(LogicalSwitch {
            uuid: switch_uuid(namespace),
            name: format!("ls{namespace}"),
            ports: vec![side.uuid],
            ..LogicalSwitch::default()
        });
        operations.extend([router_port.insert(), side.insert()]);
    }
    for pod in 0..size.pods {
        let (namespace, port) = hand_port(size, pod);
        switches[namespace].ports.push(port.uuid);
        operations.push(port.insert());
    }
    operations.extend(switches.iter().map(LogicalSwitch::insert));
    operations.push(router.insert());
    operations
}
