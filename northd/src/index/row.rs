//! Rows of the four tables that northd writes, and what changed in them.
//!
//! Must not: know how a row came about.

use std::sync::Arc;

use uuid::Uuid;
use weft_ovsdb::Operation;
use weft_schema::Table;
use weft_schema::nb::{Change, LogicalRouter, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort};

/// A row that northd writes.
#[derive(Clone, Debug, PartialEq)]
pub enum NbRow {
    /// A namespace.
    LogicalSwitch(Arc<LogicalSwitch>),
    /// A pod, or the switch's side of a pair with a router.
    LogicalSwitchPort(Arc<LogicalSwitchPort>),
    /// A router.
    LogicalRouter(Arc<LogicalRouter>),
    /// The router's side of a pair with a switch.
    LogicalRouterPort(Arc<LogicalRouterPort>),
}

/// A row that came (no `old`), changed, or went (no `new`).
#[derive(Clone, Debug, PartialEq)]
pub struct RowDelta {
    /// UUID of the row.
    pub uuid: Uuid,
    /// The row as it was.
    pub old: Option<NbRow>,
    /// The row as it is.
    pub new: Option<NbRow>,
}

impl NbRow {
    /// UUID of the row.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        match self {
            Self::LogicalSwitch(row) => row.uuid,
            Self::LogicalSwitchPort(row) => row.uuid,
            Self::LogicalRouter(row) => row.uuid,
            Self::LogicalRouterPort(row) => row.uuid,
        }
    }

    /// Name of the table.
    #[must_use]
    pub fn table(&self) -> &'static str {
        match self {
            Self::LogicalSwitch(_) => LogicalSwitch::NAME,
            Self::LogicalSwitchPort(_) => LogicalSwitchPort::NAME,
            Self::LogicalRouter(_) => LogicalRouter::NAME,
            Self::LogicalRouterPort(_) => LogicalRouterPort::NAME,
        }
    }

    /// Value of the `name` column.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::LogicalSwitch(row) => &row.name,
            Self::LogicalSwitchPort(row) => &row.name,
            Self::LogicalRouter(row) => &row.name,
            Self::LogicalRouterPort(row) => &row.name,
        }
    }

    /// The row as the compiler takes it.
    #[must_use]
    pub fn to_change(&self) -> Change {
        match self {
            Self::LogicalSwitch(row) => Change::LogicalSwitch(row.uuid, Some(Arc::clone(row))),
            Self::LogicalSwitchPort(row) => {
                Change::LogicalSwitchPort(row.uuid, Some(Arc::clone(row)))
            }
            Self::LogicalRouter(row) => Change::LogicalRouter(row.uuid, Some(Arc::clone(row))),
            Self::LogicalRouterPort(row) => {
                Change::LogicalRouterPort(row.uuid, Some(Arc::clone(row)))
            }
        }
    }

    /// The operations that make `old` this row, or insert it.
    #[must_use]
    pub fn operations_from(&self, old: Option<&Self>) -> Vec<Operation> {
        fn operations<T: Table>(new: &T, old: Option<&T>) -> Vec<Operation> {
            old.map_or_else(|| vec![new.insert()], |old| new.update_from(old))
        }
        match (self, old) {
            (Self::LogicalSwitch(new), Some(Self::LogicalSwitch(old))) => {
                operations(&**new, Some(old))
            }
            (Self::LogicalSwitchPort(new), Some(Self::LogicalSwitchPort(old))) => {
                operations(&**new, Some(old))
            }
            (Self::LogicalRouter(new), Some(Self::LogicalRouter(old))) => {
                operations(&**new, Some(old))
            }
            (Self::LogicalRouterPort(new), Some(Self::LogicalRouterPort(old))) => {
                operations(&**new, Some(old))
            }
            (Self::LogicalSwitch(new), _) => operations(&**new, None),
            (Self::LogicalSwitchPort(new), _) => operations(&**new, None),
            (Self::LogicalRouter(new), _) => operations(&**new, None),
            (Self::LogicalRouterPort(new), _) => operations(&**new, None),
        }
    }

    /// The operation that deletes the row, or nothing if it goes by itself when its switch or
    /// router no longer names it.
    #[must_use]
    pub fn deletion(&self) -> Option<Operation> {
        match self {
            Self::LogicalSwitch(row) => Some(LogicalSwitch::delete(row.uuid)),
            Self::LogicalRouter(row) => Some(LogicalRouter::delete(row.uuid)),
            Self::LogicalSwitchPort(_) | Self::LogicalRouterPort(_) => None,
        }
    }
}

impl RowDelta {
    /// The operations that carry the change out.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        match (&self.old, &self.new) {
            (old, Some(new)) => new.operations_from(old.as_ref()),
            (Some(old), None) => old.deletion().into_iter().collect(),
            (None, None) => Vec::new(),
        }
    }
}
