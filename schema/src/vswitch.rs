//! `Open_vSwitch`: the tables and columns of a node's Open vSwitch that weft uses.
//!
//! A node's database has many more; weft monitors exactly [`monitored`] and writes no column that
//! is not here. Must not: be used to create a database.

use weft_ovsdb::MonitorTable;

use crate::Table;

mod bridge;
mod controller;
mod flow_table;
mod interface;
mod manager;
mod open_vswitch;
mod port;

pub use bridge::Bridge;
pub use controller::Controller;
pub use flow_table::FlowTable;
pub use interface::Interface;
pub use manager::Manager;
pub use open_vswitch::OpenVSwitch;
pub use port::Port;

/// Name of the database.
pub const DATABASE: &str = "Open_vSwitch";

macro_rules! tables {
    ($( $name:ident, )*) => {
        /// What to monitor: these tables with exactly these columns.
        #[must_use]
        pub fn monitored() -> Vec<MonitorTable> {
            vec![$( MonitorTable::new($name::NAME).columns($name::COLUMNS.iter().copied()), )*]
        }
    };
}

tables! {
    Bridge,
    Controller,
    FlowTable,
    Interface,
    Manager,
    OpenVSwitch,
    Port,
}
