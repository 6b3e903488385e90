//! The one table of match fields: name, OXM and NXM number, width, masking, prerequisites, first Open vSwitch version.
//!
//! Decoding, encoding, text and documentation all read this table. Rows stand in the order in which Open vSwitch writes
//! them into an OpenFlow 1.5 match (`nx_put_raw` in its `lib/nx-match.c`), and [`Field`]'s `Ord` is this order, so an
//! encoded match is this table filtered.
//!
//! A field may have two numbers. The OXM one is sent where there is one, as Open vSwitch does; both are understood.
//! Source: Open vSwitch `include/openvswitch/meta-flow.h`, ovs-fields(7).
//!
//! Must not: know values (see `value.rs`) or matches (see `matches.rs`).

use std::fmt;

/// OXM class of `NXM_OF_*` fields (OpenFlow 1.0's own).
pub const NXM_OF: u16 = 0x0000;
/// OXM class of `NXM_NX_*` fields.
pub const NXM_NX: u16 = 0x0001;
/// OXM class of `ERICOXM_OF_*` fields.
pub const ERICOXM_OF: u16 = 0x1000;
/// OXM class of `OXM_OF_*` fields (OpenFlow basic).
pub const OXM_OF: u16 = 0x8000;
/// OXM class of `OXM_OF_PKT_REG*`.
pub const OXM_PKT_REG: u16 = 0x8001;
/// OXM class whose fields carry an experimenter number after the header.
pub const OXM_EXPERIMENTER: u16 = 0xffff;

/// One row of the field table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    /// Name in flow text; a family's lacks its index (`reg`).
    pub name: &'static str,
    /// Another name accepted in text, or empty.
    pub alias: &'static str,
    /// OXM class and number (a family's first).
    pub oxm: Option<(u16, u8)>,
    /// NXM class and number (a family's first).
    pub nxm: Option<(u16, u8)>,
    /// Name used for subfields in text, such as `NXM_NX_REG`.
    pub header_name: &'static str,
    /// Bits that may be set.
    pub bits: u16,
    /// Bytes on the wire; 0: varies, 1 to 16.
    pub bytes: u8,
    /// Whether any mask may be used; if not, only exact matches.
    pub maskable: bool,
    /// How values print.
    pub format: Format,
    /// What else must be matched for this field to be there.
    pub needs: Prerequisite,
    /// Whether actions may write it.
    pub writable: bool,
    /// Members of the family (1 for a single field).
    pub count: u8,
    /// First Open vSwitch version that knows it.
    pub since: &'static str,
}

/// How a field's values are written in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Decimal, mask in hexadecimal.
    Decimal,
    /// Hexadecimal with `0x` (zero is `0`).
    Hexadecimal,
    /// `aa:bb:cc:dd:ee:ff`.
    Ethernet,
    /// `10.0.0.1`, masks as prefix length where they are one.
    Ipv4,
    /// `fd00::1`, masks as prefix length where they are one.
    Ipv6,
    /// A port number of 16 bits, reserved ones by name.
    Port,
    /// A port number of 32 bits, reserved ones by name.
    Port32,
    /// `no`, `yes`, `first`, `later`, `not_later`.
    Fragment,
    /// `+syn-ack`.
    TcpFlags,
    /// `+trk-new`.
    CtState,
    /// `oam`, as flags.
    TunnelFlags,
}

/// What a match on a field demands beside it (ovs-fields(7), "Prerequisites").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prerequisite {
    /// Nothing.
    None,
    /// `eth_type` 0x0800.
    Ipv4,
    /// `eth_type` 0x86dd.
    Ipv6,
    /// `eth_type` 0x0800 or 0x86dd.
    Ip,
    /// `eth_type` 0x0806 or 0x8035.
    Arp,
    /// `eth_type` 0x8847 or 0x8848.
    Mpls,
    /// A VLAN header.
    Vlan,
    /// IP and `nw_proto` 6.
    Tcp,
    /// IP and `nw_proto` 17.
    Udp,
    /// IP and `nw_proto` 132.
    Sctp,
    /// IPv4 and `nw_proto` 1.
    Icmp,
    /// IPv6 and `nw_proto` 58.
    Icmpv6,
    /// ICMPv6 of type 135 or 136 and code 0.
    Nd,
    /// ICMPv6 of type 135 and code 0.
    NdSolicit,
    /// ICMPv6 of type 136 and code 0.
    NdAdvert,
    /// `ct_state` with `+trk`, and the same `eth_type` as the field's.
    Conntrack,
}

impl Prerequisite {
    /// The words of the documentation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Prerequisite::None => "none",
            Prerequisite::Ipv4 => "IPv4",
            Prerequisite::Ipv6 => "IPv6",
            Prerequisite::Ip => "IPv4 or IPv6",
            Prerequisite::Arp => "ARP",
            Prerequisite::Mpls => "MPLS",
            Prerequisite::Vlan => "VLAN",
            Prerequisite::Tcp => "TCP",
            Prerequisite::Udp => "UDP",
            Prerequisite::Sctp => "SCTP",
            Prerequisite::Icmp => "ICMPv4",
            Prerequisite::Icmpv6 => "ICMPv6",
            Prerequisite::Nd => "ND",
            Prerequisite::NdSolicit => "ND solicitation",
            Prerequisite::NdAdvert => "ND advertisement",
            Prerequisite::Conntrack => "connection tracking",
        }
    }
}

macro_rules! index {
    ($count:literal) => {
        u8
    };
}

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident $(($index:ident < $count:literal))? = $spec:expr;)*) => {
        /// A match field. Numbered families carry their index, as in `Reg(14)`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $($(#[$doc])* $variant $((index!($count)))?,)*
        }

        impl Field {
            /// Every field of the table; of families the member with index 0.
            pub const ALL: &'static [Field] = &[$(Field::$variant $(({ let $index = 0; $index }))?),*];

            /// The field's row.
            #[must_use]
            pub const fn spec(self) -> &'static FieldSpec {
                match self {
                    $(Field::$variant $(($index))? => {
                        $(let _ = $index;)?
                        const SPEC: FieldSpec = FieldSpec { count: (1 $(* $count)?), ..$spec };
                        &SPEC
                    })*
                }
            }

            /// The index within a family; 0 for single fields.
            #[must_use]
            pub const fn index(self) -> u8 {
                match self {
                    $(Field::$variant $(($index))? => { $(return $index;)? #[allow(unreachable_code)] 0 })*
                }
            }

            /// The member of the same family with this index; a single field stays itself.
            #[must_use]
            pub const fn with_index(self, index: u8) -> Field {
                let _ = index;
                match self {
                    $(Field::$variant $(($index))? => { $(let _ = $index;)? Field::$variant $(({ let $index = index; $index }))? })*
                }
            }
        }
    };
}

fields! {
    /// ID of a conjunctive match.
    ConjId = hex("conj_id", 32).nxm(NXM_NX, 37, "NXM_NX_CONJ_ID").decimal().exact().read_only().since("2.4");
    /// Ingress port, 16 bits (a match sends it as the 32-bit field).
    InPort = hex("in_port", 16).nxm(NXM_OF, 0, "NXM_OF_IN_PORT").format(Format::Port).exact();
    /// Ingress port, 32 bits; only in actions.
    InPortOxm = hex("in_port_oxm", 32).oxm(OXM_OF, 0, "OXM_OF_IN_PORT").format(Format::Port32).exact().since("1.7");
    /// Output port of the action set.
    ActsetOutput = hex("actset_output", 32).oxm(OXM_OF, 43, "OXM_OF_ACTSET_OUTPUT").format(Format::Port32).exact().read_only().since("2.4");
    /// Ethernet source address.
    EthSrc = hex("eth_src", 48).alias("dl_src").oxm(OXM_OF, 4, "OXM_OF_ETH_SRC").nxm(NXM_OF, 2, "NXM_OF_ETH_SRC").format(Format::Ethernet);
    /// Ethernet destination address.
    EthDst = hex("eth_dst", 48).alias("dl_dst").oxm(OXM_OF, 3, "OXM_OF_ETH_DST").nxm(NXM_OF, 1, "NXM_OF_ETH_DST").format(Format::Ethernet);
    /// Ethernet type.
    EthType = hex("eth_type", 16).alias("dl_type").oxm(OXM_OF, 5, "OXM_OF_ETH_TYPE").nxm(NXM_OF, 3, "NXM_OF_ETH_TYPE").exact().read_only();
    /// The VLAN tag: priority, a bit that says there is one (0x1000), and VLAN number. In matches it stands for `VlanVid` and `VlanPcp` too.
    VlanTci = hex("vlan_tci", 16).nxm(NXM_OF, 4, "NXM_OF_VLAN_TCI");
    /// VLAN number and the bit that says there is one (0x1000).
    VlanVid = hex("vlan_vid", 13).oxm(OXM_OF, 6, "OXM_OF_VLAN_VID").decimal().since("1.7");
    /// VLAN priority.
    VlanPcp = hex("vlan_pcp", 3).oxm(OXM_OF, 7, "OXM_OF_VLAN_PCP").decimal().exact().needs(Prerequisite::Vlan).since("1.7");
    /// MPLS traffic class.
    MplsTc = hex("mpls_tc", 3).oxm(OXM_OF, 35, "OXM_OF_MPLS_TC").decimal().exact().needs(Prerequisite::Mpls).since("1.11");
    /// MPLS bottom of stack.
    MplsBos = hex("mpls_bos", 1).oxm(OXM_OF, 36, "OXM_OF_MPLS_BOS").decimal().exact().read_only().needs(Prerequisite::Mpls).since("1.11");
    /// MPLS time to live.
    MplsTtl = hex("mpls_ttl", 8).nxm(NXM_NX, 30, "NXM_NX_MPLS_TTL").decimal().exact().needs(Prerequisite::Mpls).since("2.6");
    /// MPLS label.
    MplsLabel = hex("mpls_label", 20).bytes(4).oxm(OXM_OF, 34, "OXM_OF_MPLS_LABEL").decimal().exact().needs(Prerequisite::Mpls).since("1.11");
    /// IPv4 source address.
    Ipv4Src = hex("ip_src", 32).alias("nw_src").oxm(OXM_OF, 11, "OXM_OF_IPV4_SRC").nxm(NXM_OF, 7, "NXM_OF_IP_SRC").format(Format::Ipv4).needs(Prerequisite::Ipv4);
    /// IPv4 destination address.
    Ipv4Dst = hex("ip_dst", 32).alias("nw_dst").oxm(OXM_OF, 12, "OXM_OF_IPV4_DST").nxm(NXM_OF, 8, "NXM_OF_IP_DST").format(Format::Ipv4).needs(Prerequisite::Ipv4);
    /// IPv6 source address.
    Ipv6Src = hex("ipv6_src", 128).oxm(OXM_OF, 26, "OXM_OF_IPV6_SRC").nxm(NXM_NX, 19, "NXM_NX_IPV6_SRC").format(Format::Ipv6).needs(Prerequisite::Ipv6);
    /// IPv6 destination address.
    Ipv6Dst = hex("ipv6_dst", 128).oxm(OXM_OF, 27, "OXM_OF_IPV6_DST").nxm(NXM_NX, 20, "NXM_NX_IPV6_DST").format(Format::Ipv6).needs(Prerequisite::Ipv6);
    /// Fragment bits: 1 any fragment, 2 not the first.
    IpFrag = hex("ip_frag", 2).alias("nw_frag").nxm(NXM_NX, 26, "NXM_NX_IP_FRAG").format(Format::Fragment).read_only().needs(Prerequisite::Ip).since("1.3");
    /// IPv6 flow label.
    Ipv6Label = hex("ipv6_label", 20).bytes(4).oxm(OXM_OF, 28, "OXM_OF_IPV6_FLABEL").nxm(NXM_NX, 27, "NXM_NX_IPV6_LABEL").needs(Prerequisite::Ipv6).since("1.4");
    /// DSCP, as the upper six bits of the byte (`nw_tos`); only in actions.
    IpTos = hex("nw_tos", 8).nxm(NXM_OF, 5, "NXM_OF_IP_TOS").decimal().exact().needs(Prerequisite::Ip);
    /// DSCP.
    IpDscp = hex("ip_dscp", 6).oxm(OXM_OF, 8, "OXM_OF_IP_DSCP").decimal().exact().needs(Prerequisite::Ip).since("1.7");
    /// ECN.
    IpEcn = hex("nw_ecn", 2).alias("ip_ecn").oxm(OXM_OF, 9, "OXM_OF_IP_ECN").nxm(NXM_NX, 28, "NXM_NX_IP_ECN").decimal().exact().needs(Prerequisite::Ip).since("1.4");
    /// TTL or hop limit.
    IpTtl = hex("nw_ttl", 8).nxm(NXM_NX, 29, "NXM_NX_IP_TTL").decimal().exact().needs(Prerequisite::Ip).since("1.4");
    /// IP protocol.
    IpProto = hex("nw_proto", 8).alias("ip_proto").oxm(OXM_OF, 10, "OXM_OF_IP_PROTO").nxm(NXM_OF, 6, "NXM_OF_IP_PROTO").decimal().exact().read_only().needs(Prerequisite::Ip);
    /// TCP source port.
    TcpSrc = hex("tcp_src", 16).oxm(OXM_OF, 13, "OXM_OF_TCP_SRC").nxm(NXM_OF, 9, "NXM_OF_TCP_SRC").decimal().needs(Prerequisite::Tcp);
    /// TCP destination port.
    TcpDst = hex("tcp_dst", 16).oxm(OXM_OF, 14, "OXM_OF_TCP_DST").nxm(NXM_OF, 10, "NXM_OF_TCP_DST").decimal().needs(Prerequisite::Tcp);
    /// TCP flags.
    TcpFlags = hex("tcp_flags", 12).oxm(OXM_OF, 42, "OXM_OF_TCP_FLAGS").nxm(NXM_NX, 34, "NXM_NX_TCP_FLAGS").format(Format::TcpFlags).read_only().needs(Prerequisite::Tcp).since("2.1");
    /// UDP source port.
    UdpSrc = hex("udp_src", 16).oxm(OXM_OF, 15, "OXM_OF_UDP_SRC").nxm(NXM_OF, 11, "NXM_OF_UDP_SRC").decimal().needs(Prerequisite::Udp);
    /// UDP destination port.
    UdpDst = hex("udp_dst", 16).oxm(OXM_OF, 16, "OXM_OF_UDP_DST").nxm(NXM_OF, 12, "NXM_OF_UDP_DST").decimal().needs(Prerequisite::Udp);
    /// SCTP source port.
    SctpSrc = hex("sctp_src", 16).oxm(OXM_OF, 17, "OXM_OF_SCTP_SRC").decimal().needs(Prerequisite::Sctp).since("2.0");
    /// SCTP destination port.
    SctpDst = hex("sctp_dst", 16).oxm(OXM_OF, 18, "OXM_OF_SCTP_DST").decimal().needs(Prerequisite::Sctp).since("2.0");
    /// ICMPv4 type.
    IcmpType = hex("icmp_type", 8).oxm(OXM_OF, 19, "OXM_OF_ICMPV4_TYPE").nxm(NXM_OF, 13, "NXM_OF_ICMP_TYPE").decimal().exact().needs(Prerequisite::Icmp);
    /// ICMPv4 code.
    IcmpCode = hex("icmp_code", 8).oxm(OXM_OF, 20, "OXM_OF_ICMPV4_CODE").nxm(NXM_OF, 14, "NXM_OF_ICMP_CODE").decimal().exact().needs(Prerequisite::Icmp);
    /// ICMPv6 type.
    Icmpv6Type = hex("icmpv6_type", 8).oxm(OXM_OF, 29, "OXM_OF_ICMPV6_TYPE").nxm(NXM_NX, 21, "NXM_NX_ICMPV6_TYPE").decimal().exact().needs(Prerequisite::Icmpv6);
    /// ICMPv6 code.
    Icmpv6Code = hex("icmpv6_code", 8).oxm(OXM_OF, 30, "OXM_OF_ICMPV6_CODE").nxm(NXM_NX, 22, "NXM_NX_ICMPV6_CODE").decimal().exact().needs(Prerequisite::Icmpv6);
    /// The 32 bits after the checksum of an ND message: router, solicited and override flags.
    NdReserved = hex("nd_reserved", 32).nxm(ERICOXM_OF, 1, "ERICOXM_OF_ICMPV6_ND_RESERVED").decimal().exact().needs(Prerequisite::Nd).since("2.11");
    /// Target of a neighbour solicitation or advertisement.
    NdTarget = hex("nd_target", 128).oxm(OXM_OF, 31, "OXM_OF_IPV6_ND_TARGET").nxm(NXM_NX, 23, "NXM_NX_ND_TARGET").format(Format::Ipv6).needs(Prerequisite::Nd);
    /// Type of the first ND option.
    NdOptionsType = hex("nd_options_type", 8).nxm(ERICOXM_OF, 2, "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE").decimal().exact().needs(Prerequisite::Nd).since("2.11");
    /// Source link-layer address option of a solicitation.
    NdSll = hex("nd_sll", 48).oxm(OXM_OF, 32, "OXM_OF_IPV6_ND_SLL").nxm(NXM_NX, 24, "NXM_NX_ND_SLL").format(Format::Ethernet).needs(Prerequisite::NdSolicit);
    /// Target link-layer address option of an advertisement.
    NdTll = hex("nd_tll", 48).oxm(OXM_OF, 33, "OXM_OF_IPV6_ND_TLL").nxm(NXM_NX, 25, "NXM_NX_ND_TLL").format(Format::Ethernet).needs(Prerequisite::NdAdvert);
    /// ARP operation.
    ArpOp = hex("arp_op", 16).oxm(OXM_OF, 21, "OXM_OF_ARP_OP").nxm(NXM_OF, 15, "NXM_OF_ARP_OP").decimal().exact().needs(Prerequisite::Arp);
    /// ARP sender protocol address.
    ArpSpa = hex("arp_spa", 32).oxm(OXM_OF, 22, "OXM_OF_ARP_SPA").nxm(NXM_OF, 16, "NXM_OF_ARP_SPA").format(Format::Ipv4).needs(Prerequisite::Arp);
    /// ARP target protocol address.
    ArpTpa = hex("arp_tpa", 32).oxm(OXM_OF, 23, "OXM_OF_ARP_TPA").nxm(NXM_OF, 17, "NXM_OF_ARP_TPA").format(Format::Ipv4).needs(Prerequisite::Arp);
    /// ARP sender hardware address.
    ArpSha = hex("arp_sha", 48).oxm(OXM_OF, 24, "OXM_OF_ARP_SHA").nxm(NXM_NX, 17, "NXM_NX_ARP_SHA").format(Format::Ethernet).needs(Prerequisite::Arp);
    /// ARP target hardware address.
    ArpTha = hex("arp_tha", 48).oxm(OXM_OF, 25, "OXM_OF_ARP_THA").nxm(NXM_NX, 18, "NXM_NX_ARP_THA").format(Format::Ethernet).needs(Prerequisite::Arp);
    /// Tunnel key.
    TunId = hex("tun_id", 64).alias("tunnel_id").oxm(OXM_OF, 38, "OXM_OF_TUNNEL_ID").nxm(NXM_NX, 16, "NXM_NX_TUN_ID");
    /// Outer IPv4 source.
    TunSrc = hex("tun_src", 32).nxm(NXM_NX, 31, "NXM_NX_TUN_IPV4_SRC").format(Format::Ipv4).since("2.0");
    /// Outer IPv4 destination.
    TunDst = hex("tun_dst", 32).nxm(NXM_NX, 32, "NXM_NX_TUN_IPV4_DST").format(Format::Ipv4).since("2.0");
    /// Outer IPv6 source.
    TunIpv6Src = hex("tun_ipv6_src", 128).nxm(NXM_NX, 109, "NXM_NX_TUN_IPV6_SRC").format(Format::Ipv6).since("2.5");
    /// Outer IPv6 destination.
    TunIpv6Dst = hex("tun_ipv6_dst", 128).nxm(NXM_NX, 110, "NXM_NX_TUN_IPV6_DST").format(Format::Ipv6).since("2.5");
    /// Tunnel flags.
    TunFlags = hex("tun_flags", 1).bytes(2).nxm(NXM_NX, 104, "NXM_NX_TUN_FLAGS").format(Format::TunnelFlags).since("2.5");
    /// VXLAN group policy ID.
    TunGbpId = hex("tun_gbp_id", 16).nxm(NXM_NX, 38, "NXM_NX_TUN_GBP_ID").decimal().since("2.4");
    /// VXLAN group policy flags.
    TunGbpFlags = hex("tun_gbp_flags", 8).nxm(NXM_NX, 39, "NXM_NX_TUN_GBP_FLAGS").since("2.4");
    /// A Geneve option, as mapped with an NXT_TLV_TABLE_MOD; up to 16 bytes here (124 in Open vSwitch).
    TunMetadata(index < 64) = hex("tun_metadata", 128).bytes(0).nxm(NXM_NX, 40, "NXM_NX_TUN_METADATA").since("2.5");
    /// A 32-bit register. In matches it stands for `XReg` and `XxReg` too.
    Reg(index < 16) = hex("reg", 32).nxm(NXM_NX, 0, "NXM_NX_REG");
    /// Two registers as one: `XReg(n)` is `Reg(2n)` (upper half) and `Reg(2n+1)`.
    XReg(index < 8) = hex("xreg", 64).oxm(OXM_PKT_REG, 0, "OXM_OF_PKT_REG").since("2.4");
    /// Four registers as one, `Reg(4n)` uppermost.
    XxReg(index < 4) = hex("xxreg", 128).nxm(NXM_NX, 111, "NXM_NX_XXREG").since("2.6");
    /// Packet mark.
    PktMark = hex("pkt_mark", 32).nxm(NXM_NX, 33, "NXM_NX_PKT_MARK").since("2.0");
    /// Connection tracking state.
    CtState = hex("ct_state", 8).bytes(4).nxm(NXM_NX, 105, "NXM_NX_CT_STATE").format(Format::CtState).read_only().since("2.5");
    /// Connection tracking zone.
    CtZone = hex("ct_zone", 16).nxm(NXM_NX, 106, "NXM_NX_CT_ZONE").exact().read_only().since("2.5");
    /// Connection tracking mark.
    CtMark = hex("ct_mark", 32).nxm(NXM_NX, 107, "NXM_NX_CT_MARK").since("2.5");
    /// Connection tracking label.
    CtLabel = hex("ct_label", 128).nxm(NXM_NX, 108, "NXM_NX_CT_LABEL").since("2.5");
    /// IPv4 source of the connection's original direction.
    CtNwSrc = hex("ct_nw_src", 32).nxm(NXM_NX, 120, "NXM_NX_CT_NW_SRC").format(Format::Ipv4).read_only().needs(Prerequisite::Conntrack).since("2.8");
    /// IPv4 destination of the connection's original direction.
    CtNwDst = hex("ct_nw_dst", 32).nxm(NXM_NX, 121, "NXM_NX_CT_NW_DST").format(Format::Ipv4).read_only().needs(Prerequisite::Conntrack).since("2.8");
    /// IPv6 source of the connection's original direction.
    CtIpv6Src = hex("ct_ipv6_src", 128).nxm(NXM_NX, 122, "NXM_NX_CT_IPV6_SRC").format(Format::Ipv6).read_only().needs(Prerequisite::Conntrack).since("2.8");
    /// IPv6 destination of the connection's original direction.
    CtIpv6Dst = hex("ct_ipv6_dst", 128).nxm(NXM_NX, 123, "NXM_NX_CT_IPV6_DST").format(Format::Ipv6).read_only().needs(Prerequisite::Conntrack).since("2.8");
    /// IP protocol of the connection's original direction.
    CtNwProto = hex("ct_nw_proto", 8).nxm(NXM_NX, 119, "NXM_NX_CT_NW_PROTO").decimal().exact().read_only().needs(Prerequisite::Conntrack).since("2.8");
    /// Source port of the connection's original direction.
    CtTpSrc = hex("ct_tp_src", 16).nxm(NXM_NX, 124, "NXM_NX_CT_TP_SRC").decimal().read_only().needs(Prerequisite::Conntrack).since("2.8");
    /// Destination port of the connection's original direction.
    CtTpDst = hex("ct_tp_dst", 16).nxm(NXM_NX, 125, "NXM_NX_CT_TP_DST").decimal().read_only().needs(Prerequisite::Conntrack).since("2.8");
    /// OpenFlow metadata.
    Metadata = hex("metadata", 64).oxm(OXM_OF, 2, "OXM_OF_METADATA").since("1.8");
}

impl Field {
    /// Bits that may be set.
    #[must_use]
    pub const fn width_bits(self) -> u16 {
        self.spec().bits
    }

    /// A mask of all the field's bits: an exact match.
    #[must_use]
    pub const fn all_ones(self) -> u128 {
        match 128_u32.saturating_sub(self.spec().bits as u32) {
            unused @ 0..=127 => u128::MAX >> unused,
            _ => 0,
        }
    }

    /// The mask in its normal form: whole low words of a Geneve option are the whole option, whose length is not known here.
    pub(crate) fn normal_mask(self, mask: u128) -> u128 {
        match self {
            Field::TunMetadata(_)
                if [32, 64, 96].iter().any(|bits| mask == !(u128::MAX << bits)) =>
            {
                u128::MAX
            }
            _ => mask & self.all_ones(),
        }
    }

    /// What a match on this field needs beside it.
    #[must_use]
    pub const fn prerequisites(self) -> Prerequisite {
        self.spec().needs
    }

    /// Whether any mask may be used.
    #[must_use]
    pub const fn is_maskable(self) -> bool {
        self.spec().maskable
    }

    /// The field for a name of `ovs-ofctl`'s, such as `reg14`, `nw_src`, `NXM_NX_REG14` or `OXM_OF_ETH_SRC`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Field> {
        Field::ALL.iter().find_map(|field| {
            let spec = field.spec();
            let names = [spec.name, spec.alias, spec.header_name];
            if spec.count > 1 {
                let digits = names
                    .iter()
                    .filter(|prefix| !prefix.is_empty())
                    .find_map(|prefix| name.strip_prefix(prefix))?;
                let canonical = digits.len() == 1 || !digits.starts_with('0');
                let index = digits
                    .bytes()
                    .all(|c| c.is_ascii_digit())
                    .then(|| digits.parse().ok())??;
                return (index < spec.count && canonical).then(|| field.with_index(index));
            }
            let is_named = !name.is_empty()
                && (names.contains(&name) || other_header_name(*field) == Some(name));
            is_named.then_some(*field)
        })
    }

    /// The field for a class and number, either of its two.
    #[must_use]
    pub fn from_number(class: u16, number: u8) -> Option<Field> {
        Field::ALL.iter().find_map(|field| {
            let spec = field.spec();
            [spec.oxm, spec.nxm]
                .into_iter()
                .flatten()
                .find_map(|(of_class, first)| {
                    let index = number.checked_sub(first)?;
                    (of_class == class && index < spec.count).then(|| field.with_index(index))
                })
        })
    }

    /// The class and number that are sent: the OXM ones where there are any.
    #[must_use]
    pub fn number(self) -> (u16, u8) {
        let spec = self.spec();
        let (class, first) = spec.oxm.or(spec.nxm).unwrap_or((OXM_EXPERIMENTER, 0));
        (class, first.saturating_add(self.index()))
    }

    /// The name used for parts of the field, such as `NXM_NX_REG14`.
    #[must_use]
    pub fn header_name(self) -> String {
        match self.spec().count {
            1 => self.spec().header_name.to_owned(),
            _ => format!("{}{}", self.spec().header_name, self.index()),
        }
    }
}

/// The OXM name of fields that print by their NXM name, so that text may use either.
fn other_header_name(field: Field) -> Option<&'static str> {
    OXM_NAMES
        .iter()
        .find(|(of, _)| *of == field)
        .map(|(_, name)| *name)
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.spec().count {
            1 => f.write_str(self.spec().name),
            _ => write!(f, "{}{}", self.spec().name, self.index()),
        }
    }
}

/// A row with the most common properties: hexadecimal, maskable, writable, since 1.1.
const fn hex(name: &'static str, bits: u16) -> FieldSpec {
    FieldSpec {
        name,
        alias: "",
        oxm: None,
        nxm: None,
        header_name: "",
        bits,
        bytes: bytes_for(bits),
        maskable: true,
        format: Format::Hexadecimal,
        needs: Prerequisite::None,
        writable: true,
        count: 1,
        since: "1.1",
    }
}

const fn bytes_for(bits: u16) -> u8 {
    match bits {
        0..=8 => 1,
        9..=16 => 2,
        17..=32 => 4,
        33..=48 => 6,
        49..=64 => 8,
        _ => 16,
    }
}

impl FieldSpec {
    const fn alias(self, alias: &'static str) -> FieldSpec {
        FieldSpec { alias, ..self }
    }

    const fn oxm(self, class: u16, number: u8, header_name: &'static str) -> FieldSpec {
        FieldSpec {
            oxm: Some((class, number)),
            header_name,
            ..self
        }
    }

    const fn nxm(self, class: u16, number: u8, header_name: &'static str) -> FieldSpec {
        FieldSpec {
            nxm: Some((class, number)),
            header_name,
            ..self
        }
    }

    const fn bytes(self, bytes: u8) -> FieldSpec {
        FieldSpec { bytes, ..self }
    }

    const fn format(self, format: Format) -> FieldSpec {
        FieldSpec { format, ..self }
    }

    const fn decimal(self) -> FieldSpec {
        self.format(Format::Decimal)
    }

    const fn exact(self) -> FieldSpec {
        FieldSpec {
            maskable: false,
            ..self
        }
    }

    const fn read_only(self) -> FieldSpec {
        FieldSpec {
            writable: false,
            ..self
        }
    }

    const fn needs(self, needs: Prerequisite) -> FieldSpec {
        FieldSpec { needs, ..self }
    }

    const fn since(self, since: &'static str) -> FieldSpec {
        FieldSpec { since, ..self }
    }
}

/// OXM names of the fields that also have an NXM name.
const OXM_NAMES: &[(Field, &str)] = &[
    (Field::EthSrc, "OXM_OF_ETH_SRC"),
    (Field::EthDst, "OXM_OF_ETH_DST"),
    (Field::EthType, "OXM_OF_ETH_TYPE"),
    (Field::Ipv4Src, "OXM_OF_IPV4_SRC"),
    (Field::Ipv4Dst, "OXM_OF_IPV4_DST"),
    (Field::Ipv6Src, "OXM_OF_IPV6_SRC"),
    (Field::Ipv6Dst, "OXM_OF_IPV6_DST"),
    (Field::IpProto, "OXM_OF_IP_PROTO"),
    (Field::TunId, "OXM_OF_TUNNEL_ID"),
    (Field::ArpOp, "OXM_OF_ARP_OP"),
    (Field::ArpSpa, "OXM_OF_ARP_SPA"),
    (Field::ArpTpa, "OXM_OF_ARP_TPA"),
    (Field::ArpSha, "OXM_OF_ARP_SHA"),
    (Field::ArpTha, "OXM_OF_ARP_THA"),
    (Field::NdTarget, "OXM_OF_IPV6_ND_TARGET"),
    (Field::NdSll, "OXM_OF_IPV6_ND_SLL"),
    (Field::NdTll, "OXM_OF_IPV6_ND_TLL"),
];
