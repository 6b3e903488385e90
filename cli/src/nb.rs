//! `weft nb`: the northbound database alone, and the parts of it that other commands share.
//!
//! Must not: read or write rows; a database holds what its file held, and is empty without one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use weft_ovsdb::{
    ConnectOptions, Connection, Database, ListenOptions, Listening, Passive, Remote, Server,
    Stored, Tls,
};
use weft_schema::nb;

use crate::{
    arguments::{self, Certificates, Nb},
    certificates, shutdown,
};

/// Serves until a signal.
pub(crate) async fn run(arguments: Nb) -> Result<()> {
    let cancel = shutdown::on_signal()?;
    let server = server(arguments.db).await?;
    let tls = certificates::northbound(&arguments.certificates)?;
    let listeners = listen(&server, arguments.listen, tls, &cancel).await?;
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
    tls: Option<Tls>,
    cancel: &CancellationToken,
) -> Result<Vec<Listening>> {
    let mut listeners = Vec::with_capacity(passives.len());
    for passive in passives {
        if let Passive::Unix(path) = &passive
            && let Some(folder) = path.parent()
        {
            make_folder(folder, &passive.to_string()).await?;
        }
        let options = ListenOptions {
            tls: tls.clone(),
            ..ListenOptions::default()
        };
        let listening = server.listen_with(passive, options, cancel.clone());
        listeners.push(listening.await?);
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
pub(crate) fn connect(remote: Remote, certificates: &Certificates) -> Result<Connection> {
    let options = ConnectOptions {
        // Whoever the controllers' CA has signed may be the database.
        tls: certificates::northbound(certificates)?.map(|tls| tls.to_anyone()),
        ..ConnectOptions::default()
    };
    Ok(Connection::connect(remote, nb::DATABASE, options))
}

/// As [`connect`], for somebody who waits at a prompt: it is told soon that nobody answers.
pub(crate) fn connect_now(database: &arguments::Database) -> Result<Connection> {
    let options = ConnectOptions {
        request_timeout: Duration::from_secs(5),
        tls: certificates::northbound(&database.certificates)?.map(|tls| tls.to_anyone()),
        ..ConnectOptions::default()
    };
    let remote = database.db.clone();
    Ok(Connection::connect(remote, nb::DATABASE, options))
}
