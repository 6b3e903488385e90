//! Load balancers: rows by hand, real clients, real endpoints.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use weft_e2e::{
    patience::scaled,
    pod::Pod,
    probe::{Probe, who_answers},
};

use super::{
    by_hand,
    lab::{self, Lab},
};

/// The pods of [`by_hand`], by the switch each is on.
const PODS: [&str; 3] = ["hand/x", "hand/y", "hand/z"];

/// The pods, and a service in both families that all of them are endpoints of, on the switches of all.
async fn serve(lab: &mut Lab) -> anyhow::Result<[Arc<Pod>; 3]> {
    lab.nb.transact(by_hand::rows()).await?;
    let mut commands = String::new();
    for (name, port, protocol) in [("web", 80, "tcp"), ("dns", 53, "udp")] {
        let (v4, v6) = (
            endpoints4(&[51, 52, 53], port),
            endpoints6(&[51, 52, 53], port),
        );
        commands += &format!("lb-add {name} 10.96.0.10:{port} {v4} {protocol}\n");
        commands += &format!("lb-add {name} [fd96::10]:{port} {v6} {protocol}\n");
        for switch in ["left", "right", "far-left"] {
            commands += &format!("ls-lb-add {switch} {name}\n");
        }
    }
    lab.nbctl(&commands).await?;
    lab.pods(PODS).await
}

fn endpoints4(nets: &[u8], port: u16) -> String {
    let endpoint = |net: &u8| format!("10.{net}.0.2:{port}");
    nets.iter().map(endpoint).collect::<Vec<_>>().join(",")
}

fn endpoints6(nets: &[u8], port: u16) -> String {
    let endpoint = |net: &u8| format!("[fd{net}::2]:{port}");
    nets.iter().map(endpoint).collect::<Vec<_>>().join(",")
}

fn virtual_addresses(port: u16) -> anyhow::Result<[SocketAddr; 2]> {
    let addresses: [IpAddr; 2] = ["10.96.0.10".parse()?, "fd96::10".parse()?];
    Ok(addresses.map(|address| SocketAddr::new(address, port)))
}

pub async fn a_service_is_reached_from_every_pod_and_from_its_own_endpoints() -> anyhow::Result<()>
{
    lab::run(2, "", async |lab| {
        let pods = serve(lab).await?;
        for probe in [Probe::Tcp(80), Probe::Udp(53)] {
            let port = probe.port().unwrap_or_default();
            for target in virtual_addresses(port)? {
                for from in &pods {
                    // One endpoint is on its node or not, and one is itself: all have to answer sooner or later.
                    let mut found = BTreeSet::new();
                    for _ in 0..60 {
                        let answer = who_answers(from, 0, probe, target).await;
                        let answer = answer.with_context(|| {
                            format!("{} to {target} ({probe}): no answer", from.name())
                        })?;
                        found.insert(answer);
                        if found.len() == PODS.len() {
                            break;
                        }
                    }
                    ensure!(
                        found == PODS.map(str::to_owned).into(),
                        "{} to {target} ({probe}): answered by {found:?}",
                        from.name()
                    );
                }
            }
        }
        // A switch that loses its load balancer loses its flows.
        lab.nbctl("ls-lb-del left web").await?;
        lab.pods(PODS).await?;
        let [x, y, _] = &pods;
        let [target, _] = virtual_addresses(80)?;
        let answer = who_answers(x, 0, Probe::Tcp(80), target).await;
        ensure!(answer.is_none(), "x is answered by {answer:?} still");
        let answer = who_answers(y, 0, Probe::Tcp(80), target).await;
        ensure!(answer.is_some(), "y is not answered any more");
        take_away(lab).await
    })
    .await
}

async fn take_away(lab: &Lab) -> anyhow::Result<()> {
    lab.nbctl("lb-del web\nlb-del dns").await?;
    lab.nb.transact(by_hand::removal()).await?;
    Ok(())
}

pub async fn new_connections_are_spread_over_endpoints_also_over_one_that_came_later()
-> anyhow::Result<()> {
    lab::run(2, "", async |lab| {
        let [x, ..] = &serve(lab).await?;
        let [target, _] = virtual_addresses(53)?;
        // The same source ports every time, and so the same choices.
        for (nets, first) in [(vec![51, 52], 20_000u16), (vec![51, 52, 53], 21_000)] {
            let endpoints = endpoints4(&nets, 53);
            lab.nbctl(&format!(
                "--may-exist lb-add dns 10.96.0.10:53 {endpoints} udp"
            ))
            .await?;
            lab.pods(PODS).await?;
            let mut counts: BTreeMap<String, u32> = BTreeMap::new();
            for port in first..first + CONNECTIONS {
                let answer = who_answers(x, port, Probe::Udp(53), target).await;
                let answer = answer.with_context(|| format!("no answer to port {port}"))?;
                *counts.entry(answer).or_default() += 1;
            }
            let expected = f64::from(CONNECTIONS) / nets.len() as f64;
            let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
            let chi_square: f64 = counts.values().map(square).sum();
            // The value that chance exceeds once in a thousand times, for 1 and 2 degrees of freedom.
            let limit = if nets.len() == 2 { 10.83 } else { 13.82 };
            lab::tell(&format!(
                "{counts:?}, chi-square {chi_square:.2} of {limit}"
            ));
            ensure!(
                counts.len() == nets.len() && chi_square < limit,
                "{counts:?}: chi-square {chi_square}"
            );
        }
        take_away(lab).await
    })
    .await
}

const CONNECTIONS: u16 = 300;

pub async fn connections_outlive_a_hundred_changes_of_their_service() -> anyhow::Result<()> {
    lab::run(2, "", async |lab| {
        let pods = serve(lab).await?;
        let [x, ..] = &pods;
        let mut echoes = JoinSet::new();
        for pod in &pods {
            echoes.spawn(echo(listen(pod)?));
        }
        lab.nbctl(&format!(
            "lb-add echo 10.96.0.11:7 {} tcp\nls-lb-add left echo",
            endpoints4(&[51, 52, 53], 7)
        ))
        .await?;
        lab.pods(PODS).await?;
        let mut streams = Vec::new();
        for _ in 0..12 {
            let socket = x.netns().run(TcpSocket::new_v4)??;
            let target = SocketAddr::new("10.96.0.11".parse()?, 7);
            streams.push(timeout(scaled(PATIENCE), socket.connect(target)).await??);
        }
        for round in 0..100u8 {
            // One of the three goes or comes, and others that nobody is.
            let mut nets: Vec<u8> = (0..3)
                .filter(|net| *net != round % 4)
                .map(|net| net + 51)
                .collect();
            nets.push(60 + round % 7);
            let endpoints = endpoints4(&nets, 7);
            lab.nbctl(&format!(
                "--may-exist lb-add echo 10.96.0.11:7 {endpoints} tcp"
            ))
            .await?;
            for (number, stream) in streams.iter_mut().enumerate() {
                let said = [round, u8::try_from(number)?];
                say(stream, said)
                    .await
                    .with_context(|| format!("connection {number} after {round} changes"))?;
            }
        }
        lab.nbctl("lb-del echo").await?;
        lab.pods(PODS).await?;
        take_away(lab).await
    })
    .await
}

fn listen(pod: &Pod) -> anyhow::Result<TcpListener> {
    let listener = pod
        .netns()
        .run(|| std::net::TcpListener::bind("0.0.0.0:7"))??;
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

/// Says back what it is told, as long as it is told something.
async fn echo(listener: TcpListener) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        connections.spawn(async move {
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await
        });
    }
}

async fn say(stream: &mut TcpStream, said: [u8; 2]) -> anyhow::Result<()> {
    timeout(scaled(PATIENCE), async {
        stream.write_all(&said).await?;
        let mut heard = [0; 2];
        stream.read_exact(&mut heard).await?;
        ensure!(heard == said, "{said:?} came back as {heard:?}");
        Ok(())
    })
    .await?
}

const PATIENCE: Duration = Duration::from_secs(5);
