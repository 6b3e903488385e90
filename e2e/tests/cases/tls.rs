//! Mutual TLS between controllers and nodes, with real `ovsdb-server` and `ovs-vswitchd`.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use weft_e2e::{
    management::{self, PORT, Transport, set_ssl},
    node::Node,
    probe::{Family, Probe, probe_all},
};
use weft_stream::{
    OPENFLOW_PORT, PeerName, TlsFiles,
    pki::{Directory, Existing, Period},
};

use super::{
    lab::{self, Lab, manifests},
    programs::{Database, Reach, Setting},
};

const SETTING: Setting = Setting::Apart(Database::Weft, Reach::Underlay(Transport::Tls));

pub async fn a_nodes_certificate_opens_no_other_nodes_ovsdb_and_openflow() -> anyhow::Result<()> {
    let yaml = manifests(&[("shop", &[])], &[("shop/a", "n1"), ("shop/b", "n2")]);
    lab::run_as(SETTING, 2, &yaml, async |lab| {
        let pods = lab.pods(["shop/a", "shop/b"]).await?;
        for outcome in probe_all(&pods, &[Probe::Icmp, Probe::Tcp(80)]).await {
            ensure!(outcome.rtt.is_some(), "{outcome:?}");
        }
        lab.expect("SSL_accept: error");
        lab.expect("Protocol error");
        let management = lab.programs.management.as_ref().context("no underlay")?;
        let (n1, n2) = (node(lab, "n1")?, node(lab, "n2")?);
        let nodes_ca = management.directory()?.nodes_ca();
        let folder = nodes_ca.parent().context("a root")?.join("nodes/n2");
        // What somebody has who took n2 over: its key and certificate, and the CA of what n1 shows, so that n1's own is
        // no obstacle.
        let stolen = TlsFiles {
            private_key: folder.join("key-1.pem"),
            certificate: folder.join("cert-1.pem"),
            ca_certificate: nodes_ca,
        };
        // The same call by the same program from the same place: only the certificate differs.
        for (program, arguments) in calls(n1) {
            let attempt = async |files: &TlsFiles| {
                let mut all = flags(files).to_vec();
                all.extend(arguments.clone());
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                n2.run(program, &all).await
            };
            attempt(management.controller_files()?).await?;
            let refused = attempt(&stolen).await;
            ensure!(
                refused.is_err(),
                "{program} was let in with n2's certificate"
            );
        }
        let logged = n1.logs();
        let refusals = logged.matches("certificate verify failed").count();
        ensure!(refusals >= 2, "n1 has not refused both: {logged}");
        Ok(())
    })
    .await
}

pub async fn certificates_and_their_ca_change_under_traffic_and_no_packet_is_lost()
-> anyhow::Result<()> {
    let yaml = manifests(&[("shop", &[])], &[("shop/a", "n1"), ("shop/b", "n2")]);
    lab::run_as(SETTING, 2, &yaml, async |lab| {
        let [a, b] = lab.pods(["shop/a", "shop/b"]).await?;
        let streams = lab::streams(&a, &b)?;
        let management = lab.programs.management.clone().context("no underlay")?;
        let directory = management.directory()?;
        let ours = management.controller_files()?;
        // Newer certificates of the same CAs first; the controller's under the same names, which it notices.
        for node in lab.fabric.nodes() {
            management.renew(node).await?;
        }
        let period = Period::days(30);
        let name = PeerName::new(management::HOST)?;
        directory.controller(&name, period, Existing::Renew)?;
        // Then another CA for the nodes: while they change over, the controller believes both.
        let next = Directory::init(Path::new("/run/weft/next-pki"), period)?;
        let old = fs::read_to_string(directory.nodes_ca())?;
        let new = fs::read_to_string(next.nodes_ca())?;
        fs::write(&ours.ca_certificate, format!("{old}{new}"))?;
        for node in lab.fabric.nodes() {
            let made = next.node(&PeerName::new(node.name())?, period, Existing::Refuse)?;
            let files = TlsFiles {
                ca_certificate: directory.controllers_ca(),
                ..made.files
            };
            set_ssl(node, &files, &[]).await?;
        }
        fs::write(&ours.ca_certificate, new)?;
        lab::nothing_was_lost(streams)
            .await
            .context("while the files changed")?;
        let streams = lab::streams(&a, &b)?;
        // Sessions that are open stay open: have them all opened anew, by the same weft.
        for text in [
            "switch disconnected; dialling again",
            "switch is not reachable; trying again",
            "not connected",
            "database is not reachable; trying again",
        ] {
            lab.expect(text);
        }
        for node in lab.fabric.nodes() {
            let manager = node.vsctl(&["get-manager"]).await?;
            node.vsctl(&["del-controller", "br-int"]).await?;
            node.vsctl(&["del-manager"]).await?;
            node.vsctl(&["set-manager", manager.trim()]).await?;
        }
        lab.await_log(&["certificate files read again"]).await?;
        lab::nothing_was_lost(streams)
            .await
            .context("while sessions were opened anew")?;
        // What is asked for now can only come over sessions with the new certificates.
        lab.write("more", Some(&manifests(&[], &[("shop/c", "n2")])))?;
        let [_, _, c] = lab.pods(["shop/a", "shop/b", "shop/c"]).await?;
        lab::must_reach(&a, &c, Family::Ipv4).await
    })
    .await
}

fn node<'a>(lab: &'a Lab, name: &str) -> anyhow::Result<&'a Node> {
    Ok(lab.fabric.node(name).context("a node")?)
}

/// What a node is asked over OVSDB and over OpenFlow.
fn calls(node: &Node) -> [(&'static str, Vec<String>); 2] {
    let ip = node.encapsulation();
    let (ovsdb, openflow) = (
        format!("ssl:{ip}:{PORT}"),
        format!("ssl:{ip}:{OPENFLOW_PORT}"),
    );
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    [
        ("ovsdb-client", words(&["-t", "5", "list-dbs", &ovsdb])),
        (
            "ovs-ofctl",
            words(&["-t", "5", "-O", "OpenFlow15", "dump-flows", &openflow]),
        ),
    ]
}

fn flags(files: &TlsFiles) -> [String; 3] {
    let flag = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
    [
        flag("private-key", &files.private_key),
        flag("certificate", &files.certificate),
        flag("ca-cert", &files.ca_certificate),
    ]
}
