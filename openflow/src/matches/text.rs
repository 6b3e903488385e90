//! Matches as text, in the order and with the abbreviations of `ovs-ofctl` (Open vSwitch `match_format`).
//!
//! `ip`, `tcp6`, `arp`, … stand for Ethernet type and IP protocol. Reading takes these, the field names of the table and
//! the older names (`nw_src`, `dl_vlan`, `tp_dst`, `icmp_type`), whose field depends on the protocol.
//!
//! Must not: print priority, cookie or table (the flow does).

use std::fmt;
use std::str::FromStr;

use super::{Match, MatchField, UnknownField};
use crate::error::TextError;
use crate::field::{Field, Format};
use crate::text::{Piece, dotted};
use crate::value::{parse, special_text};

const ETH_IPV4: u128 = 0x0800;
const ETH_IPV6: u128 = 0x86dd;

/// Name, Ethernet type, IP protocol.
const PROTOCOLS: [(&str, u128, Option<u128>); 14] = [
    ("ip", ETH_IPV4, None),
    ("icmp", ETH_IPV4, Some(1)),
    ("tcp", ETH_IPV4, Some(6)),
    ("udp", ETH_IPV4, Some(17)),
    ("sctp", ETH_IPV4, Some(132)),
    ("ipv6", ETH_IPV6, None),
    ("icmp6", ETH_IPV6, Some(58)),
    ("tcp6", ETH_IPV6, Some(6)),
    ("udp6", ETH_IPV6, Some(17)),
    ("sctp6", ETH_IPV6, Some(132)),
    ("arp", 0x0806, None),
    ("rarp", 0x8035, None),
    ("mpls", 0x8847, None),
    ("mplsm", 0x8848, None),
];

/// Fields before the protocol, in order.
const BEFORE: [Field; 14] = [
    Field::PktMark,
    Field::ConjId,
    Field::ActsetOutput,
    Field::CtState,
    Field::CtZone,
    Field::CtMark,
    Field::CtLabel,
    Field::CtNwSrc,
    Field::CtIpv6Src,
    Field::CtNwDst,
    Field::CtIpv6Dst,
    Field::CtNwProto,
    Field::CtTpSrc,
    Field::CtTpDst,
];

/// Fields behind the protocol, in order; of families, the first stands for all.
const BEHIND: [Field; 56] = [
    Field::Reg(0),
    Field::TunId,
    Field::TunSrc,
    Field::TunDst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::TunGbpId,
    Field::TunGbpFlags,
    Field::TunFlags,
    Field::TunMetadata(0),
    Field::Metadata,
    Field::InPort,
    Field::VlanTci,
    Field::EthSrc,
    Field::EthDst,
    Field::EthType,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::Ipv6Label,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::ArpOp,
    Field::IpProto,
    Field::ArpSha,
    Field::ArpTha,
    Field::IpDscp,
    Field::IpEcn,
    Field::IpTtl,
    Field::MplsLabel,
    Field::MplsTc,
    Field::MplsTtl,
    Field::MplsBos,
    Field::IpFrag,
    Field::IcmpType,
    Field::IcmpCode,
    Field::Icmpv6Type,
    Field::Icmpv6Code,
    Field::NdTarget,
    Field::NdSll,
    Field::NdTll,
    Field::NdReserved,
    Field::NdOptionsType,
    Field::TcpSrc,
    Field::TcpDst,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
    Field::TcpFlags,
    // Never within a match; here so that no field of the table is forgotten.
    Field::InPortOxm,
    Field::VlanVid,
    Field::VlanPcp,
    Field::IpTos,
    Field::XReg(0),
];

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol();
        let is_said = |field| match field {
            Field::EthType => protocol.is_some(),
            Field::IpProto => protocol.is_some_and(|(_, protocol)| protocol.is_some()),
            _ => false,
        };
        let texts = |order: &'static [Field]| {
            let in_order = order.iter().flat_map(|first| {
                self.iter()
                    .filter(move |entry| entry.field.with_index(0) == *first)
            });
            in_order
                .filter(|entry| !is_said(entry.field))
                .map(|entry| self.field_text(entry))
        };
        let name = protocol.map(|(name, _)| name.to_owned());
        let unknown = self.unknown.iter();
        let unknown = unknown
            .map(|unknown| format!("oxm({:#010x},{})", unknown.header, dotted(&unknown.body)));
        let all: Vec<String> = texts(&BEFORE)
            .chain(name)
            .chain(texts(&BEHIND))
            .chain(unknown)
            .collect();
        f.write_str(&all.join(","))
    }
}

impl Match {
    /// The abbreviation for Ethernet type and IP protocol, and which protocol it says.
    fn protocol(&self) -> Option<(&'static str, Option<u128>)> {
        let ethernet = self.exact_value(Field::EthType)?;
        let protocol = self.exact_value(Field::IpProto);
        let with = |protocol| {
            PROTOCOLS
                .iter()
                .find(|(_, e, p)| *e == ethernet && *p == protocol)
        };
        with(protocol)
            .or_else(|| with(None))
            .map(|(name, _, protocol)| (*name, *protocol))
    }

    fn field_text(&self, entry: &MatchField) -> String {
        let MatchField { field, value, mask } = *entry;
        let name = self.name_of(field);
        let is_exact = entry.is_exact();
        match field {
            Field::VlanTci => vlan_text(value, mask),
            Field::EthType if is_exact => format!("{name}={value:#06x}"),
            Field::IpDscp if is_exact => format!("{name}={}", value << 2),
            Field::Ipv6Label if is_exact => format!("{name}={value:#07x}"),
            Field::Ipv6Label => format!("{name}={value:#07x}/{mask:#07x}"),
            Field::CtZone if is_exact => format!("{name}={value}"),
            _ => match field.spec().format {
                Format::Hexadecimal if is_exact => format!("{name}={}", hexadecimal(value)),
                Format::Hexadecimal => {
                    format!("{name}={}/{}", hexadecimal(value), hexadecimal(mask))
                }
                Format::Decimal if is_exact => format!("{name}={value}"),
                Format::Decimal | Format::Port | Format::Port32 if !is_exact => {
                    format!("{name}={value:#x}/{mask:#x}")
                }
                format => format!("{name}={}", special_text(format, value, mask, is_exact)),
            },
        }
    }

    /// The name by which `ovs-ofctl` prints a field; the older names only where the protocol makes them clear.
    fn name_of(&self, field: Field) -> String {
        let is = |names: [&str; 2]| self.protocol().is_some_and(|(of, _)| names.contains(&of));
        let name = match field {
            Field::EthSrc => "dl_src",
            Field::EthDst => "dl_dst",
            Field::EthType => "dl_type",
            Field::Ipv4Src => "nw_src",
            Field::Ipv4Dst => "nw_dst",
            Field::IpFrag => "nw_frag",
            Field::IpDscp if self.exact_value(field).is_some() => "nw_tos",
            Field::Icmpv6Type if is_icmp6(self) => "icmp_type",
            Field::Icmpv6Code if is_icmp6(self) => "icmp_code",
            Field::TcpSrc if is(["tcp", "tcp6"]) => "tp_src",
            Field::TcpDst if is(["tcp", "tcp6"]) => "tp_dst",
            Field::UdpSrc if is(["udp", "udp6"]) => "tp_src",
            Field::UdpDst if is(["udp", "udp6"]) => "tp_dst",
            Field::SctpSrc if is(["sctp", "sctp6"]) => "tp_src",
            Field::SctpDst if is(["sctp", "sctp6"]) => "tp_dst",
            // Beside icmp6 the bare name would be read as the other field.
            Field::IcmpType | Field::IcmpCode if is_icmp6(self) => field.spec().header_name,
            field => return field.to_string(),
        };
        name.to_owned()
    }

    /// Reads one piece of a flow's match; `false` if its name is not one of a match.
    pub(crate) fn parse_piece(&mut self, piece: Piece<'_>) -> Result<bool, TextError> {
        if let Some((_, ethernet, protocol)) =
            PROTOCOLS.iter().find(|(name, _, _)| *name == piece.text)
        {
            self.insert(Field::EthType, *ethernet, Field::EthType.all_ones());
            protocol
                .iter()
                .for_each(|protocol| self.insert(Field::IpProto, *protocol, 0xff));
            return Ok(true);
        }
        if let Some((name, arguments)) = piece.call().filter(|(name, _)| name.text == "oxm") {
            let (header, body) = arguments
                .split_once(",")
                .ok_or_else(|| name.error("oxm(HEADER,BYTES) is expected"))?;
            self.unknown.push(UnknownField {
                header: header.to()?,
                body: body.bytes()?,
            });
            self.unknown.sort();
            return Ok(true);
        }
        let Some((name, value)) = piece.split_once("=") else {
            return Ok(false);
        };
        match name.text {
            "dl_vlan" => {
                let vlan = value.number(0xffff)?;
                let (value, mask) = if vlan == 0xffff {
                    (0, 0x1fff)
                } else {
                    ((vlan & 0xfff) | 0x1000, 0x1fff)
                };
                self.insert(Field::VlanTci, value, mask);
            }
            "dl_vlan_pcp" => self.insert(Field::VlanPcp, value.number(7)?, 7),
            "nw_tos" => self.insert(Field::IpTos, value.number(0xff)?, 0xfc),
            _ => {
                let Some(field) = self.field_named(name.text) else {
                    return Ok(false);
                };
                let (value, mask) = parse(field, value)?;
                self.insert(field, value, mask);
            }
        }
        Ok(true)
    }

    fn field_named(&self, name: &str) -> Option<Field> {
        let protocol = self.exact_value(Field::IpProto);
        Some(match name {
            "tp_src" | "tp_dst" => match (protocol?, name) {
                (6, "tp_src") => Field::TcpSrc,
                (6, _) => Field::TcpDst,
                (17, "tp_src") => Field::UdpSrc,
                (17, _) => Field::UdpDst,
                (132, "tp_src") => Field::SctpSrc,
                (132, _) => Field::SctpDst,
                _ => return None,
            },
            "icmp_type" if is_icmp6(self) => Field::Icmpv6Type,
            "icmp_code" if is_icmp6(self) => Field::Icmpv6Code,
            name => Field::from_name(name)?,
        })
    }
}

fn is_icmp6(of: &Match) -> bool {
    of.exact_value(Field::EthType) == Some(ETH_IPV6) && of.exact_value(Field::IpProto) == Some(58)
}

fn hexadecimal(value: u128) -> String {
    match value {
        0 => "0".to_owned(),
        _ => format!("{value:#x}"),
    }
}

fn vlan_text(value: u128, mask: u128) -> String {
    let (vid_mask, pcp_mask) = (mask & 0x0fff, mask & 0xe000);
    let is_tagged = value & mask & 0x1000 != 0;
    let is_plain = [0, 0x0fff].contains(&vid_mask)
        && [0, 0xe000].contains(&pcp_mask)
        && vid_mask | pcp_mask != 0;
    if is_tagged && is_plain {
        let vid = (vid_mask != 0).then(|| format!("dl_vlan={}", value & 0x0fff));
        let pcp = (pcp_mask != 0).then(|| format!("dl_vlan_pcp={}", value >> 13));
        return vid.into_iter().chain(pcp).collect::<Vec<_>>().join(",");
    }
    match mask {
        0xffff => format!("vlan_tci={value:#06x}"),
        _ => format!("vlan_tci={value:#06x}/{mask:#06x}"),
    }
}

impl FromStr for Match {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Match, TextError> {
        let mut parsed = Match::new();
        for piece in Piece::new(text).pieces()? {
            if !parsed.parse_piece(piece)? {
                return Err(unknown_piece(piece));
            }
        }
        Ok(parsed)
    }
}

/// The error for a piece that is no part of a match.
pub(crate) fn unknown_piece(piece: Piece<'_>) -> TextError {
    let name = piece.text.split('=').next().unwrap_or_default();
    match name {
        "tp_src" | "tp_dst" => piece.error(format!("{name} needs tcp, udp or sctp before it")),
        _ => piece.error(format!(
            "{name:?} is no match field or protocol; ovs-fields(7) lists them"
        )),
    }
}
