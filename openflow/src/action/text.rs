//! Actions as text, as `ovs-ofctl` prints them (ovs-actions(7)).
//!
//! Reading also takes `load:`, which OpenFlow 1.5 says as `set_field`.
//!
//! Must not: recurse deeper than `DEPTH_MAX`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::table::{Kind, spec_named};
use super::wire::IN_PORT_16;
use super::{Action, Controller, Ct, DEPTH_MAX, Multipath, Nat, NatDirection, Zone};
use crate::error::TextError;
use crate::field::Field;
use crate::port::PortNo;
use crate::subfield::Subfield;
use crate::text::{Piece, dotted};
use crate::value::{parse, set_field_text};

const REASONS: [&str; 6] = [
    "no_match",
    "action",
    "invalid_ttl",
    "action_set",
    "group",
    "packet_out",
];
/// By `NX_HASH_FIELDS_*`.
const HASH_FIELDS: [&str; 7] = [
    "eth_src",
    "symmetric_l4",
    "symmetric_l3l4",
    "symmetric_l3l4+udp",
    "nw_src",
    "nw_dst",
    "symmetric_l3",
];
/// By `NX_MP_ALG_*`.
const MULTIPATH_ALGORITHMS: [&str; 4] = ["modulo_n", "hash_threshold", "hrw", "iter_hash"];
const NO_METADATA_MASK: u64 = u64::MAX;
const THIS_TABLE: u8 = 255;
const FTP: u16 = 21;
const TFTP: u16 = 69;

/// A list of actions; `drop` for none.
pub(crate) fn actions_text(actions: &[Action]) -> String {
    match actions {
        [] => "drop".to_owned(),
        actions => actions
            .iter()
            .map(Action::to_string)
            .collect::<Vec<_>>()
            .join(","),
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Output(port) => match port.name() {
                Some(name) => f.write_str(name),
                None => write!(f, "output:{port}"),
            },
            Action::OutputController { max_len } => write!(f, "CONTROLLER:{max_len}"),
            Action::OutputField(source) => write!(f, "output:{source}"),
            Action::OutputTruncated { port, max_len } => {
                write!(
                    f,
                    "output(port={},max_len={max_len})",
                    PortNo::from_u16(*port)
                )
            }
            Action::Group(group) => write!(f, "group:{group}"),
            Action::SetField { field, value, mask } => {
                write!(
                    f,
                    "set_field:{}->{field}",
                    set_field_text(*field, *value, *mask)
                )
            }
            Action::Move {
                source,
                destination,
            } => write!(f, "move:{source}->{destination}"),
            Action::Resubmit { table } => write!(f, "resubmit(,{table})"),
            Action::ResubmitFrom {
                in_port,
                table,
                original_direction,
            } => f.write_str(&resubmit_text(*in_port, *table, *original_direction)),
            Action::DecTtl => f.write_str("dec_ttl"),
            Action::DecTtlControllers(ids) => {
                let ids: Vec<String> = ids.iter().map(u16::to_string).collect();
                write!(f, "dec_ttl({})", ids.join(","))
            }
            Action::SetTtl(ttl) => write!(f, "mod_nw_ttl:{ttl}"),
            Action::Push(subfield) => write!(f, "push:{subfield}"),
            Action::Pop(subfield) => write!(f, "pop:{subfield}"),
            Action::PushVlan(ethertype) => write!(f, "push_vlan:{ethertype:#06x}"),
            Action::PopVlan => f.write_str("pop_vlan"),
            Action::SetQueue(queue) => write!(f, "set_queue:{queue}"),
            Action::PopQueue => f.write_str("pop_queue"),
            Action::Controller(controller) => f.write_str(&controller_text(controller)),
            Action::Meter(meter) => write!(f, "meter:{meter}"),
            Action::Clone(actions) => write!(f, "clone({})", actions_text(actions)),
            Action::Conjunction { id, clause, n } => write!(f, "conjunction({id},{clause}/{n})"),
            Action::Ct(ct) => f.write_str(&ct_text(ct)),
            Action::CtClear => f.write_str("ct_clear"),
            Action::Nat(nat) => f.write_str(&nat_text(nat)),
            Action::CheckPacketLarger { bytes, destination } => {
                write!(f, "check_pkt_larger({bytes})->{destination}")
            }
            Action::Multipath(multipath) => f.write_str(&multipath_text(*multipath)),
            Action::DeleteField(field) => write!(f, "delete_field:{field}"),
            Action::Note(bytes) => write!(f, "note:{}", dotted(bytes)),
            Action::Exit => f.write_str("exit"),
            Action::WriteMetadata {
                value,
                mask: NO_METADATA_MASK,
            } => write!(f, "write_metadata:{value:#x}"),
            Action::WriteMetadata { value, mask } => {
                write!(f, "write_metadata:{value:#x}/{mask:#x}")
            }
            Action::GotoTable(table) => write!(f, "goto_table:{table}"),
            Action::ClearActions => f.write_str("clear_actions"),
            Action::WriteActions(actions) => write!(f, "write_actions({})", actions_text(actions)),
            Action::Unknown { kind, body } => write!(f, "unknown({kind},{})", dotted(body)),
        }
    }
}

fn resubmit_text(in_port: u16, table: u8, original_direction: bool) -> String {
    let port = match in_port {
        IN_PORT_16 => String::new(),
        port => PortNo::from_u16(port).to_string(),
    };
    let ct = if original_direction { ",ct" } else { "" };
    match table {
        THIS_TABLE if in_port != IN_PORT_16 && !original_direction => format!("resubmit:{port}"),
        THIS_TABLE => format!("resubmit({port},{ct})"),
        table => format!("resubmit({port},{table}{ct})"),
    }
}

fn controller_text(controller: &Controller) -> String {
    let Controller {
        max_len,
        controller_id,
        reason,
        userdata,
        pause,
        meter,
    } = controller;
    let reason_name = REASONS
        .get(usize::from(*reason))
        .map_or_else(|| reason.to_string(), |name| (*name).to_owned());
    let parts: Vec<String> = [
        (*reason != 1).then(|| format!("reason={reason_name}")),
        (*max_len != 65535).then(|| format!("max_len={max_len}")),
        (*controller_id != 0).then(|| format!("id={controller_id}")),
        (!userdata.is_empty()).then(|| format!("userdata={}", dotted(userdata))),
        pause.then(|| "pause".to_owned()),
        meter.map(|meter| format!("meter_id={meter}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let is_plain =
        *reason == 1 && *controller_id == 0 && userdata.is_empty() && !pause && meter.is_none();
    match is_plain {
        true => format!("CONTROLLER:{max_len}"),
        false => format!("controller({})", parts.join(",")),
    }
}

fn multipath_text(multipath: Multipath) -> String {
    let name = |names: &[&str], number: u16| {
        let name = names.get(usize::from(number));
        name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
    };
    format!(
        "multipath({},{},{},{},{},{})",
        name(&HASH_FIELDS, multipath.fields),
        multipath.basis,
        name(&MULTIPATH_ALGORITHMS, multipath.algorithm),
        u32::from(multipath.last).saturating_add(1),
        multipath.argument,
        multipath.destination
    )
}

fn parse_multipath(arguments: Piece<'_>) -> Result<Multipath, TextError> {
    let pieces = arguments.pieces()?;
    let [fields, basis, algorithm, links, argument, destination] = pieces.as_slice() else {
        return Err(arguments
            .error("fields, basis, algorithm, links, argument and destination are expected"));
    };
    let number = |names: &[&str], piece: &Piece<'_>| {
        let position = names.iter().position(|name| *name == piece.text);
        position.map_or_else(
            || piece.to(),
            |position| u16::try_from(position).map_err(|_| piece.error("too large")),
        )
    };
    let last = links.to::<u32>()?.checked_sub(1);
    Ok(Multipath {
        fields: number(&HASH_FIELDS, fields)?,
        basis: basis.to()?,
        algorithm: number(&MULTIPATH_ALGORITHMS, algorithm)?,
        last: last
            .and_then(|last| u16::try_from(last).ok())
            .ok_or_else(|| links.error("1 to 65536 links are expected"))?,
        argument: argument.to()?,
        destination: parse_subfield(*destination)?,
    })
}

fn ct_text(ct: &Ct) -> String {
    let (nat, exec) = match ct.actions.split_first() {
        Some((nat @ Action::Nat(_), exec)) => (Some(nat), exec),
        _ => (None, ct.actions.as_slice()),
    };
    let zone = match ct.zone {
        Zone::Number(0) => None,
        Zone::Number(zone) => Some(format!("zone={zone}")),
        Zone::Field(zone) => Some(format!("zone={zone}")),
    };
    let alg = match ct.alg {
        0 => None,
        FTP => Some("alg=ftp".to_owned()),
        TFTP => Some("alg=tftp".to_owned()),
        alg => Some(format!("alg={alg}")),
    };
    let parts: Vec<String> = [
        ct.commit.then(|| "commit".to_owned()),
        ct.force.then(|| "force".to_owned()),
        ct.table.map(|table| format!("table={table}")),
        zone,
        nat.map(Action::to_string),
        (!exec.is_empty()).then(|| format!("exec({})", actions_text(exec))),
        alg,
    ]
    .into_iter()
    .flatten()
    .collect();
    format!("ct({})", parts.join(","))
}

fn nat_text(nat: &Nat) -> String {
    let mut range = String::new();
    if let Some((first, last)) = nat.addresses {
        let text = |address: IpAddr| match address {
            IpAddr::V6(address) if nat.ports.is_some() => format!("[{address}]"),
            address => address.to_string(),
        };
        range.push_str(&text(first));
        last.into_iter()
            .for_each(|last| range.push_str(&format!("-{}", text(last))));
    }
    if let Some((first, last)) = nat.ports {
        range.push_str(&format!(":{first}"));
        last.into_iter()
            .for_each(|last| range.push_str(&format!("-{last}")));
    }
    let name = nat.direction.map(|direction| match direction {
        NatDirection::Source => "src",
        NatDirection::Destination => "dst",
    });
    let range = match (name, range.is_empty()) {
        (name, true) => name.map(str::to_owned),
        (name, false) => Some(format!("{}={range}", name.unwrap_or("range"))),
    };
    let flags = [
        (nat.persistent, "persistent"),
        (nat.hash, "hash"),
        (nat.random, "random"),
    ];
    let flags = flags
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, name)| name.to_owned());
    let parts: Vec<String> = range.into_iter().chain(flags).collect();
    match parts.is_empty() {
        true => "nat".to_owned(),
        false => format!("nat({})", parts.join(",")),
    }
}

impl FromStr for Action {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Action, TextError> {
        let piece = Piece::new(text).trim();
        let mut actions = parse_actions(piece, 0)?;
        match (actions.pop(), actions.is_empty()) {
            (Some(action), true) => Ok(action),
            _ => Err(piece.error("one action is expected")),
        }
    }
}

/// Reads a list of actions.
pub(crate) fn parse_actions(list: Piece<'_>, depth: usize) -> Result<Vec<Action>, TextError> {
    if depth > DEPTH_MAX {
        return Err(list.error("actions are nested deeper than 8 levels"));
    }
    if list.text == "drop" || list.text.is_empty() {
        return Ok(Vec::new());
    }
    list.pieces()?
        .into_iter()
        .map(|piece| parse_action(piece, depth))
        .collect()
}

fn parse_action(piece: Piece<'_>, depth: usize) -> Result<Action, TextError> {
    if let Some(action) = parse_port_action(piece)? {
        return Ok(action);
    }
    let end = piece.text.find([':', '(']).unwrap_or(piece.text.len());
    let (name, rest) = piece.text.split_at_checked(end).unwrap_or((piece.text, ""));
    let rest = piece.part(rest);
    // `check_pkt_larger(N)->BIT` has an end of its own.
    let arguments = match (name, rest.strip_prefix(":")) {
        ("check_pkt_larger", _) => rest,
        (_, Some(value)) => value,
        (_, None) if rest.text.is_empty() => rest,
        (_, None) => {
            piece
                .call()
                .ok_or_else(|| rest.error("a bracket is not closed"))?
                .1
        }
    };
    if let Some(action) = parse_more(name, arguments)? {
        return Ok(action);
    }
    let spec = spec_named(name)
        .ok_or_else(|| piece.error(format!("{name:?} is no action; ovs-actions(7) lists them")))?;
    parse_kind(spec, arguments, depth)
}

/// Words that are no names of the action table.
fn parse_more(name: &str, arguments: Piece<'_>) -> Result<Option<Action>, TextError> {
    Ok(Some(match name {
        "load" => {
            let (value, destination) = arrow(arguments)?;
            let destination = parse_subfield(destination)?;
            let max = u128::MAX
                .checked_shr(128_u32.saturating_sub(u32::from(destination.bits)))
                .unwrap_or(0);
            Action::load(destination, value.number(max)?)
        }
        "strip_vlan" => Action::PopVlan,
        "unknown" => {
            let (kind, body) = arguments
                .split_once(",")
                .ok_or_else(|| arguments.error("TYPE,BYTES is expected"))?;
            let body_bytes = body.bytes()?;
            let is_padded =
                body_bytes.len() >= 4 && body_bytes.len().saturating_add(4).is_multiple_of(8);
            if !is_padded {
                return Err(body.error(
                    "with four bytes before it, an action's body is a multiple of 8 bytes",
                ));
            }
            Action::Unknown {
                kind: kind.to()?,
                body: body_bytes,
            }
        }
        _ => return Ok(None),
    }))
}

fn parse_kind(kind: Kind, arguments: Piece<'_>, depth: usize) -> Result<Action, TextError> {
    Ok(match kind {
        Kind::Output | Kind::OutputField | Kind::OutputField2 | Kind::OutputTruncated => {
            parse_output(arguments)?
        }
        Kind::SetTtl => Action::SetTtl(arguments.to()?),
        Kind::PushVlan => Action::PushVlan(arguments.to()?),
        Kind::PopVlan => Action::PopVlan,
        Kind::SetQueue => Action::SetQueue(arguments.to()?),
        Kind::Group => Action::Group(arguments.to()?),
        Kind::DecTtl | Kind::DecTtlControllers => match arguments.text {
            "" => Action::DecTtl,
            _ => Action::DecTtlControllers(
                arguments
                    .pieces()?
                    .into_iter()
                    .map(Piece::to)
                    .collect::<Result<_, _>>()?,
            ),
        },
        Kind::SetField => {
            let (value, field) = arrow(arguments)?;
            let field = parse_field(field)?;
            let (value, mask) = parse(field, value)?;
            Action::SetField { field, value, mask }
        }
        Kind::Move => {
            let (source, destination) = arrow(arguments)?;
            Action::Move {
                source: parse_subfield(source)?,
                destination: parse_subfield(destination)?,
            }
        }
        Kind::Meter => Action::Meter(arguments.to()?),
        Kind::ResubmitPort | Kind::Resubmit | Kind::ResubmitCt => parse_resubmit(arguments)?,
        Kind::PopQueue => Action::PopQueue,
        Kind::Note => Action::Note(arguments.bytes()?),
        Kind::Exit => Action::Exit,
        Kind::Controller | Kind::ControllerShort => parse_controller(arguments)?,
        Kind::Push => Action::Push(parse_subfield(arguments)?),
        Kind::Pop => Action::Pop(parse_subfield(arguments)?),
        Kind::Conjunction => parse_conjunction(arguments)?,
        Kind::Ct => Action::Ct(parse_ct(arguments, depth)?),
        Kind::Nat => Action::Nat(parse_nat(arguments)?),
        Kind::Clone => Action::Clone(parse_actions(arguments, depth.saturating_add(1))?),
        Kind::CtClear => Action::CtClear,
        Kind::CheckPacketLarger => {
            let (bytes, destination) = arrow(arguments)?;
            let bytes = bytes
                .call()
                .ok_or_else(|| bytes.error("(BYTES)->BIT is expected"))?
                .1;
            let destination = parse_subfield(destination)?;
            if destination.bits != 1 {
                return Err(arguments.error("one bit is expected"));
            }
            Action::CheckPacketLarger {
                bytes: bytes.to()?,
                destination,
            }
        }
        Kind::Multipath => Action::Multipath(parse_multipath(arguments)?),
        Kind::DeleteField => Action::DeleteField(parse_field(arguments)?),
        Kind::GotoTable => Action::GotoTable(arguments.to()?),
        Kind::WriteMetadata => {
            let (value, mask) = match arguments.split_once("/") {
                Some((value, mask)) => (value.to()?, mask.to()?),
                None => (arguments.to::<u64>()?, u64::MAX),
            };
            Action::WriteMetadata {
                value: value & mask,
                mask,
            }
        }
        Kind::WriteActions => {
            Action::WriteActions(parse_actions(arguments, depth.saturating_add(1))?)
        }
        Kind::ApplyActions => {
            return Err(arguments.error("apply_actions has no name in flow text; list its actions"));
        }
        Kind::ClearActions => Action::ClearActions,
    })
}

fn parse_port_action(piece: Piece<'_>) -> Result<Option<Action>, TextError> {
    if let Some(max_len) = piece
        .strip_prefix("CONTROLLER:")
        .or_else(|| piece.strip_prefix("controller:"))
    {
        return Ok(Some(Action::OutputController {
            max_len: max_len.to()?,
        }));
    }
    if piece.text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    Ok(PortNo::parse(piece.text).map(|port| match port {
        PortNo::CONTROLLER => Action::OutputController { max_len: 65535 },
        port => Action::Output(port),
    }))
}

fn parse_output(arguments: Piece<'_>) -> Result<Action, TextError> {
    if let Some(port) = PortNo::parse(arguments.text) {
        return Ok(match port {
            PortNo::CONTROLLER => Action::OutputController { max_len: 65535 },
            port => Action::Output(port),
        });
    }
    if !arguments.text.contains('=') {
        return parse_subfield(arguments).map(Action::OutputField);
    }
    let (mut port, mut max_len) = (None, None);
    for (name, value) in named(arguments)? {
        match name.text {
            "port" => port = PortNo::parse(value.text).and_then(PortNo::to_u16),
            "max_len" => max_len = Some(value.to()?),
            _ => return Err(name.error("port and max_len are expected")),
        }
    }
    match (port, max_len) {
        (Some(port), Some(max_len)) => Ok(Action::OutputTruncated { port, max_len }),
        _ => Err(arguments.error("output(port=PORT,max_len=BYTES) is expected")),
    }
}

fn parse_resubmit(arguments: Piece<'_>) -> Result<Action, TextError> {
    let mut parts = arguments
        .text
        .split(',')
        .map(|part| arguments.part(part).trim());
    let port = parts.next().unwrap_or(arguments);
    let in_port = match port.text {
        "" => IN_PORT_16,
        text => PortNo::parse(text)
            .and_then(PortNo::to_u16)
            .ok_or_else(|| port.error("a port is expected"))?,
    };
    let table = match parts.next().filter(|table| !table.text.is_empty()) {
        Some(table) => table.to()?,
        None => THIS_TABLE,
    };
    let original_direction = match parts.next() {
        None => false,
        Some(Piece { text: "ct", .. }) => true,
        Some(other) => return Err(other.error("ct or nothing is expected")),
    };
    if let Some(other) = parts.next() {
        return Err(other.error("resubmit(PORT,TABLE[,ct]) is expected"));
    }
    Ok(match (in_port, table) {
        (IN_PORT_16, 0..=254) if !original_direction => Action::Resubmit { table },
        _ => Action::ResubmitFrom {
            in_port,
            table,
            original_direction,
        },
    })
}

fn parse_controller(arguments: Piece<'_>) -> Result<Action, TextError> {
    let mut controller = Controller::default();
    for piece in arguments.pieces()? {
        if piece.text == "pause" {
            controller.pause = true;
            continue;
        }
        let (name, value) = piece
            .split_once("=")
            .ok_or_else(|| piece.error("NAME=VALUE or pause is expected"))?;
        match name.text {
            "max_len" => controller.max_len = value.to()?,
            "id" => controller.controller_id = value.to()?,
            "userdata" => controller.userdata = value.bytes()?,
            "meter_id" => controller.meter = Some(value.to()?),
            "reason" => {
                let place = REASONS.iter().position(|name| *name == value.text);
                let number = place.and_then(|place| u8::try_from(place).ok());
                controller.reason = number.map_or_else(|| value.to(), Ok)?;
            }
            _ => {
                return Err(
                    name.error("max_len, id, userdata, meter_id, reason or pause is expected")
                );
            }
        }
    }
    Ok(match controller {
        Controller {
            max_len,
            controller_id: 0,
            reason: 1,
            ref userdata,
            pause: false,
            meter: None,
        } if userdata.is_empty() => Action::OutputController { max_len },
        controller => Action::Controller(controller),
    })
}

fn parse_conjunction(arguments: Piece<'_>) -> Result<Action, TextError> {
    let bad =
        || arguments.error("conjunction(ID,CLAUSE/N) is expected, CLAUSE from 1 to N, N up to 64");
    let (id, clauses) = arguments.split_once(",").ok_or_else(bad)?;
    let (clause, n) = clauses.trim().split_once("/").ok_or_else(bad)?;
    let (clause, n) = (clause.to()?, n.to()?);
    match 1 <= clause && clause <= n && n <= 64 {
        true => Ok(Action::Conjunction {
            id: id.to()?,
            clause,
            n,
        }),
        false => Err(bad()),
    }
}

fn parse_ct(arguments: Piece<'_>, depth: usize) -> Result<Ct, TextError> {
    let mut ct = Ct::default();
    let mut nat = None;
    for piece in arguments.pieces()? {
        match (piece.text, piece.split_once("="), piece.call()) {
            ("commit", ..) => ct.commit = true,
            ("force", ..) => ct.force = true,
            ("nat", ..) => nat = Some(Action::Nat(Nat::default())),
            (_, _, Some((Piece { text: "nat", .. }, arguments))) => {
                nat = Some(Action::Nat(parse_nat(arguments)?))
            }
            (_, _, Some((Piece { text: "exec", .. }, list))) => {
                ct.actions = parse_actions(list, depth.saturating_add(1))?
            }
            (_, Some((Piece { text: "table", .. }, table)), _) => {
                ct.table = Some(table.number(254)?).and_then(|t| u8::try_from(t).ok())
            }
            (_, Some((Piece { text: "zone", .. }, zone)), _) => {
                ct.zone = match zone.text.starts_with(|c: char| c.is_ascii_digit()) {
                    true => Zone::Number(zone.to()?),
                    false => Zone::Field(parse_subfield(zone)?),
                };
            }
            (_, Some((Piece { text: "alg", .. }, alg)), _) => {
                ct.alg = match alg.text {
                    "ftp" => FTP,
                    "tftp" => TFTP,
                    _ => alg.to()?,
                };
            }
            _ => {
                return Err(piece.error("commit, force, table, zone, nat, exec or alg is expected"));
            }
        }
    }
    ct.actions = nat.into_iter().chain(ct.actions).collect();
    Ok(ct)
}

fn parse_nat(arguments: Piece<'_>) -> Result<Nat, TextError> {
    let mut nat = Nat::default();
    for piece in arguments.pieces()? {
        let (name, range) = match piece.split_once("=") {
            Some((name, range)) => (name.text, Some(range)),
            None => (piece.text, None),
        };
        match name {
            "persistent" => nat.persistent = true,
            "hash" => nat.hash = true,
            "random" => nat.random = true,
            "src" => nat.direction = Some(NatDirection::Source),
            "dst" => nat.direction = Some(NatDirection::Destination),
            "range" => {}
            _ => return Err(piece.error("src, dst, persistent, hash or random is expected")),
        }
        if let Some(range) = range {
            parse_nat_range(&mut nat, range)?;
        }
    }
    Ok(nat)
}

fn parse_nat_range(nat: &mut Nat, range: Piece<'_>) -> Result<(), TextError> {
    let is_bracketed = range.text.starts_with('[');
    let has_ports = is_bracketed || range.text.matches(':').count() == 1;
    let (addresses, ports) = match range
        .rsplit_once(":")
        .filter(|_| has_ports && !range.text.ends_with(']'))
    {
        Some((addresses, ports)) => (addresses, Some(ports)),
        None => (range, None),
    };
    if !addresses.text.is_empty() {
        let (first, last) = ends(addresses);
        let first = parse_address(first)?;
        let last = last.map(parse_address).transpose()?;
        if last.is_some_and(|last| last.is_ipv4() != first.is_ipv4()) {
            return Err(addresses.error("both ends must be of one address family"));
        }
        nat.addresses = Some((first, last));
    }
    if let Some(ports) = ports {
        let (first, last) = ends(ports);
        nat.ports = Some((first.to()?, last.map(Piece::to).transpose()?));
    }
    Ok(())
}

fn ends(range: Piece<'_>) -> (Piece<'_>, Option<Piece<'_>>) {
    match range.split_once("-") {
        Some((first, last)) => (first, Some(last)),
        None => (range, None),
    }
}

fn parse_address(piece: Piece<'_>) -> Result<IpAddr, TextError> {
    let bare = piece
        .text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(piece.text);
    bare.parse()
        .map_err(|_| piece.error("an IP address is expected"))
}

fn named(list: Piece<'_>) -> Result<Vec<(Piece<'_>, Piece<'_>)>, TextError> {
    let pair = |piece: Piece<'_>| piece.text.contains('=');
    let pieces = list.pieces()?;
    match pieces.iter().find(|piece| !pair(**piece)) {
        Some(piece) => Err(piece.error("NAME=VALUE is expected")),
        None => Ok(pieces
            .into_iter()
            .filter_map(|piece| piece.split_once("="))
            .collect()),
    }
}

fn arrow(piece: Piece<'_>) -> Result<(Piece<'_>, Piece<'_>), TextError> {
    piece
        .split_once("->")
        .ok_or_else(|| piece.error("-> is missing"))
}

fn parse_field(piece: Piece<'_>) -> Result<Field, TextError> {
    let name = piece.text.strip_suffix("[]").unwrap_or(piece.text);
    Field::from_name(name)
        .ok_or_else(|| piece.error(format!("{name:?} is no field; ovs-fields(7) lists them")))
}

fn parse_subfield(piece: Piece<'_>) -> Result<Subfield, TextError> {
    let Some((name, range)) = piece.split_once("[") else {
        return parse_field(piece).map(Subfield::whole);
    };
    let field = parse_field(name)?;
    let range = range.part(
        range
            .text
            .strip_suffix(']')
            .ok_or_else(|| range.error("a bracket is not closed"))?,
    );
    let subfield = match (range.text, range.split_once("..")) {
        ("", _) => Subfield::whole(field),
        (_, None) => Subfield::new(field, range.to()?, 1),
        (_, Some((first, last))) => {
            let (first, last): (u16, u16) = (first.to()?, last.to()?);
            let bits = last.checked_sub(first).and_then(|bits| bits.checked_add(1));
            Subfield::new(
                field,
                first,
                bits.ok_or_else(|| range.error("the first bit is the lower one"))?,
            )
        }
    };
    match subfield.is_valid() {
        true => Ok(subfield),
        false => Err(piece.error(format!("{field} has {} bits", field.width_bits()))),
    }
}
