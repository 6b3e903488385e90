//! Change under load: random changes by hand to a running fabric of three nodes with traffic, the audit after each.
//!
//! ```text
//! routers r1, r2 ─ switches u1, u2, each on one of the two ─ ports p1…, each claimed by one node or none
//! change: a port moves, is renamed, gets another address, goes or comes; a switch goes to the other router
//! ```
//!
//! `WEFT_CHANGES` says how many (100 when unset), `WEFT_SEED` which.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use uuid::Uuid;
use weft_e2e::{node::Node, probe::Family};
use weft_ovsdb::{Condition, Function, Mutation, Mutator, Operation};
use weft_schema::{
    Table,
    nb::{LogicalRouter, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort},
};

use super::{
    by_hand::id,
    lab::{self, Lab, manifests, tell},
};

pub async fn random_changes_leave_what_a_recompute_says_and_lose_no_packet_of_others()
-> anyhow::Result<()> {
    let pods = [("shop/a", "n1"), ("shop/b", "n2"), ("shop/c", "n3")];
    lab::run(3, &manifests(&[("shop", &[])], &pods), async |lab| {
        let [a, b, c] = lab.pods(["shop/a", "shop/b", "shop/c"]).await?;
        let mut world = World::build(lab).await?;
        lab.audit().await?;
        let seed = number("WEFT_SEED").unwrap_or_else(rand::random);
        tell(&format!("WEFT_SEED={seed}"));
        let mut dice = Dice(seed);
        let mut streams = lab::streams(&a, &b)?;
        streams.extend(lab::streams(&b, &c)?);
        let began = Instant::now();
        for step in 1..=changes() {
            let change = Change::roll(&mut dice);
            let outcome = async {
                world.make(lab, change, &mut dice).await?;
                lab.audit().await
            };
            outcome
                .await
                .with_context(|| format!("WEFT_SEED={seed}, change {step}: {change:?}"))?;
        }
        tell(&format!(
            "{} changes, each with its audit, in {:?}",
            changes(),
            began.elapsed()
        ));
        lab::nothing_was_lost_to_flows(lab, streams, usize::try_from(changes())?).await?;
        lab::must_reach(&a, &c, Family::Ipv4).await?;
        world.tear_down(lab).await
    })
    .await
}

/// How many changes are made.
pub fn changes() -> u64 {
    number("WEFT_CHANGES").unwrap_or(100)
}

/// How much longer than others this case may take.
pub fn more_time() -> Duration {
    Duration::from_secs(changes())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Random numbers that a seed gives again: SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        usize::try_from(mixed % bound as u64).expect("below a usize")
    }
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Move,
    Rename,
    Readdress,
    Replace,
    Reroute,
}

impl Change {
    fn roll(dice: &mut Dice) -> Change {
        use Change::{Move, Readdress, Rename, Replace, Reroute};
        [Move, Move, Rename, Readdress, Replace, Reroute][dice.below(6)]
    }
}

/// What was written so far.
struct World {
    nodes: Vec<Arc<Node>>,
    ports: Vec<Port>,
    /// The port by which each switch is on a router.
    uplinks: Vec<LogicalSwitchPort>,
    count: usize,
}

struct Port {
    row: LogicalSwitchPort,
    switch: usize,
    /// The interface that is this port, on each node.
    interface: String,
    /// The node that claims it.
    on: Option<usize>,
}

impl World {
    async fn build(lab: &Lab) -> anyhow::Result<World> {
        let mut operations = Vec::new();
        for router in ROUTERS {
            let ports = SWITCHES
                .iter()
                .map(|switch| id(&format!("{router}-{switch}")));
            operations.push(
                LogicalRouter {
                    uuid: id(router),
                    name: router.to_owned(),
                    ports: ports.collect(),
                    ..LogicalRouter::default()
                }
                .insert(),
            );
            for (index, switch) in SWITCHES.iter().enumerate() {
                let name = format!("{router}-{switch}");
                let networks = [
                    format!("10.{}.0.1/24", 61 + index),
                    format!("fd6{index}::1/64"),
                ];
                operations.push(
                    LogicalRouterPort {
                        uuid: id(&name),
                        mac: format!("0a:00:00:00:0{}:0{index}", &router[1..]),
                        name,
                        networks: networks.into(),
                        ..LogicalRouterPort::default()
                    }
                    .insert(),
                );
            }
        }
        let mut uplinks = Vec::new();
        for switch in SWITCHES {
            let name = format!("{switch}-up");
            let row = LogicalSwitchPort {
                uuid: id(&name),
                name,
                kind: "router".to_owned(),
                options: BTreeMap::from([("router-port".to_owned(), format!("r1-{switch}"))]),
                addresses: BTreeSet::from(["router".to_owned()]),
                ..LogicalSwitchPort::default()
            };
            operations.push(row.insert());
            operations.push(
                LogicalSwitch {
                    uuid: id(switch),
                    name: switch.to_owned(),
                    ports: vec![row.uuid],
                    ..LogicalSwitch::default()
                }
                .insert(),
            );
            uplinks.push(row);
        }
        lab.nb.transact(operations).await?;
        let mut world = World {
            nodes: lab.fabric.nodes().to_vec(),
            ports: Vec::new(),
            uplinks,
            count: 0,
        };
        for number in 0..PORTS {
            let interface = format!("slot{number}");
            for node in &world.nodes {
                node.vsctl(&[
                    "add-port",
                    "br-int",
                    &interface,
                    "--",
                    "set",
                    "Interface",
                    &interface,
                    "type=internal",
                ])
                .await?;
            }
            let switch = number % SWITCHES.len();
            let row = world.new_row(switch);
            lab.nb.transact(insertion(&row, switch)).await?;
            let on = Some(number % world.nodes.len());
            let mut port = Port {
                row,
                switch,
                interface,
                on: None,
            };
            world.claim(&mut port, on).await?;
            world.ports.push(port);
        }
        Ok(world)
    }

    async fn make(&mut self, lab: &Lab, change: Change, dice: &mut Dice) -> anyhow::Result<()> {
        if let Change::Reroute = change {
            let switch = dice.below(SWITCHES.len());
            let router = ROUTERS[dice.below(ROUTERS.len())];
            let old = self.uplinks[switch].clone();
            let new = &mut self.uplinks[switch];
            let peer = format!("{router}-{}", SWITCHES[switch]);
            new.options.insert("router-port".to_owned(), peer);
            return write(lab, new.update_from(&old)).await;
        }
        let index = dice.below(self.ports.len());
        let mut port = self.ports.swap_remove(index);
        let outcome = self.change_port(lab, &mut port, change, dice).await;
        self.ports.push(port);
        outcome
    }

    async fn change_port(
        &mut self,
        lab: &Lab,
        port: &mut Port,
        change: Change,
        dice: &mut Dice,
    ) -> anyhow::Result<()> {
        let old = port.row.clone();
        match change {
            Change::Move => {
                // Or to none.
                let to = dice.below(self.nodes.len() + 1);
                self.claim(port, (to < self.nodes.len()).then_some(to))
                    .await
            }
            Change::Rename => {
                self.count += 1;
                port.row.name = format!("p{}", self.count);
                write(lab, port.row.update_from(&old)).await?;
                self.claim(port, port.on).await
            }
            Change::Readdress => {
                let fresh = self.new_row(port.switch);
                port.row.addresses = fresh.addresses;
                port.row.port_security = fresh.port_security;
                write(lab, port.row.update_from(&old)).await
            }
            Change::Replace => {
                let switch = dice.below(SWITCHES.len());
                let mut operations = removal(&old, port.switch);
                (port.row, port.switch) = (self.new_row(switch), switch);
                operations.extend(insertion(&port.row, switch));
                lab.nb.transact(operations).await?;
                self.claim(port, port.on).await
            }
            Change::Reroute => Ok(()),
        }
    }

    /// A port that nobody had before, with addresses of its own.
    fn new_row(&mut self, switch: usize) -> LogicalSwitchPort {
        self.count += 1;
        let (high, low) = (self.count / 200, self.count % 200 + 10);
        let address = format!(
            "0a:00:00:01:{high:02x}:{low:02x} 10.{}.0.{low} fd6{switch}::{high:x}:{low:x}",
            61 + switch
        );
        // 200 addresses go round: far more than there are ports.
        LogicalSwitchPort {
            uuid: Uuid::new_v4(),
            name: format!("p{}", self.count),
            addresses: BTreeSet::from([address.clone()]),
            port_security: BTreeSet::from([address]),
            ..LogicalSwitchPort::default()
        }
    }

    async fn claim(&self, port: &mut Port, to: Option<usize>) -> anyhow::Result<()> {
        if let Some(from) = port.on.filter(|from| Some(*from) != to) {
            let clear = [
                "remove",
                "Interface",
                &port.interface,
                "external_ids",
                "iface-id",
            ];
            self.nodes[from].vsctl(&clear).await?;
        }
        if let Some(to) = to {
            let claim = format!("external_ids:iface-id={}", port.row.name);
            let set = ["set", "Interface", &port.interface, &claim];
            self.nodes[to].vsctl(&set).await?;
        }
        port.on = to;
        Ok(())
    }

    async fn tear_down(mut self, lab: &Lab) -> anyhow::Result<()> {
        let mut operations: Vec<Operation> = Vec::new();
        for mut port in std::mem::take(&mut self.ports) {
            self.claim(&mut port, None).await?;
            for node in &self.nodes {
                node.vsctl(&["del-port", "br-int", &port.interface]).await?;
            }
        }
        operations.extend(SWITCHES.map(|switch| LogicalSwitch::delete(id(switch))));
        operations.extend(ROUTERS.map(|router| LogicalRouter::delete(id(router))));
        lab.nb.transact(operations).await?;
        ensure!(self.count >= PORTS, "nothing was done");
        Ok(())
    }
}

async fn write(lab: &Lab, operations: Vec<Operation>) -> anyhow::Result<()> {
    lab.nb.transact(operations).await?;
    Ok(())
}

fn insertion(row: &LogicalSwitchPort, switch: usize) -> Vec<Operation> {
    vec![row.insert(), list(row, switch, Mutator::Insert)]
}

/// The row goes with its place in the list.
fn removal(row: &LogicalSwitchPort, switch: usize) -> Vec<Operation> {
    vec![list(row, switch, Mutator::Delete)]
}

fn list(row: &LogicalSwitchPort, switch: usize, mutator: Mutator) -> Operation {
    Operation::Mutate {
        table: LogicalSwitch::NAME.into(),
        conditions: vec![Condition {
            column: "name".into(),
            function: Function::Equal,
            value: SWITCHES[switch].into(),
        }],
        mutations: vec![Mutation {
            column: "ports".into(),
            mutator,
            value: row.uuid.into(),
        }],
    }
}

const ROUTERS: [&str; 2] = ["r1", "r2"];
const SWITCHES: [&str; 2] = ["u1", "u2"];
const PORTS: usize = 6;
