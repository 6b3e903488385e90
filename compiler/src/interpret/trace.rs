//! The way a packet took, as a tree: what happened, and below it what that led to.
//!
//! Must not: decide anything.

use std::fmt;
use std::sync::Arc;

use weft_expr::{Action, Backend, Pipeline, Replacement};

use crate::logical_flow::LogicalFlow;
use crate::node::NodeName;
use crate::pipeline::Stage;

/// Something that happened to a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// It began a pipeline.
    Entered {
        /// The node it is on.
        node: NodeName,
        /// Name of the switch or router.
        datapath: Arc<str>,
        /// Which pipeline.
        pipeline: Pipeline,
        /// The port: `inport` in ingress, `outport` in egress.
        port: Arc<str>,
    },
    /// A flow matched it.
    Matched {
        /// The stage.
        stage: Stage,
        /// The flow.
        flow: LogicalFlow,
    },
    /// More than one flow of the highest priority matched, and they do different things: which one runs is anybody's guess.
    Ambiguous,
    /// No flow matched it, so it was dropped.
    Missed(Stage),
    /// One of several choices was made by the packet's hash; the others stand beside it.
    Chosen {
        /// Which.
        number: u16,
        /// Of how many.
        choices: u16,
    },
    /// The controller made this packet out of it, as often as the meter lets it.
    Made(Replacement),
    /// A load balancer chose an endpoint by the packet's hash; the others stand beside it.
    Balanced {
        /// Which.
        backend: Backend,
        /// Of how many.
        choices: usize,
    },
    /// It went through a tunnel.
    Tunnelled {
        /// From this node.
        from: NodeName,
        /// To this one.
        to: NodeName,
    },
    /// It left the network.
    Delivered {
        /// On this node.
        node: NodeName,
        /// By this port.
        port: Arc<str>,
    },
    /// It was dropped, and why.
    Dropped(String),
}

/// Events in order, each with what it led to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// The events.
    pub events: Vec<(Event, Trace)>,
}

impl Trace {
    /// An event that leads to nothing further.
    pub(super) fn leaf(&mut self, event: Event) {
        self.events.push((event, Trace::default()));
    }

    /// An event, and the place for what it leads to.
    pub(super) fn branch(&mut self, event: Event) -> &mut Trace {
        let index = self.events.len();
        self.events.push((event, Trace::default()));
        &mut self.events[index].1
    }

    /// Every event, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        let mut open: Vec<&(Event, Trace)> = self.events.iter().rev().collect();
        std::iter::from_fn(move || {
            let (event, below) = open.pop()?;
            open.extend(below.events.iter().rev());
            Some(event)
        })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        for (event, below) in &self.events {
            // A stage that follows another stands below it, not further right: the tree widens where the packet changes pipelines.
            let deeper = match event {
                Event::Matched { .. } => depth,
                _ => depth.saturating_add(1),
            };
            write_event(f, event, depth)?;
            below.write(f, deeper)?;
        }
        Ok(())
    }
}

fn write_event(f: &mut fmt::Formatter<'_>, event: &Event, depth: usize) -> fmt::Result {
    let indent = "  ".repeat(depth);
    match event {
        Event::Entered {
            node,
            datapath,
            pipeline,
            port,
        } => {
            let name = if *pipeline == Pipeline::Ingress {
                "inport"
            } else {
                "outport"
            };
            writeln!(
                f,
                "{indent}{}({datapath:?}, {name}={port:?}) on {node}",
                pipeline.name()
            )
        }
        Event::Matched { stage, flow } => {
            let (number, priority) = (stage.number(), flow.priority);
            writeln!(
                f,
                "{indent}{number:2}. {stage}: {}, priority {priority}",
                flow.matches
            )?;
            match flow.actions.is_empty() {
                true => Ok(()),
                false => writeln!(f, "{indent}    {}", Action::list(&flow.actions)),
            }
        }
        Event::Ambiguous => {
            writeln!(
                f,
                "{indent}    !! other flows of this priority match too and do something else"
            )
        }
        Event::Missed(stage) => {
            writeln!(
                f,
                "{indent}{:2}. {stage}: no flow matches: dropped",
                stage.number()
            )
        }
        Event::Chosen { number, choices } => {
            writeln!(f, "{indent}-- choice {number} of {choices}, made by hash")
        }
        Event::Made(with) => writeln!(
            f,
            "{indent}-> the controller makes {}, if the meter lets it",
            match with {
                Replacement::Icmp4 | Replacement::Icmp4Error => "an ICMP error",
                Replacement::Icmp6 | Replacement::Icmp6Error => "an ICMPv6 error",
                Replacement::TcpReset => "a reset",
                Replacement::Reject => "a reset or an ICMP error",
            }
        ),
        Event::Balanced { backend, choices } => {
            writeln!(f, "{indent}-- endpoint {backend}, one of {choices}")
        }
        Event::Tunnelled { from, to } => writeln!(f, "{indent}-> tunnel from {from} to {to}"),
        Event::Delivered { node, port } => writeln!(f, "{indent}=> out of {port:?} on {node}"),
        Event::Dropped(reason) => writeln!(f, "{indent}    dropped: {reason}"),
    }
}

/// As `weft trace` prints it.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}
