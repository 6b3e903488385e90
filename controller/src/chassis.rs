//! The OVSDB side of one node: what its Open vSwitch says, and what the controller writes there.
//!
//! ```text
//!             ┌────────────────────────── Chassis ───────────────────────────┐
//! rows ──────▶│ rows as monitored ──▶ facts: encap IP, tunnel port, claims   │──▶ Effect::Facts
//! answers ───▶│ desired (bridge.rs, patch.rs, answer.rs) − rows              │──▶ Effect::Transact
//! localnets ─▶│                                   ──▶ one transaction        │
//! outcome ───▶│                                                             │──▶ Effect::Complain
//!             └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! A pure state machine: `handle(event, now)` returns effects. Level-triggered: each transaction is the difference
//! between what should be there and what was last seen there, so that whatever somebody deletes or changes by hand comes back.
//!
//! Invariants: one transaction in flight; every operation is harmless when applied to newer rows than it was planned on;
//! `ovn-installed` is never removed; facts outlive the connection, since the node forwards on without it.
//!
//! Must not: do IO, read the clock, touch of bridges other than the integration bridge anything but the patch ports to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;
use weft_compiler::{Ofport, pipeline};
use weft_ovsdb::{MonitorTable, Operation, RowChange};
use weft_schema::vswitch::{Bridge, Controller, FlowTable, Interface, OpenVSwitch, Port};
use weft_schema::{ColumnError, Table, keys};

use crate::nodes::Listener;
use crate::ports::Claim;

pub use answer::Answer;
pub use patch::Localnets;

mod answer;
mod bridge;
mod patch;

/// What happens to a chassis.
#[derive(Debug)]
pub enum Event {
    /// The monitor speaks.
    Database(weft_ovsdb::Event),
    /// What the interfaces shall be told; replaces what was said before about these rows.
    Answers(Vec<(Uuid, Option<Answer>)>),
    /// The localnet ports there are.
    Localnets(Arc<Localnets>),
    /// The transaction in flight ended; the error's text if it failed.
    TransactionEnded(Result<(), String>),
    /// [`Chassis::deadline`] has come.
    Tick,
}

/// What a chassis wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Run this transaction and say how it ended. Never a second one before that.
    Transact(Vec<Operation>),
    /// The facts changed.
    Facts(Arc<Facts>),
    /// The database is (not) reachable.
    Connected(bool),
    /// Somebody has to know; said once while it lasts.
    Complain(String),
}

/// What the rest of the controller needs to know of a node's Open vSwitch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `external_ids:system-id`, if it is set.
    pub system_id: Option<Arc<str>>,
    /// The integration bridge's name.
    pub bridge: String,
    /// The integration bridge exists, so that its management socket can be dialled.
    pub bridge_ready: bool,
    /// Where other nodes send tunnel packets.
    pub encap_ip: Option<IpAddr>,
    /// The tunnel port's number once Open vSwitch has opened it.
    pub tunnel: Option<Ofport>,
    /// MTU of the network that carries the tunnels.
    pub underlay_mtu: u16,
    /// Interfaces of the integration bridge that claim logical switch ports.
    pub claims: BTreeMap<Uuid, Claim>,
    /// Localnet ports that are connected to their physical network, and by which port of the integration bridge.
    pub plugs: BTreeMap<Arc<str>, Ofport>,
}

impl Facts {
    /// The integration bridge's name where the node does not say another.
    #[must_use]
    pub fn default_bridge() -> String {
        keys::DEFAULT_BRIDGE.to_owned()
    }
}

/// The state of one node's database as far as weft cares.
#[derive(Debug)]
pub struct Chassis {
    configuration: Configuration,
    rows: Rows,
    answers: BTreeMap<Uuid, Answer>,
    /// `None` until they are known.
    localnets: Option<Arc<Localnets>>,
    synchronized: bool,
    transaction: Transaction,
    /// The last transaction made what the one before it had made.
    is_overtaken: bool,
    facts: Option<Arc<Facts>>,
    complaints: BTreeSet<String>,
    failure: Option<String>,
}

/// What every node gets alike, and what the nodes file says of this one.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// From the nodes file; wins over `external_ids:ovn-encap-ip`.
    pub encap_ip: Option<IpAddr>,
    /// What the integration bridge listens on besides its management socket.
    pub listener: Option<Listener>,
    /// The port number asked for the tunnel port.
    pub tunnel_ofport: Ofport,
    /// Tables that match address prefixes.
    pub prefix_tables: Vec<u8>,
}

impl Configuration {
    /// What the pipeline asks of every node, and what the nodes file says of this one.
    #[must_use]
    pub fn new(encap_ip: Option<IpAddr>, listener: Option<Listener>) -> Configuration {
        Configuration {
            encap_ip,
            listener,
            tunnel_ofport: Ofport::new(pipeline::TUNNEL_OFPORT)
                .expect("the pipeline's port number is one"),
            prefix_tables: pipeline::Stage::ALL
                .iter()
                .map(|stage| stage.table().get())
                .collect(),
        }
    }
}

#[derive(Debug)]
enum Transaction {
    None,
    /// `changed`: rows changed meanwhile, so the outcome may have been seen already.
    InFlight {
        changed: bool,
    },
    /// Nothing is sent before this time, unless rows change first (`or_change`).
    Pause {
        until: Instant,
        or_change: bool,
    },
}

#[derive(Debug, Default)]
struct Rows {
    open_vswitch: BTreeMap<Uuid, OpenVSwitch>,
    bridges: BTreeMap<Uuid, Bridge>,
    ports: BTreeMap<Uuid, Port>,
    interfaces: BTreeMap<Uuid, Interface>,
    flow_tables: BTreeMap<Uuid, FlowTable>,
    controllers: BTreeMap<Uuid, Controller>,
    bad: BTreeMap<Uuid, String>,
}

impl Chassis {
    /// A chassis nothing is known of.
    #[must_use]
    pub fn new(configuration: Configuration) -> Chassis {
        Chassis {
            configuration,
            rows: Rows::default(),
            answers: BTreeMap::new(),
            localnets: None,
            synchronized: false,
            transaction: Transaction::None,
            is_overtaken: false,
            facts: None,
            complaints: BTreeSet::new(),
            failure: None,
        }
    }

    /// The tables and columns to monitor.
    #[must_use]
    pub fn monitored() -> Vec<MonitorTable> {
        let columns =
            |table: &str, names: &[&str]| MonitorTable::new(table).columns(names.iter().copied());
        vec![
            columns(
                OpenVSwitch::NAME,
                &["bridges", "datapath_types", "external_ids"],
            ),
            columns(
                Bridge::NAME,
                &[
                    "name",
                    "ports",
                    "controller",
                    "fail_mode",
                    "protocols",
                    "datapath_type",
                    "flow_tables",
                    "other_config",
                ],
            ),
            columns(Port::NAME, &["name", "interfaces", "external_ids"]),
            columns(
                Interface::NAME,
                &[
                    "name",
                    "type",
                    "options",
                    "ofport",
                    "ofport_request",
                    "external_ids",
                ],
            ),
            columns(FlowTable::NAME, &["name", "prefixes", "external_ids"]),
            columns(Controller::NAME, &["target"]),
        ]
    }

    /// Takes one event in and says what to do.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Database(weft_ovsdb::Event::Snapshot(rows)) => {
                self.rows = Rows::default();
                self.apply(&rows);
                if !self.synchronized {
                    effects.push(Effect::Connected(true));
                }
                self.synchronized = true;
                self.transaction = match self.transaction {
                    Transaction::InFlight { .. } => Transaction::InFlight { changed: true },
                    _ => Transaction::None,
                };
            }
            Event::Database(weft_ovsdb::Event::Changes(rows)) => self.apply(&rows),
            Event::Database(weft_ovsdb::Event::Disconnected { .. }) => {
                if self.synchronized {
                    effects.push(Effect::Connected(false));
                }
                self.synchronized = false;
                return effects;
            }
            Event::Answers(answers) => {
                for (row, answer) in answers {
                    match answer {
                        Some(answer) => self.answers.insert(row, answer),
                        None => self.answers.remove(&row),
                    };
                }
            }
            Event::Localnets(localnets) => self.localnets = Some(localnets),
            // Others' changes may come before those of the transaction before, and so what it made was planned again. Once is no fault.
            Event::TransactionEnded(Err(error))
                if error.contains(ALREADY_THERE) && !self.is_overtaken =>
            {
                self.is_overtaken = true;
                self.transaction = Transaction::Pause {
                    until: now + ECHO_WAIT,
                    or_change: false,
                };
            }
            Event::TransactionEnded(Ok(())) => {
                self.is_overtaken = false;
                let seen = matches!(self.transaction, Transaction::InFlight { changed: true });
                self.failure = None;
                self.transaction = if seen {
                    Transaction::None
                } else {
                    Transaction::Pause {
                        until: now + ECHO_WAIT,
                        or_change: true,
                    }
                };
            }
            Event::TransactionEnded(Err(error)) => {
                self.failure = Some(error);
                self.transaction = Transaction::Pause {
                    until: now + RETRY_WAIT,
                    or_change: false,
                };
            }
            Event::Tick => {}
        }
        if self.synchronized {
            self.reconcile(now, &mut effects);
        }
        effects
    }

    /// When to deliver [`Event::Tick`] if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.transaction {
            Transaction::Pause { until, .. } if self.synchronized => Some(until),
            _ => None,
        }
    }

    fn apply(&mut self, changes: &[RowChange]) {
        for change in changes {
            self.rows.apply(change);
        }
        self.transaction = match self.transaction {
            Transaction::InFlight { .. } => Transaction::InFlight { changed: true },
            Transaction::Pause {
                or_change: true, ..
            } => Transaction::None,
            Transaction::Pause { until, or_change } => Transaction::Pause { until, or_change },
            Transaction::None => Transaction::None,
        };
    }

    fn reconcile(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let mut complaints: BTreeSet<String> = self.rows.bad.values().cloned().collect();
        complaints.extend(self.failure.iter().cloned());
        let plan = bridge::plan(&self.rows, &self.configuration, &mut complaints);
        let localnets = self.localnets.as_deref();
        let patches = patch::plan(&self.rows, &plan.bridge_name, localnets, &mut complaints);
        let facts = self.current_facts(plan.bridge_name, plan.tunnel, plan.exists, &mut complaints);
        let may_transact = match self.transaction {
            Transaction::None => true,
            Transaction::InFlight { .. } => false,
            Transaction::Pause { until, .. } => now >= until,
        };
        if may_transact {
            self.transaction = Transaction::None;
            // The bridge first and alone: an answer belongs to an interface of a bridge that is as it should be.
            let mut operations = plan.operations;
            if operations.is_empty() {
                operations = patches;
            }
            if operations.is_empty() {
                operations = answer::plan(&self.rows.interfaces, &self.answers);
            }
            if !operations.is_empty() {
                self.transaction = Transaction::InFlight { changed: false };
                effects.push(Effect::Transact(operations));
            }
        }
        if self.facts.as_deref() != Some(&facts) {
            let facts = Arc::new(facts);
            self.facts = Some(facts.clone());
            effects.push(Effect::Facts(facts));
        }
        effects.extend(
            complaints
                .difference(&self.complaints)
                .cloned()
                .map(Effect::Complain),
        );
        self.complaints = complaints;
    }

    fn current_facts(
        &self,
        bridge: String,
        tunnel: Option<Ofport>,
        bridge_ready: bool,
        complaints: &mut BTreeSet<String>,
    ) -> Facts {
        let external_ids = self
            .rows
            .open_vswitch
            .values()
            .next()
            .map(|row| &row.external_ids);
        let external_id = |key| {
            external_ids
                .and_then(|ids| ids.get(key))
                .map(String::as_str)
        };
        let underlay_mtu = match external_id(keys::UNDERLAY_MTU).map(str::parse::<u16>) {
            Some(Ok(mtu)) if mtu >= SMALLEST_MTU => mtu,
            None => DEFAULT_MTU,
            Some(_) => {
                complaints.insert(format!(
                    "Open_vSwitch: external_ids:{} is no MTU of at least {SMALLEST_MTU}; taking {DEFAULT_MTU}",
                    keys::UNDERLAY_MTU
                ));
                DEFAULT_MTU
            }
        };
        let claims = self.rows.claims(&bridge);
        let plugs = patch::plugs(&self.rows, &bridge);
        let encap_ip = encap_ip(&self.rows, &self.configuration, complaints);
        Facts {
            system_id: external_id(keys::SYSTEM_ID).map(Arc::from),
            bridge_ready,
            encap_ip,
            tunnel,
            underlay_mtu,
            claims,
            plugs,
            bridge,
        }
    }
}

/// The node's tunnel address: the nodes file's, else the first of `external_ids:ovn-encap-ip`.
fn encap_ip(
    rows: &Rows,
    configuration: &Configuration,
    complaints: &mut BTreeSet<String>,
) -> Option<IpAddr> {
    if configuration.encap_ip.is_some() {
        return configuration.encap_ip;
    }
    let external_ids = &rows.open_vswitch.values().next()?.external_ids;
    if let Some(kinds) = external_ids.get(keys::OVN_ENCAP_TYPE)
        && !kinds.split(',').any(|kind| kind.trim() == "geneve")
    {
        complaints.insert(format!(
            "Open_vSwitch: external_ids:{} \"{kinds}\" does not offer geneve, which weft's tunnels are; add it",
            keys::OVN_ENCAP_TYPE
        ));
    }
    let Some(text) = external_ids.get(keys::OVN_ENCAP_IP) else {
        complaints.insert(format!(
            "no tunnel address: set encapIp in the nodes file or external_ids:{} in Open_vSwitch",
            keys::OVN_ENCAP_IP
        ));
        return None;
    };
    // OVN allows a list; the first is the one that leads.
    let parsed = text
        .split(',')
        .next()
        .map(str::trim)
        .and_then(|first| first.parse().ok());
    if parsed.is_none() {
        complaints.insert(format!(
            "Open_vSwitch: external_ids:{} \"{text}\" is no IP address",
            keys::OVN_ENCAP_IP
        ));
    }
    parsed
}

impl Rows {
    fn apply(&mut self, change: &RowChange) {
        self.bad.remove(&change.uuid);
        let outcome = match &*change.table {
            OpenVSwitch::NAME => store(&mut self.open_vswitch, change),
            Bridge::NAME => store(&mut self.bridges, change),
            Port::NAME => store(&mut self.ports, change),
            Interface::NAME => store(&mut self.interfaces, change),
            FlowTable::NAME => store(&mut self.flow_tables, change),
            Controller::NAME => store(&mut self.controllers, change),
            _ => Ok(()),
        };
        if let Err(error) = outcome {
            self.bad.insert(change.uuid, error.to_string());
        }
    }

    fn bridge(&self, name: &str) -> Option<&Bridge> {
        self.bridges.values().find(|bridge| bridge.name == name)
    }

    fn interfaces_of<'a>(
        &'a self,
        bridge: &'a Bridge,
    ) -> impl Iterator<Item = (&'a Uuid, &'a Interface)> {
        let ports = bridge.ports.iter().filter_map(|port| self.ports.get(port));
        ports
            .flat_map(|port| &port.interfaces)
            .filter_map(|row| self.interfaces.get_key_value(row))
    }

    fn claims(&self, bridge: &str) -> BTreeMap<Uuid, Claim> {
        let Some(bridge) = self.bridge(bridge) else {
            return BTreeMap::new();
        };
        let mut claims = BTreeMap::new();
        for (row, interface) in self.interfaces_of(bridge) {
            // Absent: not opened yet. -1: could not be opened. Neither is a port that flows can name.
            let ofport = interface.ofport.and_then(ofport);
            if let (Some(iface_id), Some(ofport)) =
                (interface.external_ids.get(keys::IFACE_ID), ofport)
            {
                let version = interface.external_ids.get(keys::IFACE_ID_VER);
                claims.insert(
                    *row,
                    Claim {
                        iface_id: iface_id.as_str().into(),
                        version: version.map(|text| text.as_str().into()),
                        interface: interface.name.as_str().into(),
                        ofport,
                    },
                );
            }
        }
        claims
    }
}

fn store<T: Table>(rows: &mut BTreeMap<Uuid, T>, change: &RowChange) -> Result<(), ColumnError> {
    rows.remove(&change.uuid);
    if let Some(row) = &change.row {
        rows.insert(change.uuid, T::from_row(change.uuid, row)?);
    }
    Ok(())
}

/// A port number that flows can name: positive and below OpenFlow's reserved ones.
fn ofport(number: i64) -> Option<Ofport> {
    u16::try_from(number).ok().and_then(Ofport::new)
}

/// After a transaction, the monitor tells what it did; this long is waited for that before planning again.
const ECHO_WAIT: Duration = Duration::from_secs(1);
/// What a database says of a row that is inserted again.
const ALREADY_THERE: &str = "duplicate uuid";
/// After a refused transaction.
const RETRY_WAIT: Duration = Duration::from_secs(5);
const DEFAULT_MTU: u16 = 1500;
/// IPv6's least, which leaves a pod something after the overhead.
const SMALLEST_MTU: u16 = 1280;
