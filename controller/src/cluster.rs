//! The controller's one state: nodes, ports and generations. Everything that is decided across nodes is decided here.
//!
//! ```text
//!  NB rows ───────▶ northbound ─┐                              ┌─▶ compile(inputs) ─▶ deltas ─▶ node sessions
//!  Interface rows ▶ ports ──────┼─▶ inputs of the compiler ────┘                                    │
//!  nodes file ────▶ members ────┘                                                                   │
//!  answers, up, ovn-installed, sb_cfg, hv_cfg ◀──── acknowledged generations (barriers) ◀───────────┘
//! ```
//!
//! A *generation* counts compilations. A node is level with generation `g` once it has acknowledged the last generation up
//! to `g` that changed anything for it.
//!
//! Invariants:
//! - Nothing is compiled before the whole northbound database is known, and nothing is released to a node before its own ports are: what is
//!   not known yet is not gone, and must not be taken from a switch that forwards well.
//! - `ovn-installed` and `up` are set after the barrier of a generation that holds the port's flows, and not while its node refuses one of them.
//! - A node that is away keeps its bindings: its data plane goes on.
//!
//! Must not: do IO, read the clock, or wait.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;
use weft_compiler::{Binding, Input, Node, NodeDelta, NodeName, Ofport};
use weft_ovsdb::Operation;
use weft_schema::keys;

use crate::chassis::{Answer, Facts, Localnets};
use crate::nodes::{NodeSpec, Nodes};
use crate::northbound::{Northbound, Progress, Stamp};
use crate::ports::{Bound, Ports};

use identity::{Identities, Said};
use nested::Nested;

pub mod identity;
mod installing;
mod localnets;
mod nested;

/// What happens to the cluster.
#[derive(Debug)]
pub enum Event {
    /// The northbound monitor speaks.
    Northbound(weft_ovsdb::Event),
    /// The write-back in flight ended; the error's text if it failed.
    Written(Result<(), String>),
    /// The nodes file says this now.
    Nodes(Nodes),
    /// A node's Open vSwitch says this now.
    Facts(NodeName, Arc<Facts>),
    /// A node's OpenFlow session came up or went down.
    Link(NodeName, Link),
    /// A node has acknowledged a generation.
    Acknowledged(NodeName, u64),
    /// A node's switch refuses flows of these logical switch ports, and of no others.
    Refused(NodeName, BTreeSet<Arc<str>>),
    /// The compilation asked for is done: what changed, per node.
    Compiled(BTreeMap<NodeName, NodeDelta>),
    /// The northbound database holds all that it will hold for now; see [`Cluster::hold`].
    Unhold,
    /// [`Cluster::deadline`] has come.
    Tick,
}

/// The time, twice: one to measure with and one to write down.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For waits.
    pub instant: Instant,
    /// For columns: milliseconds since the epoch.
    pub epoch_ms: u64,
}

/// What the cluster wants done.
#[derive(Debug)]
pub enum Effect {
    /// Start the sessions of a node.
    Start(NodeName, NodeSpec),
    /// End the sessions of a node; its flows stay.
    Stop(NodeName),
    /// Compile these; answer with [`Event::Compiled`]. Never a second one before that.
    Compile(Vec<Input>),
    /// Hand a node what changed. `None`: not to be sent before a generation follows.
    Deliver(NodeName, NodeDelta, Option<u64>),
    /// Tell interfaces of a node.
    Answer(NodeName, Vec<(Uuid, Option<Answer>)>),
    /// Tell a node which localnet ports there are.
    Localnets(NodeName, Arc<Localnets>),
    /// The node's bridge of this name has just come to be: dial it now.
    Dial(NodeName, String),
    /// Write into the northbound database; answer with [`Event::Written`]. Never a second one before that.
    Write(Vec<Operation>),
}

/// The state of a node's OpenFlow connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Connected: its acknowledgement is waited for.
    Up,
    /// Not connected: nobody waits for it, but at first, while it may still come up.
    Down,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Cluster {
    northbound: Northbound,
    ports: Ports,
    members: BTreeMap<NodeName, Member>,
    identities: Identities,
    bound: BTreeMap<Arc<str>, BoundPort>,
    nested: Nested,
    inputs: Vec<Input>,
    recompile: bool,
    compiling: bool,
    writing: Writing,
    generation: u64,
    nb_known: bool,
    held: bool,
    /// Set while nodes that have not spoken yet are waited for.
    patience_ends: Option<Instant>,
    mtu: u16,
    progress: Progress,
    /// What the running compilation covers of `nb_cfg`.
    compiling_cfg: Option<i64>,
    reaching: Option<Goal>,
    next_goal: Option<Goal>,
    stale_answers: BTreeSet<Arc<str>>,
    retracted: Vec<(NodeName, Uuid)>,
}

#[derive(Debug)]
struct Member {
    spec: NodeSpec,
    facts: Option<Arc<Facts>>,
    /// What it said last is taken for true.
    believed: bool,
    /// Its integration bridge, while there is one.
    bridge: Option<String>,
    told: Option<Node>,
    /// Where its localnet ports are, as the compiler was told.
    plugs: BTreeMap<Arc<str>, Ofport>,
    /// The localnet ports that it was told of.
    localnets: Option<Arc<Localnets>>,
    link: Link,
    /// Until then its first connection is waited for.
    expected_by: Option<Instant>,
    /// Its own ports are part of what is compiled.
    released: bool,
    /// The last generation that changed anything for it.
    wanted: u64,
    acknowledged: u64,
    /// Ports that its switch refuses flows of: they are not installed, whatever was acknowledged.
    refused: BTreeSet<Arc<str>>,
    answers: BTreeMap<Uuid, Answer>,
}

#[derive(Debug)]
struct BoundPort {
    bound: Bound,
    stage: Stage,
}

/// How far a bound port's flows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Bound,
    Compiling,
    /// Part of this generation.
    Compiled(u64),
    /// Acknowledged, at this time.
    Installed(u64),
}

/// An `nb_cfg`, and what each node has to acknowledge for it.
#[derive(Clone, Debug)]
struct Goal {
    cfg: i64,
    wanted: BTreeMap<NodeName, u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Writing {
    Idle,
    /// `echoed`: the database spoke meanwhile, so the outcome may have been seen already.
    InFlight {
        echoed: bool,
    },
    /// Nothing is written before this time, unless the database speaks first (`or_echo`).
    Pause {
        until: Instant,
        or_echo: bool,
    },
}

impl Cluster {
    /// A cluster nothing is known of.
    #[must_use]
    pub fn new(now: Instant) -> Cluster {
        Cluster {
            northbound: Northbound::default(),
            ports: Ports::default(),
            members: BTreeMap::new(),
            identities: Identities::default(),
            bound: BTreeMap::new(),
            nested: Nested::default(),
            inputs: Vec::new(),
            recompile: false,
            compiling: false,
            writing: Writing::Idle,
            generation: 0,
            nb_known: false,
            held: false,
            patience_ends: Some(now + PATIENCE),
            mtu: 0,
            progress: Progress::default(),
            compiling_cfg: None,
            reaching: None,
            next_goal: None,
            stale_answers: BTreeSet::new(),
            retracted: Vec::new(),
        }
    }

    /// Compiles nothing before [`Event::Unhold`]: whoever fills the northbound database has only begun.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Takes one event in and says what to do.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Northbound(event) => self.northbound_spoke(event),
            Event::Written(outcome) => self.written(outcome, now.instant),
            Event::Nodes(nodes) => self.set_nodes(nodes, now.instant, &mut effects),
            Event::Facts(node, facts) => self.set_facts(&node, facts, &mut effects),
            Event::Link(node, link) => {
                if let Some(member) = self.members.get_mut(&node) {
                    member.link = link;
                    if link == Link::Up {
                        member.expected_by = None;
                    }
                }
            }
            Event::Acknowledged(node, generation) => {
                if let Some(member) = self.members.get_mut(&node) {
                    member.acknowledged = member.acknowledged.max(generation);
                }
                self.install_ports(&node, now.epoch_ms);
            }
            Event::Refused(node, ports) => self.set_refused(&node, ports, now.epoch_ms),
            Event::Compiled(deltas) => self.compiled(deltas, now, &mut effects),
            Event::Unhold => self.held = false,
            Event::Tick => {}
        }
        self.settle_ports();
        self.set_mtu();
        self.start_compilation(now.instant, &mut effects);
        self.reach_goal(now);
        self.send_answers(&mut effects);
        self.send_localnets(&mut effects);
        self.write_back(now.instant, &mut effects);
        effects
    }

    /// When to deliver [`Event::Tick`] if nothing else happens before.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let pause = match self.writing {
            Writing::Pause { until, .. } => Some(until),
            _ => None,
        };
        let expected = self
            .reaching
            .iter()
            .flat_map(|_| self.members.values())
            .filter_map(|member| member.expected_by);
        // What is past was dealt with by the event at that time.
        self.patience_ends
            .into_iter()
            .chain(pause)
            .chain(expected)
            .filter(|at| *at > now)
            .min()
    }

    /// Whether events of the northbound database may be taken in: while a compilation runs they wait where they are.
    #[must_use]
    pub fn takes_northbound(&self) -> bool {
        !self.compiling
    }

    /// Bound ports, and those of them whose flows are acknowledged.
    #[must_use]
    pub fn port_counts(&self) -> (usize, usize) {
        let installed = self
            .bound
            .values()
            .filter(|port| matches!(port.stage, Stage::Installed(_)));
        (self.bound.len(), installed.count())
    }

    /// The number of compilations so far.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn northbound_spoke(&mut self, event: weft_ovsdb::Event) {
        self.writing = match self.writing {
            Writing::InFlight { .. } => Writing::InFlight { echoed: true },
            Writing::Pause { or_echo: true, .. } => Writing::Idle,
            Writing::Pause { until, or_echo } => Writing::Pause { until, or_echo },
            Writing::Idle => Writing::Idle,
        };
        let is_snapshot = matches!(event, weft_ovsdb::Event::Snapshot(_));
        let update = self.northbound.apply(event);
        for complaint in update.complaints {
            tracing::warn!(%complaint, "northbound row passed over");
        }
        self.inputs
            .extend(update.changes.into_iter().map(Input::Nb));
        for (port, terms) in update.terms {
            self.ports.set_terms(&port, terms);
        }
        for (port, parent) in update.nested {
            self.nested.set(&port, parent);
        }
        self.stale_answers.extend(update.answers);
        self.nb_known |= is_snapshot;
    }

    fn written(&mut self, outcome: Result<(), String>, now: Instant) {
        let seen = self.writing == Writing::InFlight { echoed: true };
        self.writing = match outcome {
            Ok(()) if seen => Writing::Idle,
            Ok(()) => Writing::Pause {
                until: now + ECHO_WAIT,
                or_echo: true,
            },
            Err(error) => {
                tracing::warn!(%error, "northbound database not written; trying again");
                Writing::Pause {
                    until: now + WRITE_PAUSE,
                    or_echo: false,
                }
            }
        };
    }

    fn set_nodes(&mut self, nodes: Nodes, now: Instant, effects: &mut Vec<Effect>) {
        let gone: Vec<NodeName> = self
            .members
            .keys()
            .filter(|name| !nodes.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            tracing::info!(node = %name, "node left");
            self.set_plugs(&name, &BTreeMap::new());
            self.members.remove(&name);
            self.identities.leave(&name);
            self.ports.set_claims(&name, &BTreeMap::new());
            self.inputs.push(Input::Node(name.clone(), None));
            effects.push(Effect::Stop(name));
        }
        for (name, spec) in nodes {
            match self.members.get_mut(&name) {
                Some(member) if member.spec == spec => {}
                Some(member) => {
                    tracing::info!(node = %name, ovsdb = %spec.ovsdb, "node changed");
                    // What it said stays true until it says otherwise, but another switch may answer now.
                    member.spec = spec.clone();
                    member.acknowledged = 0;
                    member.wanted = 0;
                    member.refused.clear();
                    self.recompile = true;
                    member.link = Link::Down;
                    member.expected_by = Some(now + PATIENCE);
                    member.answers.clear();
                    member.localnets = None;
                    let its = self
                        .bound
                        .iter()
                        .filter(|(_, port)| port.bound.node == name);
                    self.stale_answers.extend(its.map(|(port, _)| port.clone()));
                    effects.push(Effect::Stop(name.clone()));
                    effects.push(Effect::Start(name, spec));
                }
                None => {
                    tracing::info!(node = %name, ovsdb = %spec.ovsdb, "node joined");
                    self.identities.join(&name);
                    self.members
                        .insert(name.clone(), Member::new(spec.clone(), now));
                    effects.push(Effect::Start(name, spec));
                }
            }
        }
        self.judge(None, effects);
    }

    fn set_facts(&mut self, name: &NodeName, facts: Arc<Facts>, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(name) else {
            return;
        };
        let said = Said {
            system_id: facts.system_id.clone(),
            encap_ip: facts.encap_ip,
        };
        member.facts = Some(facts);
        self.identities.say(name, said);
        self.judge(Some(name), effects);
    }

    /// Takes in what `spoken` says, and what others said for whom that makes a difference.
    fn judge(&mut self, spoken: Option<&NodeName>, effects: &mut Vec<Effect>) {
        for (node, doubt) in self.identities.settle() {
            tracing::error!(%node, "{doubt}");
        }
        let turned = |(name, member): &(&NodeName, &Member)| {
            member.facts.is_some() && member.believed != self.identities.believes(name)
        };
        let turned = self.members.iter().filter(turned);
        let mut affected: BTreeSet<NodeName> = turned.map(|(name, _)| name.clone()).collect();
        affected.extend(spoken.cloned());
        for name in affected {
            if self.identities.believes(&name) {
                self.believe(&name, effects);
            } else {
                self.doubt(&name);
            }
        }
    }

    /// It is taken for absent. Where nothing was sent to its switch yet, nothing will be.
    fn doubt(&mut self, name: &NodeName) {
        let Some(member) = self.members.get_mut(name) else {
            return;
        };
        member.believed = false;
        self.ports.set_claims(name, &BTreeMap::new());
        if member.told.take().is_some() {
            self.inputs.push(Input::Node(name.clone(), None));
        }
        self.set_plugs(name, &BTreeMap::new());
    }

    fn believe(&mut self, name: &NodeName, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(name) else {
            return;
        };
        let Some(facts) = member.facts.clone() else {
            return;
        };
        self.ports.set_claims(name, &facts.claims);
        let node = match (facts.encap_ip, facts.tunnel) {
            (Some(encap_ip), Some(tunnel_ofport)) => Some(Node {
                encap_ip,
                tunnel_ofport,
            }),
            // A tunnel port that is just being reopened: the peers need not forget the node for that.
            (Some(encap_ip), None) => member.told.as_ref().map(|told| Node {
                encap_ip,
                tunnel_ofport: told.tunnel_ofport,
            }),
            (None, _) => None,
        };
        let bridge = facts.bridge_ready.then(|| facts.bridge.clone());
        if let Some(bridge) = &bridge
            && member.bridge.as_ref() != Some(bridge)
        {
            effects.push(Effect::Dial(name.clone(), bridge.clone()));
        }
        member.bridge = bridge;
        member.believed = true;
        // Its first words may hold nothing for the compiler; it is to be released all the same.
        self.recompile |= !member.released;
        if member.told != node {
            member.told.clone_from(&node);
            self.inputs.push(Input::Node(name.clone(), node));
        }
        self.set_plugs(name, &facts.plugs);
    }

    fn settle_ports(&mut self) {
        for port in self.nested.take_freed() {
            self.bound.remove(&port);
            self.northbound.set_up(&port, false);
        }
        let decisions = self.ports.settle();
        for refusal in decisions.refusals {
            tracing::warn!(node = %refusal.node, lsp = %refusal.port, "{refusal}");
        }
        for (port, bound) in decisions.bindings {
            self.nested.moved(&port);
            let before = self.bound.remove(&port);
            if let Some(before) = &before
                && bound
                    .as_ref()
                    .is_none_or(|bound| bound.row != before.bound.row)
            {
                self.forget_answer(&before.bound);
            }
            match bound {
                Some(bound) => {
                    tracing::info!(
                        lsp = %port, node = %bound.node, interface = %bound.interface, ofport = bound.ofport.get(), "port bound"
                    );
                    let binding = Binding {
                        node: bound.node.clone(),
                        ofport: bound.ofport,
                    };
                    self.inputs
                        .push(Input::Binding(port.clone(), Some(binding)));
                    self.stale_answers.insert(port.clone());
                    self.bound.insert(
                        port,
                        BoundPort {
                            bound,
                            stage: Stage::Bound,
                        },
                    );
                }
                None => {
                    let node = before.map(|before| tracing::field::display(before.bound.node));
                    tracing::info!(lsp = %port, node, "port released");
                    self.inputs.push(Input::Binding(port.clone(), None));
                    self.northbound.set_up(&port, false);
                }
            }
        }
        for (port, parent) in self.nested.take_changed() {
            let bound = self.ports.holder(&parent).cloned();
            let before = self.bound.remove(&port);
            match bound {
                Some(bound) => {
                    let stage = match before {
                        Some(before) if before.bound == bound => before.stage,
                        _ => Stage::Bound,
                    };
                    self.bound.insert(port, BoundPort { bound, stage });
                }
                None if before.is_some() => self.northbound.set_up(&port, false),
                None => {}
            }
        }
    }

    fn forget_answer(&mut self, bound: &Bound) {
        if let Some(member) = self.members.get_mut(&bound.node) {
            member.answers.remove(&bound.row);
            self.retracted.push((bound.node.clone(), bound.row));
        }
    }

    /// The smallest MTU of all nodes, less what the tunnels add: any two pods may talk.
    fn set_mtu(&mut self) {
        let facts = || {
            self.members
                .values()
                .filter_map(|member| member.facts.as_ref())
        };
        let Some(underlay) = facts().map(|facts| facts.underlay_mtu).min() else {
            return;
        };
        let over_ipv6 = facts().any(|facts| facts.encap_ip.is_some_and(|ip: IpAddr| ip.is_ipv6()));
        let overhead = if over_ipv6 {
            keys::TUNNEL_OVERHEAD_IPV6
        } else {
            keys::TUNNEL_OVERHEAD_IPV4
        };
        let mtu = underlay.saturating_sub(overhead);
        if mtu != self.mtu {
            self.mtu = mtu;
            self.stale_answers.extend(self.bound.keys().cloned());
        }
    }

    fn start_compilation(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let goal = self.northbound.nb_cfg();
        let asked =
            goal.is_some_and(|cfg| self.progress.sb_cfg.is_none_or(|stamp| stamp.cfg != cfg));
        if self.compiling
            || !self.nb_known
            || self.held
            || (self.inputs.is_empty() && !self.recompile && !asked)
        {
            return;
        }
        if let Some(ends) = self.patience_ends {
            let silent = self.members.values().any(|member| member.facts.is_none());
            if silent && now < ends {
                return;
            }
            self.patience_ends = None;
        }
        self.compiling = true;
        self.recompile = false;
        self.compiling_cfg = goal;
        for member in self.members.values_mut() {
            member.released |= member.believed;
        }
        for port in self
            .bound
            .values_mut()
            .filter(|port| port.stage == Stage::Bound)
        {
            port.stage = Stage::Compiling;
        }
        effects.push(Effect::Compile(std::mem::take(&mut self.inputs)));
    }

    fn compiled(
        &mut self,
        mut deltas: BTreeMap<NodeName, NodeDelta>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        self.compiling = false;
        self.generation += 1;
        for (name, member) in &mut self.members {
            let delta = deltas.remove(name);
            let first = member.released && member.wanted == 0;
            if delta.is_none() && !first {
                continue;
            }
            if member.released {
                member.wanted = self.generation;
            }
            let generation = member.released.then_some(self.generation);
            effects.push(Effect::Deliver(
                name.clone(),
                delta.unwrap_or_default(),
                generation,
            ));
        }
        let mut nodes = BTreeSet::new();
        for port in self
            .bound
            .values_mut()
            .filter(|port| port.stage == Stage::Compiling)
        {
            let wanted = self
                .members
                .get(&port.bound.node)
                .map_or(self.generation, |member| member.wanted);
            port.stage = Stage::Compiled(wanted);
            nodes.insert(port.bound.node.clone());
        }
        for node in nodes {
            self.install_ports(&node, now.epoch_ms);
        }
        if let Some(cfg) = self.compiling_cfg.take()
            && self.progress.sb_cfg.is_none_or(|stamp| stamp.cfg != cfg)
        {
            self.progress.sb_cfg = Some(Stamp {
                cfg,
                at_ms: signed(now.epoch_ms),
            });
            let wanted = self
                .members
                .iter()
                .map(|(name, member)| (name.clone(), member.wanted))
                .collect();
            // One goal is finished before the next is begun, so that a client that asks often starves nobody.
            self.next_goal = Some(Goal { cfg, wanted });
        }
    }

    fn reach_goal(&mut self, now: Now) {
        loop {
            if self.reaching.is_none() {
                self.reaching = self.next_goal.take();
            }
            let Some(goal) = &self.reaching else { return };
            let waiting = self.members.iter().any(|(name, member)| {
                let counts = member.link == Link::Up
                    || member.expected_by.is_some_and(|by| now.instant < by);
                counts
                    && goal
                        .wanted
                        .get(name)
                        .is_some_and(|wanted| member.acknowledged < (*wanted).max(1))
            });
            if waiting {
                return;
            }
            self.progress.hv_cfg = Some(Stamp {
                cfg: goal.cfg,
                at_ms: signed(now.epoch_ms),
            });
            self.reaching = None;
        }
    }

    fn send_answers(&mut self, effects: &mut Vec<Effect>) {
        let mut batches: BTreeMap<NodeName, Vec<(Uuid, Option<Answer>)>> = BTreeMap::new();
        for (node, row) in self.retracted.drain(..) {
            batches.entry(node).or_default().push((row, None));
        }
        for port in std::mem::take(&mut self.stale_answers) {
            // Its interface is another port's, which has its own answer.
            if self.nested.contains(&port) {
                continue;
            }
            let Some(BoundPort { bound, stage }) = self.bound.get(&port) else {
                continue;
            };
            let Some(member) = self.members.get_mut(&bound.node) else {
                continue;
            };
            let Some(addressing) = self.northbound.addressing(&port) else {
                continue;
            };
            let installed_ms = match stage {
                Stage::Installed(at) => Some(*at),
                _ => None,
            };
            let answer = Answer {
                port,
                mac: addressing.mac,
                addresses: addressing.addresses,
                gateways: addressing.gateways,
                mtu: self.mtu,
                installed_ms,
            };
            if member.answers.get(&bound.row) != Some(&answer) {
                member.answers.insert(bound.row, answer.clone());
                batches
                    .entry(bound.node.clone())
                    .or_default()
                    .push((bound.row, Some(answer)));
            }
        }
        effects.extend(
            batches
                .into_iter()
                .map(|(node, answers)| Effect::Answer(node, answers)),
        );
    }

    fn write_back(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match self.writing {
            Writing::InFlight { .. } => return,
            Writing::Pause { until, .. } if now < until => return,
            _ => {}
        }
        self.writing = Writing::Idle;
        let operations = self.northbound.write_back(&self.progress);
        if !operations.is_empty() {
            self.writing = Writing::InFlight { echoed: false };
            effects.push(Effect::Write(operations));
        }
    }
}

impl Member {
    fn new(spec: NodeSpec, now: Instant) -> Member {
        Member {
            spec,
            facts: None,
            believed: false,
            bridge: None,
            told: None,
            plugs: BTreeMap::new(),
            localnets: None,
            link: Link::Down,
            expected_by: Some(now + PATIENCE),
            released: false,
            wanted: 0,
            acknowledged: 0,
            refused: BTreeSet::new(),
            answers: BTreeMap::new(),
        }
    }
}

fn signed(epoch_ms: u64) -> i64 {
    i64::try_from(epoch_ms).unwrap_or(i64::MAX)
}

/// How long a node that has not spoken since it was named is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a write, the monitor tells what it did; this long is waited for that before planning again.
const ECHO_WAIT: Duration = Duration::from_millis(500);
/// After a refused write.
const WRITE_PAUSE: Duration = Duration::from_secs(2);
