//! The one nftables table: node ports in, masquerade out, and no tunnel packet but the kernel's own.
//!
//! ```text
//! prerouting   from a port of Open vSwitch (weft*, not weft0)      drop: the userspace datapath has it, the host only a copy
//!              to a local address, node-port range                 DNAT to 169.254.77.2, port kept
//! output       the same, but not to 127.0.0.0/8 or ::1             the same
//! input        UDP 6081 from weft0                                 drop: a pod speaks to a tunnel
//! forward      UDP 6081                                            drop: it would leave with this node's address
//! postrouting  out of anything but weft0, from cluster, join and   masquerade
//!              masquerade addresses to none of them
//! ```
//!
//! *No tunnel packet that no node sent.* A switch takes tunnel packets from addresses of nodes only, which it is told; what the host has to
//! see to is that nobody else sends with this node's address. That is what the host forwards, for it, or another program's rules,
//! may give it the address; so no packet to that port is forwarded, whoever sent it. And a pod's packets to the node itself do not arrive.
//! Packets of local programs cannot be told from the kernel's tunnel packets, which carry the owner of the packet inside: a program in the
//! node's own network namespace counts as the node.
//!
//! The table is replaced as a whole, in one transaction. Connections know their translation and do not notice.
//!
//! Must not: name a service, a pod or a node; touch another table.

use std::{io, net::IpAddr, ops::RangeInclusive, process::Stdio, time::Duration};

use ipnet::IpNet;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};
use weft_schema::service;

use super::INTERFACE;
use crate::Error;

/// What the table has to know.
pub(super) struct Rules<'a> {
    /// Where pods and hosts have their addresses.
    pub own: &'a [IpNet],
    /// The node-port range.
    pub node_ports: &'a RangeInclusive<u16>,
}

/// Makes the table as told, whatever it was.
pub(super) async fn apply(rules: &Rules<'_>) -> Result<(), Error> {
    // Declared first, since deleting what is not there is an error.
    let text = format!(
        "table inet {TABLE}\ndelete table inet {TABLE}\n{}",
        text(rules)
    );
    nft("the packet filter's table", &text).await
}

/// Removes the table, if it is there.
pub(super) async fn remove() -> Result<(), Error> {
    let text = format!("table inet {TABLE}\ndelete table inet {TABLE}\n");
    nft("removal of the packet filter's table", &text).await
}

fn text(rules: &Rules<'_>) -> String {
    let ports = format!("{}-{}", rules.node_ports.start(), rules.node_ports.end());
    let mut to_node_ports = String::new();
    let mut from_this_node = String::new();
    let mut masquerade = String::new();
    let families = [
        (
            "ip",
            "ipv4",
            "127.0.0.0/8",
            IpAddr::V4(service::NODE_PORTS.0),
            IpAddr::V4(service::MASQUERADE.0),
        ),
        (
            "ip6",
            "ipv6",
            "::1",
            IpAddr::V6(service::NODE_PORTS.1),
            IpAddr::V6(service::MASQUERADE.1),
        ),
    ];
    for (family, name, loopback, node_ports, host) in families {
        let local = format!(
            "meta nfproto {name} fib daddr type local meta l4proto {{ tcp, udp, sctp }} th dport {ports} dnat {family} to {node_ports}"
        );
        to_node_ports += &format!("        {local}\n");
        from_this_node += &format!("        {family} daddr != {loopback} {local}\n");
        let own: Vec<String> = rules
            .own
            .iter()
            .filter(|network| network.addr().is_ipv4() == host.is_ipv4())
            .map(ToString::to_string)
            .collect();
        let sources = [own.clone(), vec![host.to_string()]].concat().join(", ");
        let elsewhere = match own.is_empty() {
            true => String::new(),
            false => format!("{family} daddr != {{ {} }} ", own.join(", ")),
        };
        masquerade += &format!("        {family} saddr {{ {sources} }} {elsewhere}masquerade\n");
    }
    format!(
        r#"table inet {TABLE} {{
    chain copies {{
        type filter hook prerouting priority raw; policy accept;
        iifname "weft*" iifname != "{INTERFACE}" drop
    }}
    chain node_ports {{
        type nat hook prerouting priority dstnat; policy accept;
{to_node_ports}    }}
    chain own_node_ports {{
        type nat hook output priority -100; policy accept;
{from_this_node}    }}
    chain tunnel_from_pod {{
        type filter hook input priority filter; policy accept;
        iifname "{INTERFACE}" udp dport {TUNNEL_PORT} drop
    }}
    chain tunnel_forwarded {{
        type filter hook forward priority filter; policy accept;
        udp dport {TUNNEL_PORT} drop
    }}
    chain way_out {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname "{INTERFACE}" return
{masquerade}    }}
}}
"#
    )
}

/// Runs `nft -f`, which carries out all or nothing, in the calling thread's network namespace.
async fn nft(what: &'static str, text: &str) -> Result<(), Error> {
    let failed = |message: String| Error::Firewall { what, message };
    // Distributions put it where a user's search path may not lead.
    let path = std::env::var("PATH").unwrap_or_default();
    let child = Command::new("nft")
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"))
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            failed("there is no program nft; install it with: apt-get install nftables".to_owned())
        }
        _ => failed(format!("nft: {error}")),
    })?;
    let mut stdin = child.stdin.take();
    let run = async {
        if let Some(stdin) = &mut stdin {
            stdin.write_all(text.as_bytes()).await?;
        }
        drop(stdin);
        child.wait_with_output().await
    };
    let output = timeout(PATIENCE, run)
        .await
        .map_err(|_| failed(format!("nft has not ended after {PATIENCE:?}")))?
        .map_err(|error| failed(format!("nft: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).collect();
    Err(failed(format!("nft: {}", said.join(" "))))
}

/// Name of the table.
const TABLE: &str = "weft";
/// Geneve (RFC 8926 §3.3).
const TUNNEL_PORT: u16 = 6081;
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_for(own: &[&str]) -> String {
        let own: Vec<IpNet> = own.iter().map(|network| network.parse().unwrap()).collect();
        text(&Rules {
            own: &own,
            node_ports: &(30000..=32767),
        })
    }

    #[test]
    fn what_leaves_the_cluster_is_masqueraded_in_each_family() {
        let text = rules_for(&["10.128.0.0/14", "fd00::/64", "100.64.0.0/16"]);
        for line in [
            "ip saddr { 10.128.0.0/14, 100.64.0.0/16, 169.254.77.3 } ip daddr != { 10.128.0.0/14, 100.64.0.0/16 } masquerade",
            "ip6 saddr { fd00::/64, fd69:77::3 } ip6 daddr != { fd00::/64 } masquerade",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_family_without_networks_has_no_empty_set() {
        let text = rules_for(&["10.128.0.0/14"]);
        assert!(
            text.contains("ip6 saddr { fd69:77::3 } masquerade"),
            "{text}"
        );
        assert!(!text.contains("{  }"), "{text}");
    }
}
