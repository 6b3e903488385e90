//! Each way in which two can fail to agree has a text of its own, at both ends.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weft_stream::pki::Period;
use weft_stream::{Listener, Passive, Remote, TlsFiles, dial};

use crate::world::{PATIENCE, World, load, meet, node, to};

/// What the two ends say: `None` is that all is well.
async fn check(
    dialling: &TlsFiles,
    name: &str,
    accepting: &TlsFiles,
    says: (Option<&str>, Option<&str>),
) {
    let (dialled, accepted) = meet(to(&load(dialling), name), load(accepting)).await;
    for (end, found, expected) in [
        ("who dials", dialled, says.0),
        ("who accepts", accepted, says.1),
    ] {
        match (&found, expected) {
            (Ok(()), None) => {}
            (Err(text), Some(part)) if text.contains(part) => {}
            _ => panic!("{end}: {found:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_controller_and_the_node_it_dialled_understand_each_other() {
    let world = World::new();
    let controller = world.controller(Period::days(1));
    for name in ["n1", "192.0.2.1", "ip-10-0-0-1.eu.internal"] {
        let node = world.node(name, Period::days(1));
        check(&controller, name, &node, (None, None)).await;
    }
}

#[tokio::test]
async fn a_node_refuses_another_nodes_certificate() {
    let world = World::new();
    let (n1, n2) = (
        world.node("n1", Period::days(1)),
        world.node("n2", Period::days(1)),
    );
    // It may even believe what n1 shows; n1 does not believe it.
    let n2 = TlsFiles {
        ca_certificate: world.controller(Period::days(1)).ca_certificate,
        ..n2
    };
    let says = (Some("n2.pem: it trusts another CA"), Some("no CA in "));
    check(&n2, "n1", &n1, says).await;
}

#[tokio::test]
async fn a_controller_refuses_who_is_not_the_node_it_dialled() {
    let world = World::new();
    let controller = world.controller(Period::days(1));
    let n2 = world.node("n2", Period::days(1));
    let says = (Some("a certificate for n2, not for n1"), Some("refuses"));
    check(&controller, "n1", &n2, says).await;
    // Signed by a CA that is not the nodes'.
    let issued = world.controllers.issue(&node("n1"), Period::days(1));
    let own = world.write(
        "own",
        &issued.expect("issued"),
        world.controllers.certificate(),
    );
    let says = (Some("no CA in "), Some("own.pem: it trusts another CA"));
    check(&controller, "n1", &own, says).await;
    // One that names nobody.
    let subject = weft_stream::pki::Subject::Controller("n1".to_owned());
    let issued = world
        .nodes
        .issue(&subject, Period::days(1))
        .expect("issued");
    let nameless = world.write("nameless", &issued, world.controllers.certificate());
    let says = (Some("for nobody"), Some("refuses"));
    check(&controller, "n1", &nameless, says).await;
}

#[tokio::test]
async fn dates_are_told_at_both_ends() {
    let world = World::new();
    let controller = world.controller(Period::days(1));
    let (past, future) = (Period::days_from_now(-9, -1), Period::days_from_now(1, 9));
    let old = world.node("n1", past);
    let says = (Some("that expired on 20"), Some("which expired on 20"));
    check(&controller, "n1", &old, says).await;
    let new = world.node("n1", future);
    let says = (
        Some("a certificate that is not valid before 20"),
        Some("n1.pem, which is not valid before 20"),
    );
    check(&controller, "n1", &new, says).await;
    let node = world.node("n1", Period::days(1));
    let says = (Some("which expired on 20"), Some("that expired on 20"));
    check(&world.controller(past), "n1", &node, says).await;
    let says = (
        Some("which is not valid before"),
        Some("that is not valid before"),
    );
    check(&world.controller(future), "n1", &node, says).await;
}

#[tokio::test]
async fn a_client_without_files_is_told_how_to_make_them() {
    let remote: Remote = "ssl:127.0.0.1:1".parse().expect("a remote");
    let error = dial(&remote, None, PATIENCE).await.err().expect("no files");
    assert!(error.to_string().contains("weft pki"), "{error}");
    let passive: Passive = "pssl:0".parse().expect("a listener");
    let error = Listener::bind(&passive, None).await.expect_err("no files");
    assert!(error.to_string().contains("weft pki"), "{error}");
}

/// What a dialling end says of a peer that does this.
async fn dialled_by<F: Future<Output = ()>>(
    limit: Duration,
    peer: impl FnOnce(TcpStream) -> F,
) -> String {
    let world = World::new();
    let client = to(&load(&world.controller(Period::days(1))), "n1");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let remote = Remote::Ssl {
        host: "127.0.0.1".to_owned(),
        port,
    };
    let serve = async {
        let (stream, _) = listener.accept().await.expect("it comes");
        peer(stream).await;
    };
    let (dialled, ()) = tokio::join!(dial(&remote, Some(&client), limit), serve);
    dialled.err().expect("that is no TLS").to_string()
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_or_nothing_is_told_apart() {
    let text = dialled_by(PATIENCE, async |mut stream: TcpStream| {
        // An OpenFlow 1.5 hello, which a switch says unasked.
        stream
            .write_all(&[6, 0, 0, 8, 0, 0, 0, 1])
            .await
            .expect("written");
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    assert!(text.contains("speaks no TLS"), "{text}");
    let text = dialled_by(PATIENCE, async |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    assert!(
        text.contains("closed the connection during the TLS handshake"),
        "{text}"
    );
    let text = dialled_by(Duration::from_millis(300), async |mut stream: TcpStream| {
        // Reads, and says nothing until the other end has had enough.
        while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    assert!(
        text.contains("no answer to the TLS handshake within 300ms"),
        "{text}"
    );
}

#[tokio::test]
async fn who_comes_without_tls_or_without_a_certificate_is_told_apart() {
    let world = World::new();
    let tls = load(&world.node("n1", Period::days(1)));
    let local = Passive::Ssl {
        port: 0,
        address: Some([127, 0, 0, 1].into()),
    };
    let listener = Listener::bind(&local, Some(tls)).await.expect("bound");
    let Passive::Ssl { port, .. } = listener.address(&local) else {
        unreachable!("it is what was asked for");
    };
    // What a client of plain OVSDB says first.
    let mut plain = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .expect("it listens");
    plain
        .write_all(br#"{"method":"list_dbs","params":[],"id":0}"#)
        .await
        .expect("written");
    let (incoming, _) = listener.accept().await.expect("it comes");
    let error = incoming
        .finish()
        .await
        .err()
        .expect("that is no TLS")
        .to_string();
    assert!(error.contains("speaks no TLS"), "{error}");
    let anonymous = std::thread::spawn(move || {
        std::process::Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
            .stdin(std::process::Stdio::null())
            .output()
    });
    let (incoming, _) = listener.accept().await.expect("it comes");
    let error = incoming
        .finish()
        .await
        .err()
        .expect("it shows none")
        .to_string();
    assert!(error.contains("shows no certificate"), "{error}");
    let _ended = anonymous.join();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_shakes_hands_is_given_up() {
    let world = World::new();
    let tls = load(&world.node("n1", Period::days(1)));
    let local = Passive::Ssl {
        port: 0,
        address: Some([127, 0, 0, 1].into()),
    };
    let listener = Listener::bind(&local, Some(tls)).await.expect("bound");
    let Passive::Ssl { port, .. } = listener.address(&local) else {
        unreachable!("it is what was asked for");
    };
    let silent = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    let (incoming, _) = listener.accept().await.expect("it comes");
    let error = incoming
        .finish()
        .await
        .err()
        .expect("it says nothing")
        .to_string();
    assert!(error.contains("no TLS handshake within"), "{error}");
    drop(silent);
}
