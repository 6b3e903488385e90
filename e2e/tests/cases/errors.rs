//! What routers owe the senders of packets that they cannot pass on, and what bounds that.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, ensure};
use tokio::time::Instant;
use weft_e2e::{patience::scaled, pod::Pod, probe::Family};

use super::{
    lab::{self, address, gateway, gateway_mac, manifests, must_reach, token},
    packet::{contains, ethernet, kind_of, udp},
};

/// An ICMP error as a pod receives it: type, code, source, and what follows the checksum.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    kind: u8,
    code: u8,
    by: IpAddr,
    word: [u8; 4],
}

/// Reads a frame that is an ICMP error.
fn told(frame: &[u8]) -> Option<Told> {
    let (by, at): (IpAddr, usize) = match (frame.get(12..14)?, *frame.get(14)?) {
        ([8, 0], 0x45) if *frame.get(23)? == 1 => {
            let by: [u8; 4] = frame.get(26..30)?.try_into().ok()?;
            (by.into(), 34)
        }
        ([0x86, 0xdd], _) if *frame.get(20)? == 58 => {
            let by: [u8; 16] = frame.get(22..38)?.try_into().ok()?;
            (by.into(), 54)
        }
        _ => return None,
    };
    let message = frame.get(at..)?;
    Some(Told {
        kind: *message.first()?,
        code: *message.get(1)?,
        by,
        word: message.get(4..8)?.try_into().ok()?,
    })
}

/// Sends a datagram, and waits for what is said about it.
async fn ask(from: &Pod, to: IpAddr, ttl: u8, wait: Duration) -> anyhow::Result<Option<Told>> {
    let (tap, token) = (from.tap()?, token());
    let through = gateway_mac(from).await;
    let through = through.with_context(|| format!("before asking {to} with TTL {ttl}"))?;
    let packet = udp(address(from, Family::of(to))?, to, ttl, 9, &token);
    let frame = ethernet(from.attached().mac, through, kind_of(to), &packet);
    tap.send(&frame).await?;
    let answer = tap.receive(wait, |frame| {
        contains(frame, &token) && told(frame).is_some()
    });
    Ok(answer.await.as_deref().and_then(told))
}

async fn must_be_told(
    from: &Pod,
    to: IpAddr,
    ttl: u8,
    (kind, code): (u8, u8),
    by: IpAddr,
) -> anyhow::Result<()> {
    let told = ask(from, to, ttl, scaled(PATIENCE)).await?;
    let word = [0; 4];
    let expected = Some(Told {
        kind,
        code,
        by,
        word,
    });
    ensure!(
        told == expected,
        "{} to {to} with TTL {ttl} was told {told:?}, not {expected:?}",
        from.name()
    );
    Ok(())
}

fn of(family: Family, ip4: (u8, u8), ip6: (u8, u8)) -> (u8, u8) {
    match family {
        Family::Ipv4 => ip4,
        Family::Ipv6 => ip6,
    }
}

pub async fn a_router_tells_whose_packets_expire_or_have_no_route_and_does_it_in_measure()
-> anyhow::Result<()> {
    let cluster = manifests(
        &[
            ("shop", &[]),
            ("office", &[]),
            ("lan", &[("subnets", "10.1.0.0/24,fd01::/64")]),
        ],
        &[
            ("shop/a", "n1"),
            ("office/c", "n1"),
            ("office/d", "n2"),
            ("lan/e", "n1"),
            ("lan/f", "n2"),
        ],
    );
    lab::run(2, &cluster, async |lab| {
        let pods = lab
            .pods(["shop/a", "office/c", "office/d", "lan/e", "lan/f"])
            .await?;
        let [a, c, d, e, f] = &pods;
        // Here, on another node, and switched; the router shows itself by the address that the sender knows.
        for (from, to) in [(a, c), (a, d), (a, f), (e, d), (f, a)] {
            for family in Family::ALL {
                let (target, own) = (address(to, family)?, gateway(from, family)?);
                must_be_told(from, target, 1, of(family, (11, 0), (3, 0)), own).await?;
            }
        }
        for target in ["203.0.113.9", "2001:db8::9"] {
            let target: IpAddr = target.parse()?;
            let family = Family::of(target);
            let own = gateway(a, family)?;
            must_be_told(a, target, 64, of(family, (3, 0), (1, 0)), own).await?;
        }
        // A flood: some are answered, and nobody else is disturbed.
        let (tap, flood) = (a.tap()?, token());
        let through = gateway_mac(a).await?;
        let target = address(d, Family::Ipv4)?;
        let packet = udp(address(a, Family::Ipv4)?, target, 1, 9, &flood);
        let frame = ethernet(a.attached().mac, through, kind_of(target), &packet);
        let began = Instant::now();
        let mut answers = 0u64;
        for _ in 0..FLOOD {
            tap.send(&frame).await?;
            answers += count(&tap.pending()?, &flood);
        }
        must_reach(c, d, Family::Ipv4).await?;
        let sent = began.elapsed();
        while tap
            .receive(scaled(QUIET), |frame| {
                contains(frame, &flood) && told(frame).is_some()
            })
            .await
            .is_some()
        {
            answers += 1;
        }
        // A hundred at once and a hundred a second: the meter's; the rest of the second that began counts.
        let most = 100 + 100 * (sent.as_secs() + 1);
        ensure!(
            (20..=most).contains(&answers),
            "{answers} of {FLOOD} were answered in {sent:?}, {most} at most may be"
        );
        // Without the controller forwarding goes on, and errors stop.
        lab.kill_weft()?;
        for family in Family::ALL {
            must_reach(a, d, family).await?;
            let told = ask(a, address(d, family)?, 1, QUIET).await?;
            ensure!(told.is_none(), "nobody is there, and said {told:?}");
        }
        lab.restart_weft()?;
        lab.pods(["shop/a", "office/c", "office/d", "lan/e", "lan/f"])
            .await?;
        let deadline = Instant::now() + scaled(lab::PATIENCE);
        while ask(a, address(d, Family::Ipv4)?, 1, QUIET).await?.is_none() {
            ensure!(Instant::now() < deadline, "no errors again after a restart");
        }
        Ok(())
    })
    .await
}

fn count(frames: &[weft_e2e::tap::Frame], token: &[u8]) -> u64 {
    let is_answer = |frame: &&weft_e2e::tap::Frame| {
        contains(&frame.bytes, token) && told(&frame.bytes).is_some()
    };
    frames
        .iter()
        .filter(is_answer)
        .count()
        .try_into()
        .unwrap_or(u64::MAX)
}

pub async fn each_of_two_routers_shows_itself_and_discarding_routes_are_silent()
-> anyhow::Result<()> {
    lab::run(2, "", async |lab| {
        lab.nbctl(super::model::TWO_ROUTERS).await?;
        let pods = lab.pods(["hand/x", "hand/y"]).await?;
        let [x, y] = &pods;
        for family in Family::ALL {
            let (there, back) = (address(y, family)?, address(x, family)?);
            let expired = of(family, (11, 0), (3, 0));
            let own = |ip4: &str, ip6: &str| -> anyhow::Result<IpAddr> {
                let text = if family == Family::Ipv4 { ip4 } else { ip6 };
                text.parse().context("an address")
            };
            must_be_told(x, there, 1, expired, own("10.61.0.1", "fd61::1")?).await?;
            // The second router's, of the port that it answers by.
            must_be_told(x, there, 2, expired, own("10.60.1.2", "fd60:1::2")?).await?;
            must_be_told(y, back, 1, expired, own("10.63.0.1", "fd63::1")?).await?;
            let nowhere = own("10.99.0.1", "fd99::1")?;
            let no_route = of(family, (3, 0), (1, 0));
            must_be_told(x, nowhere, 64, no_route, own("10.61.0.1", "fd61::1")?).await?;
            // By way of y's router, which sends all to x's, which knows of no route.
            must_be_told(y, nowhere, 64, no_route, own("10.60.1.1", "fd60:1::1")?).await?;
        }
        let discarded: IpAddr = "10.98.0.1".parse()?;
        let told = ask(x, discarded, 64, scaled(QUIET)).await?;
        ensure!(told.is_none(), "said about what is discarded: {told:?}");
        super::model::without(lab, &["left", "right"], &["r1", "r2"]).await
    })
    .await
}

const FLOOD: u64 = 2000;
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing is to be heard before nothing is expected any more.
const QUIET: Duration = Duration::from_secs(1);
