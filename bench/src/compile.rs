//! The compiler alone, on the rows that the database holds: everything from scratch, and one pod more.
//!
//! Must not: touch the cluster it reads from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::time::timeout;
use weft_compiler::pipeline::TUNNEL_OFPORT;
use weft_compiler::{Binding, Compiler, Input, Node, NodeName, Ofport, Options};
use weft_controller::northbound::{Northbound, monitored};
use weft_ovsdb::Event;
use weft_schema::nb::{Change, LogicalSwitchPort};

use crate::cluster::Size;
use crate::controller::Controller;
use crate::report::Report;

/// Compilations from scratch.
const SCRATCH: usize = 10;

/// Reads the rows and compiles them.
pub async fn measure(controller: &Controller, size: Size, report: &mut Report) -> Result<()> {
    let connection = controller.northbound()?;
    let mut monitor = connection
        .monitor(monitored(&*connection.schema().await?)?)
        .await?;
    let event = timeout(Duration::from_secs(20), monitor.next()).await?;
    let Some(event @ Event::Snapshot(_)) = event else {
        bail!("the database did not begin with all its rows");
    };
    let changes = Northbound::default().apply(event).changes;
    let inputs = inputs(&changes, size)?;
    tokio::task::block_in_place(|| {
        let mut times = Vec::new();
        for _ in 0..SCRATCH {
            let mut compiler = Compiler::new(OPTIONS);
            let begin = Instant::now();
            inputs
                .iter()
                .cloned()
                .for_each(|input| compiler.apply(input));
            compiler.compile();
            times.push(begin.elapsed());
        }
        report.times("compiled from scratch", times)?;
        report.times(
            "compiled for one pod more",
            one_more(&changes, &inputs, size)?,
        )
    })
}

/// Takes a pod away and gives it back, which is timed.
fn one_more(changes: &[Change], inputs: &[Input], size: Size) -> Result<Vec<Duration>> {
    let mut compiler = Compiler::new(OPTIONS);
    inputs
        .iter()
        .cloned()
        .for_each(|input| compiler.apply(input));
    compiler.compile();
    let mut times = Vec::new();
    for round in 0..size.rounds as usize {
        let pod = round % size.pods;
        let is_it = |port: &LogicalSwitchPort| pod_of(&port.name) == Some(pod);
        let port = changes.iter().find_map(|change| match change {
            Change::LogicalSwitchPort(_, Some(port)) if is_it(port) => Some(port),
            _ => None,
        });
        let port = port.with_context(|| format!("there is no port of pod {pod}"))?;
        let switch = changes.iter().find_map(|change| match change {
            Change::LogicalSwitch(_, Some(switch)) if switch.ports.contains(&port.uuid) => {
                Some(switch)
            }
            _ => None,
        });
        let switch = switch.with_context(|| format!("port {} is on no switch", port.name))?;
        let mut without = (**switch).clone();
        without.ports.retain(|listed| *listed != port.uuid);
        let name: Arc<str> = Arc::from(port.name.as_str());
        compiler.apply(Input::Nb(Change::LogicalSwitch(
            switch.uuid,
            Some(Arc::new(without)),
        )));
        compiler.apply(Input::Nb(Change::LogicalSwitchPort(port.uuid, None)));
        compiler.apply(Input::Binding(name.clone(), None));
        compiler.compile();
        let binding = binding(pod, size)?;
        let begin = Instant::now();
        compiler.apply(Input::Nb(Change::LogicalSwitchPort(
            port.uuid,
            Some(port.clone()),
        )));
        compiler.apply(Input::Nb(Change::LogicalSwitch(
            switch.uuid,
            Some(switch.clone()),
        )));
        compiler.apply(Input::Binding(name, Some(binding)));
        compiler.compile();
        times.push(begin.elapsed());
    }
    Ok(times)
}

fn inputs(changes: &[Change], size: Size) -> Result<Vec<Input>> {
    let mut inputs: Vec<Input> = changes.iter().cloned().map(Input::Nb).collect();
    for number in 1..=size.nodes {
        let node = Node {
            encap_ip: [192, 0, 2, number].into(),
            tunnel_ofport: Ofport::new(TUNNEL_OFPORT).context("the tunnel's port")?,
        };
        inputs.push(Input::Node(
            NodeName::from(format!("n{number}")),
            Some(node),
        ));
    }
    for change in changes {
        if let Change::LogicalSwitchPort(_, Some(port)) = change
            && let Some(pod) = pod_of(&port.name)
        {
            inputs.push(Input::Binding(
                Arc::from(port.name.as_str()),
                Some(binding(pod, size)?),
            ));
        }
    }
    Ok(inputs)
}

fn pod_of(port: &str) -> Option<usize> {
    port.rsplit_once("pod")?.1.parse().ok()
}

fn binding(pod: usize, size: Size) -> Result<Binding> {
    let ofport = u16::try_from(pod / size.namespaces + pod % size.namespaces * 400 + 1)?;
    Ok(Binding {
        node: NodeName::from(format!("n{}", size.place(pod).1)),
        ofport: Ofport::new(ofport).context("a port number")?,
    })
}

/// As a controller compiles.
const OPTIONS: Options = Options {
    plain_path: true,
    derived_ports: true,
    keeps_logical_flows: false,
};
