//! Mutual TLS with a real switch, whoever of the two dials, in both versions of TLS.

use std::path::Path;

use openflow_rs::Message;
use openflow_rs::connection::{Connection, Remote};
use weft_stream::pki::{Directory, Existing, Period};
use weft_stream::{Listener, Passive, PeerName, Tls, TlsFiles};

use crate::harness::{Switch, TIMEOUT};

/// TLS 1.2, and what Open vSwitch speaks unless told: 1.3.
const VERSIONS: [&[&str]; 2] = [&["--ssl-protocols=TLSv1.2"], &[]];

struct World {
    /// Holds the files.
    _folder: tempfile::TempDir,
    node: TlsFiles,
    controller: TlsFiles,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let period = Period::days(30);
        let directory = Directory::init(&folder.path().join("pki"), period).expect("CAs");
        let node = directory.node(&name("n1"), period, Existing::Refuse);
        let controller = directory.controller(&name("c"), period, Existing::Refuse);
        World {
            node: node.expect("a certificate").files,
            controller: controller.expect("a certificate").files,
            _folder: folder,
        }
    }

    fn controller(&self) -> Tls {
        Tls::load(self.controller.clone()).expect("good files")
    }
}

/// What `ovs-vswitchd` is told.
fn options(files: &TlsFiles, version: &[&str]) -> Vec<String> {
    let flag = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
    let mut options = vec![
        flag("private-key", &files.private_key),
        flag("certificate", &files.certificate),
        flag("ca-cert", &files.ca_certificate),
    ];
    options.extend(version.iter().map(ToString::to_string));
    options
}

fn name(text: &str) -> PeerName {
    PeerName::new(text).expect("a name")
}

/// It answers, so it has taken us for a controller.
async fn answers(mut connection: Connection) {
    let request = connection.send(7, &Message::FeaturesRequest);
    request.await.expect("sent");
    loop {
        let received = tokio::time::timeout(TIMEOUT, connection.receive()).await;
        let received = received.expect("in time").expect("a whole message");
        let received = received.expect("the connection stays");
        if let (7, Ok(Message::FeaturesReply(features))) = (received.header.xid, received.message) {
            assert_ne!(features.datapath_id, 0);
            return;
        }
    }
}

#[tokio::test]
async fn a_switch_that_listens_with_tls_is_commanded_and_has_to_be_the_one_that_was_dialled() {
    for version in VERSIONS {
        let world = World::new();
        let switch = Switch::start_with(&options(&world.node, version));
        // A loopback address of its own, so that the port is free.
        let [_, b, c, d] = std::process::id().to_be_bytes();
        let host = format!("127.{}.{c}.{d}", b | 64);
        let listen = format!("pssl:6653:{host}");
        switch.vsctl(&["set-controller", "br0", &listen]);
        let remote = Remote::Ssl { host, port: 6653 };
        let tls = world.controller().to(name("n1"));
        let connection = loop {
            match Connection::connect(&remote, Some(&tls), TIMEOUT).await {
                Ok(connection) => break connection,
                // ovs-vsctl has been told that it is configured, and it begins to listen.
                Err(error) if error.to_string().contains("refused") => {}
                Err(error) => panic!("{version:?}: {error}"),
            }
        };
        answers(connection).await;
        let other = world.controller().to(name("n2"));
        let error = Connection::connect(&remote, Some(&other), TIMEOUT).await;
        let error = error.expect_err("it is n1").to_string();
        assert!(error.contains("for n1, not for n2"), "{error}");
        // That the other left is seen while reading or while writing.
        switch.audit(&[
            "SSL_accept",
            "|rconn|",
            "|stream_ssl|",
            "|vconn|",
            "|vconn_stream|",
        ]);
    }
}

#[tokio::test]
async fn a_switch_that_dials_us_with_tls_is_commanded_if_its_ca_is_the_nodes() {
    for version in VERSIONS {
        let world = World::new();
        // One whose certificate the nodes' CA has not signed.
        let stranger = World::new();
        let of_stranger = TlsFiles {
            ca_certificate: world.node.ca_certificate.clone(),
            ..stranger.node.clone()
        };
        for (files, is_taken) in [(&world.node, true), (&of_stranger, false)] {
            let local: Passive = "pssl:0:127.0.0.1".parse().expect("a listener");
            let listener = Listener::bind(&local, Some(world.controller())).await;
            let listener = listener.expect("bound");
            let Passive::Ssl { port, .. } = listener.address(&local) else {
                unreachable!("it is what was asked for")
            };
            let switch = Switch::start_with(&options(files, version));
            let target = format!("ssl:127.0.0.1:{port}");
            switch.vsctl(&["set-controller", "br0", &target]);
            let accepted = tokio::time::timeout(TIMEOUT, listener.accept()).await;
            let (incoming, peer) = accepted.expect("in time").expect("it comes");
            match incoming.finish().await {
                Ok(stream) if is_taken => {
                    let connection = Connection::over(stream, &peer, TIMEOUT).await;
                    answers(connection.expect("OpenFlow 1.5")).await;
                }
                Err(error) if !is_taken => {
                    assert!(error.to_string().contains("no CA in "), "{error}");
                }
                other => panic!("{version:?}: {:?}", other.err()),
            }
        }
    }
}
