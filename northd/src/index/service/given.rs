//! What a Service claims by naming it, and what it is given because it names none.
//!
//! Must not: make rows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::claim::{Claim, Origin, choose};
use super::spec::{Family, NODE_PORTS, NodePort, Protocol};
use super::{Index, ServiceKey};

/// What a Service was given, because it named none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) cluster: Vec<IpAddr>,
    pub(super) pool: Vec<IpAddr>,
    pub(super) node_ports: BTreeMap<(Protocol, u16), u16>,
}

impl Index {
    /// Claims what a Service names, and with `Given` what it was given too.
    pub(super) fn claim(&mut self, key: &ServiceKey, up_to: Origin) -> BTreeSet<ServiceKey> {
        let router = self.router_of(&key.0);
        let Some(entry) = self.services.entries.get(key) else {
            return BTreeSet::new();
        };
        let Some(spec) = &entry.spec else {
            return self.services.claims.set(key, None, BTreeMap::new());
        };
        let mut claims = BTreeMap::new();
        let mut add = |claim, origin: Origin| {
            let there = claims.entry(claim).or_insert(origin);
            *there = origin.min(*there);
        };
        let vips = |address: IpAddr| {
            let ports = spec.ports.iter();
            let router = Arc::clone(&router);
            ports
                .map(move |port| Claim::Vip(Arc::clone(&router), address, port.protocol, port.port))
        };
        for named in &spec.cluster {
            add(Claim::Cluster(named.address), Origin::Named);
            vips(named.address).for_each(|vip| add(vip, Origin::Named));
        }
        for named in &spec.external {
            add(Claim::External(named.address), Origin::Named);
            vips(named.address).for_each(|vip| add(vip, Origin::Named));
        }
        for port in &spec.ports {
            if let NodePort::This(number) = port.node_port {
                add(Claim::NodePort(port.protocol, number), Origin::Named);
            }
        }
        // What was given before stays claimed, so that nobody else is given it meanwhile.
        let given = &entry.given;
        if up_to == Origin::Given || *given != Given::default() {
            for address in &given.cluster {
                add(Claim::Cluster(*address), Origin::Given);
                vips(*address).for_each(|vip| add(vip, Origin::Given));
            }
            for address in &given.pool {
                add(Claim::External(*address), Origin::Given);
                vips(*address).for_each(|vip| add(vip, Origin::Given));
            }
            for ((protocol, _), number) in &given.node_ports {
                add(Claim::NodePort(*protocol, *number), Origin::Given);
            }
        }
        let created = spec.created.clone();
        self.services.claims.set(key, created.as_ref(), claims)
    }

    /// Gives a Service what it wants and does not name, or leaves it what it was given.
    pub(super) fn give(&mut self, key: &ServiceKey) {
        let Some(entry) = self.services.entries.get(key) else {
            return;
        };
        let mut given = Given::default();
        if let Some(spec) = &entry.spec {
            let claims = &self.services.claims;
            let name = format!("{}/{}", key.0, key.1);
            let has = |claim: Claim| claims.holder(&claim) == Some(key);
            let is_free = |claim: Claim| claims.is_free_for(key, &claim);
            let fits = |addresses: &[IpAddr], networks: &[IpNet]| {
                let families: BTreeSet<Family> = addresses
                    .iter()
                    .map(|address| Family::of(*address))
                    .collect();
                let wanted = wanted_families(&spec.families, networks);
                families == wanted.into_iter().collect()
            };
            if spec.wants_cluster {
                let old = &entry.given.cluster;
                let is_kept = fits(old, &self.service_cidrs)
                    && old.iter().all(|address| has(Claim::Cluster(*address)));
                given.cluster = match is_kept {
                    true => old.clone(),
                    false => {
                        let free = |address| is_free(Claim::Cluster(address));
                        hand_out(&name, &self.service_cidrs, &spec.families, RESERVED, free)
                    }
                };
            }
            if spec.wants_pool {
                let old = &entry.given.pool;
                let is_kept = fits(old, &self.load_balancer_pool)
                    && old.iter().all(|address| has(Claim::External(*address)));
                given.pool = match is_kept {
                    true => old.clone(),
                    false => {
                        let free = |address| is_free(Claim::External(address));
                        hand_out(&name, &self.load_balancer_pool, &spec.families, 0, free)
                    }
                };
            }
            let wanting = spec
                .ports
                .iter()
                .filter(|port| port.node_port == NodePort::Any);
            let size = u64::from(NODE_PORTS.end().abs_diff(*NODE_PORTS.start())).saturating_add(1);
            let number = |offset: u64| {
                let offset = u16::try_from(offset).unwrap_or_default();
                NODE_PORTS.start().saturating_add(offset)
            };
            for port in wanting {
                let at = (port.protocol, port.port);
                let old = entry.given.node_ports.get(&at);
                let kept = old.filter(|old| has(Claim::NodePort(port.protocol, **old)));
                let chosen = kept.copied().or_else(|| {
                    let name = format!("{name}:{}:{}", port.port, port.protocol.name());
                    let taken = |number: u16| {
                        let mine = given.node_ports.iter();
                        mine.into_iter().any(|((protocol, _), given)| {
                            (*protocol, *given) == (port.protocol, number)
                        })
                    };
                    choose(&name, size, |offset| {
                        let number = number(offset);
                        !taken(number) && is_free(Claim::NodePort(port.protocol, number))
                    })
                    .map(number)
                });
                given.node_ports.extend(chosen.map(|chosen| (at, chosen)));
            }
        }
        if let Some(entry) = self.services.entries.get_mut(key) {
            let is_waiting = entry.spec.as_ref().is_some_and(|spec| {
                spec.wants_cluster && given.cluster.is_empty()
                    || spec.wants_pool && given.pool.is_empty()
            });
            entry.given = given;
            if is_waiting {
                self.services.waiting.insert(key.clone());
            }
        }
    }
}

/// Of these families, those that there are networks of.
fn wanted_families(families: &[Family], networks: &[IpNet]) -> Vec<Family> {
    let has = |family: &&Family| {
        networks
            .iter()
            .any(|network| Family::of(network.addr()) == **family)
    };
    families.iter().filter(has).copied().collect()
}

/// One address of each family, at the same place in the network of its family.
fn hand_out(
    name: &str,
    networks: &[IpNet],
    families: &[Family],
    reserved: u64,
    is_free: impl Fn(IpAddr) -> bool,
) -> Vec<IpAddr> {
    let wanted = wanted_families(families, networks);
    let networks: Vec<&IpNet> = wanted
        .iter()
        .filter_map(|family| {
            networks
                .iter()
                .find(|network| Family::of(network.addr()) == *family)
        })
        .collect();
    let sizes = networks.iter().map(|network| {
        let bits = network
            .max_prefix_len()
            .saturating_sub(network.prefix_len());
        1_u64.checked_shl(u32::from(bits)).unwrap_or(u64::MAX)
    });
    let Some(size) = sizes.min() else {
        return Vec::new();
    };
    // Neither the network's own address nor the last. The first ones are for whoever names one, if there are enough.
    let usable = size.saturating_sub(2);
    let reserved = reserved.min(size.checked_div(16).unwrap_or_default());
    let first = reserved.saturating_add(1);
    let count = usable.saturating_sub(reserved);
    let at = |offset: u64| {
        networks
            .iter()
            .map(move |network| address_at(network, offset))
    };
    let chosen = choose(name, count, |number| {
        at(first.saturating_add(number)).all(&is_free)
    });
    chosen.map_or_else(Vec::new, |number| {
        at(first.saturating_add(number)).collect()
    })
}

/// The address at a place in a network.
pub(in crate::index) fn address_at(network: &IpNet, offset: u64) -> IpAddr {
    match network {
        IpNet::V4(network) => {
            let offset = u32::try_from(offset).unwrap_or_default();
            IpAddr::V4((network.network().to_bits() | offset).into())
        }
        IpNet::V6(network) => IpAddr::V6((network.network().to_bits() | u128::from(offset)).into()),
    }
}

/// Cluster addresses at the beginning of the network that are not given out as long as it is large, as in Kubernetes.
const RESERVED: u64 = 256;
