//! Printing: one text for each expression and action, which parses back to the same.
//!
//! Must not: print anything the parser does not read.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::action::Action;
use crate::address::Mac;
use crate::expr::{Constant, Expr, Operand, PortOperand, Relation};
use crate::symbol::{Format, Part};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::True => f.write_str("1"),
            Expr::False => f.write_str("0"),
            Expr::And(members) => joined(f, members, " && "),
            Expr::Or(members) => joined(f, members, " || "),
            // `!` needs parentheses before a comparison, and reads well without before a name.
            Expr::Not(inner) if is_bare_name(inner) => write!(f, "!{inner}"),
            Expr::Not(inner) => write!(f, "!({inner})"),
            Expr::Compare { part, .. } if is_bare_name(self) => write!(f, "{part}"),
            Expr::Compare {
                part,
                relation,
                operands,
            } => {
                write!(f, "{part} {} ", relation.text())?;
                listed(f, operands, |f, operand| match operand {
                    Operand::Constant(value) => constant(f, *part, *value),
                    Operand::AddressSet(name) => write!(f, "${name}"),
                })
            }
            Expr::Port {
                symbol,
                negated,
                operands,
            } => {
                write!(f, "{symbol} {} ", if *negated { "!=" } else { "==" })?;
                listed(f, operands, |f, operand| match operand {
                    PortOperand::Name(name) => quoted(f, name),
                    PortOperand::Group(name) => write!(f, "@{name}"),
                })
            }
            Expr::Predicate(predicate) => write!(f, "{predicate}"),
        }
    }
}

/// Whether it prints as a name alone: a predicate, or a one-bit field compared with 1.
fn is_bare_name(expr: &Expr) -> bool {
    match expr {
        Expr::Predicate(_) => true,
        Expr::Compare {
            part,
            relation: Relation::Equal,
            operands,
        } => {
            part.width() == 1
                && matches!(operands.as_slice(), [Operand::Constant(one)] if *one == Constant::new(1))
        }
        _ => false,
    }
}

fn joined(f: &mut fmt::Formatter<'_>, members: &[Expr], operator: &str) -> fmt::Result {
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            f.write_str(operator)?;
        }
        match member {
            Expr::And(_) | Expr::Or(_) => write!(f, "({member})")?,
            _ => write!(f, "{member}")?,
        }
    }
    Ok(())
}

fn listed<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    item: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    if let [only] = items {
        return item(f, only);
    }
    f.write_str("{")?;
    for (index, each) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item(f, each)?;
    }
    f.write_str("}")
}

fn constant(f: &mut fmt::Formatter<'_>, part: Part, constant: Constant) -> fmt::Result {
    integer(f, part, constant.value())?;
    let Some(mask) = constant.mask() else {
        return Ok(());
    };
    f.write_str("/")?;
    let prefix = prefix_length(mask, part.width());
    match (part.format(), prefix) {
        (Format::Ip4 | Format::Ip6, Some(length)) => write!(f, "{length}"),
        // A decimal mask after an IP address would read as a prefix length.
        (Format::Register, _) if is_address(constant.value()) => ip4(f, mask),
        (Format::Decimal | Format::Register, _) => write!(f, "{mask:#x}"),
        _ => integer(f, part, mask),
    }
}

/// The length of a mask that is a run of ones from the top of `width` bits.
fn prefix_length(mask: u128, width: u8) -> Option<u32> {
    let length = mask.count_ones();
    let zeros = u32::from(width).checked_sub(length)?;
    (mask.trailing_zeros() == zeros || (length == 0 && mask == 0)).then_some(length)
}

/// Whether a register's value prints as an IPv4 address: those beyond 0.255.255.255 do.
fn is_address(value: u128) -> bool {
    value > 0x00ff_ffff
}

fn integer(f: &mut fmt::Formatter<'_>, part: Part, value: u128) -> fmt::Result {
    match part.format() {
        Format::Decimal => write!(f, "{value}"),
        Format::Hex => write!(f, "{value:#x}"),
        Format::Register if is_address(value) => ip4(f, value),
        Format::Register => write!(f, "{value}"),
        Format::Ip4 => ip4(f, value),
        Format::Ip6 => write!(f, "{}", Ipv6Addr::from_bits(value)),
        Format::Ethernet => match u64::try_from(value) {
            Ok(bits) if bits >> 48 == 0 => write!(f, "{}", Mac::from_bits(bits)),
            _ => write!(f, "{value:#x}"),
        },
    }
}

fn ip4(f: &mut fmt::Formatter<'_>, value: u128) -> fmt::Result {
    match u32::try_from(value) {
        Ok(bits) => write!(f, "{}", Ipv4Addr::from_bits(bits)),
        Err(_) => write!(f, "{value:#x}"),
    }
}

/// A string as JSON writes it (RFC 8259 §7).
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            control if u32::from(control) < 0x20 => write!(f, "\\u{:04x}", u32::from(control))?,
            other => write!(f, "{other}")?,
        }
    }
    f.write_str("\"")
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quoted(f, self.0)
    }
}

struct Value(Part, u128);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        integer(f, self.0, self.1)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Next { table: None, .. } => f.write_str("next;"),
            Action::Next {
                pipeline: None,
                table: Some(table),
            } => write!(f, "next({table});"),
            Action::Next {
                pipeline: Some(pipeline),
                table: Some(table),
            } => {
                write!(f, "next(pipeline={}, table={table});", pipeline.name())
            }
            Action::Output => f.write_str("output;"),
            Action::Drop => f.write_str("drop;"),
            Action::Assign { destination, value } => {
                write!(f, "{destination} = {};", Value(*destination, *value))
            }
            Action::AssignPort { destination, name } => {
                write!(f, "{destination} = {};", Quoted(name))
            }
            Action::Move {
                destination,
                source,
            } => write!(f, "{destination} = {source};"),
            Action::MovePort {
                destination,
                source,
            } => write!(f, "{destination} = {source};"),
            Action::Exchange { left, right } => write!(f, "{left} <-> {right};"),
            Action::DecrementTtl => f.write_str("ip.ttl--;"),
            Action::Select {
                destination,
                choices,
            } => {
                let numbers: Vec<String> = (0..*choices).map(|number| number.to_string()).collect();
                write!(f, "{destination} = select({});", numbers.join(", "))
            }
            Action::Replace { with, actions } if actions.is_empty() => {
                write!(f, "{} {{ }};", with.name())
            }
            Action::Replace { with, actions } => {
                write!(f, "{} {{ {} }};", with.name(), Action::list(actions))
            }
            Action::FragMtu { error, mtu } => write!(f, "{}.frag_mtu = {mtu};", error.name()),
            Action::CtClear => f.write_str("ct_clear;"),
            Action::CtLb => f.write_str("ct_lb_mark;"),
            Action::CtLbTo { backends, fields } => {
                f.write_str("ct_lb_mark(backends=")?;
                for (index, backend) in backends.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{backend}")?;
                }
                if !fields.is_empty() {
                    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
                    write!(f, "; hash_fields=\"{}\"", names.join(","))?;
                }
                f.write_str(");")
            }
            Action::CtNat {
                side,
                address: None,
            } => write!(f, "{};", side.action()),
            Action::CtNat {
                side,
                address: Some(address),
            } => write!(f, "{}({address});", side.action()),
            Action::Forward { node } => write!(f, "forward({});", Quoted(node)),
            Action::Deliver { datapath, port } => {
                write!(f, "deliver({}, {});", Quoted(datapath), Quoted(port))
            }
            Action::Locate { datapath, port } => {
                write!(f, "locate({}, {});", Quoted(datapath), Quoted(port))
            }
        }
    }
}
