//! What can be seen of a running controller: per node, what is connected and how many flows are there and were changed.
//!
//! Published on a watch channel; [`serve`] answers on a unix socket with one line of JSON per connection.
//!
//! Must not: hold anything that grows with the flows.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The controller at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Compilations so far.
    pub generation: u64,
    /// Logical switch ports that a node holds.
    pub ports_bound: usize,
    /// Those whose flows the node has acknowledged.
    pub ports_installed: usize,
    /// Every node of the nodes file.
    pub nodes: BTreeMap<String, NodeStatus>,
}

/// One node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its OVSDB server is connected and read.
    pub ovsdb: bool,
    /// Its switch is connected.
    pub openflow: bool,
    /// The last generation it has acknowledged.
    pub acknowledged: u64,
    /// Flows it should have.
    pub flows_desired: usize,
    /// Flows it has acknowledged or was found to have.
    pub flows_installed: usize,
    /// Flows that its switch refused.
    pub flows_refused: usize,
    /// Whose flows and groups these are, and why, a line for each; at most a hundred.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Groups it has acknowledged or was found to have.
    pub groups_installed: usize,
    /// Flows and groups added, replaced or removed in acknowledged bundles since the controller started.
    pub changes: u64,
    /// Acknowledged bundles since the controller started.
    pub bundles: u64,
    /// How often its switch was read: once per connection, and when somebody else changed flows.
    pub reads: u64,
}

/// Answers every connection to the unix socket `path` with the status, one line of JSON, until `cancel`.
///
/// # Errors
/// If the socket cannot be opened.
pub async fn serve(
    path: &Path,
    status: watch::Receiver<Status>,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    // A socket file outlives the process that was killed.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    loop {
        let mut stream = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "status socket");
                    tokio::task::yield_now().await;
                    continue;
                }
            },
        };
        let mut line = serde_json::to_vec(&*status.borrow()).unwrap_or_default();
        line.push(b'\n');
        // Smaller than a socket's buffer but for thousands of nodes; a reader that stops reading is given up.
        let written =
            tokio::time::timeout(std::time::Duration::from_secs(5), stream.write_all(&line)).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::debug!("a reader of the status went away");
        }
    }
    let _gone_already = std::fs::remove_file(path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn the_socket_answers_with_the_status_of_that_moment() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.sock");
        let (sender, receiver) = watch::channel(Status::default());
        let cancel = CancellationToken::new();
        let server = tokio::spawn({
            let (path, cancel) = (path.clone(), cancel.clone());
            async move { serve(&path, receiver, cancel).await }
        });
        let node = NodeStatus {
            flows_installed: 7,
            ..NodeStatus::default()
        };
        let expected = Status {
            nodes: BTreeMap::from([("n1".to_owned(), node)]),
            ..Status::default()
        };
        sender.send_replace(expected.clone());
        let mut stream = loop {
            match tokio::net::UnixStream::connect(&path).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let mut line = String::new();
        stream.read_to_string(&mut line).await.unwrap();
        assert_eq!(serde_json::from_str::<Status>(&line).unwrap(), expected);
        cancel.cancel();
        server.await.unwrap().unwrap();
        assert!(!path.exists());
    }
}
