//! Rows of the tables that northd writes, and what changed in them.
//!
//! Must not: know how a row came about.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;
use weft_ovsdb::{Operation, RowChange};
use weft_schema::nb::{
    LoadBalancer, LoadBalancerGroup, LogicalRouter, LogicalRouterPort, LogicalRouterStaticRoute,
    LogicalSwitch, LogicalSwitchPort,
};
use weft_schema::{ColumnError, Table};

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

/// `$name` is the column that tells a row of the table to people, `$ids` where it says whose it is.
macro_rules! rows {
    ($( $(#[$meta:meta])* $table:ident, $name:ident; )*) => {
        /// A row that northd writes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum NbRow {
            $( $(#[$meta])* $table(Arc<$table>), )*
        }

        impl NbRow {
            /// Names of the tables that northd writes.
            pub const TABLES: &'static [&'static str] = &[$( $table::NAME, )*];

            /// The row of a change, if it is there and in one of the tables.
            ///
            /// # Errors
            /// A column holds what its type does not allow.
            pub fn read(change: &RowChange) -> Result<Option<Self>, ColumnError> {
                let Some(row) = &change.row else {
                    return Ok(None);
                };
                Ok(match &*change.table {
                    $( $table::NAME => Some(Self::from($table::from_row(change.uuid, row)?)), )*
                    _ => None,
                })
            }

            /// UUID of the row.
            #[must_use]
            pub fn uuid(&self) -> Uuid {
                match self {
                    $( Self::$table(row) => row.uuid, )*
                }
            }

            /// Name of the table.
            #[must_use]
            pub fn table(&self) -> &'static str {
                match self {
                    $( Self::$table(_) => $table::NAME, )*
                }
            }

            /// What people call the row: its name, or what it is for.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $( Self::$table(row) => &row.$name, )*
                }
            }

            /// The operations that make `old` this row, or insert it.
            #[must_use]
            pub fn operations_from(&self, old: Option<&Self>) -> Vec<Operation> {
                match (self, old) {
                    $( (Self::$table(new), Some(Self::$table(old))) => new.update_from(old), )*
                    $( (Self::$table(new), _) => vec![new.insert()], )*
                }
            }
        }

        $(
            impl From<$table> for NbRow {
                fn from(row: $table) -> Self {
                    Self::$table(Arc::new(row))
                }
            }
        )*
    };
}

rows! {
    /// A namespace, or the switch of the hosts.
    LogicalSwitch, name;
    /// A pod, a host, or the switch's side of a pair with a router.
    LogicalSwitchPort, name;
    /// A router.
    LogicalRouter, name;
    /// The router's side of a pair with a switch.
    LogicalRouterPort, name;
    /// The way of a node's pods to their host.
    LogicalRouterStaticRoute, ip_prefix;
    /// A view of a Service.
    LoadBalancer, name;
    /// The Services of a router.
    LoadBalancerGroup, name;
}

impl NbRow {
    /// The operation that deletes the row, or nothing if it goes by itself when its switch or
    /// router no longer names it.
    #[must_use]
    pub fn deletion(&self) -> Option<Operation> {
        match self {
            Self::LogicalSwitch(row) => Some(LogicalSwitch::delete(row.uuid)),
            Self::LogicalRouter(row) => Some(LogicalRouter::delete(row.uuid)),
            Self::LoadBalancer(row) => Some(LoadBalancer::delete(row.uuid)),
            Self::LoadBalancerGroup(row) => Some(LoadBalancerGroup::delete(row.uuid)),
            Self::LogicalSwitchPort(_)
            | Self::LogicalRouterPort(_)
            | Self::LogicalRouterStaticRoute(_) => None,
        }
    }

    /// Whether no two rows of the table may have the same name.
    #[must_use]
    pub fn has_unique_name(&self) -> bool {
        matches!(
            self,
            Self::LogicalSwitchPort(_) | Self::LogicalRouterPort(_) | Self::LoadBalancerGroup(_)
        )
    }

    /// Free keys of the row; a group has none.
    #[must_use]
    pub fn external_ids(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::LogicalSwitch(row) => Some(&row.external_ids),
            Self::LogicalSwitchPort(row) => Some(&row.external_ids),
            Self::LogicalRouter(row) => Some(&row.external_ids),
            Self::LogicalRouterPort(row) => Some(&row.external_ids),
            Self::LogicalRouterStaticRoute(row) => Some(&row.external_ids),
            Self::LoadBalancer(row) => Some(&row.external_ids),
            Self::LoadBalancerGroup(_) => None,
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
