//! What the database holds, against what it should hold: the operations that are missing.
//!
//! northd owns the rows that it marked as its own, and of these the columns that it writes. A port
//! added by hand to a switch of northd's, an `up` written by the controller, a key put into
//! `external_ids` by somebody: all stay. A row of northd's that was changed or removed by hand is
//! repaired.
//!
//! Invariant: working off [`Northbound::operations`] makes the database as desired; when it is, there
//! is none. Must not: do IO; the caller submits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;
use weft_ovsdb::{Event, MonitorTable, Operation, RowChange};
use weft_schema::nb::{LogicalRouter, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort};
use weft_schema::{ColumnError, Table, keys};

use crate::index::{NbRow, Record};

/// What the database holds in the tables that northd writes.
#[derive(Debug, Default)]
pub(crate) struct Northbound {
    rows: BTreeMap<Uuid, NbRow>,
    /// Ports by table and name, to see a clash before the database does.
    port_names: BTreeMap<(&'static str, String), Uuid>,
    /// Rows that may differ from what they should be.
    suspects: BTreeSet<Uuid>,
    /// Whether everything there is was seen once.
    is_known: bool,
    /// Whether somebody else's port had the name of one of northd's, when last looked.
    has_clashes: bool,
}

/// Operations, and what the database holds after them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) operations: Vec<Operation>,
    after: BTreeMap<Uuid, Option<NbRow>>,
    /// Ports whose name somebody else's port has.
    pub(crate) clashes: Vec<(&'static str, String)>,
}

impl Northbound {
    /// The tables to watch.
    pub(crate) fn monitored() -> Vec<MonitorTable> {
        [
            LogicalSwitch::NAME,
            LogicalSwitchPort::NAME,
            LogicalRouter::NAME,
            LogicalRouterPort::NAME,
        ]
        .map(MonitorTable::new)
        .into()
    }

    /// Takes note of what the database tells. Rows that cannot be read are returned; they count as
    /// not being there.
    pub(crate) fn observe(
        &mut self,
        event: Event,
        desired: &BTreeMap<Uuid, NbRow>,
    ) -> Vec<ColumnError> {
        let changes = match event {
            Event::Snapshot(changes) => {
                self.suspect_all(desired);
                self.rows.clear();
                self.port_names.clear();
                self.is_known = true;
                changes
            }
            Event::Changes(changes) => changes,
            Event::Disconnected { .. } => Vec::new(),
        };
        if self.has_clashes && !changes.is_empty() {
            // Perhaps the name is free now; then the port and whatever names it have to be written.
            self.suspect_all(desired);
        }
        let mut errors = Vec::new();
        for change in changes {
            self.suspects.insert(change.uuid);
            match read(&change) {
                Ok(row) => self.put(change.uuid, row),
                Err(error) => {
                    self.put(change.uuid, None);
                    errors.push(error);
                }
            }
        }
        errors
    }

    /// Whether everything there is was seen once.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known
    }

    /// Who held which address, by the rows that northd wrote.
    pub(crate) fn records(&self) -> Vec<Record> {
        let router_ports: BTreeMap<&str, &LogicalRouterPort> = self
            .rows
            .values()
            .filter_map(|row| match row {
                NbRow::LogicalRouterPort(port) if is_owned(row) => port
                    .external_ids
                    .get(keys::NAMESPACE)
                    .map(|namespace| (namespace.as_str(), &**port)),
                _ => None,
            })
            .collect();
        let record = |row: &NbRow| match row {
            NbRow::LogicalSwitchPort(port) if is_owned(row) => {
                let namespace = port.external_ids.get(keys::NAMESPACE)?;
                Record::from_rows(port, router_ports.get(namespace.as_str()).copied())
            }
            _ => None,
        };
        self.rows.values().filter_map(record).collect()
    }

    /// Says that these rows have to be looked at.
    pub(crate) fn suspect(&mut self, rows: impl IntoIterator<Item = Uuid>) {
        self.suspects.extend(rows);
    }

    /// Says that all rows have to be looked at.
    pub(crate) fn suspect_all(&mut self, desired: &BTreeMap<Uuid, NbRow>) {
        self.suspects.extend(self.rows.keys());
        self.suspects.extend(desired.keys());
    }

    /// What has to be done so that the suspects are as desired.
    pub(crate) fn plan(&self, desired: &BTreeMap<Uuid, NbRow>) -> Plan {
        let mut plan = Plan::default();
        let mut clashing = BTreeSet::new();
        for row in self.suspects.iter().filter_map(|uuid| desired.get(uuid)) {
            let name = (row.table(), row.name().to_owned());
            let holder = self
                .port_names
                .get(&name)
                .and_then(|uuid| self.rows.get(uuid));
            if holder.is_some_and(|holder| holder.uuid() != row.uuid() && !is_owned(holder)) {
                clashing.insert(row.uuid());
                plan.clashes.push(name);
            }
        }
        for uuid in &self.suspects {
            let actual = self.rows.get(uuid);
            match desired.get(uuid).filter(|_| !clashing.contains(uuid)) {
                Some(row) => {
                    let row = self.adopt(row, actual, &clashing);
                    if actual != Some(&row) {
                        plan.operations.extend(row.operations_from(actual));
                        plan.after.insert(*uuid, Some(row));
                    }
                }
                None => {
                    if let Some(actual) = actual.filter(|actual| is_owned(actual)) {
                        plan.operations.extend(actual.deletion());
                        plan.after.insert(*uuid, None);
                    }
                }
            }
        }
        plan
    }

    /// The plan was carried out.
    pub(crate) fn carried_out(&mut self, plan: Plan) {
        self.suspects.clear();
        self.has_clashes = !plan.clashes.is_empty();
        for (uuid, row) in plan.after {
            self.put(uuid, row);
        }
    }

    fn put(&mut self, uuid: Uuid, row: Option<NbRow>) {
        if let Some(old) = self.rows.remove(&uuid) {
            let name = (old.table(), old.name().to_owned());
            if self.port_names.get(&name) == Some(&uuid) {
                self.port_names.remove(&name);
            }
        }
        if let Some(row) = row {
            if matches!(
                row,
                NbRow::LogicalSwitchPort(_) | NbRow::LogicalRouterPort(_)
            ) {
                self.port_names
                    .insert((row.table(), row.name().to_owned()), uuid);
            }
            self.rows.insert(uuid, row);
        }
    }

    /// The desired row, with all that others put into the actual one.
    fn adopt(&self, desired: &NbRow, actual: Option<&NbRow>, clashing: &BTreeSet<Uuid>) -> NbRow {
        let ports = |desired: &[Uuid], actual: &[Uuid]| {
            let is_ours = |port: &Uuid| self.rows.get(port).is_some_and(is_owned);
            let ours = desired.iter().filter(|port| !clashing.contains(port));
            let theirs = actual
                .iter()
                .filter(|port| !is_ours(port) && !desired.contains(port));
            let mut ports: Vec<Uuid> = ours.chain(theirs).copied().collect();
            ports.sort_unstable();
            ports
        };
        match (desired, actual) {
            (NbRow::LogicalSwitch(desired), Some(NbRow::LogicalSwitch(actual))) => {
                let mut row = (**actual).clone();
                row.name.clone_from(&desired.name);
                row.ports = ports(&desired.ports, &actual.ports);
                merge(&mut row.external_ids, &desired.external_ids);
                NbRow::LogicalSwitch(Arc::new(row))
            }
            (NbRow::LogicalSwitchPort(desired), Some(NbRow::LogicalSwitchPort(actual))) => {
                let mut row = (**actual).clone();
                row.name.clone_from(&desired.name);
                row.kind.clone_from(&desired.kind);
                row.addresses.clone_from(&desired.addresses);
                row.port_security.clone_from(&desired.port_security);
                merge(&mut row.options, &desired.options);
                merge(&mut row.external_ids, &desired.external_ids);
                NbRow::LogicalSwitchPort(Arc::new(row))
            }
            (NbRow::LogicalRouter(desired), Some(NbRow::LogicalRouter(actual))) => {
                let mut row = (**actual).clone();
                row.name.clone_from(&desired.name);
                row.ports = ports(&desired.ports, &actual.ports);
                merge(&mut row.external_ids, &desired.external_ids);
                NbRow::LogicalRouter(Arc::new(row))
            }
            (NbRow::LogicalRouterPort(desired), Some(NbRow::LogicalRouterPort(actual))) => {
                let mut row = (**actual).clone();
                row.name.clone_from(&desired.name);
                row.mac.clone_from(&desired.mac);
                row.networks.clone_from(&desired.networks);
                merge(&mut row.external_ids, &desired.external_ids);
                NbRow::LogicalRouterPort(Arc::new(row))
            }
            (NbRow::LogicalSwitch(desired), _) if !clashing.is_empty() => {
                let ports = ports(&desired.ports, &[]);
                NbRow::LogicalSwitch(Arc::new(LogicalSwitch {
                    ports,
                    ..(**desired).clone()
                }))
            }
            (NbRow::LogicalRouter(desired), _) if !clashing.is_empty() => {
                let ports = ports(&desired.ports, &[]);
                NbRow::LogicalRouter(Arc::new(LogicalRouter {
                    ports,
                    ..(**desired).clone()
                }))
            }
            _ => desired.clone(),
        }
    }
}

/// The keys that northd writes are as desired, all others stay.
fn merge(actual: &mut BTreeMap<String, String>, desired: &BTreeMap<String, String>) {
    actual.retain(|key, _| !OWN_KEYS.contains(&key.as_str()));
    actual.extend(
        desired
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
}

fn is_owned(row: &NbRow) -> bool {
    let external_ids = match row {
        NbRow::LogicalSwitch(row) => &row.external_ids,
        NbRow::LogicalSwitchPort(row) => &row.external_ids,
        NbRow::LogicalRouter(row) => &row.external_ids,
        NbRow::LogicalRouterPort(row) => &row.external_ids,
    };
    external_ids
        .get(keys::OWNER)
        .is_some_and(|owner| owner == keys::OWNER_NORTHD)
}

fn read(change: &RowChange) -> Result<Option<NbRow>, ColumnError> {
    let Some(row) = &change.row else {
        return Ok(None);
    };
    let uuid = change.uuid;
    Ok(match &*change.table {
        LogicalSwitch::NAME => Some(NbRow::LogicalSwitch(Arc::new(LogicalSwitch::from_row(
            uuid, row,
        )?))),
        LogicalSwitchPort::NAME => Some(NbRow::LogicalSwitchPort(Arc::new(
            LogicalSwitchPort::from_row(uuid, row)?,
        ))),
        LogicalRouter::NAME => Some(NbRow::LogicalRouter(Arc::new(LogicalRouter::from_row(
            uuid, row,
        )?))),
        LogicalRouterPort::NAME => Some(NbRow::LogicalRouterPort(Arc::new(
            LogicalRouterPort::from_row(uuid, row)?,
        ))),
        _ => None,
    })
}

/// Keys of `external_ids` and `options` that northd writes.
const OWN_KEYS: &[&str] = &[
    keys::OWNER,
    keys::NAMESPACE,
    keys::POD,
    keys::UID,
    keys::ADDRESSES,
    keys::GATEWAYS,
    keys::REQUESTED_CHASSIS,
    keys::IFACE_ID_VER,
    keys::ROUTER_PORT,
];
