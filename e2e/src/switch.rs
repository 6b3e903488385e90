//! What a node's integration bridge holds and counts, asked with Open vSwitch's own tools.
//!
//! Must not: ask through weft's code, which is what is being looked at.

use std::collections::BTreeSet;

use anyhow::Context;

use crate::node::Node;

/// Packets through a node's tunnel port since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelCounters {
    /// Received.
    pub rx_packets: u64,
    /// Sent.
    pub tx_packets: u64,
}

impl TunnelCounters {
    /// What was counted since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: TunnelCounters) -> TunnelCounters {
        TunnelCounters {
            rx_packets: self.rx_packets.saturating_sub(earlier.rx_packets),
            tx_packets: self.tx_packets.saturating_sub(earlier.tx_packets),
        }
    }
}

/// Reads the counters of the Geneve port; all zero while there is none.
///
/// # Errors
/// When the switch does not answer.
pub async fn tunnel_counters(node: &Node) -> anyhow::Result<TunnelCounters> {
    let ports = node
        .vsctl(&[
            "--bare",
            "--columns=ofport",
            "find",
            "Interface",
            "type=geneve",
        ])
        .await?;
    let Some(port) = ports.split_whitespace().next() else {
        return Ok(TunnelCounters::default());
    };
    // Cached datapath flows count by themselves until they are next looked at.
    node.appctl("revalidator/wait", &[]).await?;
    let text = node.ofctl(&["dump-ports", "%", port]).await?;
    parse_counters(&text).with_context(|| format!("node {}: no counters in {text:?}", node.name()))
}

fn parse_counters(text: &str) -> Option<TunnelCounters> {
    let packets = |direction: &str| {
        let (_, rest) = text.split_once(&format!("{direction} pkts="))?;
        rest.split(',').next()?.trim().parse().ok()
    };
    Some(TunnelCounters {
        rx_packets: packets("rx")?,
        tx_packets: packets("tx")?,
    })
}

/// All flows of the integration bridge as `ovs-ofctl` prints them, without counters.
///
/// # Errors
/// When the switch does not answer.
pub async fn flows(node: &Node) -> anyhow::Result<BTreeSet<String>> {
    lines(&node.ofctl(&["--no-stats", "dump-flows", "%"]).await?)
}

/// All groups of the integration bridge as `ovs-ofctl` prints them, the buckets of select groups by ID: their order says nothing.
///
/// # Errors
/// When the switch does not answer.
pub async fn groups(node: &Node) -> anyhow::Result<BTreeSet<String>> {
    let groups = lines(&node.ofctl(&["dump-groups", "%"]).await?)?;
    Ok(groups.iter().map(|group| in_order(group)).collect())
}

/// All meters of the integration bridge as `ovs-ofctl` prints them, a line each.
///
/// # Errors
/// When the switch does not answer.
pub async fn meters(node: &Node) -> anyhow::Result<BTreeSet<String>> {
    let text = node.ofctl(&["dump-meters", "%"]).await?;
    // `meter=1 pktps burst bands=` and below it a line for each band.
    Ok(text
        .split("meter=")
        .skip(1)
        .map(|meter| meter.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect())
}

/// How many flows were added and how many removed between two dumps. A changed flow counts in both.
#[must_use]
pub fn changed(before: &BTreeSet<String>, after: &BTreeSet<String>) -> (usize, usize) {
    (
        after.difference(before).count(),
        before.difference(after).count(),
    )
}

fn in_order(group: &str) -> String {
    let mut parts: Vec<&str> = group.split(",bucket=").collect();
    if group.contains("type=select")
        && let Some((_, buckets)) = parts.split_first_mut()
    {
        buckets.sort_unstable();
    }
    parts.join(",bucket=")
}

fn lines(text: &str) -> anyhow::Result<BTreeSet<String>> {
    // The first line names the reply.
    Ok(text
        .lines()
        .filter(|line| !line.contains("reply"))
        .map(|line| line.trim().to_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_what_ovs_ofctl_prints() {
        // ovs-ofctl -O OpenFlow15 dump-ports br-int 1
        let text = "OFPST_PORT reply (OF1.5) (xid=0x2): 1 ports\n  port  1: rx pkts=12, bytes=1176, drop=?, errs=?, frame=?, over=?, crc=?\n           tx pkts=7, bytes=686, drop=?, errs=?, coll=?\n           duration=4.231s\n";
        assert_eq!(
            parse_counters(text),
            Some(TunnelCounters {
                rx_packets: 12,
                tx_packets: 7
            })
        );
        assert_eq!(parse_counters("nothing"), None);
    }

    #[test]
    fn a_changed_flow_counts_as_one_added_and_one_removed() {
        let set = |flows: &[&str]| flows.iter().map(|&flow| flow.to_owned()).collect();
        assert_eq!(changed(&set(&["a", "b"]), &set(&["a", "c", "d"])), (2, 1));
    }
}
