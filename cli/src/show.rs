//! `weft show`, `ls-list`, `lr-list`, `lsp-list`: a look at a northbound database, as `ovn-nbctl` prints it.
//!
//! One transaction of selects, so that what is shown was all true at once.
//!
//! Must not: write to the database.

use anyhow::{Context, Result, bail};
use weft_ovsdb::{Connection, Operation, OperationResult, Remote};
use weft_schema::nb::{Shown, show};

use crate::{
    arguments::{Database, LspList, Show},
    nb, terminal,
};

/// `weft show`.
pub(crate) async fn run(arguments: Show) -> Result<()> {
    let mut rows = read(&arguments.database).await?;
    if let Some(only) = arguments.only {
        rows.logical_switches
            .retain(|switch| is_named(&only, &switch.name, switch.uuid));
        rows.logical_routers
            .retain(|router| is_named(&only, &router.name, router.uuid));
        if rows.logical_switches.is_empty() && rows.logical_routers.is_empty() {
            bail!("no switch or router is named {only:?}: weft ls-list and weft lr-list name them");
        }
    }
    Ok(terminal::write_stdout(&show(&rows))?)
}

/// `weft ls-list`.
pub(crate) async fn switches(arguments: Database) -> Result<()> {
    let rows = read(&arguments).await?;
    list(
        rows.logical_switches
            .into_iter()
            .map(|switch| (switch.name, switch.uuid)),
    )
}

/// `weft lr-list`.
pub(crate) async fn routers(arguments: Database) -> Result<()> {
    let rows = read(&arguments).await?;
    list(
        rows.logical_routers
            .into_iter()
            .map(|router| (router.name, router.uuid)),
    )
}

/// `weft lsp-list`.
pub(crate) async fn ports(arguments: LspList) -> Result<()> {
    let rows = read(&arguments.database).await?;
    let mut named = rows
        .logical_switches
        .iter()
        .filter(|row| is_named(&arguments.switch, &row.name, row.uuid));
    let Some(switch) = named.next() else {
        bail!(
            "no switch is named {:?}: weft ls-list names them",
            arguments.switch
        );
    };
    if named.next().is_some() {
        bail!(
            "more than one switch is named {:?}: give the UUID that weft ls-list prints",
            arguments.switch
        );
    }
    let ports = switch
        .ports
        .iter()
        .filter_map(|uuid| rows.logical_switch_ports.get(uuid));
    list(ports.map(|port| (port.name.clone(), port.uuid)))
}

/// The rows that are shown, of this database.
pub(crate) async fn read(database: &Database) -> Result<Shown> {
    let connection = nb::connect_now(database)?;
    with_hint(&database.db, snapshot(&connection).await)
}

/// Says whose answer an error is about.
pub(crate) fn with_hint<T>(remote: &Remote, outcome: Result<T>) -> Result<T> {
    outcome.with_context(|| {
        format!("{remote} (--db): is weft run or an ovsdb-server listening there?")
    })
}

/// The rows that are shown, all of one moment.
pub(crate) async fn snapshot(connection: &Connection) -> Result<Shown> {
    let operations = Shown::TABLES
        .iter()
        .map(|table| Operation::Select {
            table: (*table).into(),
            conditions: vec![],
            columns: None,
        })
        .collect();
    let mut rows = Shown::default();
    for (table, result) in Shown::TABLES
        .iter()
        .zip(connection.transact(operations).await?)
    {
        let OperationResult::Rows(selected) = result else {
            bail!("a select from {table} was answered with something else than rows");
        };
        for (uuid, row) in &selected {
            rows.add(table, *uuid, row)?;
        }
    }
    Ok(rows)
}

/// By name, as ovn-nbctl sorts it.
fn list(rows: impl Iterator<Item = (String, uuid::Uuid)>) -> Result<()> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    let text: String = rows
        .iter()
        .map(|(name, uuid)| format!("{uuid} ({name})\n"))
        .collect();
    Ok(terminal::write_stdout(&text)?)
}

fn is_named(wanted: &str, name: &str, uuid: uuid::Uuid) -> bool {
    wanted == name || wanted.parse() == Ok(uuid)
}
