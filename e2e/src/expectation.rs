//! Who should reach whom: judged from the manifests alone, so that the judgement shares no mistake with the network.
//!
//! - Pods whose namespaces are on the same router reach each other. A namespace without `weft.dev/router` is on the
//!   cluster's; the name of a router is one for the whole cluster.
//! - An ICMP probe needs no more. A TCP or UDP probe needs a container port of that number and protocol.
//!
//! - A port of a Service is reached from the router that its namespace is on, if a pod that it selects listens where the port
//!   leads. Where some of these pods listen and others do not, nothing is expected: who is asked is chance.
//!
//! Must not: look at rows, flows or packets.

use std::collections::BTreeSet;

use crate::{
    probe::Probe,
    responder::{ContainerPort, Transport},
};

/// What the manifests say about a pod, as far as reachability goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// The annotation `weft.dev/router` of the pod's namespace; `None` is the cluster router.
    pub router: Option<String>,
    /// The ports its containers declare.
    pub ports: BTreeSet<ContainerPort>,
}

/// What the manifests say about one port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// `namespace/name` of the Service.
    pub name: String,
    /// As of the pods of its namespace.
    pub router: Option<String>,
    /// Protocol and number of the port; no protocol where none of ours is.
    pub transport: Option<Transport>,
    /// Number of the port.
    pub port: u16,
    /// The pods that it selects and that listen, by `namespace/name`.
    pub endpoints: BTreeSet<String>,
    /// Whether it selects pods that do not listen.
    pub has_silent_endpoints: bool,
}

/// Whether a port of a Service should answer a pod; `None` when that is chance.
#[must_use]
pub fn is_served(from: &PodFacts, service: &ServiceFacts) -> Option<bool> {
    let has_endpoints = !service.endpoints.is_empty();
    if from.router != service.router || service.transport.is_none() {
        return Some(false);
    }
    (!has_endpoints || !service.has_silent_endpoints).then_some(has_endpoints)
}

/// Whether a probe from one pod to another should come back.
#[must_use]
pub fn is_expected(from: &PodFacts, to: &PodFacts, probe: Probe) -> bool {
    let declares = |transport, port| to.ports.contains(&ContainerPort { transport, port });
    from.router == to.router
        && match probe {
            Probe::Icmp => true,
            Probe::Tcp(port) => declares(Transport::Tcp, port),
            Probe::Udp(port) => declares(Transport::Udp, port),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(router: Option<&str>, ports: &[(Transport, u16)]) -> PodFacts {
        PodFacts {
            router: router.map(str::to_owned),
            ports: ports
                .iter()
                .map(|&(transport, port)| ContainerPort { transport, port })
                .collect(),
        }
    }

    #[test]
    fn pods_reach_each_other_on_the_same_router_only() {
        let routers = [None, Some("red"), Some("blue")];
        for from in routers {
            for to in routers {
                assert_eq!(
                    is_expected(&pod(from, &[]), &pod(to, &[]), Probe::Icmp),
                    from == to,
                    "{from:?} to {to:?}"
                );
            }
        }
    }

    #[test]
    fn a_port_answers_only_where_it_is_declared_and_in_its_own_protocol() {
        let (client, server) = (
            pod(None, &[(Transport::Tcp, 81)]),
            pod(None, &[(Transport::Tcp, 80), (Transport::Udp, 53)]),
        );
        for (probe, expected) in [
            (Probe::Tcp(80), true),
            (Probe::Udp(53), true),
            (Probe::Tcp(53), false),
            (Probe::Udp(80), false),
            (Probe::Tcp(81), false),
        ] {
            assert_eq!(is_expected(&client, &server, probe), expected, "{probe}");
        }
        assert!(
            !is_expected(&pod(Some("red"), &[]), &server, Probe::Tcp(80)),
            "another router"
        );
    }
}
