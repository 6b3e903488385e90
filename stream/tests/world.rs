//! Two CAs as in the field, and two ends with files of their own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_stream::pki::{Authority, Issued, Period, Subject};
use weft_stream::{Listener, Passive, PeerName, Remote, Stream, Tls, TlsClient, TlsFiles, dial};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub directory: TempDir,
    pub controllers: Authority,
    pub nodes: Authority,
}

impl World {
    pub fn new() -> World {
        let period = Period::days(10);
        let authority = |name| Authority::create(name, period).expect("a CA").0;
        World {
            directory: TempDir::new().expect("a directory"),
            controllers: authority("controllers' CA"),
            nodes: authority("nodes' CA"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, issued: &Issued, ca: &str) -> TlsFiles {
        let files = TlsFiles {
            private_key: self.path(&format!("{name}.key")),
            certificate: self.path(&format!("{name}.pem")),
            ca_certificate: self.path(&format!("{name}-ca.pem")),
        };
        write(&files.private_key, issued.private_key.reveal());
        write(&files.certificate, &issued.certificate);
        write(&files.ca_certificate, ca);
        files
    }

    /// A node's files: it believes the controllers' CA.
    pub fn node(&self, name: &str, period: Period) -> TlsFiles {
        let issued = self.nodes.issue(&node(name), period).expect("issued");
        self.write(name, &issued, self.controllers.certificate())
    }

    /// A controller's files: it believes the nodes' CA.
    pub fn controller(&self, period: Period) -> TlsFiles {
        let subject = Subject::Controller("controller".to_owned());
        let issued = self.controllers.issue(&subject, period).expect("issued");
        self.write("controller", &issued, self.nodes.certificate())
    }
}

pub fn node(name: &str) -> Subject {
    Subject::Node(PeerName::new(name).expect("a name"))
}

pub fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
}

pub fn load(files: &TlsFiles) -> Tls {
    Tls::load(files.clone()).expect("good files")
}

pub fn to(tls: &Tls, name: &str) -> TlsClient {
    tls.to(PeerName::new(name).expect("a name"))
}

/// Says a word each way, and what went wrong with each end: who dials first.
pub async fn meet(dialling: TlsClient, accepting: Tls) -> (Result<(), String>, Result<(), String>) {
    let local = Passive::Ssl {
        port: 0,
        address: Some([127, 0, 0, 1].into()),
    };
    let listener = Listener::bind(&local, Some(accepting))
        .await
        .expect("bound");
    let Passive::Ssl { port, .. } = listener.address(&local) else {
        unreachable!("it is what was asked for");
    };
    let host = "127.0.0.1".to_owned();
    let remote = Remote::Ssl { host, port };
    let dials = async {
        let stream = dial(&remote, Some(&dialling), PATIENCE).await;
        say(stream.map_err(|error| error.to_string())?).await
    };
    let accepts = async {
        let (incoming, peer) = listener.accept().await.expect("it comes");
        assert!(peer.starts_with("ssl:127.0.0.1:"), "{peer}");
        say(incoming.finish().await.map_err(|error| error.to_string())?).await
    };
    tokio::join!(dials, accepts)
}

async fn say(mut stream: Box<dyn Stream>) -> Result<(), String> {
    let both = async {
        stream.write_all(b"word").await?;
        stream.flush().await?;
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).await?;
        assert_eq!(&heard, b"word");
        std::io::Result::Ok(())
    };
    both.await.map_err(|error| error.to_string())
}
