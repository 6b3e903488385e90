//! A logical flow: what a datapath does with a packet, independent of any node, and where it is needed.
//!
//! ```text
//!   units ──▶ LogicalFlow { datapath, stage, priority, matches, actions } ──lowering──▶ OpenFlow
//!                         + Scope ──placement──▶ nodes
//! ```
//!
//! Must not: hold OpenFlow fields, keys or node addresses.

use std::fmt;

use uuid::Uuid;
use weft_expr::{Action, Expr};

use crate::node::NodeName;
use crate::pipeline::{Cookie, DatapathKind, Stage};

/// The datapath a logical flow belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Datapath {
    /// Every datapath of a kind: flows that do not differ between them exist once.
    Every(DatapathKind),
    /// One datapath.
    One(DatapathRef),
}

/// One logical switch or router.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DatapathRef {
    /// What it is.
    pub kind: DatapathKind,
    /// UUID of its row.
    pub uuid: Uuid,
}

impl DatapathRef {
    /// The logical switch of this row.
    #[must_use]
    pub const fn switch(uuid: Uuid) -> DatapathRef {
        let kind = DatapathKind::Switch;
        DatapathRef { kind, uuid }
    }

    /// The logical router of this row.
    #[must_use]
    pub const fn router(uuid: Uuid) -> DatapathRef {
        let kind = DatapathKind::Router;
        DatapathRef { kind, uuid }
    }
}

/// The row a logical flow is made from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Owner {
    /// The row's table in the northbound database.
    pub table: &'static str,
    /// The row.
    pub uuid: Uuid,
}

/// Where a logical flow is needed. A set of nodes is named, not listed: placement reads it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// On every node.
    Everywhere,
    /// On one node: where a port resides.
    At(NodeName),
    /// On the nodes of a set, but for one.
    On {
        /// The set.
        nodes: NodeSet,
        /// The node that does not need it: where the port resides.
        except: Option<NodeName>,
    },
}

/// A set of nodes that the topology knows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NodeSet {
    /// Every node.
    Known,
    /// Nodes that hold a port of a datapath of this domain (datapaths joined by router ports), named by one of its datapaths.
    Domain(Uuid),
    /// Nodes that hold a port of this switch.
    Switch(Uuid),
    /// Nodes that hold a port of this switch in one of these subnets, or a port that is in none.
    Subnets(Uuid, Vec<ipnet::IpNet>),
    /// Nodes that hold a port of a switch that has one of these sets of load balancers.
    Balanced(Vec<Uuid>),
    /// Nodes that hold a port of this switch that may send from any address.
    Unguarded(Uuid),
    /// Nodes on which this localnet port is in use.
    Localnet(Uuid),
}

/// A logical flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogicalFlow {
    /// Its datapath.
    pub datapath: Datapath,
    /// Its stage.
    pub stage: Stage,
    /// Higher wins.
    pub priority: u16,
    /// Which packets.
    pub matches: Expr,
    /// What happens to them.
    pub actions: Vec<Action>,
    /// Where it is needed.
    pub scope: Scope,
    /// The row it is made from; `None` for flows that every topology has.
    pub owner: Option<Owner>,
}

impl LogicalFlow {
    /// The cookie of the OpenFlow flows it becomes. Two logical flows may have the same one, which misleads a reader of a dump and
    /// nothing else.
    #[must_use]
    pub fn cookie(&self) -> Cookie {
        let (stage, priority, matches) = (&self.stage, &self.priority, &self.matches);
        match &self.datapath {
            Datapath::Every(kind) => {
                Cookie::of(&[&format_args!("{kind:?}"), stage, priority, matches])
            }
            Datapath::One(datapath) => Cookie::of(&[&datapath.uuid, stage, priority, matches]),
        }
    }

    /// What no other logical flow shares.
    pub(crate) fn identity(&self) -> String {
        let (datapath, stage, priority) = (self.datapath_text(), self.stage.name(), self.priority);
        format!("{datapath} {stage} {priority} {}", self.matches)
    }

    fn datapath_text(&self) -> String {
        match &self.datapath {
            Datapath::Every(kind) => format!("{kind:?}"),
            Datapath::One(datapath) => datapath.uuid.to_string(),
        }
    }
}

/// As `lflow-list` prints it, without the datapath.
impl fmt::Display for LogicalFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stage, number, priority) = (self.stage.name(), self.stage.number(), self.priority);
        let actions = Action::list(&self.actions);
        write!(
            f,
            "table={number:<2}({stage:<21}), priority={priority:<5}, match=({}), action=({actions})",
            self.matches
        )
    }
}

/// What lowering asks about names. The answer's rows are recorded as read, which is why it is asked for and not handed over whole.
pub trait Names {
    /// Key of the datapath a flow belongs to.
    fn datapath(&mut self, datapath: DatapathRef) -> Option<crate::pipeline::DatapathKey>;
    /// Key of a port, or multicast group, of a datapath; `""` is none and never asked for.
    fn port(&mut self, datapath: &Datapath, name: &str) -> Option<crate::pipeline::PortKey>;
    /// Keys of the datapath and port that `deliver(datapath, port)` names.
    fn delivery(
        &mut self,
        datapath: &str,
        port: &str,
    ) -> Option<(crate::pipeline::DatapathKey, crate::pipeline::PortKey)>;
    /// Number of the group of buckets that `ct_lb_mark(backends=…)` chooses from.
    fn group(&mut self) -> Option<crate::pipeline::GroupId> {
        None
    }
    /// The conntrack zone in which a router translates, for `ct_snat` and `ct_dnat`.
    fn zone(&mut self, _datapath: DatapathRef, _side: weft_expr::NatSide) -> Option<u16> {
        None
    }
    /// Tunnel address of a node, for `forward`.
    fn tunnel_address(&mut self, node: &str) -> Option<std::net::IpAddr>;
}
