//! Stages of the logical pipelines, one table.
//!
//! Names are OVN's where the job is the same. Numbers leave room for the stages to come (ACLs, conntrack, load balancing, NAT), so that
//! a stage keeps its number.
//!
//! Must not: know what flows a stage holds.

use std::fmt;

use weft_expr::Pipeline;

use super::table::TableId;

/// What a datapath is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DatapathKind {
    /// A logical switch.
    Switch,
    /// A logical router.
    Router,
}

impl DatapathKind {
    /// The OpenFlow table of stage 0 of a pipeline.
    #[must_use]
    pub const fn first_table(self, pipeline: Pipeline) -> TableId {
        TableId::new(self.tables(pipeline).0)
    }

    /// First and last OpenFlow table set aside for a pipeline.
    pub(super) const fn tables(self, pipeline: Pipeline) -> (u8, u8) {
        match (self, pipeline) {
            (DatapathKind::Switch, Pipeline::Ingress) => (8, 39),
            (DatapathKind::Router, Pipeline::Ingress) => (40, 63),
            (DatapathKind::Switch, Pipeline::Egress) => (72, 95),
            (DatapathKind::Router, Pipeline::Egress) => (96, 111),
        }
    }
}

macro_rules! stages {
    ($($variant:ident $kind:ident $pipeline:ident $number:literal $name:literal $job:literal;)*) => {
        /// A stage of a logical pipeline.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Stage {
            $(#[doc = concat!("`", $name, "`: ", $job)] $variant,)*
        }

        impl Stage {
            /// Every stage, in the order of the table.
            pub const ALL: &'static [Stage] = &[$(Stage::$variant),*];

            /// As `lflow-list` prints it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Stage::$variant => $name,)* }
            }

            /// What it is for.
            #[must_use]
            pub const fn job(self) -> &'static str {
                match self { $(Stage::$variant => $job,)* }
            }

            /// Its number in its pipeline.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Stage::$variant => $number,)* }
            }

            /// The kind of datapath it belongs to.
            #[must_use]
            pub const fn kind(self) -> DatapathKind {
                match self { $(Stage::$variant => DatapathKind::$kind,)* }
            }

            /// The pipeline it belongs to.
            #[must_use]
            pub const fn pipeline(self) -> Pipeline {
                match self { $(Stage::$variant => Pipeline::$pipeline,)* }
            }
        }
    };
}

stages! {
    LsInCheckPortSec  Switch Ingress 0  "ls_in_check_port_sec"  "source MAC: tagged frames and multicast sources dropped, per port the MACs it may send from";
    LsInIpPortSec     Switch Ingress 1  "ls_in_ip_port_sec"     "source addresses of IP and ARP, per port";
    LsInNdPortSec     Switch Ingress 2  "ls_in_nd_port_sec"     "link-layer addresses and targets in neighbour discovery, per port";
    LsInPreLb         Switch Ingress 5  "ls_in_pre_lb"          "which load balancers the switch has";
    LsInPreStateful   Switch Ingress 6  "ls_in_pre_stateful"    "packets to a virtual address through connection tracking; to a hairpin address, back to who sent them";
    LsInLb            Switch Ingress 12 "ls_in_lb"              "a new connection to a virtual address: one of its endpoints is chosen";
    LsInHairpin       Switch Ingress 16 "ls_in_hairpin"         "through a load balancer to oneself: from a hairpin address, back out of the port";
    LsInArpRsp        Switch Ingress 20 "ls_in_arp_rsp"         "ARP and neighbour solicitations answered for addresses that exist";
    LsInL2Lkup        Switch Ingress 26 "ls_in_l2_lkup"         "destination MAC to egress port";
    LsInLocate        Switch Ingress 27 "ls_in_locate"          "a routed packet whose port is to be found: its destination is what is looked up";
    LsInOwn           Switch Ingress 28 "ls_in_own"             "called: per port, the MAC and address in registers are its own";
    LsInOwnThen       Switch Ingress 29 "ls_in_own_then"        "after that: what else a packet says of its sender, or on to where it was called from";
    LsInPortLkup      Switch Ingress 30 "ls_in_port_lkup"       "called: per port, the address in registers is that of the port";
    LsInPortThen      Switch Ingress 31 "ls_in_port_then"       "after that: to the port, or its answer back to who asks for it";
    LrInAdmission     Router Ingress 0  "lr_in_admission"       "frames that are not for a router dropped";
    LrInIpInput       Router Ingress 3  "lr_in_ip_input"        "sources that cannot be, pings to the router itself";
    LrInUnsnat        Router Ingress 4  "lr_in_unsnat"          "answers to connections whose source was translated: back to the source";
    LrInDnat          Router Ingress 7  "lr_in_dnat"            "destinations translated";
    LrInIpRouting     Router Ingress 11 "lr_in_ip_routing"      "longest prefix: next hop and egress port, or the node the address is on";
    LrInIpTtl         Router Ingress 12 "lr_in_ip_ttl"          "TTL checked and taken down";
    LrInIpRoutingEcmp Router Ingress 13 "lr_in_ip_routing_ecmp" "of several next hops the one that was chosen";
    LrInArpResolve    Router Ingress 15 "lr_in_arp_resolve"     "next hop to MAC";
    LsOutPreLb        Switch Egress  1  "ls_out_pre_lb"         "what may be an endpoint's answer through connection tracking, which makes it the virtual address's";
    LsOutCheckPortSec Switch Egress  9  "ls_out_check_port_sec" "destination addresses, per port";
    LsOutApplyPortSec Switch Egress  10 "ls_out_apply_port_sec" "out of the switch's port";
    LrOutLocate       Router Egress  0  "lr_out_locate"         "a packet without egress port: the port on this node that has its address";
    LrOutUndnat       Router Egress  1  "lr_out_undnat"         "answers to connections whose destination was translated: from what was asked for";
    LrOutSnat         Router Egress  3  "lr_out_snat"           "sources translated";
    LrOutDelivery     Router Egress  6  "lr_out_delivery"       "out of the router's port";
}

impl Stage {
    /// The OpenFlow table it is.
    #[must_use]
    pub const fn table(self) -> TableId {
        let first = self.kind().tables(self.pipeline()).0;
        TableId::new(first.saturating_add(self.number()))
    }

    /// Whether it is no step of its pipeline: packets get there only by the name of the stage.
    #[must_use]
    pub const fn is_called(self) -> bool {
        matches!(
            self,
            Stage::LsInLocate
                | Stage::LsInOwn
                | Stage::LsInOwnThen
                | Stage::LsInPortLkup
                | Stage::LsInPortThen
        )
    }

    /// The stage after it in its pipeline; `None` for the last one.
    #[must_use]
    pub fn following(self) -> Option<Stage> {
        Stage::ALL
            .iter()
            .copied()
            .filter(|stage| stage.kind() == self.kind() && stage.pipeline() == self.pipeline())
            .filter(|stage| stage.number() > self.number())
            .filter(|stage| self.is_called() || !stage.is_called())
            .min_by_key(|stage| stage.number())
    }

    /// The first stage of a pipeline.
    #[must_use]
    pub fn first(kind: DatapathKind, pipeline: Pipeline) -> Option<Stage> {
        Stage::ALL
            .iter()
            .copied()
            .filter(|stage| stage.kind() == kind && stage.pipeline() == pipeline)
            .min_by_key(|stage| stage.number())
    }

    /// The stage with this number.
    #[must_use]
    pub fn find(kind: DatapathKind, pipeline: Pipeline, number: u8) -> Option<Stage> {
        Stage::ALL.iter().copied().find(|stage| {
            stage.kind() == kind && stage.pipeline() == pipeline && stage.number() == number
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
