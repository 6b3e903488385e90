//! Which bits of which OpenFlow field mean what: OVN's assignment where OVN has one.
//!
//! Must not: be bypassed; a flow that names a register takes it from here.

/// A named run of bits of an OpenFlow field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegisterField {
    /// Name in flows' documentation.
    pub name: &'static str,
    /// The field: `metadata`, or `reg` and a number.
    pub field: &'static str,
    /// Lowest bit.
    pub low: u8,
    /// Number of bits.
    pub width: u8,
    /// What it holds.
    pub meaning: &'static str,
}

/// Number of the register that holds `flags`.
pub const FLAGS: u8 = 10;
/// The bit of `flags` of a packet that may leave by the port it came in by.
pub const LOOPBACK: u32 = 1;
/// The bit of `flags` of a packet that another node sent to a port or group, or that came from a physical network.
pub const FROM_OUTSIDE: u32 = 1 << 25;
/// The bit of the register that holds `outport` which says that the port is on another node, to which `tun_dst` leads.
pub const FAR: u32 = 1 << 16;
/// Number of the register that holds the OpenFlow port (and conntrack zone) of the port worked on.
pub const OFPORT: u8 = 13;
/// Number of the register that holds `inport`.
pub const INPORT: u8 = 14;
/// Number of the register that holds `outport`.
pub const OUTPORT: u8 = 15;

/// The bit of a switch's packet that says that it went to a virtual address, and the registers that hold what takes the place of its source
/// if it is the destination too, by family; the register that holds the number of the switch's load balancers.
pub mod balancing {
    use weft_expr::{Part, Symbol};

    /// The packet went to a virtual address.
    #[must_use]
    pub fn is_balanced() -> Part {
        Symbol::Reg0.bit(0)
    }

    /// Takes the place of an IPv4 source.
    pub const HAIRPIN4: Symbol = Symbol::Reg1;
    /// Takes the place of an IPv6 source.
    pub const HAIRPIN6: Symbol = Symbol::XxReg1;
    /// Number of the switch's set of load balancers; 0 is none.
    pub const SET: Symbol = Symbol::Reg3;
}

/// All of them. `flags` is split into its bits, which is the one overlap.
pub const ALL: &[RegisterField] = &[
    RegisterField {
        name: "datapath",
        field: "metadata",
        low: 0,
        width: 24,
        meaning: "key of the logical datapath, never 0; the tunnel's VNI",
    },
    RegisterField {
        name: "reg0 … reg9",
        field: "reg0",
        low: 0,
        width: 32,
        meaning: "logical registers of the same names; reg0 (xxreg0 for IPv6) is the next hop in a router; in a switch, while it is looked up, xxreg1 is an address and xreg4 a MAC and what is asked of them; there, from ls_in_pre_lb to ls_in_hairpin, reg3 is the number of its load balancers, reg0[0] says that the packet went to a virtual address, and reg1 (xxreg1 for IPv6) is its hairpin address",
    },
    RegisterField {
        name: "flags.loopback",
        field: "reg10",
        low: 0,
        width: 1,
        meaning: "the packet may leave by the port it came in by; set together with in_port := none",
    },
    RegisterField {
        name: "flags.nd_reply",
        field: "reg10",
        low: 24,
        width: 1,
        meaning: "a neighbour advertisement half made",
    },
    RegisterField {
        name: "flags.from_outside",
        field: "reg10",
        low: 25,
        width: 1,
        meaning: "another node sent the packet to a port or group, or it came from a physical network: it goes to a port of this node, and neither into a router nor out of a localnet port",
    },
    RegisterField {
        name: "ofport",
        field: "reg13",
        low: 0,
        width: 16,
        meaning: "OpenFlow port of the local port being worked on, which is its conntrack zone: the ingress port's in ingress, the egress port's in egress",
    },
    RegisterField {
        name: "inport",
        field: "reg14",
        low: 0,
        width: 15,
        meaning: "key of the ingress port; 0 is none",
    },
    RegisterField {
        name: "outport",
        field: "reg15",
        low: 0,
        width: 16,
        meaning: "key of the egress port or multicast group; 0 is none",
    },
    RegisterField {
        name: "outport.far",
        field: "reg15",
        low: 16,
        width: 1,
        meaning: "the egress port is on another node, to which tun_dst leads; whatever sets outport clears it",
    },
];
