//! `weft nb`: the northbound database alone, and the parts of it that other commands share.
//!
//! Must not: read or write rows; a database holds what its file held, and is empty without one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use weft_ovsdb::{
    ConnectOptions, Connection, Database, Listening, Passive, Remote, Server, Stored,
};
use weft_schema::nb;

use crate::{arguments::Nb, shutdown};

/// Serves until a signal.
pub(crate) async fn run(arguments: Nb) -> Result<()> {
    let cancel = shutdown::on_signal()?;
    let server = server(arguments.db).await?;
    let listeners = listen(&server, arguments.listen, &cancel).await?;
    cancel.cancelled().await;
    close(&server, listeners).await;
    Ok(())
}

/// A server with an `OVN_Northbound`, kept in a file if one is given.
pub(crate) async fn server(file: Option<PathBuf>) -> Result<Server> {
    let Some(file) = file else {
        return Ok(Server::new(vec![Database::new(nb::database_schema())]));
    };
    if let Some(folder) = file.parent() {
        make_folder(folder, &file.display().to_string()).await?;
    }
    let opened = tokio::task::spawn_blocking(move || Stored::open(&file, nb::database_schema()));
    Ok(Server::stored(opened.await??)?)
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
            && let Some(folder) = path.parent()
        {
            make_folder(folder, &passive.to_string()).await?;
        }
        listeners.push(server.listen(passive, cancel.clone()).await?);
    }
    Ok(listeners)
}

async fn make_folder(folder: &Path, needed_by: &str) -> Result<()> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    tokio::fs::create_dir_all(folder).await.with_context(|| {
        format!(
            "{needed_by}: {} cannot be made; give a folder that can",
            folder.display()
        )
    })
}

/// Waits until every client of the listeners is closed, which were cancelled before, and all is written.
pub(crate) async fn close(server: &Server, listeners: Vec<Listening>) {
    for listening in listeners {
        listening.join().await;
    }
    server.close().await;
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
