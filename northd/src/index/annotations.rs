//! Annotations: what a namespace and a pod ask for beyond the default.
//!
//! | annotation | on | says |
//! | --- | --- | --- |
//! | `weft.dev/subnets` | Namespace | `CIDR[,CIDR]`: one L2 overlay across nodes with these subnets, one of each family at most |
//! | `weft.dev/router` | Namespace | name of a router of its own, shared by the namespaces that name it |
//! | `weft.dev/addresses` | Pod | `ADDRESS[,ADDRESS]`: the pod's own choice |
//! | `weft.dev/mac` | Pod | the pod's own MAC address |
//! | `weft.dev/load-balancer-ip` | Service | `ADDRESS[,ADDRESS]`: its load balancer addresses |
//!
//! Parsed once, here. Must not: look at other objects.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::names::is_label;
use crate::diagnostic::{Diagnostic, ObjectRef};

/// Annotation of a namespace: its subnets.
pub const SUBNETS: &str = "weft.dev/subnets";
/// Annotation of a namespace: its router.
pub const ROUTER: &str = "weft.dev/router";
/// Annotation of a pod: its addresses.
pub const ADDRESSES: &str = "weft.dev/addresses";
/// Annotation of a pod: its MAC address.
pub const MAC: &str = "weft.dev/mac";

/// Annotation of a Service: its load balancer addresses.
pub const LOAD_BALANCER_IP: &str = "weft.dev/load-balancer-ip";

/// The network that a namespace asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkSpec {
    /// Router that the namespace is on.
    pub(crate) router: Arc<str>,
    /// Subnets of an L2 namespace; empty for node-major blocks.
    pub(crate) subnets: Vec<IpNet>,
}

/// Path of an annotation, for diagnostics.
pub(crate) fn field(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}

pub(crate) fn network_spec(
    reference: &ObjectRef,
    annotations: Option<&BTreeMap<String, String>>,
    default_router: &Arc<str>,
) -> Result<NetworkSpec, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut problem = |annotation: &str, message: String| {
        problems.push(Diagnostic::new(
            reference.clone(),
            field(annotation),
            message,
        ));
    };
    let get = |key: &str| annotations.and_then(|annotations| annotations.get(key));
    let mut router = Arc::clone(default_router);
    if let Some(name) = get(ROUTER).map(|name| name.trim()) {
        if is_label(name) {
            router = Arc::from(name);
        } else {
            problem(
                ROUTER,
                format!("\"{name}\" is not a name; use lower case letters, digits and '-'"),
            );
        }
    }
    let mut subnets: Vec<IpNet> = Vec::new();
    for text in get(SUBNETS)
        .into_iter()
        .flat_map(|list| list.split(','))
        .map(str::trim)
    {
        match subnet(text) {
            Err(message) => problem(SUBNETS, message),
            Ok(subnet)
                if subnets
                    .iter()
                    .any(|other| is_ipv4(other) == is_ipv4(&subnet)) =>
            {
                problem(
                    SUBNETS,
                    format!(
                        "{subnet}: a second subnet of its family; at most one IPv4 and one IPv6 subnet"
                    ),
                )
            }
            Ok(subnet) => subnets.push(subnet),
        }
    }
    // IPv4 first, so that lists of addresses come out that way.
    subnets.sort_by_key(|subnet| !is_ipv4(subnet));
    if problems.is_empty() {
        Ok(NetworkSpec { router, subnets })
    } else {
        Err(problems)
    }
}

pub(crate) fn addresses(
    reference: &ObjectRef,
    annotations: Option<&BTreeMap<String, String>>,
) -> Result<Vec<IpAddr>, Diagnostic> {
    let list = annotations.and_then(|annotations| annotations.get(ADDRESSES));
    list.into_iter()
        .flat_map(|list| list.split(','))
        .map(|text| {
            let text = text.trim();
            text.parse().map_err(|_| {
                let message =
                    format!("\"{text}\" is not an IP address; write one such as 10.0.0.5");
                Diagnostic::new(reference.clone(), field(ADDRESSES), message)
            })
        })
        .collect()
}

pub(crate) fn mac(
    reference: &ObjectRef,
    annotations: Option<&BTreeMap<String, String>>,
) -> Result<Option<String>, Diagnostic> {
    let Some(text) = annotations.and_then(|annotations| annotations.get(MAC)) else {
        return Ok(None);
    };
    let refuse = |why: &str| {
        let message = format!("\"{text}\" {why}; write one such as 02:00:00:00:00:05");
        Err(Diagnostic::new(reference.clone(), field(MAC), message))
    };
    let octets: Option<Vec<u8>> = text
        .trim()
        .split(':')
        .map(|octet| {
            let is_octet = octet.len() == 2 && octet.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_octet.then(|| u8::from_str_radix(octet, 16).ok())?
        })
        .collect();
    match octets.as_deref() {
        Some([0, 0, 0, 0, 0, 0]) => refuse("is no host's MAC address"),
        Some([first, _, _, _, _, _]) if first & 1 == 1 => refuse("is a multicast MAC address"),
        Some([0x0a, 0x57 | 0x58, ..]) => refuse("is one of those that weft derives from addresses"),
        Some([_, _, _, _, _, _]) => Ok(Some(text.trim().to_ascii_lowercase())),
        _ => refuse("is not a MAC address"),
    }
}

fn is_ipv4(network: &IpNet) -> bool {
    matches!(network, IpNet::V4(_))
}

fn subnet(text: &str) -> Result<IpNet, String> {
    let network: IpNet = text
        .parse()
        .map_err(|_| format!("\"{text}\" is not a CIDR; write one such as 10.0.0.0/24"))?;
    if network.trunc() != network {
        return Err(format!(
            "{text} has bits set after the prefix; write {}",
            network.trunc()
        ));
    }
    let longest = if is_ipv4(&network) { 30 } else { 96 };
    if network.prefix_len() > longest {
        return Err(format!(
            "{text} is too small; the prefix may be at most {longest} bits long"
        ));
    }
    let address = network.addr();
    let special = match address {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            address.is_loopback()
                || address.is_multicast()
                || address.is_link_local()
                || first == 0
                || first >= 240
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || address.is_unspecified()
        }
    };
    if special {
        return Err(format!(
            "{text} is not a network that hosts can have addresses in"
        ));
    }
    Ok(network)
}
