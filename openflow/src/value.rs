//! Values of match fields as text, the way `ovs-ofctl` writes them: addresses, flags, numbers, masks.
//!
//! Must not: know where a value stands (match or action), but for what its caller says.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::TextError;
use crate::field::{Field, Format};
use crate::port::PortNo;
use crate::text::Piece;

/// `ct_state` bits from the lowest.
const CT_STATES: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
/// `tcp_flags` bits from the lowest.
const TCP_FLAGS: [&str; 12] = [
    "fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]",
];
/// `tun_flags` bits from the lowest.
const TUN_FLAGS: [&str; 1] = ["oam"];
/// `nw_frag`: text, value, mask.
const FRAGMENTS: [(&str, u128, u128); 5] = [
    ("no", 0, 3),
    ("yes", 1, 1),
    ("first", 1, 3),
    ("later", 3, 3),
    ("not_later", 0, 2),
];

/// A value and mask as a `set_field` action writes them.
pub(crate) fn set_field_text(field: Field, value: u128, mask: u128) -> String {
    let spec = field.spec();
    let is_exact = mask == field.all_ones();
    let hex = |number: u128| {
        if number == 0 {
            "0".to_owned()
        } else {
            format!("{number:#x}")
        }
    };
    match spec.format {
        Format::Decimal | Format::Port | Format::Port32 if !is_exact => {
            format!("{value}/{mask:#x}")
        }
        Format::Hexadecimal if !is_exact => format!("{}/{}", hex(value), hex(mask)),
        Format::Hexadecimal => hex(value),
        Format::Decimal => value.to_string(),
        Format::TunnelFlags => flags(&TUN_FLAGS, value, mask, is_exact),
        format => special_text(format, value, mask, is_exact),
    }
}

/// A value and mask of a format that is the same in matches and actions.
pub(crate) fn special_text(format: Format, value: u128, mask: u128, is_exact: bool) -> String {
    match format {
        Format::Ethernet if is_exact => ethernet(value),
        Format::Ethernet => format!("{}/{}", ethernet(value), ethernet(mask)),
        Format::Ipv4 => format!("{}{}", ipv4(value), suffix(mask, 32, ipv4)),
        Format::Ipv6 => format!(
            "{}{}",
            Ipv6Addr::from_bits(value),
            suffix(mask, 128, |mask| Ipv6Addr::from_bits(mask).to_string())
        ),
        Format::Port => PortNo::from_u16(u16::try_from(value).unwrap_or(u16::MAX)).to_string(),
        Format::Port32 => PortNo(u32::try_from(value).unwrap_or(u32::MAX)).to_string(),
        Format::Fragment => {
            let name = FRAGMENTS
                .iter()
                .find(|(_, v, m)| (*v, *m) == (value, mask))
                .map(|(name, _, _)| (*name).to_owned());
            name.unwrap_or_else(|| format!("{value:#x}/{mask:#x}"))
        }
        Format::TcpFlags => flags(&TCP_FLAGS, value, mask, is_exact),
        Format::CtState => flags(&CT_STATES, value, mask, is_exact),
        Format::TunnelFlags => flags(&TUN_FLAGS, value, mask, false),
        Format::Decimal | Format::Hexadecimal => format!("{value:#x}/{mask:#x}"),
    }
}

/// `+syn-ack`, or `syn|ack` if all bits count.
fn flags(names: &[&str], value: u128, mask: u128, is_exact: bool) -> String {
    let bits = || {
        names.iter().enumerate().map(|(bit, name)| {
            (
                1_u128
                    .checked_shl(u32::try_from(bit).unwrap_or(0))
                    .unwrap_or(0),
                name,
            )
        })
    };
    if is_exact {
        let set: Vec<&str> = bits()
            .filter(|(bit, _)| value & bit != 0)
            .map(|(_, name)| *name)
            .collect();
        return if set.is_empty() {
            "0".to_owned()
        } else {
            set.join("|")
        };
    }
    let mut text = String::new();
    for (bit, name) in bits().filter(|(bit, _)| mask & bit != 0) {
        text.push(if value & bit != 0 { '+' } else { '-' });
        text.push_str(name);
    }
    text
}

fn ethernet(value: u128) -> String {
    let mut text = String::new();
    for shift in (0..6_u32).rev() {
        let byte = value.checked_shr(shift.saturating_mul(8)).unwrap_or(0) & 0xff;
        let _ = write!(text, "{byte:02x}{}", if shift == 0 { "" } else { ":" });
    }
    text
}

fn ipv4(value: u128) -> String {
    Ipv4Addr::from_bits(u32::try_from(value).unwrap_or(u32::MAX)).to_string()
}

/// Nothing for an exact match, `/24` for a prefix, else the mask.
fn suffix(mask: u128, bits: u32, text: impl Fn(u128) -> String) -> String {
    let ones = mask.count_ones();
    match mask == prefix_mask(bits, ones) {
        true if ones == bits => String::new(),
        true => format!("/{ones}"),
        false => format!("/{}", text(mask)),
    }
}

fn prefix_mask(bits: u32, ones: u32) -> u128 {
    let all = u128::MAX
        .checked_shr(128_u32.saturating_sub(bits))
        .unwrap_or(0);
    all & !all.checked_shr(ones).unwrap_or(0)
}

/// Reads `VALUE` or `VALUE/MASK` of a field.
pub(crate) fn parse(field: Field, piece: Piece<'_>) -> Result<(u128, u128), TextError> {
    let spec = field.spec();
    let all = field.all_ones();
    let special = match spec.format {
        Format::Fragment => FRAGMENTS
            .iter()
            .find(|(name, _, _)| *name == piece.text)
            .map(|(_, v, m)| (*v, *m)),
        Format::TcpFlags => parse_flags(&TCP_FLAGS, piece, all)?,
        Format::CtState => parse_flags(&CT_STATES, piece, all)?,
        Format::TunnelFlags => parse_flags(&TUN_FLAGS, piece, all)?,
        _ => None,
    };
    if let Some((value, mask)) = special {
        return Ok((value, mask));
    }
    let (value, mask) = match piece.split_once("/") {
        Some((value, mask)) => (value, Some(mask)),
        None => (piece, None),
    };
    let value = parse_number(field, value)?;
    let mask = match mask {
        None => all,
        Some(mask) => parse_mask(field, mask)?,
    };
    Ok((value & mask, mask))
}

fn parse_number(field: Field, piece: Piece<'_>) -> Result<u128, TextError> {
    let all = field.all_ones();
    match field.spec().format {
        Format::Ethernet => parse_ethernet(piece),
        Format::Ipv4 => {
            let address: Result<Ipv4Addr, _> = piece.text.parse();
            address
                .map(|address| u128::from(address.to_bits()))
                .map_err(|_| piece.error("an IPv4 address is expected"))
        }
        Format::Ipv6 => {
            let address: Result<Ipv6Addr, _> = piece.text.parse();
            address
                .map(|address| address.to_bits())
                .map_err(|_| piece.error("an IPv6 address is expected"))
        }
        Format::Port => match PortNo::parse(piece.text).and_then(PortNo::to_u16) {
            Some(port) => Ok(u128::from(port)),
            None => piece.number(all),
        },
        Format::Port32 => match PortNo::parse(piece.text) {
            Some(port) if port.name().is_some() => Ok(u128::from(port.0)),
            _ => piece.number(all),
        },
        _ => piece.number(all),
    }
}

fn parse_mask(field: Field, piece: Piece<'_>) -> Result<u128, TextError> {
    let bits = match field.spec().format {
        Format::Ipv4 => 32,
        Format::Ipv6 => 128,
        Format::Port | Format::Port32 => return piece.number(field.all_ones()),
        _ => return parse_number(field, piece),
    };
    let length = piece
        .text
        .parse()
        .ok()
        .filter(|ones: &u32| *ones <= bits && !piece.text.starts_with('+'));
    match length {
        Some(ones) => Ok(prefix_mask(bits, ones)),
        None => parse_number(field, piece),
    }
}

fn parse_ethernet(piece: Piece<'_>) -> Result<u128, TextError> {
    let error = || piece.error("an Ethernet address is expected, such as 0a:58:0a:80:00:09");
    let mut value = 0_u128;
    let mut count = 0_usize;
    for digits in piece.text.split(':') {
        let is_byte =
            (1..=2).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_hexdigit());
        let byte = Some(digits)
            .filter(|_| is_byte)
            .and_then(|digits| u128::from_str_radix(digits, 16).ok());
        value = (value << 8) | byte.ok_or_else(error)?;
        count = count.saturating_add(1);
        if count > 6 {
            break;
        }
    }
    match count {
        6 => Ok(value),
        _ => Err(error()),
    }
}

/// Flags by name; `None` if the text is a number.
fn parse_flags(
    names: &[&str],
    piece: Piece<'_>,
    all: u128,
) -> Result<Option<(u128, u128)>, TextError> {
    let bit = |name: &str| -> Result<u128, TextError> {
        let place = names
            .iter()
            .position(|known| *known == name)
            .and_then(|place| u32::try_from(place).ok());
        let error = || {
            piece.error(format!(
                "{name:?} is no flag; there are {}",
                names.join(", ")
            ))
        };
        place
            .and_then(|place| 1_u128.checked_shl(place))
            .ok_or_else(error)
    };
    let text = piece.text;
    if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    if !text.starts_with(['+', '-']) {
        let value = text
            .split('|')
            .try_fold(0, |value, name| Ok(value | bit(name)?))?;
        return Ok(Some((value, all)));
    }
    let (mut value, mut mask) = (0, 0);
    for flag in text
        .split_inclusive(|c| ['+', '-'].contains(&c))
        .collect::<Vec<_>>()
        .windows(2)
    {
        let [sign, name] = flag else { continue };
        let bit = bit(name.trim_end_matches(['+', '-']))?;
        mask |= bit;
        value = if sign.ends_with('+') {
            value | bit
        } else {
            value & !bit
        };
    }
    Ok(Some((value, mask)))
}
