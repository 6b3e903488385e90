//! The local OVSDB as an attachment sees it: a monitored copy of four tables, and waiting for it to change.
//!
//! Must not: poll; write a column that it did not come to write.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use uuid::Uuid;
use weft_ovsdb::{
    Atom, Condition, ConnectOptions, Connection, Datum, Event, Monitor, Mutation, Mutator,
    Operation, OperationResult, Remote, Row, RowChange,
};
use weft_schema::{
    Table, keys,
    vswitch::{Bridge, Interface, OpenVSwitch, Port, monitored},
};

use crate::Error;

/// What the monitor has told so far.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub root: BTreeMap<Uuid, OpenVSwitch>,
    pub bridges: BTreeMap<Uuid, Bridge>,
    pub ports: BTreeMap<Uuid, Port>,
    pub interfaces: BTreeMap<Uuid, Interface>,
}

/// A connection to the local OVSDB with a deadline for everything done over it.
pub(crate) struct LocalOvsdb {
    path: PathBuf,
    connection: Connection,
    monitor: Option<Monitor>,
    state: State,
    started: Instant,
    deadline: Instant,
}

impl LocalOvsdb {
    /// Connects at the first wait; a socket that is not there yet is waited for.
    pub fn new(path: &Path, patience: Duration) -> LocalOvsdb {
        let started = Instant::now();
        LocalOvsdb {
            path: path.to_owned(),
            connection: Connection::connect(
                Remote::Unix(path.to_owned()),
                weft_schema::vswitch::DATABASE,
                ConnectOptions::default(),
            ),
            monitor: None,
            state: State::default(),
            started,
            deadline: started.checked_add(patience).unwrap_or(started),
        }
    }

    /// Waits until `look` finds what it looks for, or the time is over; `describe` then says what there was instead.
    pub async fn wait<T>(
        &mut self,
        awaited: &'static str,
        mut look: impl FnMut(&State) -> Result<Option<T>, Error>,
        describe: impl Fn(&State) -> String,
    ) -> Result<T, Error> {
        loop {
            if let Some(found) = look(&self.state)? {
                return Ok(found);
            }
            match timeout_at(self.deadline, self.advance()).await {
                Ok(result) => result?,
                Err(_) => {
                    return Err(Error::Timeout {
                        path: self.path.clone(),
                        waited: self.started.elapsed(),
                        awaited,
                        seen: if self.monitor.is_none() {
                            "no connection".to_owned()
                        } else {
                            describe(&self.state)
                        },
                    });
                }
            }
        }
    }

    /// Applies operations as one transaction.
    pub async fn transact(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationResult>, Error> {
        match timeout_at(self.deadline, self.connection.transact(operations)).await {
            Ok(Ok(results)) => Ok(results),
            Ok(Err(source)) => Err(Error::Ovsdb {
                path: self.path.clone(),
                source,
            }),
            Err(_) => Err(Error::Timeout {
                path: self.path.clone(),
                waited: self.started.elapsed(),
                awaited: "the database to answer a transaction",
                seen: "no answer".to_owned(),
            }),
        }
    }

    async fn advance(&mut self) -> Result<(), Error> {
        let event = match &mut self.monitor {
            Some(monitor) => monitor.next().await,
            None => match self.connection.monitor(monitored()).await {
                Ok(monitor) => {
                    self.monitor = Some(monitor);
                    return Ok(());
                }
                // Not there, or not yet: the connection tries again by itself.
                Err(weft_ovsdb::Error::Disconnected { .. }) => return Ok(()),
                Err(source) => {
                    return Err(Error::Ovsdb {
                        path: self.path.clone(),
                        source,
                    });
                }
            },
        };
        match event {
            Some(Event::Snapshot(rows)) => {
                self.state = State::default();
                self.state.apply(&rows);
            }
            Some(Event::Changes(rows)) => self.state.apply(&rows),
            Some(Event::Disconnected { reason }) => {
                tracing::debug!(%reason, "local OVSDB went away")
            }
            None => self.monitor = None,
        }
        Ok(())
    }
}

impl State {
    /// The one row of `Open_vSwitch`.
    pub fn open_vswitch(&self) -> Option<&OpenVSwitch> {
        self.root.values().next()
    }

    /// The integration bridge: the one that `ovn-bridge` names.
    pub fn integration_bridge(&self) -> Option<&Bridge> {
        let name = self
            .open_vswitch()?
            .external_ids
            .get(keys::OVN_BRIDGE)
            .map_or(keys::DEFAULT_BRIDGE, String::as_str);
        self.bridges.values().find(|bridge| bridge.name == name)
    }

    /// The ports of the integration bridge whose interface the caller wants.
    pub fn ports_where(&self, mut wanted: impl FnMut(&Interface) -> bool) -> Vec<Uuid> {
        let Some(bridge) = self.integration_bridge() else {
            return Vec::new();
        };
        let mut holds = |port: &Port| {
            port.interfaces
                .iter()
                .filter_map(|uuid| self.interfaces.get(uuid))
                .any(&mut wanted)
        };
        bridge
            .ports
            .iter()
            .copied()
            .filter(|uuid| self.ports.get(uuid).is_some_and(&mut holds))
            .collect()
    }

    fn apply(&mut self, rows: &[RowChange]) {
        for change in rows {
            put(&mut self.root, change);
            put(&mut self.bridges, change);
            put(&mut self.ports, change);
            put(&mut self.interfaces, change);
        }
    }
}

/// The operations that take ports from a bridge; their rows then go by themselves.
pub(crate) fn remove_ports(bridge: Uuid, ports: &[Uuid]) -> Operation {
    mutate(Bridge::NAME, bridge, "ports", Mutator::Delete, ports)
}

/// The operation that gives a bridge a port.
pub(crate) fn add_port(bridge: Uuid, port: Uuid) -> Operation {
    mutate(Bridge::NAME, bridge, "ports", Mutator::Insert, &[port])
}

/// Raises `next_cfg`, and asks what it is then: `ovs-vswitchd` has done what the transaction says once `cur_cfg` is that
/// high. Others raise it too, so its value is known only afterwards.
pub(crate) fn raise_generation(open_vswitch: &OpenVSwitch) -> [Operation; 2] {
    let conditions = || vec![Condition::uuid(open_vswitch.uuid())];
    let raise = Mutation {
        column: "next_cfg".into(),
        mutator: Mutator::Add,
        value: Datum::scalar(Atom::from(1i64)),
    };
    [
        Operation::Mutate {
            table: OpenVSwitch::NAME.into(),
            conditions: conditions(),
            mutations: vec![raise],
        },
        Operation::Select {
            table: OpenVSwitch::NAME.into(),
            conditions: conditions(),
            columns: Some(vec!["next_cfg".into()]),
        },
    ]
}

/// What [`raise_generation`] asked for.
pub(crate) fn generation(results: &[OperationResult]) -> Option<i64> {
    let Some(OperationResult::Rows(rows)) = results.last() else {
        return None;
    };
    rows.first()?.1.get("next_cfg")?.as_i64()
}

fn mutate(table: &str, row: Uuid, column: &str, mutator: Mutator, uuids: &[Uuid]) -> Operation {
    Operation::Mutate {
        table: table.into(),
        conditions: vec![Condition::uuid(row)],
        mutations: vec![Mutation {
            column: column.into(),
            mutator,
            value: Datum::Set(uuids.iter().map(|uuid| Atom::from(*uuid)).collect()),
        }],
    }
}

fn put<T: Table>(rows: &mut BTreeMap<Uuid, T>, change: &RowChange) {
    if &*change.table != T::NAME {
        return;
    }
    let read = |row: &std::sync::Arc<Row>| T::from_row(change.uuid, row);
    match change.row.as_ref().map(read) {
        Some(Ok(row)) => {
            rows.insert(change.uuid, row);
        }
        Some(Err(error)) => {
            // One row that cannot be read is as good as not there; the others go on.
            tracing::warn!(%error, "row of the local OVSDB passed over");
            rows.remove(&change.uuid);
        }
        None => {
            rows.remove(&change.uuid);
        }
    }
}
