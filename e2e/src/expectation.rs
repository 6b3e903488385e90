//! Who should reach whom: judged from the manifests alone, so that the judgement shares no mistake with the network.
//!
//! - Pods whose namespaces are on the same router reach each other. A namespace without `weft.dev/router` is on the
//!   cluster's; the name of a router is one for the whole cluster.
//! - An ICMP probe needs no more. A TCP or UDP probe needs a container port of that number and protocol.
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
