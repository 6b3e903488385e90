//! `weft nb`: the northbound database alone, and the parts of it that other commands share.
//!
//! Must not: read or write rows; a database is empty until somebody writes to it.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use weft_ovsdb::{ConnectOptions, Connection, Database, Listening, Passive, Remote, Server};
use weft_schema::nb;

use crate::{arguments::Nb, shutdown};

/// Serves until a signal.
pub(crate) async fn run(arguments: Nb) -> Result<()> {
    let cancel = shutdown::on_signal()?;
    let listeners = listen(&server(), arguments.listen, &cancel).await?;
    cancel.cancelled().await;
    close(listeners).await;
    Ok(())
}

/// A server with an empty `OVN_Northbound`.
pub(crate) fn server() -> Server {
    Server::new(vec![Database::new(nb::database_schema())])
}

/// Opens the listeners. The folder of a unix socket is made when it is missing.
pub(crate) async fn listen(
    server: &Server,
    passives: Vec<Passive>,
    cancel: &CancellationToken,
) -> Result<Vec<Listening>> {
    let mut listeners = Vec::with_capacity(passives.len());
    for passive in passives {
        if let Passive::Unix(path) = &passive
            && let Some(folder) = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
        {
            tokio::fs::create_dir_all(folder).await.with_context(|| {
                format!(
                    "{passive}: {} cannot be made; give a folder that can",
                    folder.display()
                )
            })?;
        }
        listeners.push(server.listen(passive, cancel.clone()).await?);
    }
    Ok(listeners)
}

/// Waits until every client of the listeners is closed; they were cancelled before.
pub(crate) async fn close(listeners: Vec<Listening>) {
    for listening in listeners {
        listening.join().await;
    }
}

/// A connection to a database that is somebody else's.
pub(crate) fn connect(remote: Remote) -> Connection {
    Connection::connect(remote, nb::DATABASE, ConnectOptions::default())
}

/// As [`connect`], for somebody who waits at a prompt: it is told soon that nobody answers.
pub(crate) fn connect_now(remote: Remote) -> Connection {
    let options = ConnectOptions {
        request_timeout: Duration::from_secs(5),
        ..ConnectOptions::default()
    };
    Connection::connect(remote, nb::DATABASE, options)
}
