//! What is wrong with a text, and where.
//!
//! Must not: quote more of the input than a line of log bears.

use std::fmt;

use crate::action::Replacement;
use crate::lexer::Token;
use crate::symbol::{Format, Part, PortSymbol, Predicate, Symbol};
use crate::types::TypeError;

/// A text that is no match or no list of actions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Where, counted in characters from 1.
    pub column: usize,
    /// What.
    pub problem: Problem,
    /// The text, shortened when long.
    pub text: String,
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages are the documentation
pub enum Problem {
    #[error("{bytes} bytes of text, more than the {limit} that are read")]
    TooLong { bytes: usize, limit: usize },
    #[error("parentheses and ! nested deeper than {limit}")]
    TooDeep { limit: usize },
    #[error("a comment that does not end; close it with */")]
    OpenComment,
    #[error("a string that does not end; close it with \"")]
    OpenString,
    #[error("a string with a control character in it; write it as \\u00XX")]
    ControlCharacter,
    #[error("a string with an unknown escape; JSON's are read")]
    BadEscape,
    #[error("unexpected character {0:?}")]
    UnknownCharacter(char),
    #[error("a single {0}; write {0}{0}")]
    SingleOperator(char),
    #[error("{0:?} is no number: decimal, 0x hexadecimal, IPv4, IPv6 and Ethernet addresses are")]
    BadNumber(String),
    #[error("a mask is missing after /")]
    MissingMask,
    #[error("a prefix of {length} bits; an address of this kind has {width}")]
    PrefixTooLong { length: u128, width: u8 },
    #[error("a mask written in another form than its value")]
    MaskForm,
    #[error("bits set outside the mask; set them to 0 or widen the mask")]
    BitsOutsideMask,
    #[error("found {found} where {wanted} should be")]
    Unexpected { found: String, wanted: &'static str },
    #[error("unknown field {name:?}")]
    UnknownField {
        name: String,
        meant: Option<&'static str>,
    },
    #[error("unknown action {name:?}")]
    UnknownAction {
        name: String,
        meant: Option<&'static str>,
    },
    #[error("&& and || together; put one of them in parentheses")]
    MixedOperators,
    #[error("! before a comparison; put the comparison in parentheses")]
    NegatedComparison,
    #[error("a constant by itself; only 0 and 1 are conditions")]
    BareConstant,
    #[error("a range is written a <= field <= b, with < or <= on both sides, or > or >= on both")]
    BadRange,
    #[error("{symbol} has the bits 0 to {}, not {low} to {high}", .symbol.width().saturating_sub(1))]
    NoSuchBits {
        symbol: Symbol,
        low: u128,
        high: u128,
    },
    #[error("{0} has no bits to ask for; compare it whole")]
    NominalBits(Symbol),
    #[error(
        "{0} has more than one bit, so it is no condition by itself; compare it with a constant, for example {0} != 0"
    )]
    BareField(Part),
    #[error("{0} is no condition by itself; compare it with a name, for example {0} == \"name\"")]
    BarePort(PortSymbol),
    #[error("a field on both sides; compare with a constant")]
    TwoFields,
    #[error("{0} is a number; port names and groups compare with inport and outport")]
    NameForField(Part),
    #[error("{0} is a name; write it in quotation marks")]
    IntegerForPort(PortSymbol),
    #[error("{0} is a name, and names have no order; use ==")]
    PortOrder(PortSymbol),
    #[error("{0} is true or false; write it alone, or compare it with 0 or 1")]
    PredicateValue(Predicate),
    #[error("{} does not compare with {}", .part, form_name(*.form))]
    AddressForm { part: Part, form: Format },
    #[error("{0} cannot be written by an action")]
    ReadOnly(Symbol),
    #[error("{0} is a condition and not a field, so no action writes it")]
    AssignPredicate(Predicate),
    #[error("{left} has {} bits and {right} has {}; they must be equal", .left.width(), .right.width())]
    WidthsDiffer { left: Part, right: Part },
    #[error("a name and a number; both sides must be of one kind")]
    KindsDiffer,
    #[error(
        "a masked constant cannot be assigned; assign to the bits instead, for example {0}[0..7]"
    )]
    AssignMasked(Symbol),
    #[error("only ip.ttl counts down, not {0}")]
    Decrement(Part),
    #[error("drop stands alone: nothing may be done to a packet that is dropped")]
    DropNotAlone,
    #[error("{value} is no {what}; {range}")]
    OutOfRange {
        what: &'static str,
        value: u128,
        range: &'static str,
    },
    #[error("{} actions, more than the {limit} that are read", .count)]
    TooManyActions { count: usize, limit: usize },
    #[error(transparent)]
    Type(#[from] TypeError),
}

impl Problem {
    pub(super) fn unknown_field(name: String) -> Problem {
        let symbols = Symbol::ALL.iter().map(|symbol| symbol.name());
        let predicates = Predicate::ALL.iter().map(|predicate| predicate.name());
        let ports = PortSymbol::ALL.iter().map(|symbol| symbol.name());
        let meant = nearest(&name, symbols.chain(predicates).chain(ports));
        Problem::UnknownField {
            name: shortened(&name, 1),
            meant,
        }
    }

    pub(super) fn unknown_action(name: String) -> Problem {
        let meant = nearest(
            &name,
            [
                "next",
                "output",
                "drop",
                "ct_clear",
                "ct_lb_mark",
                "forward",
                "deliver",
                "locate",
            ]
            .into_iter()
            .chain(Replacement::ALL.map(Replacement::name)),
        );
        Problem::UnknownAction {
            name: shortened(&name, 1),
            meant,
        }
    }

    fn meant(&self) -> Option<&'static str> {
        match self {
            Problem::UnknownField { meant, .. } | Problem::UnknownAction { meant, .. } => *meant,
            _ => None,
        }
    }
}

impl ParseError {
    pub(crate) fn new(text: &str, column: usize, problem: Problem) -> ParseError {
        ParseError {
            column,
            problem,
            text: shortened(text, column),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParseError {
            column,
            problem,
            text,
        } = self;
        write!(f, "{problem} at column {column} of {text:?}")?;
        match problem.meant() {
            Some(meant) => write!(f, "; did you mean {meant}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseError {}

/// A token as a message names it.
pub(super) fn describe(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("{:?}", shortened(word, 1)),
        Token::Integer(_) => "a number".to_owned(),
        Token::Endpoint(_) => "an address with a port".to_owned(),
        Token::Text(_) => "a string".to_owned(),
        Token::AddressSet(name) => format!("${}", shortened(name, 1)),
        Token::PortGroup(name) => format!("@{}", shortened(name, 1)),
        Token::Relation(relation) => relation.text().to_owned(),
        Token::Sign(sign) => sign.text().to_owned(),
        Token::End => "the end".to_owned(),
    }
}

fn form_name(format: Format) -> &'static str {
    match format {
        Format::Ethernet => "an Ethernet address",
        Format::Ip4 => "an IPv4 address",
        Format::Ip6 => "an IPv6 address",
        Format::Decimal | Format::Hex | Format::Register => "a number",
    }
}

/// `text`, or the part of it around `column` when it is long.
fn shortened(text: &str, column: usize) -> String {
    let length = text.chars().count();
    if length <= MAX_TEXT_SHOWN {
        return text.to_owned();
    }
    let start = column
        .saturating_sub(MAX_TEXT_SHOWN / 2)
        .min(length.saturating_sub(MAX_TEXT_SHOWN));
    let middle: String = text.chars().skip(start).take(MAX_TEXT_SHOWN).collect();
    let before = if start > 0 { "…" } else { "" };
    let after = if start.saturating_add(MAX_TEXT_SHOWN) < length {
        "…"
    } else {
        ""
    };
    format!("{before}{middle}{after}")
}

/// The candidate that differs least from `name`, if one is near enough to have been meant.
fn nearest(name: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if name.len() > MAX_TEXT_SHOWN {
        return None;
    }
    let scored = candidates.map(|candidate| (edits(name, candidate), candidate));
    let limit = name.len().div_ceil(4).min(2);
    scored
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn edits(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.bytes().enumerate() {
        let mut diagonal = line;
        let mut previous = line.saturating_add(1);
        let mut next = vec![previous];
        for (b, above) in right.bytes().zip(row.iter().skip(1)) {
            let replaced = diagonal.saturating_add(usize::from(a != b));
            previous = replaced
                .min(above.saturating_add(1))
                .min(previous.saturating_add(1));
            diagonal = *above;
            next.push(previous);
        }
        row = next;
    }
    row.last().copied().unwrap_or(left.len())
}

/// Longest piece of the text in a message.
const MAX_TEXT_SHOWN: usize = 120;
