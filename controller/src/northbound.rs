//! The northbound database as the controller sees it: rows in, typed changes, terms, answers and write-backs out.
//!
//! ```text
//! monitor ──▶ rows (shared with the database) ──▶ nb::Change ──▶ compiler
//!                │                           ├──▶ which ports may be claimed, and by whom ──▶ ports.rs
//!                │                           └──▶ what an interface is told ──▶ chassis/answer.rs
//!                └──▶ nb_cfg
//!                ├──▶ localnet ports ──▶ chassis/patch.rs
//! up, sb_cfg, hv_cfg wanted − rows ──▶ one transaction
//! ```
//!
//! Invariants: a row that does not fit its table is reported once and stands for nothing; everything else goes on. Columns that the
//! controller writes itself (`up`, `sb_cfg`, …) never reach the compiler, or each acknowledgement would compile again.
//!
//! Must not: do IO, read the clock, or compile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;
use weft_ovsdb::{Event, Operation, Row, RowChange};
use weft_schema::nb::{Change, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort, NbGlobal};
use weft_schema::{Table, keys};

use crate::chassis::Localnets;
use crate::ports::Terms;

use addressing::{Addressing, derive};

mod addressing;
mod needs;

pub use needs::{SchemaMismatch, monitored};

/// What one message of the monitor changed.
#[derive(Debug, Default)]
pub struct Update {
    /// For the compiler.
    pub changes: Vec<Change>,
    /// Ports that may be claimed, changed or gone (`None`).
    pub terms: Vec<(Arc<str>, Option<Terms>)>,
    /// Ports that are nested in another, or (`None`) not, or not any more.
    pub nested: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// Ports whose answer may have changed.
    pub answers: BTreeSet<Arc<str>>,
    /// Rows that do not fit, said for the first time.
    pub complaints: Vec<String>,
}

/// What the controller writes into the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// `NB_Global.sb_cfg`: the generation that is compiled.
    pub sb_cfg: Option<Stamp>,
    /// `NB_Global.hv_cfg`: the generation that every connected node has acknowledged.
    pub hv_cfg: Option<Stamp>,
}

/// A `*_cfg` number and the time it was reached, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The number that a client wrote into `nb_cfg`.
    pub cfg: i64,
    /// When.
    pub at_ms: i64,
}

/// The rows, and the indexes that the controller asks.
#[derive(Debug, Default)]
pub struct Northbound {
    known: BTreeMap<(Arc<str>, Uuid), Arc<Row>>,
    bad: BTreeMap<Uuid, String>,
    /// The very rows that the compiler has; what they say of `up` may be out of date.
    ports: BTreeMap<Uuid, Arc<LogicalSwitchPort>>,
    /// Of each port: `up` as the database has it.
    stored_up: BTreeMap<Uuid, Option<bool>>,
    port_names: BTreeMap<Arc<str>, Uuid>,
    router_ports: BTreeMap<Uuid, Arc<LogicalRouterPort>>,
    router_port_names: BTreeMap<String, Uuid>,
    switches: BTreeMap<Uuid, Arc<LogicalSwitch>>,
    switch_of: BTreeMap<Uuid, Uuid>,
    /// Switch ports by the router port that they name.
    peers: BTreeMap<String, BTreeSet<Uuid>>,
    localnets: Arc<Localnets>,
    global: Option<Arc<NbGlobal>>,
    up: BTreeMap<Uuid, bool>,
    up_pending: BTreeSet<Uuid>,
    /// True from when the database was found empty that had rows before, until it has some.
    is_emptied: bool,
}

impl Northbound {
    /// Takes in what the monitor said.
    pub fn apply(&mut self, event: Event) -> Update {
        let mut update = Update::default();
        // Who deletes rows one by one leaves some, the global one at least. All of them go at once when a server
        // comes back that kept nothing: then what they said stands until somebody has written again.
        let event = match event {
            Event::Snapshot(rows) if rows.is_empty() && !self.known.is_empty() => {
                self.is_emptied = true;
                tracing::warn!(
                    "northbound database has come back empty; flows stay as they are until it has rows again (weft nb \
                     --db FILE keeps them)"
                );
                return update;
            }
            Event::Changes(changes) if self.is_emptied && !changes.is_empty() => {
                Event::Snapshot(changes)
            }
            event => event,
        };
        match event {
            Event::Changes(changes) => {
                for change in changes {
                    self.apply_row(change, &mut update);
                }
            }
            Event::Snapshot(rows) => {
                self.is_emptied = false;
                let mut gone: BTreeSet<_> = self.known.keys().cloned().collect();
                for change in rows {
                    let key = (change.table.clone(), change.uuid);
                    gone.remove(&key);
                    // After a reconnect most rows are as they were.
                    if self.known.get(&key) != change.row.as_ref() {
                        self.apply_row(change, &mut update);
                    }
                }
                for (table, uuid) in gone {
                    self.apply_row(
                        RowChange {
                            table,
                            uuid,
                            row: None,
                        },
                        &mut update,
                    );
                }
            }
            Event::Disconnected { .. } => {}
        }
        update
    }

    /// The generation that clients ask for; `None` before there is an `NB_Global` row.
    #[must_use]
    pub fn nb_cfg(&self) -> Option<i64> {
        self.global.as_ref().map(|row| row.nb_cfg)
    }

    /// The localnet ports, each with the name of its physical network.
    #[must_use]
    pub fn localnets(&self) -> &Arc<Localnets> {
        &self.localnets
    }

    /// MAC, addresses and gateways of a logical switch port.
    #[must_use]
    pub fn addressing(&self, port: &str) -> Option<Addressing> {
        let port = self.ports.get(self.port_names.get(port)?)?;
        let given = |key| port.external_ids.get(key).cloned();
        let mut addressing = derive(port, || self.router_networks(port.uuid));
        if let Some(addresses) = given(keys::ADDRESSES) {
            addressing.addresses = addresses;
            addressing.gateways = given(keys::GATEWAYS).unwrap_or_default();
        }
        Some(addressing)
    }

    /// Says whether a port is up; written with the next [`Northbound::write_back`].
    pub fn set_up(&mut self, port: &str, up: bool) {
        if let Some(uuid) = self.port_names.get(port) {
            self.up.insert(*uuid, up);
            self.up_pending.insert(*uuid);
        }
    }

    /// `Logical_Switch_Port.up` of a port as the database has it.
    #[must_use]
    pub fn is_up(&self, port: &str) -> Option<bool> {
        *self.stored_up.get(self.port_names.get(port)?)?
    }

    /// The transaction that brings `up`, `sb_cfg` and `hv_cfg` to what they should be; empty if they are.
    #[must_use]
    pub fn write_back(&self, progress: &Progress) -> Vec<Operation> {
        let mut operations = Vec::new();
        for uuid in &self.up_pending {
            if let (Some(port), Some(up)) = (self.ports.get(uuid), self.up.get(uuid)) {
                let with = |up| LogicalSwitchPort {
                    up,
                    ..LogicalSwitchPort::clone(port)
                };
                let stored = with(self.stored_up.get(uuid).copied().flatten());
                operations.extend(with(Some(*up)).update_from(&stored));
            }
        }
        if let Some(global) = &self.global {
            let mut wanted = NbGlobal::clone(global);
            if let Some(stamp) = progress.sb_cfg.filter(|stamp| stamp.cfg != global.sb_cfg) {
                wanted.sb_cfg = stamp.cfg;
                wanted.sb_cfg_timestamp = stamp.at_ms;
            }
            if let Some(stamp) = progress.hv_cfg.filter(|stamp| stamp.cfg != global.hv_cfg) {
                wanted.hv_cfg = stamp.cfg;
                wanted.hv_cfg_timestamp = stamp.at_ms;
            }
            operations.extend(wanted.update_from(global));
        }
        operations
    }

    fn apply_row(&mut self, change: RowChange, update: &mut Update) {
        let key = (change.table.clone(), change.uuid);
        match &change.row {
            Some(row) => self.known.insert(key, row.clone()),
            None => self.known.remove(&key),
        };
        let typed = match Change::from_row_change(&change) {
            None => return,
            Some(Ok(typed)) => {
                if self.bad.remove(&change.uuid).is_some() && change.row.is_some() {
                    tracing::info!(table = %change.table, row = %change.uuid, "row is good again");
                }
                typed
            }
            Some(Err(error)) => {
                let text = error.to_string();
                if self.bad.get(&change.uuid) != Some(&text) {
                    update.complaints.push(text.clone());
                    self.bad.insert(change.uuid, text);
                }
                // Half a row is worse than none.
                match Change::from_row_change(&RowChange {
                    row: None,
                    ..change
                }) {
                    Some(Ok(gone)) => gone,
                    _ => return,
                }
            }
        };
        match &typed {
            Change::NbGlobal(_, row) => {
                let same = match (&self.global, row) {
                    (Some(old), Some(new)) => without_progress(old) == without_progress(new),
                    (None, None) => true,
                    _ => false,
                };
                self.global.clone_from(row);
                if same {
                    return;
                }
            }
            Change::LogicalSwitchPort(uuid, row) => {
                let relevance = self.apply_port(*uuid, row.as_ref(), update);
                if relevance == Relevance::WrittenByUs {
                    return;
                }
            }
            Change::LogicalRouterPort(uuid, row) => {
                self.apply_router_port(*uuid, row.as_ref(), update)
            }
            Change::LogicalSwitch(uuid, row) => self.apply_switch(*uuid, row.as_ref(), update),
            _ => {}
        }
        update.changes.push(typed);
    }

    fn apply_port(
        &mut self,
        uuid: Uuid,
        row: Option<&Arc<LogicalSwitchPort>>,
        update: &mut Update,
    ) -> Relevance {
        let old = self.ports.remove(&uuid);
        self.stored_up.remove(&uuid);
        if let Some(peer) = old
            .as_ref()
            .and_then(|old| old.options.get(keys::ROUTER_PORT))
            && let Some(peers) = self.peers.get_mut(peer)
        {
            peers.remove(&uuid);
            if peers.is_empty() {
                self.peers.remove(peer);
            }
        }
        if let Some(peer) = row.and_then(|row| row.options.get(keys::ROUTER_PORT)) {
            self.peers.entry(peer.clone()).or_default().insert(uuid);
        }
        self.apply_localnet(old.as_deref(), row.map(Arc::as_ref));
        let mut relevance = Relevance::ForTheCompiler;
        if let Some(old) = &old {
            let renamed = row.is_none_or(|row| row.name != old.name);
            if renamed && self.port_names.get(old.name.as_str()) == Some(&uuid) {
                let name: Arc<str> = old.name.as_str().into();
                self.port_names.remove(&name);
                update.terms.push((name.clone(), None));
                update.nested.push((name.clone(), None));
                update.answers.insert(name);
                self.up.remove(&uuid);
            }
        }
        if let Some(row) = row {
            self.stored_up.insert(uuid, row.up);
            let same = old
                .as_ref()
                .filter(|old| without_up(old) == without_up(row));
            self.ports.insert(uuid, same.unwrap_or(row).clone());
            if same.is_some() {
                relevance = Relevance::WrittenByUs;
            } else {
                let name: Arc<str> = row.name.as_str().into();
                self.port_names.insert(name.clone(), uuid);
                update.terms.push((name.clone(), terms(row)));
                update.nested.push((name.clone(), parent(row)));
                update.answers.insert(name);
            }
            if row.kind == ROUTER {
                // As OVN has it: this side needs no node.
                self.up.insert(uuid, true);
            }
        }
        let routes = |row: &Arc<LogicalSwitchPort>| row.kind == ROUTER;
        if relevance == Relevance::ForTheCompiler
            && (old.as_ref().is_some_and(routes) || row.is_some_and(routes))
        {
            self.answers_of_switch_of(uuid, update);
        }
        let wanted = self.up.get(&uuid).copied();
        if wanted.is_some() && row.is_some_and(|row| row.up != wanted) {
            self.up_pending.insert(uuid);
        } else {
            self.up_pending.remove(&uuid);
        }
        relevance
    }

    fn apply_localnet(&mut self, old: Option<&LogicalSwitchPort>, new: Option<&LogicalSwitchPort>) {
        let (old, new) = (old.and_then(localnet), new.and_then(localnet));
        if old == new {
            return;
        }
        let localnets = Arc::make_mut(&mut self.localnets);
        if let Some((name, _)) = old {
            localnets.remove(&name);
        }
        localnets.extend(new);
    }

    fn apply_router_port(
        &mut self,
        uuid: Uuid,
        row: Option<&Arc<LogicalRouterPort>>,
        update: &mut Update,
    ) {
        let old = self.router_ports.remove(&uuid);
        if let Some(old) = &old
            && self.router_port_names.get(&old.name) == Some(&uuid)
        {
            self.router_port_names.remove(&old.name);
        }
        if let Some(row) = row {
            self.router_port_names.insert(row.name.clone(), uuid);
            self.router_ports.insert(uuid, row.clone());
        }
        let names: BTreeSet<&str> = old.iter().chain(row).map(|row| row.name.as_str()).collect();
        for peer in names
            .into_iter()
            .filter_map(|name| self.peers.get(name))
            .flatten()
        {
            self.answers_of_switch_of(*peer, update);
        }
    }

    fn apply_switch(&mut self, uuid: Uuid, row: Option<&Arc<LogicalSwitch>>, update: &mut Update) {
        if let Some(old) = self.switches.remove(&uuid) {
            for port in &old.ports {
                if self.switch_of.get(port) == Some(&uuid) {
                    self.switch_of.remove(port);
                }
            }
        }
        if let Some(row) = row {
            self.switch_of
                .extend(row.ports.iter().map(|port| (*port, uuid)));
            self.switches.insert(uuid, row.clone());
            self.answers_of_switch(uuid, update);
        }
    }

    fn answers_of_switch_of(&self, port: Uuid, update: &mut Update) {
        if let Some(switch) = self.switch_of.get(&port) {
            self.answers_of_switch(*switch, update);
        }
    }

    /// Ports whose row does not say it all are told by the router ports of their switch.
    fn answers_of_switch(&self, switch: Uuid, update: &mut Update) {
        let ports = self
            .switches
            .get(&switch)
            .into_iter()
            .flat_map(|switch| &switch.ports);
        let derived = ports
            .filter_map(|port| self.ports.get(port))
            .filter(|port| {
                port.kind.is_empty() && !port.external_ids.contains_key(keys::ADDRESSES)
            });
        update
            .answers
            .extend(derived.map(|port| Arc::from(port.name.as_str())));
    }

    fn router_networks(&self, port: Uuid) -> Vec<String> {
        let switch = self
            .switch_of
            .get(&port)
            .and_then(|switch| self.switches.get(switch));
        let siblings = switch
            .into_iter()
            .flat_map(|switch| &switch.ports)
            .filter_map(|port| self.ports.get(port));
        siblings
            .filter(|sibling| sibling.kind == ROUTER)
            .filter_map(|sibling| sibling.options.get(keys::ROUTER_PORT))
            .filter_map(|name| self.router_ports.get(self.router_port_names.get(name)?))
            .flat_map(|peer| peer.networks.iter().cloned())
            .collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Relevance {
    ForTheCompiler,
    WrittenByUs,
}

/// The port that this one is nested in.
fn parent(port: &LogicalSwitchPort) -> Option<Arc<str>> {
    let parent = port.parent_name.as_deref().filter(|name| !name.is_empty());
    parent.filter(|_| port.kind.is_empty()).map(Arc::from)
}

/// Name and network of a port that is one.
fn localnet(port: &LogicalSwitchPort) -> Option<(Arc<str>, Arc<str>)> {
    let network = port.options.get(keys::NETWORK_NAME);
    let network = network.filter(|network| !network.is_empty())?;
    let is_one = port.kind == LOCALNET && port.enabled != Some(false);
    is_one.then(|| (port.name.as_str().into(), network.as_str().into()))
}

/// Only ports without a type are interfaces of a node, and those that are nested in none.
fn terms(port: &LogicalSwitchPort) -> Option<Terms> {
    let option = |key| {
        port.options
            .get(key)
            .filter(|text| !text.is_empty())
            .map(|text| Arc::from(text.as_str()))
    };
    (port.kind.is_empty() && parent(port).is_none()).then(|| Terms {
        requested_chassis: option(keys::REQUESTED_CHASSIS),
        version: option(keys::IFACE_ID_VER),
    })
}

fn without_up(port: &LogicalSwitchPort) -> LogicalSwitchPort {
    LogicalSwitchPort {
        up: None,
        ..port.clone()
    }
}

fn without_progress(global: &NbGlobal) -> NbGlobal {
    NbGlobal {
        nb_cfg: 0,
        nb_cfg_timestamp: 0,
        sb_cfg: 0,
        sb_cfg_timestamp: 0,
        hv_cfg: 0,
        hv_cfg_timestamp: 0,
        ..global.clone()
    }
}

const ROUTER: &str = "router";
const LOCALNET: &str = "localnet";

#[cfg(test)]
mod tests;
