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
use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;
use weft_ovsdb::{Event, MonitorTable, Operation};
use weft_schema::nb::{
    LoadBalancerGroup, LogicalRouter, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort,
};
use weft_schema::{ColumnError, RowId, Table as _, keys, service};

use crate::index::{NbRow, Record, host_record_of};

/// What the database holds in the tables that northd writes.
#[derive(Debug, Default)]
pub(crate) struct Northbound {
    rows: BTreeMap<Uuid, NbRow>,
    /// Rows of unique names by table and name, to see a clash before the database does.
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
    /// Rows whose name somebody else's row has.
    pub(crate) clashes: Vec<(&'static str, String)>,
}

impl Northbound {
    /// The tables to watch.
    pub(crate) fn monitored() -> Vec<MonitorTable> {
        let watched = |table| {
            let request = MonitorTable::new(table);
            match table {
                // Whether a node has a port, `up`, is not northd's business, and would be told for each of them.
                LogicalSwitchPort::NAME => request.columns(PORT_COLUMNS.iter().copied()),
                _ => request,
            }
        };
        NbRow::TABLES.iter().copied().map(watched).collect()
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
            match NbRow::read(&change) {
                Ok(row) => {
                    // Most rows are as they should be: those are kept once.
                    let shared = desired
                        .get(&change.uuid)
                        .filter(|wanted| row.as_ref() == Some(wanted));
                    self.put(change.uuid, shared.cloned().or(row));
                }
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

    /// Which node's host held which address, by the rows that northd wrote.
    pub(crate) fn hosts(&self) -> Vec<(Arc<str>, IpAddr)> {
        let rows = self.rows.values().filter(|row| is_owned(row));
        rows.filter_map(|row| match row {
            NbRow::LogicalSwitchPort(port) => host_record_of(port),
            _ => None,
        })
        .collect()
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
            if row.has_unique_name() {
                self.port_names
                    .insert((row.table(), row.name().to_owned()), uuid);
            }
            self.rows.insert(uuid, row);
        }
    }

    /// The desired row, with all that others put into the actual one.
    fn adopt(&self, desired: &NbRow, actual: Option<&NbRow>, clashing: &BTreeSet<Uuid>) -> NbRow {
        // Rows named by a row: ours as desired, and those that others put beside them.
        let members = |desired: &[Uuid], actual: &[Uuid]| {
            let is_ours = |member: &Uuid| self.rows.get(member).is_some_and(is_owned);
            let ours = desired.iter().filter(|member| !clashing.contains(member));
            let theirs = actual
                .iter()
                .filter(|member| !is_ours(member) && !desired.contains(member));
            let mut members: Vec<Uuid> = ours.chain(theirs).copied().collect();
            members.sort_unstable();
            members
        };
        match (desired, actual) {
            (NbRow::LogicalSwitch(desired), Some(NbRow::LogicalSwitch(actual))) => {
                let mut row = (**actual).clone();
                row.name.clone_from(&desired.name);
                row.ports = members(&desired.ports, &actual.ports);
                row.load_balancer_group =
                    members(&desired.load_balancer_group, &actual.load_balancer_group);
                merge(&mut row.external_ids, &desired.external_ids);
                row.into()
            }
            (NbRow::LogicalSwitchPort(desired), Some(NbRow::LogicalSwitchPort(actual))) => {
                let mut row = (**actual).clone();
                row.name.clone_from(&desired.name);
                row.kind.clone_from(&desired.kind);
                row.addresses.clone_from(&desired.addresses);
                row.port_security.clone_from(&desired.port_security);
                merge(&mut row.options, &desired.options);
                merge(&mut row.external_ids, &desired.external_ids);
                row.into()
            }
            (NbRow::LogicalRouter(desired), Some(NbRow::LogicalRouter(actual))) => {
                let mut row = (**actual).clone();
                row.name.clone_from(&desired.name);
                row.ports = members(&desired.ports, &actual.ports);
                row.static_routes = members(&desired.static_routes, &actual.static_routes);
                merge(&mut row.external_ids, &desired.external_ids);
                row.into()
            }
            (NbRow::LogicalRouterPort(desired), Some(NbRow::LogicalRouterPort(actual))) => {
                let mut row = (**actual).clone();
                row.name.clone_from(&desired.name);
                row.mac.clone_from(&desired.mac);
                row.networks.clone_from(&desired.networks);
                merge(&mut row.external_ids, &desired.external_ids);
                row.into()
            }
            (
                NbRow::LogicalRouterStaticRoute(desired),
                Some(NbRow::LogicalRouterStaticRoute(actual)),
            ) => {
                let mut row = (**actual).clone();
                row.ip_prefix.clone_from(&desired.ip_prefix);
                row.policy.clone_from(&desired.policy);
                row.nexthop.clone_from(&desired.nexthop);
                row.output_port.clone_from(&desired.output_port);
                merge(&mut row.external_ids, &desired.external_ids);
                row.into()
            }
            (NbRow::LoadBalancer(desired), Some(NbRow::LoadBalancer(actual))) => {
                let mut row = (**actual).clone();
                row.name.clone_from(&desired.name);
                row.vips.clone_from(&desired.vips);
                row.protocol.clone_from(&desired.protocol);
                merge(&mut row.options, &desired.options);
                merge(&mut row.external_ids, &desired.external_ids);
                row.into()
            }
            (NbRow::LoadBalancerGroup(desired), Some(NbRow::LoadBalancerGroup(actual))) => {
                let mut row = (**actual).clone();
                row.name.clone_from(&desired.name);
                row.load_balancer = members(&desired.load_balancer, &actual.load_balancer);
                row.into()
            }
            (NbRow::LogicalSwitch(desired), _) if !clashing.is_empty() => LogicalSwitch {
                ports: members(&desired.ports, &[]),
                load_balancer_group: members(&desired.load_balancer_group, &[]),
                ..(**desired).clone()
            }
            .into(),
            (NbRow::LogicalRouter(desired), _) if !clashing.is_empty() => LogicalRouter {
                ports: members(&desired.ports, &[]),
                ..(**desired).clone()
            }
            .into(),
            _ => desired.clone(),
        }
    }
}

/// The keys that northd writes are as desired, all others stay.
fn merge(actual: &mut BTreeMap<String, String>, desired: &BTreeMap<String, String>) {
    let is_own = |key: &str| {
        OWN_KEYS.contains(&key)
            || key.starts_with(service::NODE_PREFIX)
            || key.starts_with(service::ZONE_PREFIX)
    };
    actual.retain(|key, _| !is_own(key));
    actual.extend(
        desired
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
}

fn is_owned(row: &NbRow) -> bool {
    match (row, row.external_ids()) {
        // It has no room for a mark: its UUID is the one that follows from its name.
        (NbRow::LoadBalancerGroup(group), _) => {
            group.uuid == RowId::<LoadBalancerGroup>::derived(&group.name).uuid()
        }
        (_, ids) => ids
            .and_then(|ids| ids.get(keys::OWNER))
            .is_some_and(|owner| owner == keys::OWNER_NORTHD),
    }
}

/// What northd writes of a `Logical_Switch_Port`.
const PORT_COLUMNS: &[&str] = &[
    "name",
    "type",
    "options",
    "addresses",
    "port_security",
    "external_ids",
];

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
    keys::SERVICE,
    keys::HOST,
    keys::NODE,
    keys::ZONE,
    service::LOCAL,
    "reject",
    "hairpin_snat_ip",
    "skip_snat",
    "affinity_timeout",
];
