//! The OVSDB task of a node: a connection, its monitor, and one transaction at a time, around [`Chassis`].
//!
//! Must not: decide anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use weft_ovsdb::{ConnectOptions, Connection, Monitor, Remote, TlsClient};

use super::{Report, Reporter, sleep_until};
use crate::backoff::Backoff;
use crate::chassis::{Chassis, Configuration, Effect, Event};
use crate::mailbox::{Instructions, Mailbox};
use crate::nodes::NodeSpec;
use crate::recording::{self, Track};

/// See the [module](self).
pub(super) struct Task {
    remote: Remote,
    tls: Option<TlsClient>,
    chassis: Chassis,
    instructions: Arc<Mailbox<Instructions>>,
    reporter: Reporter,
    complaint: Option<String>,
    probe: Duration,
    track: Option<Track>,
    /// How the session began, for the track; written once.
    began: Option<Value>,
}

impl Task {
    pub(super) fn new(
        spec: &NodeSpec,
        configuration: Configuration,
        instructions: Arc<Mailbox<Instructions>>,
        reporter: Reporter,
        track: Option<Track>,
        probe: Duration,
        tls: Option<TlsClient>,
    ) -> Task {
        Task {
            remote: spec.ovsdb.clone(),
            tls,
            began: Some(recording::began(&configuration)),
            track,
            probe,
            chassis: Chassis::new(configuration),
            instructions,
            reporter,
            complaint: None,
        }
    }

    pub(super) async fn run(mut self) {
        let cancel = self.reporter.cancel.clone();
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.serve() => {}
        }
    }

    async fn serve(&mut self) {
        let options = ConnectOptions {
            inactivity_probe: self.probe,
            replica_bytes_max: Some(ROWS_MAX),
            tls: self.tls.clone(),
            ..ConnectOptions::default()
        };
        let connection = Connection::connect(self.remote.clone(), DATABASE, options);
        let mut backoff = Backoff::new();
        if let (Some(track), Some(began)) = (&self.track, self.began.take()) {
            track.write(Instant::now(), began, Vec::new()).await;
        }
        loop {
            match connection.monitor(Chassis::monitored()).await {
                Ok(monitor) => {
                    backoff.connected(Instant::now());
                    self.watch(&connection, monitor).await;
                }
                // The connection has said so itself.
                Err(error @ weft_ovsdb::Error::Timeout { .. }) => {
                    tracing::debug!(%error, "node's database is awaited")
                }
                Err(error) => self.complain(&error.to_string()),
            }
            tokio::time::sleep(backoff.failed(Instant::now(), rand::random())).await;
        }
    }

    /// Until the monitor ends, which a lost connection does not do.
    async fn watch(&mut self, connection: &Connection, mut monitor: Monitor) {
        let mut transaction: Option<BoxFuture<'static, Result<(), String>>> = None;
        loop {
            let deadline = self.chassis.deadline();
            let events = tokio::select! {
                spoken = monitor.next() => match spoken {
                    Some(event) => {
                        self.log(&event);
                        vec![Event::Database(event)]
                    }
                    None => return,
                },
                outcome = async { transaction.as_mut().expect("guarded").await }, if transaction.is_some() => {
                    transaction = None;
                    vec![Event::TransactionEnded(outcome)]
                }
                instructions = self.instructions.take() => {
                    let answers = (!instructions.answers.is_empty())
                        .then(|| Event::Answers(instructions.answers.into_iter().collect()));
                    let localnets = instructions.localnets.map(Event::Localnets);
                    localnets.into_iter().chain(answers).collect()
                }
                () = sleep_until(deadline) => vec![Event::Tick],
            };
            for event in events {
                for effect in self.handle(event).await {
                    match effect {
                        Effect::Transact(operations) => {
                            let connection = connection.clone();
                            let outcome = async move {
                                connection
                                    .transact(operations)
                                    .await
                                    .map(drop)
                                    .map_err(|error| error.to_string())
                            };
                            transaction = Some(outcome.boxed());
                        }
                        Effect::Facts(facts) => self.reporter.report(Report::Facts(facts)).await,
                        Effect::Connected(is) => {
                            self.reporter.report(Report::OvsdbConnected(is)).await;
                        }
                        Effect::Complain(complaint) => tracing::warn!("{complaint}"),
                    }
                }
            }
        }
    }

    /// Has the state machine take an event in, and both written down if there is a recording.
    async fn handle(&mut self, event: Event) -> Vec<Effect> {
        let now = Instant::now();
        let is_recorded = self.track.is_some();
        let noted = is_recorded.then(|| recording::chassis_event(&event));
        let effects = self.chassis.handle(event, now);
        if let (Some(track), Some(noted)) = (&self.track, noted) {
            let effects = effects.iter().map(recording::chassis_effect).collect();
            track.write(now, noted, effects).await;
        }
        effects
    }

    fn log(&mut self, event: &weft_ovsdb::Event) {
        match event {
            weft_ovsdb::Event::Snapshot(rows) => {
                tracing::info!(remote = %self.remote, rows = rows.len(), "node's database read");
                self.complaint = None;
            }
            weft_ovsdb::Event::Changes(_) => {}
            // The connection has said so itself.
            weft_ovsdb::Event::Disconnected { reason } => {
                tracing::debug!(reason, "node's database is away")
            }
        }
    }

    /// Said once, however often it is tried.
    fn complain(&mut self, reason: &str) {
        if self.complaint.as_deref() != Some(reason) {
            tracing::warn!(remote = %self.remote, reason, "node's database cannot be followed; trying again");
            self.complaint = Some(reason.to_owned());
        }
    }
}

/// A row of an interface is some 500 bytes: more ports than a switch can number, and little enough for a thousand nodes of
/// which a few have gone mad.
const ROWS_MAX: usize = 64 << 20;
const DATABASE: &str = "Open_vSwitch";
