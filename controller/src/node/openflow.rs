//! The OpenFlow task of a node: dial, pump, back off, around [`Session`].
//!
//! Must not: decide anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use openflow_rs::connection::{Connection, ConnectionError, Remote, Sender, TlsClient};

use super::trouble::Trouble;
use super::{Report, Reporter, sleep_until};
use crate::backoff::Backoff;
use crate::chassis::Facts;
use crate::cluster::Link;
use crate::mailbox::{Delivery, Mailbox};
use crate::nodes::NodeSpec;
use crate::recording::{self, Track};
use crate::session::ledger::Counts;
use crate::session::{Effect, Event, Note, Session, Totals};

/// See the [module](self).
pub(super) struct Task {
    spec: NodeSpec,
    tls: Option<TlsClient>,
    bridge: String,
    session: Session,
    probe: Duration,
    mailbox: Arc<Mailbox<Delivery>>,
    reporter: Reporter,
    backoff: Backoff,
    link: Link,
    progress: (Counts, Counts, Totals),
    trouble: Trouble,
    track: Option<Track>,
    began: Instant,
}

/// What a round of effects means for the connection.
enum Verdict {
    GoOn,
    Close(String),
}

impl Task {
    pub(super) fn new(
        spec: NodeSpec,
        mailbox: Arc<Mailbox<Delivery>>,
        reporter: Reporter,
        track: Option<Track>,
        probe: Duration,
        tls: Option<TlsClient>,
    ) -> Task {
        let now = Instant::now();
        Task {
            spec,
            tls,
            bridge: Facts::default_bridge(),
            session: Session::new(probe, now),
            probe,
            mailbox,
            reporter,
            backoff: Backoff::new(),
            link: Link::Down,
            progress: <(Counts, Counts, Totals)>::default(),
            trouble: Trouble::default(),
            track,
            began: now,
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
        if let Some(track) = &self.track {
            let began = recording::session_began(self.probe);
            track.write(self.began, began, Vec::new()).await;
        }
        let mut queue = VecDeque::new();
        loop {
            while !self.session.is_wanted() {
                let delivery = self.mailbox.take().await;
                self.deliver(delivery, &mut queue).await;
            }
            let remote = self.remote();
            match Connection::connect(&remote, self.tls.as_ref(), DIAL_TIMEOUT).await {
                Ok(connection) => {
                    self.backoff.connected(Instant::now());
                    if self.trouble.is_said() {
                        tracing::debug!(%remote, "switch connected");
                    } else {
                        tracing::info!(%remote, "switch connected");
                    }
                    let reason = self.converse(connection).await;
                    // One that took part is missed; what never did is told as what cannot be reached.
                    if self.link == Link::Up {
                        tracing::warn!(%remote, reason, "switch disconnected; dialling again");
                    } else {
                        self.complain(&reason);
                    }
                    self.handle(Event::Disconnected, &mut queue).await;
                }
                Err(error) => self.complain(&error.to_string()),
            }
            self.link = Link::Down;
            self.reporter.report(Report::Link(Link::Down)).await;
            self.pause().await;
        }
    }

    fn complain(&mut self, error: &str) {
        let remote = self.remote();
        if self.trouble.is_news(error, Instant::now()) {
            tracing::warn!(%remote, %error, "switch is not reachable; trying again");
        } else {
            tracing::debug!(%remote, %error, "switch is not reachable; trying again");
        }
    }

    /// Waits before the next dial; the desired set goes on changing meanwhile.
    async fn pause(&mut self) {
        let until = Instant::now() + self.backoff.failed(Instant::now(), rand::random());
        let mut queue = VecDeque::new();
        loop {
            tokio::select! {
                () = sleep_until(Some(until)) => return,
                delivery = self.mailbox.take() => {
                    let dial = delivery.dial;
                    self.deliver(delivery, &mut queue).await;
                    if dial {
                        self.backoff.reset();
                        return;
                    }
                }
            }
        }
    }

    /// Until the connection ends; returns why.
    async fn converse(&mut self, connection: Connection) -> String {
        let (sender, mut receiver) = connection.split();
        let mut sender = Some(sender);
        let mut writing: Option<BoxFuture<'static, (Sender, Result<(), ConnectionError>)>> = None;
        // Bounded by what a session sends: one bundle and what it asks. A peer that asks for echoes without reading the
        // replies is given up.
        let mut queue: VecDeque<Bytes> = VecDeque::new();
        let mut verdict = self.handle(Event::Connected, &mut queue).await;
        loop {
            if let Verdict::Close(reason) = verdict {
                return reason;
            }
            if queue.len() > QUEUE_MAX {
                return format!(
                    "more than {QUEUE_MAX} messages are waiting for the switch to read them"
                );
            }
            if !queue.is_empty()
                && let Some(sender) = sender.take()
            {
                writing = Some(write(sender, std::mem::take(&mut queue)).boxed());
            }
            let deadline = self.session.deadline();
            verdict = tokio::select! {
                received = receiver.receive() => match received {
                    Ok(Some(received)) => {
                        let xid = received.header.xid;
                        let event = match received.message {
                            Ok(message) => Event::Received { xid, message },
                            Err(error) => Event::Garbled { xid, error: error.to_string() },
                        };
                        self.take_in(event, Some(&received.bytes), &mut queue).await
                    }
                    Ok(None) => return "the switch closed the connection".to_owned(),
                    Err(error) => return error.to_string(),
                },
                (back, outcome) = async { writing.as_mut().expect("guarded").await }, if writing.is_some() => {
                    writing = None;
                    sender = Some(back);
                    match outcome {
                        Ok(()) => Verdict::GoOn,
                        Err(error) => return error.to_string(),
                    }
                }
                delivery = self.mailbox.take() => self.deliver(delivery, &mut queue).await,
                () = sleep_until(deadline) => self.handle(Event::Tick, &mut queue).await,
            };
        }
    }

    async fn deliver(&mut self, delivery: Delivery, queue: &mut VecDeque<Bytes>) -> Verdict {
        if let Some(bridge) = &delivery.bridge {
            self.bridge.clone_from(bridge);
        }
        self.handle(Event::Delivered(delivery), queue).await
    }

    async fn handle(&mut self, event: Event, queue: &mut VecDeque<Bytes>) -> Verdict {
        self.take_in(event, None, queue).await
    }

    /// `said`: the bytes of the message that the event is.
    async fn take_in(
        &mut self,
        event: Event,
        said: Option<&Bytes>,
        queue: &mut VecDeque<Bytes>,
    ) -> Verdict {
        let mut verdict = Verdict::GoOn;
        let now = Instant::now();
        let is_recorded = self.track.is_some();
        let noted = is_recorded.then(|| recording::session_event(&event, said));
        let effects = self.session.handle(event, now);
        if let (Some(track), Some(noted)) = (&self.track, noted) {
            let effects = effects.iter().map(recording::session_effect).collect();
            track.write(now, noted, effects).await;
        }
        let (mut refused, mut acknowledged) = (None, None);
        for effect in effects {
            match effect {
                Effect::Send(bytes) => queue.push_back(bytes),
                Effect::Answer(bytes) => {
                    // Nobody waits for it, and what waits for the switch must not grow by it.
                    if queue.len() < ANSWERS_QUEUED {
                        queue.push_back(bytes);
                    }
                }
                Effect::Close(reason) => verdict = Verdict::Close(reason),
                Effect::Acknowledged(generation) => acknowledged = Some(generation),
                Effect::Refused(refusals) => refused = Some(refusals),
                Effect::Note(note) => log(&note),
            }
        }
        let (flows, groups) = self.session.counts();
        let progress = (flows, groups, self.session.totals());
        if progress != self.progress {
            self.progress = progress;
            self.reporter
                .report(Report::Progress {
                    flows,
                    groups,
                    totals: progress.2,
                })
                .await;
        }
        if self.link == Link::Down && self.session.is_up() {
            self.link = Link::Up;
            self.trouble.end();
            self.reporter.report(Report::Link(Link::Up)).await;
        }
        if let Some(refusals) = refused {
            self.reporter.report(Report::Refused(refusals)).await;
        }
        // After the counts, so that whoever waits for the acknowledgement sees them.
        if let Some(generation) = acknowledged {
            self.reporter.report(Report::Acknowledged(generation)).await;
        }
        verdict
    }

    fn remote(&self) -> Remote {
        self.spec.openflow(&self.bridge)
    }
}

async fn write(
    mut sender: Sender,
    messages: VecDeque<Bytes>,
) -> (Sender, Result<(), ConnectionError>) {
    for message in messages {
        if let Err(error) = sender.feed(message).await {
            return (sender, Err(error));
        }
    }
    let flushed = sender.flush().await;
    (sender, flushed)
}

fn log(note: &Note) {
    match note {
        Note::Read { found, stale } => tracing::info!(found, stale, "switch read"),
        Note::Unreadable => {
            tracing::warn!("the switch holds flows that cannot be decoded; sending everything anew")
        }
        Note::Applied { flows, groups } => tracing::info!(
            flows_put = flows.0,
            flows_removed = flows.1,
            groups_put = groups.0,
            groups_removed = groups.1,
            "bundle acknowledged"
        ),
        Note::OptionsReplaced => {
            tracing::warn!("the switch mapped other tunnel options; they and all flows are cleared")
        }
        Note::StrayError(error) => tracing::debug!(
            error,
            "switch reports an error about nothing that is awaited"
        ),
        Note::Garbled(error) => {
            tracing::debug!(error, "switch sent a message that cannot be decoded")
        }
    }
}

const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
const QUEUE_MAX: usize = 1024;
/// As long as fewer messages wait for a switch to read them, packets that it handed over are answered.
const ANSWERS_QUEUED: usize = 128;
