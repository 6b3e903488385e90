//! The OpenFlow side of one node: what the switch holds is made what it should hold, and stays that.
//!
//! ```text
//! Connected ─▶ features ─▶ option map ─▶ read flows, groups, meters ─▶ Ready ◀─────────────┐
//!                                               ▲                          │ something differs │ barrier reply:
//!                                               └────── time to look ──────┤                   │ acknowledged
//!                                                                          ▼                   │
//!                             meters │ bundle: open, groups, flows, group deletions, commit │ meter deletions, barrier
//! ```
//!
//! A pure state machine: [`Session::handle`] takes an event and the time and returns effects. Its events are bytes decoded, time passed
//! and desired sets changed, so that a run can be written down and played again.
//!
//! Invariants:
//! - One bundle is in flight; what changes meanwhile goes into the next, once per key.
//! - A bundle is atomic: no packet sees half of it. Groups come before the flows that use them and go after them, since
//!   deleting a group takes the flows that use it along. Bundles hold no meters: these are put before a bundle, and deleted once no
//!   flow that uses them is left.
//! - A packet that the switch hands over is answered at once or not at all: nothing waits for it, and too many are not answered.
//! - Nothing is sent to a switch that has not been read since it connected, nor before the desired set is known.
//! - What the switch refuses is reported by name and left out for this node; everything else still applies. It is tried again, ever
//!   more rarely.
//!
//! Must not: do IO, read the clock, know other nodes.

use std::borrow::Borrow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openflow_rs::{EncodedKey, ErrorMessage, Message};
use weft_compiler::{CompiledFlow, CompiledGroup, CompiledMeter};

use crate::mailbox::Delivery;
use crate::punt::Punts;

use bundle::{Bundle, Plan, Start};
use ledger::{ByKey, Change, Counts, Keyed, Ledger};
use reading::Reading;
use refusals::Refusals;

mod bundle;
mod disturbance;
mod group;
pub mod ledger;
mod options;
mod reading;
mod refusals;
mod request;

/// What happens to a session.
#[derive(Debug)]
pub enum Event {
    /// The switch is connected and speaks OpenFlow 1.5.
    Connected,
    /// It said something.
    Received {
        /// The transaction ID it answers, or its own.
        xid: u32,
        /// What it said.
        message: Message,
    },
    /// It said something that cannot be decoded.
    Garbled {
        /// The transaction ID it answers, or its own.
        xid: u32,
        /// What is wrong with it.
        error: String,
    },
    /// The connection is gone.
    Disconnected,
    /// What should be there changed.
    Delivered(Delivery),
    /// [`Session::deadline`] has come.
    Tick,
}

/// What a session wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send these bytes: whole messages, in order.
    Send(Bytes),
    /// Send this packet-out too, unless the switch is behind in reading.
    Answer(Bytes),
    /// Give the connection up and dial again after a while.
    Close(String),
    /// The switch has what this generation asks for.
    Acknowledged(u64),
    /// What the switch will not take now: all of it, told when it is not what was told last. It goes without on this node.
    Refused(Vec<Refusal>),
    /// Something for the log.
    Note(Note),
}

/// What a switch refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Which flow or group.
    pub key: RefusedKey,
    /// The flow or group as `ovs-ofctl` writes it; a flow's cookie leads to its logical flow.
    pub what: String,
    /// The error's name.
    pub error: String,
}

/// Identifies what a switch refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusedKey {
    /// A flow.
    Flow(EncodedKey),
    /// A group, by number.
    Group(u32),
}

/// For the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The switch was read: `found` flows and groups, of which `stale` are not as they should be.
    Read {
        /// Flows and groups on the switch.
        found: usize,
        /// Those that nobody wants, or wants otherwise.
        stale: usize,
    },
    /// The switch holds something that cannot be decoded: everything is deleted and sent again, in one bundle.
    Unreadable,
    /// A bundle was acknowledged.
    Applied {
        /// Flows added or replaced, and removed.
        flows: (usize, usize),
        /// Groups added or replaced, and removed.
        groups: (usize, usize),
    },
    /// The option map held something else, which was cleared together with all flows.
    OptionsReplaced,
    /// An error about nothing that was asked.
    StrayError(String),
    /// A message that cannot be decoded and that nothing depends on.
    Garbled(String),
}

/// The session; see the [module](self).
#[derive(Debug)]
pub struct Session {
    flows: Ledger<CompiledFlow>,
    groups: Ledger<CompiledGroup>,
    meters: Ledger<CompiledMeter>,
    punts: Punts,
    /// The generation that the desired sets make complete.
    wanted: Option<u64>,
    acknowledged: u64,
    phase: Phase,
    /// A silent switch is asked for an echo after this long.
    probe: Duration,
    next_xid: u32,
    next_bundle: u32,
    heard: Instant,
    echo_asked: bool,
    read_at: Instant,
    /// Since it connected.
    has_been_read: bool,
    /// When the switch last did what it was asked for.
    answered: Instant,
    /// Somebody else changed flows since they were read.
    disturbed: bool,
    start: Start,
    refusals: Refusals,
    totals: Totals,
}

/// What a session has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Acknowledged bundles.
    pub bundles: u64,
    /// Flows and groups in them.
    pub changes: u64,
    /// How often the switch was read.
    pub reads: u64,
}

#[derive(Debug)]
enum Phase {
    Disconnected,
    Features {
        xid: u32,
    },
    Options {
        xid: u32,
    },
    OptionsChanged {
        barrier: u32,
    },
    Reading(Reading),
    Ready,
    InFlight(Bundle),
    /// Given up; the edge closes the connection.
    Closed,
}

impl Session {
    /// A session that is not connected.
    #[must_use]
    pub fn new(probe: Duration, now: Instant) -> Session {
        Session {
            probe,
            flows: Ledger::default(),
            groups: Ledger::default(),
            meters: Ledger::default(),
            punts: Punts::new(now),
            wanted: None,
            acknowledged: 0,
            phase: Phase::Disconnected,
            next_xid: 1,
            next_bundle: 1,
            heard: now,
            echo_asked: false,
            read_at: now,
            has_been_read: false,
            answered: now,
            disturbed: false,
            start: Start::Known,
            refusals: Refusals::default(),
            totals: Totals::default(),
        }
    }

    /// Takes one event in and says what to do.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Connected => self.connected(now, &mut effects),
            Event::Disconnected => self.phase = Phase::Disconnected,
            Event::Delivered(delivery) => self.delivered(delivery),
            Event::Received { xid, message } => {
                self.heard = now;
                self.echo_asked = false;
                self.received(xid, message, now, &mut effects);
            }
            Event::Garbled { xid, error } => {
                self.heard = now;
                self.echo_asked = false;
                self.garbled(xid, error, &mut effects);
            }
            Event::Tick => {}
        }
        self.keep_alive(now, &mut effects);
        self.advance(now, &mut effects);
        effects
    }

    /// When to deliver [`Event::Tick`] if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Disconnected | Phase::Closed => None,
            phase => {
                let silence = self.heard
                    + if self.echo_asked {
                        self.given_up_after()
                    } else {
                        self.probe
                    };
                // Chatter is no answer.
                let overdue = self
                    .is_asked()
                    .then(|| self.answered + self.given_up_after());
                let silence = overdue.map_or(silence, |overdue| overdue.min(silence));
                let recheck = matches!(phase, Phase::Ready).then(|| {
                    let again = self.read_again_at();
                    let retry = self.refusals.retry_at();
                    retry.map_or(again, |retry| retry.min(again))
                });
                Some(recheck.map_or(silence, |recheck| recheck.min(silence)))
            }
        }
    }

    /// Whether the desired set is known, so that it is worth dialling.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether the switch has answered all there was to ask: it takes part. One that is connected and says nothing does not.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::InFlight(_))
            || matches!(self.phase, Phase::Reading(_)) && self.has_been_read
    }

    /// Sizes of the flow and the group ledger.
    #[must_use]
    pub fn counts(&self) -> (Counts, Counts) {
        (self.flows.counts(), self.groups.counts())
    }

    /// What was done so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The last generation that was acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn connected(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.heard = now;
        self.echo_asked = false;
        self.has_been_read = false;
        self.answered = now;
        self.flows.forgive();
        self.groups.forgive();
        self.meters.forgive();
        self.refusals.forgive();
        let xid = self.take_xid();
        effects.push(Effect::Send(request::features(xid)));
        // Without this a connection that the switch accepted gets no asynchronous message.
        effects.push(Effect::Send(request::set_config(self.take_xid())));
        effects.push(Effect::Send(disturbance::watch_groups(self.take_xid())));
        effects.push(Effect::Send(request::packet_in_format(self.take_xid())));
        self.phase = Phase::Features { xid };
    }

    fn delivered(&mut self, delivery: Delivery) {
        for (key, flow) in delivery.flows {
            self.flows.want(&key, flow);
        }
        for (id, group) in delivery.groups {
            self.groups.want(&id, group);
        }
        for (id, meter) in delivery.meters {
            self.meters.want(&id, meter);
        }
        self.wanted = delivery.generation.or(self.wanted);
    }

    fn received(&mut self, xid: u32, message: Message, now: Instant, effects: &mut Vec<Effect>) {
        match message {
            Message::EchoRequest(data) => {
                effects.push(Effect::Send(request::echo_reply(xid, data)))
            }
            Message::Error(error) => self.failed(xid, &error, effects),
            Message::FeaturesReply(_) => {
                if matches!(self.phase, Phase::Features { xid: asked } if asked == xid) {
                    self.answered = now;
                    let xid = self.take_xid();
                    effects.push(Effect::Send(request::option_map(xid)));
                    self.phase = Phase::Options { xid };
                }
            }
            Message::TlvTableReply(reply) => {
                if matches!(self.phase, Phase::Options { xid: asked } if asked == xid) {
                    self.answered = now;
                    self.map_options(&reply, now, effects);
                }
            }
            Message::MultipartReply(reply) => {
                if let Some(disturbed) = disturbance::tells(&reply.body) {
                    self.disturbed |= disturbed;
                } else if let Phase::Reading(reading) = &mut self.phase {
                    self.answered = now;
                    let ledgers = (&mut self.flows, &mut self.groups, &mut self.meters);
                    reading.take_in(xid, reply, ledgers);
                    if reading.is_done() {
                        effects.push(Effect::Note(reading.note()));
                        self.totals.reads += 1;
                        self.has_been_read = true;
                        self.phase = Phase::Ready;
                    }
                }
            }
            Message::BundleControl(control) => {
                if let Phase::InFlight(bundle) = &mut self.phase {
                    bundle.control(xid, control);
                }
            }
            Message::BarrierReply => self.barrier(xid, effects),
            Message::PacketIn2(packet) => {
                // 0 is what a switch uses for its own messages: an error about an answer is about nothing that is awaited.
                if let Some(answer) = self.punts.answer(&packet, 0, now) {
                    effects.push(Effect::Answer(answer));
                }
            }
            other => self.disturbed |= disturbance::is_forwarded_request(&other),
        }
    }

    fn garbled(&mut self, xid: u32, error: String, effects: &mut Vec<Effect>) {
        if let Phase::Reading(reading) = &mut self.phase {
            reading.spoil(xid);
            if reading.is_broken {
                effects.push(Effect::Note(reading.note()));
                self.start_over();
                self.phase = Phase::Ready;
                return;
            }
        }
        effects.push(Effect::Note(Note::Garbled(error)));
    }

    /// The next bundle takes nothing that the switch has for granted.
    fn start_over(&mut self) {
        self.flows.begin_reading();
        self.groups.begin_reading();
        self.meters.begin_reading();
        self.start = Start::Blank;
    }

    fn map_options(
        &mut self,
        reply: &openflow_rs::TlvTableReply,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        match options::compare(&reply.mappings) {
            options::Verdict::Good => self.watch_and_read(now, effects),
            verdict => {
                if verdict == options::Verdict::Conflict {
                    effects.push(Effect::Note(Note::OptionsReplaced));
                    effects.push(Effect::Send(request::delete_all_flows(self.take_xid())));
                    effects.push(Effect::Send(options::clear(self.take_xid())));
                }
                effects.push(Effect::Send(options::add(self.take_xid())));
                let barrier = self.take_xid();
                effects.push(Effect::Send(request::barrier(barrier)));
                self.phase = Phase::OptionsChanged { barrier };
            }
        }
    }

    /// In this order: what changes between the two is told.
    fn watch_and_read(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        effects.push(Effect::Send(disturbance::watch(self.take_xid())));
        self.read(now, effects);
    }

    fn read(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.read_at = now;
        self.disturbed = false;
        self.start = Start::Known;
        self.flows.begin_reading();
        self.groups.begin_reading();
        self.meters.begin_reading();
        let (flows, groups, meters) = (self.take_xid(), self.take_xid(), self.take_xid());
        effects.push(Effect::Send(request::read_flows(flows)));
        effects.push(Effect::Send(request::read_groups(groups)));
        effects.push(Effect::Send(request::read_meters(meters)));
        self.phase = Phase::Reading(Reading::new(flows, groups, meters));
    }

    fn barrier(&mut self, xid: u32, effects: &mut Vec<Effect>) {
        self.answered = self.heard;
        match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::OptionsChanged { barrier } if barrier == xid => {
                let now = self.heard;
                self.watch_and_read(now, effects);
            }
            Phase::InFlight(bundle) if bundle.barrier == xid => self.landed(bundle, effects),
            other => self.phase = other,
        }
    }

    fn landed(&mut self, bundle: Bundle, effects: &mut Vec<Effect>) {
        match bundle.outcome() {
            bundle::Outcome::Committed => {
                let (flows, groups) = bundle.tally();
                for change in bundle.flow_changes() {
                    self.flows.applied(change);
                }
                for change in bundle.group_changes() {
                    self.groups.applied(change);
                }
                self.took_meters(&bundle);
                self.start = Start::Known;
                self.totals.bundles += 1;
                let count = [flows.0, flows.1, groups.0, groups.1]
                    .into_iter()
                    .sum::<usize>();
                self.totals.changes = self
                    .totals
                    .changes
                    .saturating_add(count.try_into().unwrap_or(u64::MAX));
                effects.push(Effect::Note(Note::Applied { flows, groups }));
                // What was refused at the door may still have an old version, which has to go first; what was refused in
                // the rounds before is told before.
                if !bundle.has_refusals() {
                    self.settled(bundle.generation, self.heard, effects);
                }
            }
            bundle::Outcome::RefusedInPart => {
                // Nothing was applied: all again, without what was refused.
                self.flows.replan(bundle.flow_changes());
                self.groups.replan(bundle.group_changes());
                self.took_meters(&bundle);
            }
            bundle::Outcome::Failed(reason) => self.close(reason, effects),
        }
    }

    /// Meters are not part of the bundle: they are there whatever became of it.
    fn took_meters(&mut self, bundle: &Bundle) {
        for change in bundle.meter_changes() {
            self.meters.applied(change);
        }
    }

    fn failed(&mut self, xid: u32, error: &ErrorMessage, effects: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::InFlight(bundle) => match bundle.fail(xid, error) {
                bundle::Fault::Flow(flow) => self.flows.refuse(&flow, error.to_string()),
                bundle::Fault::Group(group) => self.groups.refuse(&group, error.to_string()),
                bundle::Fault::Meter(meter) => {
                    // What uses it will be refused by name.
                    let what = format!("meter {} is refused: {error}", meter.meter.id);
                    effects.push(Effect::Note(Note::StrayError(what)));
                    self.meters.refuse(&meter, error.to_string());
                }
                // It is not the group that is wrong, but what the switch was thought to have of it.
                bundle::Fault::Buckets(group) => self.groups.distrust(&group.group.id),
                bundle::Fault::Bundle => {}
                bundle::Fault::Stray => {
                    effects.push(Effect::Note(Note::StrayError(error.to_string())))
                }
            },
            Phase::Ready | Phase::Disconnected | Phase::Closed => {
                effects.push(Effect::Note(Note::StrayError(error.to_string())));
            }
            Phase::Features { .. } => self.close(
                format!("the switch answers the greeting with {error}"),
                effects,
            ),
            Phase::Options { .. } | Phase::OptionsChanged { .. } => {
                self.close(
                    format!("the switch answers the option map with {error}"),
                    effects,
                );
            }
            Phase::Reading(_) => self.close(format!("the switch cannot be read: {error}"), effects),
        }
    }

    fn advance(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let (Phase::Ready, Some(generation)) = (&self.phase, self.wanted) else {
            return;
        };
        if self.flows.is_settled() && self.groups.is_settled() && self.meters.is_settled() {
            self.settled(generation, now, effects);
            if now >= self.read_again_at() {
                self.read(now, effects);
                return;
            }
            if !self.refusals.is_time_to_retry(now) {
                return;
            }
            self.flows.retry();
            self.groups.retry();
            self.meters.retry();
        }
        let (flows, groups) = (self.flows.plan(), self.groups.plan());
        let is_bundled = !flows.is_empty() || !groups.is_empty() || self.start == Start::Blank;
        let mut meters = self.meters.plan();
        if is_bundled {
            // Not before the flows that use them are gone.
            let is_put = |change: &Change<CompiledMeter>| matches!(change, Change::Put { .. });
            let (puts, removals): (Vec<_>, Vec<_>) = meters.into_iter().partition(is_put);
            self.meters.replan(removals.iter());
            meters = puts;
        }
        if !is_bundled && meters.is_empty() {
            self.settled(generation, now, effects);
            return;
        }
        let plan = Plan {
            flows,
            groups,
            meters,
        };
        let id = self.next_bundle;
        self.next_bundle = self.next_bundle.wrapping_add(1);
        match Bundle::encode(id, self.next_xid, generation, self.start, plan) {
            Ok((bundle, bytes)) => {
                self.next_xid = after(bundle.barrier);
                effects.push(Effect::Send(bytes));
                self.phase = Phase::InFlight(bundle);
            }
            Err(error) => self.close(format!("a bundle cannot be encoded: {error}"), effects),
        }
    }

    fn read_again_at(&self) -> Instant {
        // Not at once: who changes one flow by hand changes another, and may go on doing so.
        self.read_at + if self.disturbed { REPAIR } else { RECHECK }
    }

    /// The switch has what this generation asks for, but for what it refuses.
    fn settled(&mut self, generation: u64, now: Instant, effects: &mut Vec<Effect>) {
        self.refusals
            .settle(now, &self.flows, &self.groups, effects);
        if generation > self.acknowledged {
            self.acknowledged = generation;
            effects.push(Effect::Acknowledged(generation));
        }
    }

    fn keep_alive(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Disconnected | Phase::Closed) {
            return;
        }
        let silence = self.given_up_after();
        if !self.is_asked() {
            self.answered = now;
        } else if now >= self.answered + silence {
            let reason = format!("what was asked for did not come for {silence:?}");
            return self.close(reason, effects);
        }
        if self.echo_asked && now >= self.heard + silence {
            self.close(format!("nothing was heard for {silence:?}"), effects);
        } else if !self.echo_asked && now >= self.heard + self.probe {
            self.echo_asked = true;
            effects.push(Effect::Send(request::echo(self.take_xid())));
        }
    }

    /// Whether the switch owes something.
    fn is_asked(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Ready | Phase::Disconnected | Phase::Closed
        )
    }

    fn given_up_after(&self) -> Duration {
        self.probe.saturating_mul(PATIENCE_PROBES)
    }

    fn close(&mut self, reason: String, effects: &mut Vec<Effect>) {
        self.phase = Phase::Closed;
        effects.push(Effect::Close(reason));
    }

    fn take_xid(&mut self) -> u32 {
        let xid = self.next_xid;
        self.next_xid = after(xid);
        xid
    }
}

/// The transaction ID after `xid`; 0 is what a switch uses for its own messages.
fn after(xid: u32) -> u32 {
    xid.wrapping_add(1).max(1)
}

impl Keyed for CompiledFlow {
    type Key = EncodedKey;

    fn key(&self) -> &EncodedKey {
        CompiledFlow::key(self)
    }

    fn is_same(&self, other: &CompiledFlow) -> bool {
        self == other
    }
}

impl Borrow<EncodedKey> for ByKey<CompiledFlow> {
    fn borrow(&self) -> &EncodedKey {
        CompiledFlow::key(&self.0)
    }
}

impl Keyed for CompiledGroup {
    type Key = u32;

    fn key(&self) -> &u32 {
        &self.group.id
    }

    fn is_same(&self, other: &CompiledGroup) -> bool {
        self.add == other.add
    }
}

impl Borrow<u32> for ByKey<CompiledGroup> {
    fn borrow(&self) -> &u32 {
        &self.0.group.id
    }
}

impl Keyed for CompiledMeter {
    type Key = u32;

    fn key(&self) -> &u32 {
        &self.meter.id
    }

    fn is_same(&self, other: &CompiledMeter) -> bool {
        self.meter == other.meter
    }
}

impl Borrow<u32> for ByKey<CompiledMeter> {
    fn borrow(&self) -> &u32 {
        &self.0.meter.id
    }
}

/// A silent switch is given up after so many times the probe interval; a large bundle keeps a switch busy for seconds.
const PATIENCE_PROBES: u32 = 5;
/// How often a switch is read at most when somebody keeps changing it.
const REPAIR: Duration = Duration::from_millis(500);
/// How often a switch is read in any case: nobody tells when groups are changed.
const RECHECK: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
