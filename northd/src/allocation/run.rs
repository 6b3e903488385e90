//! The task that hands out what rows written by hand ask for.
//!
//! Wakes up for the database alone; works out what is missing, and submits it as one transaction. A write that is refused, or a
//! database that goes away, is tried again.
//!
//! Must not: decide what is handed out.

use std::collections::BTreeSet;
use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use weft_ovsdb::{Connection, Monitor};

use super::Allocation;

/// The database's connection was closed for good.
#[derive(Clone, Copy, Debug, Error)]
#[error("northbound database: the connection was closed")]
pub struct Closed;

/// Hands out `dynamic` addresses and tags in a northbound database until cancelled. A database that is not there, or is another, is awaited.
///
/// # Errors
/// When the database's connection is closed for good.
pub async fn run(nb: Connection, cancel: CancellationToken) -> Result<(), Closed> {
    let work = async {
        loop {
            match nb.monitor(Allocation::monitored()).await {
                Ok(monitor) => return serve(&nb, monitor).await,
                // The controller needs the same database, and says what is wrong with it.
                Err(error) => debug!(%error, "northbound database is awaited"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = cancel.cancelled() => Ok(()),
        outcome = work => outcome,
    }
}

async fn serve(nb: &Connection, mut monitor: Monitor) -> Result<(), Closed> {
    let mut allocation = Allocation::default();
    let mut said = BTreeSet::new();
    let mut is_refused = false;
    loop {
        let pause = async {
            match is_refused {
                true => tokio::time::sleep(PAUSE).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            event = monitor.next() => allocation.observe(event.ok_or(Closed)?),
            () = pause => {}
        }
        let plan = allocation.plan();
        for complaint in plan.complaints.difference(&said) {
            warn!("{complaint}");
        }
        said = plan.complaints;
        is_refused = false;
        if plan.operations.is_empty() {
            continue;
        }
        let count = plan.operations.len();
        match nb.transact(plan.operations).await {
            Ok(_) => info!(ports = count, "addresses and tags handed out"),
            Err(error) => {
                warn!(%error, "addresses and tags not written; trying again");
                is_refused = true;
            }
        }
    }
}

/// After a write, or a monitor, that was refused.
const PAUSE: Duration = Duration::from_secs(2);
