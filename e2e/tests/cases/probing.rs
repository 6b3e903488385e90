//! The probes themselves: a network that is known to be right, and one that would fool a careless probe.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use weft_e2e::{
    fabric::{Fabric, FabricConfig},
    node::{BR_INT, Node},
    patience::scaled,
    pod::{Pod, PodSpec},
    probe::{Family, Probe, probe_all, reach},
    responder::{ContainerPort, Transport},
};

const PROBES: [Probe; 4] = [Probe::Icmp, Probe::Tcp(80), Probe::Udp(53), Probe::Tcp(81)];

pub async fn a_probe_tells_the_pod_that_was_meant_from_one_with_the_same_address()
-> anyhow::Result<()> {
    let fabric = Fabric::start(
        &FabricConfig {
            nodes: 2,
            ..FabricConfig::default()
        },
        |_| {},
    )
    .await?;
    // A learning switch each, and nothing between them: x and y are neighbours, z is alone with y's address.
    for node in fabric.nodes() {
        node.vsctl(&[
            "add-br",
            BR_INT,
            "--",
            "set",
            "bridge",
            BR_INT,
            "datapath_type=netdev",
            "fail_mode=standalone",
        ])
        .await?;
    }
    let [n1, n2] = fabric.nodes() else {
        anyhow::bail!("not two nodes")
    };
    let x = start(n1, "net/x", 1).await?;
    let y = start(n1, "net/y", 2).await?;
    let z = start(n2, "net/z", 2).await?;
    let outcomes = probe_all(&[x, y.clone(), z.clone()], &PROBES).await;
    ensure!(
        outcomes.len() == 6 * PROBES.len() * 2,
        "{} outcomes",
        outcomes.len()
    );
    for outcome in outcomes {
        let are_neighbours = !outcome.from.ends_with('z') && !outcome.to.ends_with('z');
        let expected = are_neighbours && outcome.probe != Probe::Tcp(81);
        ensure!(
            outcome.rtt.is_some() == expected,
            "expected {expected}: {outcome:?}"
        );
    }
    // What comes back to its own sender: y and z answer to the same address, themselves.
    for probe in PROBES {
        ensure!(
            reach(&y, &z, probe, Family::Ipv4).await.is_none(),
            "{probe} came back to its sender and counted"
        );
    }
    Ok(())
}

async fn start(node: &Arc<Node>, name: &str, number: u8) -> anyhow::Result<Arc<Pod>> {
    let spec = PodSpec {
        name: name.to_owned(),
        port: name.replace('/', "_"),
        uid: name.to_owned(),
        container_ports: [(Transport::Tcp, 80), (Transport::Udp, 53)]
            .map(|(transport, port)| ContainerPort { transport, port })
            .to_vec(),
    };
    let port = format!("external_ids:iface-id={}", spec.port);
    let answer = async {
        let mut host = String::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while host.is_empty() {
            ticks.tick().await;
            host = node
                .vsctl(&["--bare", "--columns=name", "find", "Interface", &port])
                .await?;
        }
        let mac = format!("external_ids:weft-mac=\"0a:58:0a:00:00:{number:02x}\"");
        let addresses =
            format!("external_ids:weft-addresses=\"10.0.0.{number}/24 fd00::{number}/64\"");
        let rest = [
            "external_ids:weft-mtu=1400",
            "external_ids:ovn-installed=true",
        ];
        node.vsctl(&[
            "set",
            "Interface",
            host.trim(),
            &mac,
            &addresses,
            rest[0],
            rest[1],
        ])
        .await
    };
    let pod = Pod::start(node, spec, scaled(Duration::from_secs(10)));
    let (pod, _) = futures::future::try_join(pod, answer)
        .await
        .with_context(|| name.to_owned())?;
    Ok(Arc::new(pod))
}
