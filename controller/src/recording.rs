//! Recordings: what happened to every session of a run, and what it did, so that the run can be played again as a test.
//!
//! ```text
//! session tasks ─Track─▶ lines (mpsc, bounded) ─▶ one thread ─▶ FILE          FILE ─▶ replay: same events, same effects?
//! ```
//!
//! A line is one JSON object: which session (`node`, `life`, `side`), nanoseconds since the recording began (`at`), the event, and
//! the effects. OpenFlow messages and flows are their bytes in hexadecimal, rows are OVSDB's JSON (RFC 7047 §5.1).
//!
//! Invariants: a line holds all that its session's state depends on; lines of a session are in order. A recording holds
//! what the nodes' databases and switches hold, and no key or certificate.
//!
//! Must not: change what a session does, or be on unless asked for: it grows without bound.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weft_compiler::NodeName;

use crate::chassis::{self, Configuration};
use crate::mailbox::Delivery;
use crate::session;

pub use replay::{Difference, replay};

mod replay;

/// Writes a recording. It ends when the last [`Track`] is dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    lines: mpsc::Sender<Vec<u8>>,
    started: Instant,
    writer: JoinHandle<io::Result<()>>,
}

impl Recorder {
    /// Begins a recording; a file of the name is overwritten.
    pub(crate) fn create(path: &Path) -> io::Result<Recorder> {
        let mut file = io::BufWriter::new(std::fs::File::create(path)?);
        // Full: the session waits for the disk; a recording with holes could not be played.
        let (lines, mut taken) = mpsc::channel::<Vec<u8>>(LINES);
        let writer = tokio::task::spawn_blocking(move || {
            while let Some(line) = taken.blocking_recv() {
                file.write_all(&line)?;
                // Whoever reads along, or after a crash, finds whole lines.
                if taken.is_empty() {
                    file.flush()?;
                }
            }
            file.flush()
        });
        Ok(Recorder {
            lines,
            started: Instant::now(),
            writer,
        })
    }

    /// The track of one session.
    pub(crate) fn track(&self, node: &NodeName, life: u64, side: Side) -> Track {
        Track {
            node: node.clone(),
            life,
            side,
            lines: self.lines.clone(),
            started: self.started,
        }
    }

    /// Waits until all is written.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.lines);
        self.writer.await.map_err(io::Error::other)?
    }
}

/// Which of a node's two sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ovsdb,
    Openflow,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Ovsdb => "ovsdb",
            Side::Openflow => "openflow",
        }
    }
}

/// One session's part of a recording.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    node: NodeName,
    life: u64,
    side: Side,
    lines: mpsc::Sender<Vec<u8>>,
    started: Instant,
}

impl Track {
    /// One event and its effects.
    pub(crate) async fn write(&self, now: Instant, event: Value, effects: Vec<Value>) {
        let since = now.saturating_duration_since(self.started).as_nanos();
        let (node, life, side) = (&self.node, self.life, self.side.name());
        let line = json!({
            "node": node.as_str(), "life": life, "side": side, "at": u64::try_from(since).unwrap_or(u64::MAX),
            "event": event, "effects": effects,
        });
        let mut bytes = line.to_string().into_bytes();
        bytes.push(b'\n');
        // The writer is gone when the disk is full; that is told at the end, and no reason to stop forwarding.
        let _disk_full = self.lines.send(bytes).await;
    }
}

/// A session of the OVSDB side begins.
pub(crate) fn began(configuration: &Configuration) -> Value {
    let listener = configuration.listener.as_ref();
    json!({"began": {
        "encap_ip": configuration.encap_ip,
        "listener": listener.map(|listener| json!([listener.target, listener.port])),
        // A stage that comes to the pipeline later makes no session of today's answer otherwise.
        "prefix_tables": configuration.prefix_tables,
    }})
}

/// An event of the OVSDB side.
pub(crate) fn chassis_event(event: &chassis::Event) -> Value {
    let rows = |changes: &[weft_ovsdb::RowChange]| -> Vec<Value> {
        let one = |change: &weft_ovsdb::RowChange| {
            json!([&*change.table, change.uuid, change.row.as_deref()])
        };
        changes.iter().map(one).collect()
    };
    match event {
        chassis::Event::Database(weft_ovsdb::Event::Snapshot(changes)) => {
            json!({"snapshot": rows(changes)})
        }
        chassis::Event::Database(weft_ovsdb::Event::Changes(changes)) => {
            json!({"changes": rows(changes)})
        }
        chassis::Event::Database(weft_ovsdb::Event::Disconnected { reason }) => {
            json!({"disconnected": reason})
        }
        chassis::Event::Answers(answers) => {
            let one = |(row, answer): &(uuid::Uuid, Option<chassis::Answer>)| {
                let answer = answer.as_ref().map(|answer| {
                    json!({
                        "port": &*answer.port, "mac": answer.mac, "addresses": answer.addresses,
                        "gateways": answer.gateways, "mtu": answer.mtu, "installed_ms": answer.installed_ms,
                    })
                });
                json!([row, answer])
            };
            json!({"answers": answers.iter().map(one).collect::<Vec<_>>()})
        }
        chassis::Event::Localnets(localnets) => {
            let pairs = localnets.iter();
            let pairs: Vec<_> = pairs
                .map(|(port, network)| json!([&**port, &**network]))
                .collect();
            json!({"localnets": pairs})
        }
        chassis::Event::TransactionEnded(outcome) => json!({"ended": outcome.as_ref().err()}),
        chassis::Event::Tick => json!("tick"),
    }
}

/// An effect of the OVSDB side.
pub(crate) fn chassis_effect(effect: &chassis::Effect) -> Value {
    match effect {
        chassis::Effect::Transact(operations) => {
            let operations: Vec<Value> = operations.iter().map(|one| one.to_json()).collect();
            json!({"transact": operations})
        }
        // For people and for comparing: nothing reads it back.
        chassis::Effect::Facts(facts) => json!({"facts": format!("{facts:?}")}),
        chassis::Effect::Connected(is) => json!({"connected": is}),
        chassis::Effect::Complain(complaint) => json!({"complain": complaint}),
    }
}

/// A session of the OpenFlow side begins.
pub(crate) fn session_began(probe: Duration) -> Value {
    json!({"began": {"probe_ms": u64::try_from(probe.as_millis()).unwrap_or(u64::MAX)}})
}

/// An event of the OpenFlow side; `said`: the message's own bytes, if it is one.
pub(crate) fn session_event(event: &session::Event, said: Option<&Bytes>) -> Value {
    match event {
        session::Event::Connected => json!("connected"),
        session::Event::Disconnected => json!("disconnected"),
        session::Event::Received { .. } | session::Event::Garbled { .. } => {
            json!({"said": hexadecimal(said.map_or(&[], |bytes| bytes))})
        }
        session::Event::Delivered(delivery) => json!({"delivered": delivered(delivery)}),
        session::Event::Tick => json!("tick"),
    }
}

fn delivered(delivery: &Delivery) -> Value {
    let mut puts = Vec::new();
    let mut removals = Vec::new();
    for (key, flow) in &delivery.flows {
        match flow {
            Some(flow) => puts.push(hexadecimal(flow.add())),
            // A key goes as the message that takes it away. One that cannot be encoded was never put.
            None => removals.extend(key.delete_strict().ok().map(|bytes| hexadecimal(&bytes))),
        }
    }
    // The map has no order, and the session none that depends on it.
    puts.sort_unstable();
    removals.sort_unstable();
    let groups = delivery.groups.iter();
    let group = |(id, group): (&u32, &Option<std::sync::Arc<weft_compiler::CompiledGroup>>)| {
        json!([id, group.as_ref().map(|group| hexadecimal(&group.add))])
    };
    // What a meter of a number is, the number says.
    let meters = delivery.meters.iter();
    let meters: Vec<Value> = meters
        .map(|(id, meter)| json!([id, meter.is_some()]))
        .collect();
    json!({
        "flows": puts,
        "gone": removals,
        "groups": groups.map(group).collect::<Vec<_>>(),
        "meters": meters,
        "generation": delivery.generation,
    })
}

/// An effect of the OpenFlow side.
pub(crate) fn session_effect(effect: &session::Effect) -> Value {
    match effect {
        session::Effect::Send(bytes) => json!({"send": hexadecimal(bytes)}),
        session::Effect::Answer(bytes) => json!({"answer": hexadecimal(bytes)}),
        session::Effect::Close(reason) => json!({"close": reason}),
        session::Effect::Acknowledged(generation) => json!({"acknowledged": generation}),
        session::Effect::Refused(refusals) => {
            let one = |refusal: &session::Refusal| json!([refusal.what, refusal.error]);
            json!({"refused": refusals.iter().map(one).collect::<Vec<_>>()})
        }
        session::Effect::Note(note) => json!({"note": format!("{note:?}")}),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        let _never_fails = write!(text, "{byte:02x}");
    }
    text
}

const LINES: usize = 256;

#[cfg(test)]
mod tests;
