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
//! - `locate("switch", "port");` is `deliver` to whichever port of the switch has the packet's destination address; `port` is the switch's side
//!   of the router port that the packet leaves by, and says which switch is meant.
//!
//! Packets that are made out of another, in OVN's words: `icmp4 { … };`, `icmp6 { … };`, `tcp_reset { … };`, `reject { … };` run the actions
//! between the braces on a packet of that kind about the one being processed ([`Replacement`]), which then goes on as it was. `icmp4.frag_mtu = N;`
//! says there how long a packet may be.
//!
//! Must not: know what an action becomes in OpenFlow.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::expr::Constant;
use crate::symbol::{Part, PortSymbol, Predicate, Symbol};

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

/// A packet that is made out of the one being processed.
///
/// None is made about what none may be owed for (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7, RFC 4443 §2.4, RFC 9293 §3.5.2): an ICMP error, a reset, a later fragment, a
/// multicast or broadcast destination, a source that is no single host. Then the actions between the braces do not run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Replacement {
    /// `icmp4`: an ICMP error that quotes the packet, destination host unreachable unless other type and code are assigned. Addresses stay as they
    /// are, the TTL is 255.
    Icmp4,
    /// `icmp4_error`: the same; OVN's word for one that quotes the packet, which here all do.
    Icmp4Error,
    /// `icmp6`: an ICMPv6 error that quotes the packet, address unreachable (type 1, code 3) unless other type and code are assigned.
    Icmp6,
    /// `icmp6_error`: the same.
    Icmp6Error,
    /// `tcp_reset`: a reset of the connection. Ports are exchanged, addresses stay.
    TcpReset,
    /// `reject`: a reset for TCP, port unreachable for all else, with Ethernet and IP addresses exchanged.
    Reject,
}

impl Replacement {
    /// All of them.
    pub const ALL: [Replacement; 6] = [
        Replacement::Icmp4,
        Replacement::Icmp4Error,
        Replacement::Icmp6,
        Replacement::Icmp6Error,
        Replacement::TcpReset,
        Replacement::Reject,
    ];

    /// As written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Replacement::Icmp4 => "icmp4",
            Replacement::Icmp4Error => "icmp4_error",
            Replacement::Icmp6 => "icmp6",
            Replacement::Icmp6Error => "icmp6_error",
            Replacement::TcpReset => "tcp_reset",
            Replacement::Reject => "reject",
        }
    }

    /// The packets that it can be made out of.
    #[must_use]
    pub const fn prerequisite(self) -> Predicate {
        match self {
            Replacement::Icmp4 | Replacement::Icmp4Error => Predicate::Ip4,
            Replacement::Icmp6 | Replacement::Icmp6Error => Predicate::Ip6,
            Replacement::TcpReset => Predicate::Tcp,
            Replacement::Reject => Predicate::Ip,
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
    /// `icmp4 { … };` and its like: the actions between the braces run on another packet.
    Replace {
        /// What packet.
        with: Replacement,
        /// What happens to it. None of them is a replacement.
        actions: Vec<Action>,
    },
    /// `icmp4.frag_mtu = 1400;` and `icmp6.frag_mtu = 1400;`: how long packets may be, says the error. Only within a replacement.
    FragMtu {
        /// `icmp4` or `icmp6`.
        error: Replacement,
        /// Bytes of IP.
        mtu: u16,
    },
    /// `ct_lb_mark;`: through connection tracking in the zone of the port worked on (`inport` in ingress, `outport` in egress), which
    /// translates packets of connections it knows, and on to the following stage.
    CtLb,
    /// `ct_clear;`: what connection tracking has found out is forgotten.
    CtClear,
    /// `ct_lb_mark(backends=10.0.0.1:80,10.0.0.2:80; hash_fields="ip_src,ip_dst");`: a new connection to one of these, chosen by hash; on to the
    /// following stage. Last in its list.
    CtLbTo {
        /// Where to.
        backends: Arc<[Backend]>,
        /// What is hashed; empty is addresses, protocol and ports.
        fields: Vec<HashField>,
    },
    /// `ct_snat;` and `ct_dnat;`: through connection tracking in one of the two zones of the router, which translates packets of connections it
    /// knows, and on to the following stage. With an address, `ct_snat(192.0.2.1);`: a new connection gets it as source, or as destination.
    CtNat {
        /// Which of the router's zones.
        side: NatSide,
        /// What takes the place of the side's address in a new connection.
        address: Option<IpAddr>,
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
    /// `locate("switch", "port");` (weft's own).
    Locate {
        /// A logical switch.
        datapath: Arc<str>,
        /// Its side of the router port that the packet leaves by.
        port: Arc<str>,
    },
}

/// Which address of a connection's first packet a router translates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NatSide {
    /// `ct_snat`
    Source,
    /// `ct_dnat`
    Destination,
}

impl NatSide {
    /// The action's name.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            NatSide::Source => "ct_snat",
            NatSide::Destination => "ct_dnat",
        }
    }
}

/// One endpoint of [`Action::CtLbTo`]. Ordered by address, then port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// Its port; `None` keeps the packet's.
    pub port: Option<u16>,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => fmt::Display::fmt(&SocketAddr::new(self.address, port), f),
            None => fmt::Display::fmt(&self.address, f),
        }
    }
}

macro_rules! hash_fields {
    ($($variant:ident $name:literal,)*) => {
        /// A header field that may decide which backend is chosen.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum HashField {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl HashField {
            /// All of them.
            pub const ALL: &'static [HashField] = &[$(HashField::$variant),*];

            /// As written.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(HashField::$variant => $name,)* }
            }
        }
    };
}
hash_fields! {
    EthSrc "eth_src",
    EthDst "eth_dst",
    IpSrc "ip_src",
    IpDst "ip_dst",
    TcpSrc "tcp_src",
    TcpDst "tcp_dst",
    UdpSrc "udp_src",
    UdpDst "udp_dst",
    SctpSrc "sctp_src",
    SctpDst "sctp_dst",
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

    /// `icmp4 { … };` and its like.
    #[must_use]
    pub const fn replace(with: Replacement, actions: Vec<Action>) -> Action {
        Action::Replace { with, actions }
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

    /// `locate("switch", "port");`
    #[must_use]
    pub fn locate(datapath: impl Into<Arc<str>>, port: impl Into<Arc<str>>) -> Action {
        Action::Locate {
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
