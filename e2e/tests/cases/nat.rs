//! A router on one node between pods and a physical network, as `ovn-nbctl` makes it: out with the router's address, in by a pod's own.
//!
//! ```text
//!  n1: a ┐                          ┌─ localnet ─ segment ─ host0 (the kernel's, on n3)
//!        ├─ inner ─ gw (on n1) ─ outer
//!  n2: b ┘
//! ```

use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use weft_cni::link::Mac;
use weft_e2e::{patience::scaled, pod::Pod, tap::Direction};

use super::{
    lab::{self, PATIENCE, Watch, token},
    localnet::{Host, Segment, nothing_is_connected},
    model::{joined, pod, without},
    packet::{contains, echo_request, echo_request_as, ethernet, is_echo_reply, kind_of},
};

fn rows(host: &Host) -> String {
    let mut text = String::from(
        "ls-add inner\nls-add outer\nlr-add gw\nset Logical_Router gw options:chassis=n1\n",
    );
    text += &joined("gw", "inner", INSIDE_TEXT, "10.83.0.1/24");
    text += &joined("gw", "outer", OUTSIDE_TEXT, "10.81.0.1/24");
    text += "lsp-add outer ln\nlsp-set-type ln localnet\nlsp-set-addresses ln unknown\n\
             lsp-set-options ln network_name=physnet1\n";
    text += &pod("inner", "a", "n1", "0a:00:00:00:83:02 10.83.0.2");
    text += &pod("inner", "b", "n2", "0a:00:00:00:83:03 10.83.0.3");
    text += &format!(
        "lr-nat-add gw snat 10.81.0.1 10.83.0.0/24\n\
         lr-nat-add gw dnat_and_snat 10.81.0.11 10.83.0.3\n\
         static-mac-binding-add gw-outer {} {}\n",
        host.address, host.mac
    );
    text
}

const INSIDE: Mac = Mac([0x0a, 0, 0, 0, 0x02, 0x01]);
const INSIDE_TEXT: &str = "0a:00:00:00:02:01";
const OUTSIDE: Mac = Mac([0x0a, 0, 0, 0, 0x02, 0x02]);
const OUTSIDE_TEXT: &str = "0a:00:00:00:02:02";
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 81, 0, 1);
const FLOATING: Ipv4Addr = Ipv4Addr::new(10, 81, 0, 11);

/// The source of an IPv4 packet in a frame.
fn source(frame: &[u8]) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = frame.get(26..30)?.try_into().ok()?;
    Some(Ipv4Addr::from(bytes))
}

/// A pod pings the host, whose kernel answers whoever seems to ask; who that is.
async fn asks_out(
    identifier: u16,
    from: &Pod,
    own: Ipv4Addr,
    host: &Host,
) -> anyhow::Result<Ipv4Addr> {
    let (payload, tap) = (token(), from.tap()?);
    let packet = echo_request_as(identifier, own.into(), host.address.into(), 64, &payload);
    let frame = ethernet(from.attached().mac, INSIDE, kind_of(own.into()), &packet);
    tap.send(&frame).await?;
    let seen = host
        .tap
        .receive(scaled(PATIENCE), |frame| contains(frame, &payload));
    let seen = seen.await.context("the host does not hear the pod")?;
    let answer = tap.receive(scaled(PATIENCE), |frame| is_echo_reply(frame, &payload));
    let answer = answer.await.context("the pod gets no answer")?;
    ensure!(
        source(&answer) == Some(host.address),
        "the answer is from {:?}",
        source(&answer)
    );
    source(&seen).context("no IPv4 packet")
}

/// The host pings an address behind the router; who answers.
async fn asks_in(host: &Host, target: Ipv4Addr) -> anyhow::Result<Ipv4Addr> {
    host.ask(target, Some(OUTSIDE)).await?;
    let payload = token();
    let packet = echo_request(host.address.into(), target.into(), 64, &payload);
    let frame = ethernet(host.mac, OUTSIDE, kind_of(target.into()), &packet);
    host.tap.send(&frame).await?;
    let answer = host
        .tap
        .receive(scaled(PATIENCE), |frame| is_echo_reply(frame, &payload));
    let answer = answer.await.context("nobody answers the host")?;
    source(&answer).context("no IPv4 packet")
}

pub async fn pods_get_out_by_one_node_and_a_floating_address_leads_in() -> anyhow::Result<()> {
    lab::run(3, "", async |lab| {
        let segment = Segment::build(lab).await?;
        let host = segment.host("host0").await?;
        lab.nbctl(&rows(&host)).await?;
        let [a, b] = &lab.pods(["hand/a", "hand/b"]).await?;
        let (own_a, own_b) = (Ipv4Addr::new(10, 83, 0, 2), Ipv4Addr::new(10, 83, 0, 3));
        // `a` shares the router's address, `b`, on the other node, has one of its own.
        for (pod, own, expected) in [(a, own_a, ROUTER), (b, own_b, FLOATING)] {
            let seen = asks_out(7, pod, own, &host).await?;
            ensure!(seen == expected, "the host sees {} as {seen}", pod.name());
        }
        // In: to `b` by its address outside; the router itself answers at its own.
        let taps = Watch::pods(&[b])?;
        for target in [FLOATING, ROUTER] {
            let answered = asks_in(&host, target).await?;
            ensure!(answered == target, "{answered} answers for {target}");
        }
        let to_pod = |frame: &[u8]| frame.get(30..34) == Some(&own_b.octets()[..]);
        let received = taps.after(&[], Direction::In, to_pod).await?;
        ensure!(!received[0].is_empty(), "b was not asked");
        // From inside to the outside address: both sides are translated, or the answer would not come by.
        let (payload, tap) = (token(), a.tap()?);
        let packet = echo_request(own_a.into(), FLOATING.into(), 64, &payload);
        let frame = ethernet(a.attached().mac, INSIDE, kind_of(own_a.into()), &packet);
        tap.send(&frame).await?;
        let answer = tap.receive(scaled(PATIENCE), |frame| is_echo_reply(frame, &payload));
        let answer = answer
            .await
            .context("a gets no answer from the floating address")?;
        ensure!(source(&answer) == Some(FLOATING), "{:?}", source(&answer));
        // Without its row a new connection has the router's address; one that there was keeps what it had.
        lab.nbctl("lr-nat-del gw dnat_and_snat 10.81.0.11").await?;
        lab.pods(["hand/a", "hand/b"]).await?;
        let seen = asks_out(8, b, own_b, &host).await?;
        ensure!(seen == ROUTER, "the host sees b as {seen}");
        lab.nbctl("lr-nat-del gw snat 10.83.0.0/24").await?;
        lab.nbctl("static-mac-binding-del gw-outer 10.81.0.50")
            .await?;
        without(lab, &["inner", "outer"], &["gw"]).await?;
        nothing_is_connected(&segment).await
    })
    .await
}
