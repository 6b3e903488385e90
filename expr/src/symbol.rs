//! The words of the language: packet fields and registers, names for parts of them, predicates.
//!
//! Two layers. A [`Field`] is storage: what a packet holds, each bit once. A [`Symbol`] is a name for a run of bits of one field
//! (`reg3` is the low 32 bits of the field `XxReg0`), with its level of measurement, its prerequisite and how its constants print.
//! A [`Part`] is a symbol or a sub-range of one (`eth.dst[40]`). One table each; everything else is derived from it.
//!
//! Names, widths and prerequisites are ovn-sb(5)'s. weft's own: `nd.reserved`, `nd.options_type` (what a neighbour
//! advertisement made by flows must write) and `flags.nd_reply`.
//!
//! Invariant: a symbol lies within its field (tested). Must not: hold values.

use std::fmt;

/// Storage in a packet or beside it; symbols name runs of its bits. Strings (`inport`, `outport`) are not fields.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)] // each is the symbol of the same name; the registers hold four 32-bit registers each
pub enum Field {
    /// `reg0` to `reg3`, `reg0` highest.
    XxReg0,
    /// `reg4` to `reg7`, `reg4` highest.
    XxReg1,
    /// `reg8` and `reg9`, `reg8` highest.
    XReg4,
    Flags,
    PktMark,
    CtState,
    CtMark,
    CtLabel,
    EthSrc,
    EthDst,
    EthType,
    /// Tag control information with bit 12 set when there is a tag; 0 without one.
    VlanTci,
    IpProto,
    IpDscp,
    IpEcn,
    IpTtl,
    /// Bit 0: a fragment; bit 1: not the first one.
    IpFrag,
    Ip4Src,
    Ip4Dst,
    Ip6Src,
    Ip6Dst,
    Ip6Label,
    ArpOp,
    ArpSpa,
    ArpTpa,
    ArpSha,
    ArpTha,
    Icmp4Type,
    Icmp4Code,
    Icmp6Type,
    Icmp6Code,
    NdTarget,
    NdSll,
    NdTll,
    NdReserved,
    NdOptionsType,
    TcpSrc,
    TcpDst,
    TcpFlags,
    UdpSrc,
    UdpDst,
    SctpSrc,
    SctpDst,
}

impl Field {
    /// Width in bits, 1 to 128.
    #[must_use]
    pub const fn width(self) -> u8 {
        match self {
            Field::XxReg0 | Field::XxReg1 | Field::CtLabel => 128,
            Field::Ip6Src | Field::Ip6Dst | Field::NdTarget => 128,
            Field::XReg4 => 64,
            Field::EthSrc
            | Field::EthDst
            | Field::ArpSha
            | Field::ArpTha
            | Field::NdSll
            | Field::NdTll => 48,
            Field::Flags | Field::PktMark | Field::CtState | Field::CtMark | Field::NdReserved => {
                32
            }
            Field::Ip4Src | Field::Ip4Dst | Field::ArpSpa | Field::ArpTpa => 32,
            Field::Ip6Label => 20,
            Field::EthType | Field::VlanTci | Field::ArpOp => 16,
            Field::TcpSrc
            | Field::TcpDst
            | Field::UdpSrc
            | Field::UdpDst
            | Field::SctpSrc
            | Field::SctpDst => 16,
            Field::TcpFlags => 12,
            Field::IpProto | Field::IpTtl | Field::NdOptionsType => 8,
            Field::Icmp4Type | Field::Icmp4Code | Field::Icmp6Type | Field::Icmp6Code => 8,
            Field::IpDscp => 6,
            Field::IpEcn | Field::IpFrag => 2,
        }
    }

    /// All ones of this field's width.
    #[must_use]
    pub const fn mask(self) -> u128 {
        ones(self.width())
    }
}

/// `width` ones from bit 0.
#[must_use]
pub(crate) const fn ones(width: u8) -> u128 {
    match width {
        0 => 0,
        128.. => u128::MAX,
        _ => u128::MAX >> (128u8.saturating_sub(width)),
    }
}

/// What may be asked of a symbol (ovn-sb(5), Level of Measurement).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Bits can be looked at one by one: masks, sub-ranges and order.
    Ordinal,
    /// Only equality, and only in a positive sense.
    Nominal,
}

/// Who may assign to a symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Actions may write it.
    Writable,
    /// Only matched.
    ReadOnly,
}

/// How constants of a symbol are printed; any form is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `17`.
    Decimal,
    /// `0x800`.
    Hex,
    /// `0a:58:0a:80:00:09`.
    Ethernet,
    /// `10.0.0.1`.
    Ip4,
    /// `fd00::1`.
    Ip6,
    /// A 32-bit register: small numbers decimal, large ones as IPv4 addresses.
    Register,
}

/// What a symbol is.
#[derive(Clone, Copy, Debug)]
pub struct SymbolInfo {
    /// As written in matches and actions.
    pub name: &'static str,
    /// Where its bits are stored.
    pub field: Field,
    /// Lowest bit within the field.
    pub offset: u8,
    /// Number of bits.
    pub width: u8,
    /// What may be asked of it.
    pub level: Level,
    /// Whether actions may write it.
    pub access: Access,
    /// What using it implies about the packet.
    pub prerequisite: Option<Predicate>,
    /// How its constants print.
    pub format: Format,
}

macro_rules! symbols {
    ($($variant:ident $name:literal $field:ident [$offset:literal; $width:literal] $level:ident $access:ident ($($prerequisite:ident)?) $format:ident;)*) => {
        /// A named field or subfield with an integer value.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Symbol {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Symbol {
            /// Every symbol, in the table's order.
            pub const ALL: &'static [Symbol] = &[$(Symbol::$variant),*];

            /// The symbol's row of the table.
            #[must_use]
            pub const fn info(self) -> SymbolInfo {
                match self {
                    $(Symbol::$variant => SymbolInfo {
                        name: $name,
                        field: Field::$field,
                        offset: $offset,
                        width: $width,
                        level: Level::$level,
                        access: Access::$access,
                        prerequisite: symbols!(@prerequisite $($prerequisite)?),
                        format: Format::$format,
                    },)*
                }
            }
        }
    };
    (@prerequisite) => { None };
    (@prerequisite $prerequisite:ident) => { Some(Predicate::$prerequisite) };
}

symbols! {
    // variant     name             field   [lowest bit; width] level access (prerequisite) printed as
    XxReg0        "xxreg0"          XxReg0    [0; 128]  Ordinal Writable () Ip6;
    XxReg1        "xxreg1"          XxReg1    [0; 128]  Ordinal Writable () Ip6;
    XReg0         "xreg0"           XxReg0    [64; 64]  Ordinal Writable () Hex;
    XReg1         "xreg1"           XxReg0    [0; 64]   Ordinal Writable () Hex;
    XReg2         "xreg2"           XxReg1    [64; 64]  Ordinal Writable () Hex;
    XReg3         "xreg3"           XxReg1    [0; 64]   Ordinal Writable () Hex;
    XReg4         "xreg4"           XReg4     [0; 64]   Ordinal Writable () Hex;
    Reg0          "reg0"            XxReg0    [96; 32]  Ordinal Writable () Register;
    Reg1          "reg1"            XxReg0    [64; 32]  Ordinal Writable () Register;
    Reg2          "reg2"            XxReg0    [32; 32]  Ordinal Writable () Register;
    Reg3          "reg3"            XxReg0    [0; 32]   Ordinal Writable () Register;
    Reg4          "reg4"            XxReg1    [96; 32]  Ordinal Writable () Register;
    Reg5          "reg5"            XxReg1    [64; 32]  Ordinal Writable () Register;
    Reg6          "reg6"            XxReg1    [32; 32]  Ordinal Writable () Register;
    Reg7          "reg7"            XxReg1    [0; 32]   Ordinal Writable () Register;
    Reg8          "reg8"            XReg4     [32; 32]  Ordinal Writable () Register;
    Reg9          "reg9"            XReg4     [0; 32]   Ordinal Writable () Register;

    Flags         "flags"           Flags     [0; 32]   Ordinal Writable () Hex;
    FlagsLoopback "flags.loopback"  Flags     [0; 1]    Ordinal Writable () Decimal;
    FlagsNdReply  "flags.nd_reply"  Flags     [24; 1]   Ordinal Writable () Decimal;
    PktMark       "pkt.mark"        PktMark   [0; 32]   Ordinal Writable () Hex;

    CtState       "ct_state"        CtState   [0; 32]   Ordinal ReadOnly () Hex;
    CtNew         "ct.new"          CtState   [0; 1]    Ordinal ReadOnly (CtTrk) Decimal;
    CtEst         "ct.est"          CtState   [1; 1]    Ordinal ReadOnly (CtTrk) Decimal;
    CtRel         "ct.rel"          CtState   [2; 1]    Ordinal ReadOnly (CtTrk) Decimal;
    CtRpl         "ct.rpl"          CtState   [3; 1]    Ordinal ReadOnly (CtTrk) Decimal;
    CtInv         "ct.inv"          CtState   [4; 1]    Ordinal ReadOnly (CtTrk) Decimal;
    CtSnat        "ct.snat"         CtState   [6; 1]    Ordinal ReadOnly (CtTrk) Decimal;
    CtDnat        "ct.dnat"         CtState   [7; 1]    Ordinal ReadOnly (CtTrk) Decimal;
    CtMark        "ct_mark"         CtMark    [0; 32]   Ordinal ReadOnly () Hex;
    CtLabel       "ct_label"        CtLabel   [0; 128]  Ordinal ReadOnly () Hex;

    EthSrc        "eth.src"         EthSrc    [0; 48]   Ordinal Writable () Ethernet;
    EthDst        "eth.dst"         EthDst    [0; 48]   Ordinal Writable () Ethernet;
    EthMcast      "eth.mcast"       EthDst    [40; 1]   Ordinal ReadOnly () Decimal;
    EthType       "eth.type"        EthType   [0; 16]   Nominal ReadOnly () Hex;
    VlanTci       "vlan.tci"        VlanTci   [0; 16]   Ordinal Writable () Hex;
    VlanPcp       "vlan.pcp"        VlanTci   [13; 3]   Ordinal Writable (VlanPresent) Decimal;
    VlanVid       "vlan.vid"        VlanTci   [0; 12]   Ordinal Writable (VlanPresent) Decimal;

    IpProto       "ip.proto"        IpProto   [0; 8]    Nominal ReadOnly (Ip) Decimal;
    IpDscp        "ip.dscp"         IpDscp    [0; 6]    Nominal Writable (Ip) Decimal;
    IpEcn         "ip.ecn"          IpEcn     [0; 2]    Nominal Writable (Ip) Decimal;
    IpTtl         "ip.ttl"          IpTtl     [0; 8]    Nominal Writable (Ip) Decimal;
    IpFrag        "ip.frag"         IpFrag    [0; 2]    Ordinal ReadOnly (Ip) Decimal;
    Ip4Src        "ip4.src"         Ip4Src    [0; 32]   Ordinal Writable (Ip4) Ip4;
    Ip4Dst        "ip4.dst"         Ip4Dst    [0; 32]   Ordinal Writable (Ip4) Ip4;
    Ip6Src        "ip6.src"         Ip6Src    [0; 128]  Ordinal Writable (Ip6) Ip6;
    Ip6Dst        "ip6.dst"         Ip6Dst    [0; 128]  Ordinal Writable (Ip6) Ip6;
    Ip6Label      "ip6.label"       Ip6Label  [0; 20]   Ordinal Writable (Ip6) Hex;

    ArpOp         "arp.op"          ArpOp     [0; 16]   Nominal Writable (Arp) Decimal;
    ArpSpa        "arp.spa"         ArpSpa    [0; 32]   Ordinal Writable (Arp) Ip4;
    ArpTpa        "arp.tpa"         ArpTpa    [0; 32]   Ordinal Writable (Arp) Ip4;
    ArpSha        "arp.sha"         ArpSha    [0; 48]   Ordinal Writable (Arp) Ethernet;
    ArpTha        "arp.tha"         ArpTha    [0; 48]   Ordinal Writable (Arp) Ethernet;
    RarpOp        "rarp.op"         ArpOp     [0; 16]   Nominal Writable (Rarp) Decimal;
    RarpSpa       "rarp.spa"        ArpSpa    [0; 32]   Ordinal Writable (Rarp) Ip4;
    RarpTpa       "rarp.tpa"        ArpTpa    [0; 32]   Ordinal Writable (Rarp) Ip4;
    RarpSha       "rarp.sha"        ArpSha    [0; 48]   Ordinal Writable (Rarp) Ethernet;
    RarpTha       "rarp.tha"        ArpTha    [0; 48]   Ordinal Writable (Rarp) Ethernet;

    Icmp4Type     "icmp4.type"      Icmp4Type [0; 8]    Nominal Writable (Icmp4) Decimal;
    Icmp4Code     "icmp4.code"      Icmp4Code [0; 8]    Nominal Writable (Icmp4) Decimal;
    Icmp6Type     "icmp6.type"      Icmp6Type [0; 8]    Nominal Writable (Icmp6) Decimal;
    Icmp6Code     "icmp6.code"      Icmp6Code [0; 8]    Nominal Writable (Icmp6) Decimal;
    NdTarget      "nd.target"       NdTarget  [0; 128]  Ordinal Writable (Nd) Ip6;
    NdSll         "nd.sll"          NdSll     [0; 48]   Ordinal Writable (NdNs) Ethernet;
    NdTll         "nd.tll"          NdTll     [0; 48]   Ordinal Writable (NdNa) Ethernet;
    NdReserved    "nd.reserved"     NdReserved [0; 32]  Nominal Writable (Nd) Hex;
    NdOptionsType "nd.options_type" NdOptionsType [0; 8] Nominal Writable (Nd) Decimal;

    TcpSrc        "tcp.src"         TcpSrc    [0; 16]   Ordinal Writable (Tcp) Decimal;
    TcpDst        "tcp.dst"         TcpDst    [0; 16]   Ordinal Writable (Tcp) Decimal;
    TcpFlags      "tcp.flags"       TcpFlags  [0; 12]   Ordinal ReadOnly (Tcp) Hex;
    UdpSrc        "udp.src"         UdpSrc    [0; 16]   Ordinal Writable (Udp) Decimal;
    UdpDst        "udp.dst"         UdpDst    [0; 16]   Ordinal Writable (Udp) Decimal;
    SctpSrc       "sctp.src"        SctpSrc   [0; 16]   Ordinal Writable (Sctp) Decimal;
    SctpDst       "sctp.dst"        SctpDst   [0; 16]   Ordinal Writable (Sctp) Decimal;
}

macro_rules! predicates {
    ($($variant:ident $name:literal $level:ident $expansion:literal;)*) => {
        /// A name for a condition that is often asked for; [`Predicate::expansion`] says which.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Predicate {
            $(#[doc = concat!("`", $name, "`: `", $expansion, "`")] $variant,)*
        }

        impl Predicate {
            /// Every predicate, in the table's order.
            pub const ALL: &'static [Predicate] = &[$(Predicate::$variant),*];

            /// As written in matches.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Predicate::$variant => $name,)* }
            }

            /// What it stands for.
            #[must_use]
            pub const fn expansion(self) -> &'static str {
                match self { $(Predicate::$variant => $expansion,)* }
            }

            /// Nominal if its expansion tests a nominal field: then it cannot be negated.
            #[must_use]
            pub const fn level(self) -> Level {
                match self { $(Predicate::$variant => Level::$level,)* }
            }
        }
    };
}

predicates! {
    EthBcast    "eth.bcast"     Ordinal "eth.dst == ff:ff:ff:ff:ff:ff";
    EthMcastV6  "eth.mcastv6"   Ordinal "eth.dst[32..47] == 0x3333";
    VlanPresent "vlan.present"  Ordinal "vlan.tci[12]";
    CtTrk       "ct.trk"        Ordinal "ct_state[5]";
    Ip4         "ip4"           Nominal "eth.type == 0x800";
    Ip6         "ip6"           Nominal "eth.type == 0x86dd";
    Ip          "ip"            Nominal "ip4 || ip6";
    Ip4SrcMcast "ip4.src_mcast" Ordinal "ip4.src[28..31] == 14";
    Ip4Mcast    "ip4.mcast"     Ordinal "eth.mcast && ip4.dst[28..31] == 14";
    Ip6Mcast    "ip6.mcast"     Ordinal "eth.mcastv6 && ip6.dst[120..127] == 255";
    Icmp4       "icmp4"         Nominal "ip4 && ip.proto == 1";
    Icmp6       "icmp6"         Nominal "ip6 && ip.proto == 58";
    Icmp        "icmp"          Nominal "icmp4 || icmp6";
    Igmp        "igmp"          Nominal "ip4.mcast && ip.proto == 2";
    IpIsFrag    "ip.is_frag"    Ordinal "ip.frag[0]";
    IpLaterFrag "ip.later_frag" Ordinal "ip.frag[1]";
    IpFirstFrag "ip.first_frag" Ordinal "ip.is_frag && !ip.later_frag";
    Arp         "arp"           Nominal "eth.type == 0x806";
    Rarp        "rarp"          Nominal "eth.type == 0x8035";
    Nd          "nd"            Nominal "icmp6.type == {135, 136} && icmp6.code == 0 && ip.ttl == 255";
    NdNs        "nd_ns"         Nominal "icmp6.type == 135 && icmp6.code == 0 && ip.ttl == 255";
    NdNsMcast   "nd_ns_mcast"   Nominal "ip6.mcast && icmp6.type == 135 && icmp6.code == 0 && ip.ttl == 255";
    NdNa        "nd_na"         Nominal "icmp6.type == 136 && icmp6.code == 0 && ip.ttl == 255";
    NdRs        "nd_rs"         Nominal "icmp6.type == 133 && icmp6.code == 0 && ip.ttl == 255";
    NdRa        "nd_ra"         Nominal "icmp6.type == 134 && icmp6.code == 0 && ip.ttl == 255";
    MldV1       "mldv1"         Nominal "eth.mcastv6 && ip6.src == fe80::/10 && icmp6.type == {130, 131, 132}";
    MldV2       "mldv2"         Nominal "eth.mcastv6 && ip6.dst == ff02::16 && icmp6.type == 143";
    Tcp         "tcp"           Nominal "ip.proto == 6";
    Udp         "udp"           Nominal "ip.proto == 17";
    Sctp        "sctp"          Nominal "ip.proto == 132";
}

/// A string field: the name of a logical port, or of a multicast group for `outport`; empty for none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PortSymbol {
    /// The logical port the packet came in by.
    Inport,
    /// The logical port or multicast group it is to leave by.
    Outport,
}

impl PortSymbol {
    /// Both.
    pub const ALL: &'static [PortSymbol] = &[PortSymbol::Inport, PortSymbol::Outport];

    /// As written in matches and actions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PortSymbol::Inport => "inport",
            PortSymbol::Outport => "outport",
        }
    }
}

impl Symbol {
    /// As written in matches and actions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// Width in bits.
    #[must_use]
    pub const fn width(self) -> u8 {
        self.info().width
    }

    /// The bits `low` to `high` of the symbol, both included, counted from 0 at the least significant.
    ///
    /// # Panics
    /// When there are no such bits. For ranges from outside use [`Part::new`].
    #[must_use]
    pub fn bits(self, low: u8, high: u8) -> Part {
        Part::new(self, low, high).expect("the bits asked for lie within the symbol")
    }

    /// Bit `index` of the symbol.
    ///
    /// # Panics
    /// When there is no such bit.
    #[must_use]
    pub fn bit(self, index: u8) -> Part {
        self.bits(index, index)
    }

    /// The whole symbol as a part.
    #[must_use]
    pub const fn whole(self) -> Part {
        Part {
            symbol: self,
            low: 0,
            width: self.width(),
        }
    }

    /// The symbol of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Symbol> {
        Symbol::ALL
            .iter()
            .copied()
            .find(|symbol| symbol.name() == name)
    }
}

impl Predicate {
    /// The predicate of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Predicate> {
        Predicate::ALL
            .iter()
            .copied()
            .find(|predicate| predicate.name() == name)
    }
}

/// A symbol or a run of its bits: `ip4.src`, `ip4.src[0..7]`, `eth.dst[40]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Part {
    symbol: Symbol,
    low: u8,
    width: u8,
}

impl Part {
    /// The bits `low` to `high` of `symbol`, both included; `None` when it has no such bits.
    #[must_use]
    pub const fn new(symbol: Symbol, low: u8, high: u8) -> Option<Part> {
        if low > high || high >= symbol.width() {
            return None;
        }
        let width = high.saturating_sub(low).saturating_add(1);
        Some(Part { symbol, low, width })
    }

    /// The symbol it is a part of.
    #[must_use]
    pub const fn symbol(self) -> Symbol {
        self.symbol
    }

    /// Its lowest bit within the symbol.
    #[must_use]
    pub const fn low(self) -> u8 {
        self.low
    }

    /// Its highest bit within the symbol.
    #[must_use]
    pub const fn high(self) -> u8 {
        self.low.saturating_add(self.width).saturating_sub(1)
    }

    /// Width in bits, at least 1.
    #[must_use]
    pub const fn width(self) -> u8 {
        self.width
    }

    /// All ones of this width.
    #[must_use]
    pub const fn mask(self) -> u128 {
        ones(self.width)
    }

    /// Whether this is the symbol and not a piece of it.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.width == self.symbol.width()
    }

    /// The field that holds the bits.
    #[must_use]
    pub const fn field(self) -> Field {
        self.symbol.info().field
    }

    /// Its lowest bit within the field.
    #[must_use]
    pub const fn field_offset(self) -> u8 {
        self.symbol.info().offset.saturating_add(self.low)
    }

    /// How its constants print.
    #[must_use]
    pub(crate) const fn format(self) -> Format {
        match (self.is_whole(), self.symbol.info().format) {
            (true, format) => format,
            (false, Format::Decimal | Format::Register) => Format::Decimal,
            (false, _) => Format::Hex,
        }
    }
}

impl From<Symbol> for Part {
    fn from(symbol: Symbol) -> Part {
        symbol.whole()
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for PortSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_whole(), self.width) {
            (true, _) => write!(f, "{}", self.symbol),
            (false, 1) => write!(f, "{}[{}]", self.symbol, self.low),
            (false, _) => write!(f, "{}[{}..{}]", self.symbol, self.low, self.high()),
        }
    }
}
