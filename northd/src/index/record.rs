//! Records: who held which address before a restart, read from rows that northd wrote.
//!
//! Must not: be trusted blindly; a record that does not fit the objects is passed over.

use std::net::IpAddr;
use std::sync::Arc;

use weft_schema::keys;
use weft_schema::nb::{LogicalRouterPort, LogicalSwitchPort};

/// Who held which address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Namespace of the pod.
    pub namespace: Arc<str>,
    /// Name of the pod.
    pub pod: Arc<str>,
    /// UID of the pod.
    pub uid: String,
    /// Node that the pod was on.
    pub node: Arc<str>,
    /// Its first address.
    pub address: IpAddr,
    /// Length of the block that it is in, in bits of the index, if it is in one.
    pub block_length: Option<u8>,
}

impl Record {
    /// The record that a pod's port is, and its namespace's router port with it. `None` if the
    /// port is not one that northd wrote for a pod.
    #[must_use]
    pub fn from_rows(
        port: &LogicalSwitchPort,
        router_port: Option<&LogicalRouterPort>,
    ) -> Option<Self> {
        let id = |key: &str| port.external_ids.get(key);
        let first = id(keys::ADDRESSES)?.split(' ').next()?;
        let address: IpAddr = first.split('/').next()?.parse().ok()?;
        let gateway = id(keys::GATEWAYS)?.split(' ').next()?;
        let networks = router_port.into_iter().flat_map(|port| &port.networks);
        let length = networks
            .filter_map(|network| network.split_once('/'))
            .find(|(address, _)| *address == gateway)
            .and_then(|(_, length)| length.parse::<u8>().ok());
        let block_length = match address {
            IpAddr::V4(_) => length,
            IpAddr::V6(_) => length.and_then(|length| length.checked_sub(96)),
        };
        Some(Self {
            namespace: id(keys::NAMESPACE)?.as_str().into(),
            pod: id(keys::POD)?.as_str().into(),
            uid: id(keys::UID)?.clone(),
            node: port.options.get(keys::REQUESTED_CHASSIS)?.as_str().into(),
            address,
            block_length,
        })
    }
}
