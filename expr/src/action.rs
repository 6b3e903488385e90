//! Actions of logical flows, and how Rust code builds them.
//!
//! A list of actions is run in order. `next` and `output` hand the packet as it is at that moment to another stage; what follows works on
//! the flow's own copy, as in OVN.
//!
//! weft's own words, which OVN does not have:
//!
//! - `forward("node");` continues in the egress pipeline of this datapath on another node: the packet travels under the datapath's own
//!   tunnel key, without ports, and the receiver finds the port.
//! - `deliver("datapath", "port");` enters the egress pipeline of another datapath on this node, with `outport` set to that port of it;
//!   registers and flags start at 0, and `inport` is none.
//!
//! Must not: know what an action becomes in OpenFlow.

use std::sync::Arc;

use crate::expr::Constant;
use crate::symbol::{Part, PortSymbol, Symbol};

/// One of the two passes through a datapath.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pipeline {
    /// Where a packet came in: decides where it goes.
    Ingress,
    /// Where it leaves.
    Egress,
}

impl Pipeline {
    /// As written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Pipeline::Ingress => "ingress",
            Pipeline::Egress => "egress",
        }
    }
}

/// One action.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// `next;`, `next(5);`, `next(pipeline=egress, table=5);`: on to the following stage, or to the one named.
    Next {
        /// The pipeline; this flow's own when `None`. Given only together with `table`.
        pipeline: Option<Pipeline>,
        /// The stage's number in its pipeline; the following one when `None`.
        table: Option<u8>,
    },
    /// `output;`: in ingress, on to the egress pipeline where `outport` is; in egress, out of `outport`.
    Output,
    /// `drop;`: alone in its list.
    Drop,
    /// `eth.dst = 0a:58:0a:80:00:09;`
    Assign {
        /// What is written.
        destination: Part,
        /// An exact value that fits.
        value: u128,
    },
    /// `outport = "name";`, and `outport = "";` for none.
    AssignPort {
        /// What is written.
        destination: PortSymbol,
        /// The port, or multicast group.
        name: Arc<str>,
    },
    /// `eth.dst = eth.src;`: both of the same width.
    Move {
        /// What is written.
        destination: Part,
        /// What is read.
        source: Part,
    },
    /// `outport = inport;`
    MovePort {
        /// What is written.
        destination: PortSymbol,
        /// What is read.
        source: PortSymbol,
    },
    /// `ip4.src <-> ip4.dst;`: both of the same width.
    Exchange {
        /// One side.
        left: Part,
        /// The other.
        right: Part,
    },
    /// `ip.ttl--;`: a packet whose TTL is 0 or 1 is dropped, and the rest of the list with it.
    DecrementTtl,
    /// `reg8[16..31] = select(0, 1, 2);`: one of these numbers, chosen by the packet's addresses, protocol and ports; then `next;`. Last in its
    /// list. The numbers are those from 0 on, as many as there are choices, each as likely as the others.
    Select {
        /// What is written.
        destination: Part,
        /// How many choices there are, 2 at least.
        choices: u16,
    },
    /// `forward("node");` (weft's own).
    Forward {
        /// The node.
        node: Arc<str>,
    },
    /// `deliver("datapath", "port");` (weft's own).
    Deliver {
        /// A logical switch or router.
        datapath: Arc<str>,
        /// A port of it.
        port: Arc<str>,
    },
}

impl Action {
    /// `next;`
    #[must_use]
    pub const fn next() -> Action {
        Action::Next {
            pipeline: None,
            table: None,
        }
    }

    /// `next(pipeline=…, table=…);`
    #[must_use]
    pub const fn next_stage(pipeline: Pipeline, table: u8) -> Action {
        Action::Next {
            pipeline: Some(pipeline),
            table: Some(table),
        }
    }

    /// `outport = "name";`
    #[must_use]
    pub fn outport(name: impl Into<Arc<str>>) -> Action {
        Action::AssignPort {
            destination: PortSymbol::Outport,
            name: name.into(),
        }
    }

    /// `inport = "name";`
    #[must_use]
    pub fn inport(name: impl Into<Arc<str>>) -> Action {
        Action::AssignPort {
            destination: PortSymbol::Inport,
            name: name.into(),
        }
    }

    /// `outport = inport;`: back where it came from. Needs `flags.loopback = 1;` beside it to be let out there.
    #[must_use]
    pub const fn turn_back() -> Action {
        Action::MovePort {
            destination: PortSymbol::Outport,
            source: PortSymbol::Inport,
        }
    }

    /// `left <-> right;`
    ///
    /// # Panics
    /// When the widths differ.
    #[must_use]
    pub fn exchange(left: impl Into<Part>, right: impl Into<Part>) -> Action {
        let (left, right) = (left.into(), right.into());
        assert_eq!(
            left.width(),
            right.width(),
            "{left} and {right} differ in width"
        );
        Action::Exchange { left, right }
    }

    /// `destination = select(0, …);`
    ///
    /// # Panics
    /// When there are fewer than two choices, or more than `destination` can hold.
    #[must_use]
    pub fn select(destination: impl Into<Part>, choices: u16) -> Action {
        let destination = destination.into();
        assert!(
            choices >= 2 && u128::from(choices.saturating_sub(1)) <= destination.mask(),
            "{choices} choices for {destination}"
        );
        Action::Select {
            destination,
            choices,
        }
    }

    /// `forward("node");`
    #[must_use]
    pub fn forward(node: impl Into<Arc<str>>) -> Action {
        Action::Forward { node: node.into() }
    }

    /// `deliver("datapath", "port");`
    #[must_use]
    pub fn deliver(datapath: impl Into<Arc<str>>, port: impl Into<Arc<str>>) -> Action {
        Action::Deliver {
            datapath: datapath.into(),
            port: port.into(),
        }
    }

    /// The text of a list of actions, as in the `actions` column.
    #[must_use]
    pub fn list(actions: &[Action]) -> String {
        let texts: Vec<String> = actions.iter().map(Action::to_string).collect();
        texts.join(" ")
    }
}

macro_rules! assignments {
    ($type:ty) => {
        impl $type {
            /// `self = value;`
            ///
            /// # Panics
            /// When the value is masked or too wide.
            #[must_use]
            pub fn set(self, value: impl Into<Constant>) -> Action {
                let (destination, value) = (Part::from(self), value.into());
                assert!(
                    value.mask().is_none() && value.value() & !destination.mask() == 0,
                    "{value:?} is no value of {destination}"
                );
                Action::Assign {
                    destination,
                    value: value.value(),
                }
            }

            /// `self = source;`
            ///
            /// # Panics
            /// When the widths differ.
            #[must_use]
            pub fn copy_from(self, source: impl Into<Part>) -> Action {
                let (destination, source) = (Part::from(self), source.into());
                assert_eq!(
                    destination.width(),
                    source.width(),
                    "{destination} and {source} differ in width"
                );
                Action::Move {
                    destination,
                    source,
                }
            }
        }
    };
}
assignments!(Symbol);
assignments!(Part);
