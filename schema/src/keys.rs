//! Keys of `external_ids` and `options` on which crates, nodes and OVN's tools agree.
//!
//! | row | written by | read by |
//! | --- | --- | --- |
//! | `Interface.external_ids` [`IFACE_ID`], [`IFACE_ID_VER`], [`SANDBOX`] | CNI plugin | controller |
//! | `Interface.external_ids` [`MAC`], [`ADDRESSES`], [`GATEWAYS`], [`MTU`], [`OVN_INSTALLED`] | controller | CNI plugin |
//! | `Logical_Switch_Port.external_ids` [`NAMESPACE`], [`POD`], [`UID`], [`ADDRESSES`], [`GATEWAYS`] | northd | controller |
//! | `Logical_Switch_Port.options` [`REQUESTED_CHASSIS`], [`IFACE_ID_VER`] | northd | controller |
//! | `Logical_Switch_Port.options` [`HOST`] | northd | compiler |
//! | `Logical_Switch_Port.external_ids` [`NODE`], [`ZONE`] of a host's port | northd | compiler |
//! | `Logical_Router_Static_Route.options` [`NODE`] | northd | compiler |
//! | `Load_Balancer.external_ids` [`NAMESPACE`], [`SERVICE`] | northd | people |
//! | `Load_Balancer.options`: see [`crate::service`] | northd | compiler |
//! | `Open_vSwitch.external_ids` [`SYSTEM_ID`], [`OVN_ENCAP_IP`], … | node set-up, OVN's or ours | controller |
//!
//! Must not: hold a key that only one crate uses.

/// Name of the logical switch port that an interface is.
pub const IFACE_ID: &str = "iface-id";
/// Which incarnation of the port: the pod's UID. On a port, the only one that may claim it.
pub const IFACE_ID_VER: &str = "iface-id-ver";
/// The container ID of the sandbox that an interface was made for.
pub const SANDBOX: &str = "weft-sandbox";
/// MAC address the pod's interface has to have.
pub const MAC: &str = "weft-mac";
/// Space separated addresses with prefix lengths, IPv4 first: `10.128.0.9/32 fd00::a80:9/128`.
pub const ADDRESSES: &str = "weft-addresses";
/// Space separated gateways, IPv4 first: `10.128.0.8 fd00::a80:8`.
pub const GATEWAYS: &str = "weft-gateways";
/// MTU the pod's interface has to have.
pub const MTU: &str = "weft-mtu";
/// `true` once the node has acknowledged the port's flows.
pub const OVN_INSTALLED: &str = "ovn-installed";
/// When [`OVN_INSTALLED`] was set, in milliseconds since the epoch.
pub const OVN_INSTALLED_TS: &str = "ovn-installed-ts";

/// Kubernetes namespace of a row.
pub const NAMESPACE: &str = "namespace";
/// Name of the pod of a row.
pub const POD: &str = "pod";
/// UID of the pod of a row.
pub const UID: &str = "weft-uid";
/// `northd` on every row that northd made; rows without it are somebody else's.
pub const OWNER: &str = "weft-owner";
/// Value of [`OWNER`] on rows that northd made.
pub const OWNER_NORTHD: &str = "northd";

/// Name of the Service of a row.
pub const SERVICE: &str = "service";
/// `true` among the options of a switch port: it is the port of its node's host (`weft0`), not of a pod.
pub const HOST: &str = "weft-host";
/// Name of the node whose host a port is; among the options of a static route, the node that alone follows it.
pub const NODE: &str = "weft-node";
/// Topology zone of that node, if it is known.
pub const ZONE: &str = "weft-zone";

/// The node that alone may claim a port.
pub const REQUESTED_CHASSIS: &str = "requested-chassis";
/// On a switch port of type `router`: the router port it is joined to.
pub const ROUTER_PORT: &str = "router-port";

/// On a switch port of type `localnet`: the physical network it is joined to, as [`OVN_BRIDGE_MAPPINGS`] names it.
pub const NETWORK_NAME: &str = "network_name";
/// On both patch ports between the integration bridge and another: the `localnet` port that they are.
pub const OVN_LOCALNET_PORT: &str = "ovn-localnet-port";

/// Name of the chassis.
pub const SYSTEM_ID: &str = "system-id";
/// Tunnel address of the chassis.
pub const OVN_ENCAP_IP: &str = "ovn-encap-ip";
/// Tunnel type of the chassis.
pub const OVN_ENCAP_TYPE: &str = "ovn-encap-type";
/// Name of the integration bridge; absent is [`DEFAULT_BRIDGE`].
pub const OVN_BRIDGE: &str = "ovn-bridge";
/// Datapath type of the integration bridge, `netdev` or `system`; absent leaves it to Open vSwitch.
pub const OVN_BRIDGE_DATAPATH_TYPE: &str = "ovn-bridge-datapath-type";
/// `network:bridge,…` for `localnet` ports.
pub const OVN_BRIDGE_MAPPINGS: &str = "ovn-bridge-mappings";
/// MTU of the network that the tunnels cross.
pub const UNDERLAY_MTU: &str = "weft-underlay-mtu";

/// Integration bridge unless [`OVN_BRIDGE`] says otherwise.
pub const DEFAULT_BRIDGE: &str = "br-int";

/// What a tunnel over IPv4 adds to an inner IP packet: IPv4 20, UDP 8, Geneve 8 and its options
/// 12, inner Ethernet 14.
pub const TUNNEL_OVERHEAD_IPV4: u16 = 62;
/// What a tunnel over IPv6 adds: 20 bytes more.
pub const TUNNEL_OVERHEAD_IPV6: u16 = 82;
