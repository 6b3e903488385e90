//! What the compiler makes of a northbound database, for a look: `weft lflow-list` and `weft trace`.
//!
//! ```text
//! one transaction of selects ─▶ rows ─▶ the compiler, here in this process ─▶ a view of logical flows
//!                                └─ a node for every requested-chassis, a binding for every port that asks for one
//! ```
//!
//! Every port is taken to be where its row asks it to be, and every localnet port to be everywhere; which nodes are connected, and with which addresses, makes no
//! difference to a logical flow.
//!
//! Must not: ask a running controller, or show anything that the compiler did not make.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use anyhow::{Result, bail};
use weft_compiler::{
    Binding, Compiler, Input, Node, NodeName, Ofport, Options, pipeline::TUNNEL_OFPORT,
};
use weft_ovsdb::{Connection, Operation, OperationResult, RowChange};
use weft_schema::{
    keys,
    nb::{Change, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort},
};

use crate::{
    arguments::{Database, LflowList},
    nb,
    show::with_hint,
    terminal,
};

/// A compiled network, and the rows that a look at it starts from.
pub(crate) struct Compiled {
    pub(crate) compiler: Compiler,
    pub(crate) switches: Vec<Arc<LogicalSwitch>>,
    pub(crate) ports: BTreeMap<String, Arc<LogicalSwitchPort>>,
    pub(crate) router_ports: BTreeMap<String, Arc<LogicalRouterPort>>,
}

/// `weft lflow-list`.
pub(crate) async fn list_logical_flows(arguments: LflowList) -> Result<()> {
    let compiled = compile(&arguments.database).await?;
    let view = compiled.compiler.view();
    let of = match &arguments.only {
        None => None,
        Some(wanted) => {
            let all = view.datapaths();
            let found = all
                .iter()
                .find(|(name, datapath)| **name == **wanted || wanted.parse() == Ok(datapath.uuid));
            let Some((_, datapath)) = found else {
                bail!(
                    "no switch or router is named {wanted:?}: weft ls-list and weft lr-list name them"
                );
            };
            Some(*datapath)
        }
    };
    Ok(terminal::write_stdout(&view.lflow_list(of))?)
}

/// Compiles what the database holds.
pub(crate) async fn compile(database: &Database) -> Result<Compiled> {
    let connection = nb::connect_now(database)?;
    let changes = with_hint(&database.db, rows(&connection).await)?;
    let mut compiled = Compiled {
        compiler: Compiler::new(Options::default()),
        switches: Vec::new(),
        ports: BTreeMap::new(),
        router_ports: BTreeMap::new(),
    };
    for change in &changes {
        match change {
            Change::LogicalSwitch(_, Some(row)) => compiled.switches.push(Arc::clone(row)),
            Change::LogicalSwitchPort(_, Some(row)) => {
                drop(compiled.ports.insert(row.name.clone(), Arc::clone(row)))
            }
            Change::LogicalRouterPort(_, Some(row)) => drop(
                compiled
                    .router_ports
                    .insert(row.name.clone(), Arc::clone(row)),
            ),
            _ => {}
        }
    }
    place(&mut compiled);
    for change in changes {
        compiled.compiler.apply(Input::Nb(change));
    }
    compiled.compiler.compile();
    for diagnostic in compiled.compiler.diagnostics() {
        tracing::warn!("{diagnostic}");
    }
    Ok(compiled)
}

/// Every port is on the node that it asks for.
fn place(compiled: &mut Compiled) {
    let asked: Vec<(&str, &str)> = compiled
        .ports
        .values()
        .filter_map(|port| {
            Some((
                port.name.as_str(),
                port.options.get(keys::REQUESTED_CHASSIS)?.as_str(),
            ))
        })
        .collect();
    let nodes: BTreeSet<&str> = asked.iter().map(|(_, node)| *node).collect();
    let tunnel_ofport = Ofport::new(TUNNEL_OFPORT)
        .expect("the pipeline's own port is one that an interface can have");
    for (number, node) in (1..).zip(&nodes) {
        let encap_ip = IpAddr::V4(Ipv4Addr::from_bits(
            FIRST_ADDRESS.to_bits().saturating_add(number),
        ));
        compiled.compiler.apply(Input::Node(
            NodeName::from(*node),
            Some(Node {
                encap_ip,
                tunnel_ofport,
            }),
        ));
    }
    // A localnet port is taken to be on every node: who has which network, only the nodes know.
    let localnets = compiled
        .ports
        .values()
        .filter(|port| port.kind == "localnet");
    let plug = Ofport::new(PLUG_OFPORT).expect("a number that a port can have");
    let plugs: Vec<Input> = localnets
        .flat_map(|port| {
            let name: Arc<str> = Arc::from(port.name.as_str());
            let plug = move |node: &&str| {
                Input::Plug(NodeName::from(*node), Arc::clone(&name), Some(plug))
            };
            nodes.iter().map(plug).collect::<Vec<_>>()
        })
        .collect();
    plugs
        .into_iter()
        .for_each(|plug| compiled.compiler.apply(plug));
    let mut last: BTreeMap<&str, u16> = BTreeMap::new();
    for (port, node) in asked {
        let number = last.entry(node).or_default();
        *number = number.saturating_add(1);
        // More ports than a switch can have are on no node.
        let binding = Ofport::new(*number).map(|ofport| Binding {
            node: NodeName::from(node),
            ofport,
        });
        compiled
            .compiler
            .apply(Input::Binding(Arc::from(port), binding));
    }
}

async fn rows(connection: &Connection) -> Result<Vec<Change>> {
    let operations = Change::TABLES
        .iter()
        .map(|table| Operation::Select {
            table: (*table).into(),
            conditions: vec![],
            columns: None,
        })
        .collect();
    let mut changes = Vec::new();
    for (table, result) in Change::TABLES
        .iter()
        .zip(connection.transact(operations).await?)
    {
        let OperationResult::Rows(selected) = result else {
            bail!("a select from {table} was answered with something else than rows");
        };
        for (uuid, row) in selected {
            let change = RowChange {
                table: (*table).into(),
                uuid,
                row: Some(Arc::new(row)),
            };
            changes.extend(Change::from_row_change(&change).transpose()?);
        }
    }
    Ok(changes)
}

/// Of localnet ports; no logical flow shows it.
const PLUG_OFPORT: u16 = 64_000;
/// Addresses for documentation (RFC 5737): they are told apart, and seen by nobody.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 0);
