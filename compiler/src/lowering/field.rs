//! Fields of the language to OpenFlow's.
//!
//! Must not: know values.

use openflow_rs::{Field as OfField, Subfield};
use weft_expr::{Field, Part};

use crate::pipeline::register;

/// The OpenFlow field with the same bits.
pub(super) const fn of(field: Field) -> OfField {
    match field {
        Field::XxReg0 => OfField::XxReg(0),
        Field::XxReg1 => OfField::XxReg(1),
        Field::XReg4 => OfField::XReg(4),
        Field::Flags => OfField::Reg(register::FLAGS),
        Field::PktMark => OfField::PktMark,
        Field::CtState => OfField::CtState,
        Field::CtMark => OfField::CtMark,
        Field::CtLabel => OfField::CtLabel,
        Field::EthSrc => OfField::EthSrc,
        Field::EthDst => OfField::EthDst,
        Field::EthType => OfField::EthType,
        Field::VlanTci => OfField::VlanTci,
        Field::IpProto => OfField::IpProto,
        Field::IpDscp => OfField::IpDscp,
        Field::IpEcn => OfField::IpEcn,
        Field::IpTtl => OfField::IpTtl,
        Field::IpFrag => OfField::IpFrag,
        Field::Ip4Src => OfField::Ipv4Src,
        Field::Ip4Dst => OfField::Ipv4Dst,
        Field::Ip6Src => OfField::Ipv6Src,
        Field::Ip6Dst => OfField::Ipv6Dst,
        Field::Ip6Label => OfField::Ipv6Label,
        Field::ArpOp => OfField::ArpOp,
        Field::ArpSpa => OfField::ArpSpa,
        Field::ArpTpa => OfField::ArpTpa,
        Field::ArpSha => OfField::ArpSha,
        Field::ArpTha => OfField::ArpTha,
        Field::Icmp4Type => OfField::IcmpType,
        Field::Icmp4Code => OfField::IcmpCode,
        Field::Icmp6Type => OfField::Icmpv6Type,
        Field::Icmp6Code => OfField::Icmpv6Code,
        Field::NdTarget => OfField::NdTarget,
        Field::NdSll => OfField::NdSll,
        Field::NdTll => OfField::NdTll,
        Field::NdReserved => OfField::NdReserved,
        Field::NdOptionsType => OfField::NdOptionsType,
        Field::TcpSrc => OfField::TcpSrc,
        Field::TcpDst => OfField::TcpDst,
        Field::TcpFlags => OfField::TcpFlags,
        Field::UdpSrc => OfField::UdpSrc,
        Field::UdpDst => OfField::UdpDst,
        Field::SctpSrc => OfField::SctpSrc,
        Field::SctpDst => OfField::SctpDst,
    }
}

/// The same bits in OpenFlow; within one 32-bit register where they fit into it.
pub(super) fn subfield(part: Part) -> Subfield {
    let (offset, bits) = (part.field_offset(), part.width());
    // The highest of the registers that a wide one overlays comes first.
    let last_register = match part.field() {
        Field::XxReg0 => 3u8,
        Field::XxReg1 => 7,
        Field::XReg4 => 9,
        field => return Subfield::new(of(field), offset.into(), bits.into()),
    };
    let high = offset.saturating_add(bits).saturating_sub(1);
    if offset / 32 != high / 32 {
        return Subfield::new(of(part.field()), offset.into(), bits.into());
    }
    let register = last_register.saturating_sub(offset / 32);
    Subfield::new(OfField::Reg(register), u16::from(offset % 32), bits.into())
}
