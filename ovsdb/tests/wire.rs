//! Bad input on a socket: told to whoever sent it, unnoticed by everybody else.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;
use weft_ovsdb::{Connection, Passive};

use crate::harness::{DEADLINE, Served, family};

/// Sends bytes; what comes back until the server closes.
async fn provoke(served: &Served, input: &[u8]) -> String {
    let mut stream = UnixStream::connect(served.directory.path().join("db.sock"))
        .await
        .expect("connects");
    let exchange = async {
        // The server may close before it has read everything.
        let _ = stream.write_all(input).await;
        let mut output = Vec::new();
        let _ = stream.read_to_end(&mut output).await;
        String::from_utf8_lossy(&output).into_owned()
    };
    tokio::time::timeout(DEADLINE, exchange)
        .await
        .expect("the server closes")
}

#[tokio::test]
async fn what_is_no_message_is_answered_with_an_error_and_the_connection_closed() {
    let served = Served::new(family()).await;
    let deep = format!("{{\"method\":{}", "[".repeat(100));
    let many = format!("{{\"params\":[{}", "1,".repeat(3_000_000));
    for input in [
        "x",
        "[]",
        "{\"a\"}",
        "{}",
        "{\"method\":\"\\ud800\"}",
        "{\"method\":1,\"id\":1}",
        &deep,
        &many,
    ] {
        let output = provoke(&served, input.as_bytes()).await;
        let start: String = input.chars().take(30).collect();
        assert!(
            output.contains("\"error\":\"syntax error\""),
            "{start}: {output}"
        );
    }
    let output = provoke(&served, b"{\"method\":\"\xff\xfe\"}").await;
    assert!(output.contains("syntax error"), "{output}");
    Connection::local(&served.server, "Family")
        .schema()
        .await
        .expect("the server goes on");
}

#[tokio::test]
async fn requests_arrive_in_pieces_and_in_heaps() {
    let served = Served::new(family()).await;
    let mut stream = UnixStream::connect(served.directory.path().join("db.sock"))
        .await
        .expect("connects");
    let request =
        br#" {"method":"echo","params":["\"}"],"id":1} {"method":"list_dbs","params":[],"id":2}"#;
    for byte in request {
        stream.write_all(&[*byte]).await.expect("writes");
    }
    let expected = r#"{"id":1,"result":["\"}"],"error":null}{"id":2,"result":["Family","_Server"],"error":null}"#;
    let mut output = vec![0; expected.len()];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut output))
        .await
        .expect("answers")
        .expect("answers");
    assert_eq!(String::from_utf8_lossy(&output), expected);
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        writer
            .write_all(&request.repeat(20_000))
            .await
            .expect("writes")
    };
    let mut output = vec![0; expected.len() * 20_000];
    let read = async { reader.read_exact(&mut output).await.expect("reads") };
    let both = async { tokio::join!(write, read) };
    tokio::time::timeout(DEADLINE, both)
        .await
        .expect("the heap is answered");
    assert!(output == expected.repeat(20_000).into_bytes());
}

#[tokio::test]
async fn a_client_that_reads_nothing_disturbs_nobody() {
    let served = Served::new(family()).await;
    let path = served.directory.path().join("db.sock");
    let mut deaf = UnixStream::connect(&path).await.expect("connects");
    let monitor = br#"{"method":"monitor","params":["Family","m",{"Parent":{}}],"id":1}"#;
    deaf.write_all(monitor).await.expect("writes");
    let connection = crate::harness::connect(served.remote().parse().expect("a remote"), "Family");
    for n in 0..2000 {
        let row = weft_ovsdb::Row::new().with("name", format!("{n} {}", "x".repeat(500)));
        let insert = weft_ovsdb::Operation::Insert {
            table: "Parent".into(),
            uuid: None,
            row,
        };
        tokio::time::timeout(DEADLINE, connection.transact(vec![insert]))
            .await
            .expect("in time")
            .expect("fits");
    }
    drop(deaf);
    connection.schema().await.expect("the server goes on");
}

#[tokio::test]
async fn tcp_serves_as_well_and_a_stale_socket_is_replaced() {
    let served = Served::new(family()).await;
    let passive = "ptcp:0:127.0.0.1".parse().expect("a listener");
    let listening = served
        .server
        .listen(passive, served.cancel.clone())
        .await
        .expect("listens");
    let Passive::Tcp { port, .. } = *listening.address() else {
        panic!("{:?}", listening.address())
    };
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("connects");
    stream
        .write_all(
            br#"{"method":"echo","params":[],"id":null}{"method":"echo","params":[],"id":0}"#,
        )
        .await
        .expect("writes");
    let mut output = [0; 33];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut output))
        .await
        .expect("answers")
        .expect("answers");
    assert_eq!(output.as_slice(), br#"{"id":0,"result":[],"error":null}"#);
    crate::harness::connect(
        format!("tcp:127.0.0.1:{port}").parse().expect("a remote"),
        "Family",
    )
    .schema()
    .await
    .expect("a schema");

    let path = served.directory.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("binds"));
    assert!(path.exists());
    let cancel = CancellationToken::new();
    let listening = served
        .server
        .listen(Passive::Unix(path.clone()), cancel.clone())
        .await
        .expect("replaces it");
    let error = served
        .server
        .listen(Passive::Unix(path.clone()), cancel.clone())
        .await
        .expect_err("in use");
    assert!(error.to_string().contains("stale.sock"), "{error}");
    cancel.cancel();
    listening.join().await;
    assert!(!path.exists(), "a listener takes its socket away");
}
