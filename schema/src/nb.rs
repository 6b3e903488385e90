//! `OVN_Northbound`: every table of OVN's northbound schema, a file each.
//!
//! [`database_schema`] is the schema that weft's database serves, generated from these types;
//! [`Change`] is what the compiler is fed with. Version [`VERSION`] is OVN 24.09's; older clients, such as 23.03's
//! `ovn-nbctl`, know less of it and lose nothing.
//! Must not: know where rows come from.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;
use weft_ovsdb::{DatabaseSchema, RowChange};

use crate::{ColumnError, Table};

mod acl;
mod address_set;
mod bfd;
mod chassis_template_var;
mod connection;
mod copp;
mod dhcp_options;
mod dhcp_relay;
mod dns;
mod forwarding_group;
mod gateway_chassis;
mod ha_chassis;
mod ha_chassis_group;
mod load_balancer;
mod load_balancer_group;
mod load_balancer_health_check;
mod logical_router;
mod logical_router_policy;
mod logical_router_port;
mod logical_router_static_route;
mod logical_switch;
mod logical_switch_port;
mod meter;
mod meter_band;
mod mirror;
mod nat;
mod nb_global;
mod port_group;
mod qos;
mod sample;
mod sample_collector;
mod sampling_app;
mod show;
mod ssl;
mod static_mac_binding;

pub use acl::Acl;
pub use address_set::AddressSet;
pub use bfd::Bfd;
pub use chassis_template_var::ChassisTemplateVar;
pub use connection::Connection;
pub use copp::Copp;
pub use dhcp_options::DhcpOptions;
pub use dhcp_relay::DhcpRelay;
pub use dns::Dns;
pub use forwarding_group::ForwardingGroup;
pub use gateway_chassis::GatewayChassis;
pub use ha_chassis::HaChassis;
pub use ha_chassis_group::HaChassisGroup;
pub use load_balancer::LoadBalancer;
pub use load_balancer_group::LoadBalancerGroup;
pub use load_balancer_health_check::LoadBalancerHealthCheck;
pub use logical_router::LogicalRouter;
pub use logical_router_policy::LogicalRouterPolicy;
pub use logical_router_port::LogicalRouterPort;
pub use logical_router_static_route::LogicalRouterStaticRoute;
pub use logical_switch::LogicalSwitch;
pub use logical_switch_port::LogicalSwitchPort;
pub use meter::Meter;
pub use meter_band::MeterBand;
pub use mirror::Mirror;
pub use nat::Nat;
pub use nb_global::NbGlobal;
pub use port_group::PortGroup;
pub use qos::Qos;
pub use sample::Sample;
pub use sample_collector::SampleCollector;
pub use sampling_app::SamplingApp;
pub use show::{Shown, show};
pub use ssl::Ssl;
pub use static_mac_binding::StaticMacBinding;

/// Name of the database.
pub const DATABASE: &str = "OVN_Northbound";

/// Version of OVN's schema that the tables follow.
pub const VERSION: &str = "7.6.0";

macro_rules! tables {
    ($( $name:ident, )*) => {
        /// The whole schema, as `get_schema` returns it.
        #[must_use]
        pub fn database_schema() -> DatabaseSchema {
            let mut schema = DatabaseSchema {
                name: DATABASE.to_owned(),
                version: VERSION.to_owned(),
                cksum: None,
                tables: BTreeMap::new(),
            };
            $( schema.tables.insert(Arc::from($name::NAME), $name::schema()); )*
            schema
        }
    };
}

tables! {
    Acl,
    AddressSet,
    Bfd,
    ChassisTemplateVar,
    Connection,
    Copp,
    DhcpOptions,
    DhcpRelay,
    Dns,
    ForwardingGroup,
    GatewayChassis,
    HaChassis,
    HaChassisGroup,
    LoadBalancer,
    LoadBalancerGroup,
    LoadBalancerHealthCheck,
    LogicalRouter,
    LogicalRouterPolicy,
    LogicalRouterPort,
    LogicalRouterStaticRoute,
    LogicalSwitch,
    LogicalSwitchPort,
    Meter,
    MeterBand,
    Mirror,
    Nat,
    NbGlobal,
    PortGroup,
    Qos,
    Sample,
    SampleCollector,
    SamplingApp,
    Ssl,
    StaticMacBinding,
}

macro_rules! changes {
    ($( $name:ident, )*) => {
        /// A row that came, changed or went (`None`), in one of the tables that the compiler reads.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Change {
            $(
                #[doc = concat!("A row of [`", stringify!($name), "`].")]
                $name(Uuid, Option<Arc<$name>>),
            )*
        }

        impl Change {
            /// Names of the tables that the compiler reads.
            pub const TABLES: &'static [&'static str] = &[$( $name::NAME, )*];

            /// The typed change, or `None` if the compiler does not read this table.
            ///
            /// # Errors
            /// A column holds what its type does not allow; the message names row and column.
            #[must_use]
            pub fn from_row_change(change: &RowChange) -> Option<Result<Self, ColumnError>> {
                match &*change.table {
                    $( $name::NAME => Some(
                        change
                            .row
                            .as_ref()
                            .map(|row| $name::from_row(change.uuid, row).map(Arc::new))
                            .transpose()
                            .map(|row| Self::$name(change.uuid, row)),
                    ), )*
                    _ => None,
                }
            }

            /// UUID of the row.
            #[must_use]
            pub fn uuid(&self) -> Uuid {
                match self {
                    $( Self::$name(uuid, _) => *uuid, )*
                }
            }

            /// Name of the table.
            #[must_use]
            pub fn table(&self) -> &'static str {
                match self {
                    $( Self::$name(..) => $name::NAME, )*
                }
            }
        }

        $(
            impl From<$name> for Change {
                fn from(row: $name) -> Self {
                    Self::$name(row.uuid, Some(Arc::new(row)))
                }
            }
        )*
    };
}

changes! {
    NbGlobal,
    LoadBalancer,
    LoadBalancerGroup,
    LogicalSwitch,
    LogicalSwitchPort,
    LogicalRouter,
    LogicalRouterPort,
    LogicalRouterStaticRoute,
    Nat,
    StaticMacBinding,
}

#[cfg(test)]
mod tests;
