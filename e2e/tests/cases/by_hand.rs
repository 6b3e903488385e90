//! Rows written by hand beside northd's: two routers with a switch between them, which no manifest asks for. Packets
//! between their switches go the general way, from router to router.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use uuid::Uuid;
use weft_e2e::{
    pod::Pod,
    probe::{Family, Probe, probe_all},
    tap::Direction,
};
use weft_ovsdb::Operation;
use weft_schema::{
    Table, keys,
    nb::{
        LogicalRouter, LogicalRouterPort, LogicalRouterStaticRoute, LogicalSwitch,
        LogicalSwitchPort,
    },
};

use super::{
    lab::{self, Watch, address, gateway_mac, manifests, token},
    packet::{contains, ethernet, kind_of, ttl, udp},
};

pub async fn packets_between_two_routers_lose_one_ttl_at_each() -> anyhow::Result<()> {
    let yaml = manifests(&[("shop", &[])], &[("shop/a", "n1"), ("shop/b", "n2")]);
    lab::run(2, &yaml, async |lab| {
        lab.pods(["shop/a", "shop/b"]).await?;
        lab.nb.transact(rows()).await?;
        let names = ["hand/x", "hand/y", "hand/z", "shop/a", "shop/b"];
        let pods = lab.pods(names).await?;
        let [x, y, z, a, b] = &pods;
        let outcomes = probe_all(&pods, &[Probe::Icmp]).await;
        let is_hand = |name: &str| name.starts_with("hand/");
        for outcome in outcomes {
            let expected = is_hand(&outcome.from) == is_hand(&outcome.to);
            ensure!(
                outcome.rtt.is_some() == expected,
                "expected {expected}: {outcome:?}"
            );
        }
        // x and z are on one router's switches, y behind the other router; all but z on different nodes than x.
        let through = gateway_mac(x).await?;
        for (to, routers) in [(y, 2), (z, 1)] {
            for family in Family::ALL {
                let (source, target) = (address(x, family)?, address(to, family)?);
                for sent in [64, routers + 1, routers] {
                    let (watch, token) = (Watch::pods(&[to])?, token());
                    let packet = udp(source, target, sent, 9, &token);
                    x.tap()?
                        .send(&ethernet(
                            x.attached().mac,
                            through,
                            kind_of(target),
                            &packet,
                        ))
                        .await?;
                    let pings: [(&Pod, &Pod); 2] = [(x, to), (a, b)];
                    let seen = watch
                        .after(&pings, Direction::In, |frame| contains(frame, &token))
                        .await?;
                    let ttls: Vec<_> = seen[0].iter().filter_map(|frame| ttl(frame)).collect();
                    let expected: Vec<u8> = (sent > routers)
                        .then(|| sent - routers)
                        .into_iter()
                        .collect();
                    ensure!(
                        ttls == expected,
                        "to {} over {family} with TTL {sent}: came with {ttls:?}",
                        to.name()
                    );
                }
            }
        }
        // What was written by hand goes by hand.
        lab.nb.transact(removal()).await?;
        lab.pods(["shop/a", "shop/b"]).await.map(drop)
    })
    .await
}

const SWITCHES: [&str; 4] = ["left", "middle", "right", "far-left"];
const ROUTERS: [&str; 2] = ["r1", "r2"];

/// The row of this name.
pub fn id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

/// Two routers, `r1` and `r2`, with a switch between them, and pods `hand/x` on n1, `hand/y` and `hand/z` on n2.
pub fn rows() -> Vec<Operation> {
    let mut operations = Vec::new();
    // Router, switch, and the addresses of the router's port there.
    let ports = [
        (
            "r1",
            "left",
            "0a:00:00:00:01:01",
            ["10.51.0.1/24", "fd51::1/64"],
        ),
        (
            "r1",
            "far-left",
            "0a:00:00:00:01:03",
            ["10.53.0.1/24", "fd53::1/64"],
        ),
        (
            "r1",
            "middle",
            "0a:00:00:00:01:02",
            ["10.50.0.1/24", "fd50::1/64"],
        ),
        (
            "r2",
            "middle",
            "0a:00:00:00:02:02",
            ["10.50.0.2/24", "fd50::2/64"],
        ),
        (
            "r2",
            "right",
            "0a:00:00:00:02:01",
            ["10.52.0.1/24", "fd52::1/64"],
        ),
    ];
    let pods = [
        ("x", "left", "n1", "0a:00:00:00:51:02 10.51.0.2 fd51::2"),
        ("y", "right", "n2", "0a:00:00:00:52:02 10.52.0.2 fd52::2"),
        ("z", "far-left", "n2", "0a:00:00:00:53:02 10.53.0.2 fd53::2"),
    ];
    let routes = [
        ("r1", "10.52.0.0/24", "10.50.0.2"),
        ("r1", "fd52::/64", "fd50::2"),
        ("r2", "10.51.0.0/24", "10.50.0.1"),
        ("r2", "10.53.0.0/24", "10.50.0.1"),
        ("r2", "::/0", "fd50::1"),
    ];
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let mut of_switch: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    let mut of_router: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    let mut routes_of: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    for (router, switch, mac, networks) in ports {
        let (on_router, on_switch) = (format!("{router}-{switch}"), format!("{switch}-{router}"));
        of_router.entry(router).or_default().push(id(&on_router));
        of_switch.entry(switch).or_default().push(id(&on_switch));
        operations.push(
            LogicalSwitchPort {
                uuid: id(&on_switch),
                name: on_switch,
                kind: "router".to_owned(),
                options: map(&[(keys::ROUTER_PORT, &on_router)]),
                addresses: BTreeSet::from(["router".to_owned()]),
                ..LogicalSwitchPort::default()
            }
            .insert(),
        );
        operations.push(
            LogicalRouterPort {
                uuid: id(&on_router),
                name: on_router,
                mac: mac.to_owned(),
                networks: networks.map(str::to_owned).into(),
                ..LogicalRouterPort::default()
            }
            .insert(),
        );
    }
    for (pod, switch, node, addresses) in pods {
        let name = format!("hand_{pod}");
        of_switch.entry(switch).or_default().push(id(&name));
        operations.push(
            LogicalSwitchPort {
                uuid: id(&name),
                name,
                options: map(&[(keys::REQUESTED_CHASSIS, node)]),
                addresses: BTreeSet::from([addresses.to_owned()]),
                port_security: BTreeSet::from([addresses.to_owned()]),
                external_ids: map(&[(keys::NAMESPACE, "hand"), (keys::POD, pod)]),
                ..LogicalSwitchPort::default()
            }
            .insert(),
        );
    }
    for (router, prefix, nexthop) in routes {
        let uuid = id(&format!("{router} {prefix}"));
        routes_of.entry(router).or_default().push(uuid);
        let (ip_prefix, nexthop) = (prefix.to_owned(), nexthop.to_owned());
        operations.push(
            LogicalRouterStaticRoute {
                uuid,
                ip_prefix,
                nexthop,
                ..LogicalRouterStaticRoute::default()
            }
            .insert(),
        );
    }
    for switch in SWITCHES {
        let ports = of_switch.remove(switch).unwrap_or_default();
        operations.push(
            LogicalSwitch {
                uuid: id(switch),
                name: switch.to_owned(),
                ports,
                ..LogicalSwitch::default()
            }
            .insert(),
        );
    }
    for router in ROUTERS {
        operations.push(
            LogicalRouter {
                uuid: id(router),
                name: router.to_owned(),
                ports: of_router.remove(router).unwrap_or_default(),
                static_routes: routes_of.remove(router).unwrap_or_default(),
                ..LogicalRouter::default()
            }
            .insert(),
        );
    }
    operations
}

/// Takes all of [`rows`] away.
pub fn removal() -> Vec<Operation> {
    let switches = SWITCHES.map(|name| LogicalSwitch::delete(id(name)));
    let routers = ROUTERS.map(|name| LogicalRouter::delete(id(name)));
    switches.into_iter().chain(routers).collect()
}
