//! The two tasks of a node: bytes to events, effects to bytes.
//!
//! ```text
//!              ┌ Mailbox<Instructions> ─▶ ovsdb task    (chassis.rs) ◀─▶ ovsdb-server  ┐
//!  main loop ──┤                                                                       ├──▶ reports ──▶ main loop
//!              └ Mailbox<Delivery> ─────▶ openflow task (session.rs) ◀─▶ ovs-vswitchd  ┘    mpsc, bounded
//! ```
//!
//! The main loop never waits for a node: mailboxes coalesce. A node waits for the main loop when the reports are full, and
//! stops reading from its peer meanwhile.
//!
//! Must not: decide anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use weft_compiler::NodeName;
use weft_stream::{PeerName, Tls};

use crate::chassis::{Configuration, Facts};
use crate::cluster::Link;
use crate::mailbox::{Delivery, Instructions, Mailbox};
use crate::nodes::NodeSpec;
use crate::recording::{Recorder, Side};
use crate::session::ledger::Counts;
use crate::session::{Refusal, Totals};

mod openflow;
mod ovsdb;
mod trouble;

/// What a node's tasks tell the main loop.
#[derive(Debug)]
pub(crate) enum Report {
    Facts(Arc<Facts>),
    OvsdbConnected(bool),
    Link(Link),
    Acknowledged(u64),
    /// All that the switch will not take; comes before the acknowledgement of what is left.
    Refused(Vec<Refusal>),
    Progress {
        flows: Counts,
        groups: Counts,
        totals: Totals,
    },
}

/// A report, and whose it is. `incarnation` tells the tasks of a node from those it had under another address.
#[derive(Debug)]
pub(crate) struct Postcard {
    pub(crate) node: NodeName,
    pub(crate) incarnation: u64,
    pub(crate) report: Report,
}

/// How the sessions with all nodes are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    pub(crate) recorder: Option<&'a Recorder>,
    pub(crate) probe: Duration,
    /// For nodes that are dialled over `ssl:`; each has to show a certificate with its name.
    pub(crate) tls: Option<&'a Tls>,
}

/// The running tasks of a node.
#[derive(Debug)]
pub(crate) struct NodeTasks {
    pub(crate) incarnation: u64,
    pub(crate) flows: Arc<Mailbox<Delivery>>,
    pub(crate) instructions: Arc<Mailbox<Instructions>>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl NodeTasks {
    /// Starts both tasks.
    pub(crate) fn start(
        node: &NodeName,
        incarnation: u64,
        spec: &NodeSpec,
        configuration: Configuration,
        reports: mpsc::Sender<Postcard>,
        manner: &Manner<'_>,
    ) -> NodeTasks {
        let Manner {
            recorder,
            probe,
            tls,
        } = *manner;
        // A name that no certificate can bear is refused with the nodes file.
        let name = PeerName::new(node.as_str()).ok();
        let tls = tls.zip(name).map(|(tls, name)| tls.to(name));
        let track = |side| recorder.map(|recorder| recorder.track(node, incarnation, side));
        let cancel = CancellationToken::new();
        let flows = Mailbox::<Delivery>::new();
        let instructions = Mailbox::<Instructions>::new();
        let reporter = Reporter {
            node: node.clone(),
            incarnation,
            reports,
            cancel: cancel.clone(),
        };
        let mut tasks = JoinSet::new();
        let span = tracing::info_span!("ovsdb", %node);
        let chassis = ovsdb::Task::new(
            spec,
            configuration,
            instructions.clone(),
            reporter.clone(),
            track(Side::Ovsdb),
            probe,
            tls.clone(),
        );
        tasks.spawn(chassis.run().instrument(span));
        let span = tracing::info_span!("openflow", %node);
        let track = track(Side::Openflow);
        let session = openflow::Task::new(spec.clone(), flows.clone(), reporter, track, probe, tls);
        tasks.spawn(session.run().instrument(span));
        NodeTasks {
            incarnation,
            flows,
            instructions,
            cancel,
            tasks,
        }
    }

    /// Ends both tasks and waits for them. The flows stay where they are.
    pub(crate) async fn stop(mut self) {
        self.cancel.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a node's task panicked; please report this");
            }
        }
    }
}

/// Sends reports under the node's name.
#[derive(Clone, Debug)]
struct Reporter {
    node: NodeName,
    incarnation: u64,
    /// Full: wait. The main loop takes reports in without waiting for anybody.
    reports: mpsc::Sender<Postcard>,
    cancel: CancellationToken,
}

impl Reporter {
    async fn report(&self, report: Report) {
        let postcard = Postcard {
            node: self.node.clone(),
            incarnation: self.incarnation,
            report,
        };
        tokio::select! {
            () = self.cancel.cancelled() => {}
            // Nobody listens any more: the cancel that follows is on its way.
            _sent = self.reports.send(postcard) => {}
        }
    }
}

/// Sleeps until then, or for ever.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
