//! Match expressions, and how Rust code builds them.
//!
//! Invariant, kept by every constructor here and by the parser: an [`Expr::And`] or [`Expr::Or`] has two members or more, none of
//! them of its own kind nor a constant; an [`Expr::Not`] holds neither a `Not` nor a constant; no operand list is empty. So there is
//! one text for each expression, and parsing it gives the expression back. Code outside takes the constructors, not the variants.
//!
//! A comparison implies the prerequisites of its symbol: `tcp.dst == 80` holds for no UDP packet, and neither does
//! `!(tcp.dst == 80)`: as in OVN, negation turns the comparison round and leaves the prerequisites standing.
//!
//! Must not: know names (address sets, port groups) beyond their spelling; who evaluates or normalizes supplies them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{BitAnd, BitOr, Not};
use std::sync::Arc;

use crate::address::Mac;
use crate::symbol::{Part, PortSymbol, Predicate, Symbol, ones};

/// A Boolean expression over a packet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Expr {
    /// `1`: every packet.
    True,
    /// `0`: no packet.
    False,
    /// All of them; build with [`Expr::all`] or `&`.
    And(Vec<Expr>),
    /// Any of them; build with [`Expr::any`] or `|`.
    Or(Vec<Expr>),
    /// Build with `!`.
    Not(Box<Expr>),
    /// A comparison of a field with constants: with `==` any of the operands may be equal, with `!=` none.
    Compare {
        /// What is compared.
        part: Part,
        /// How.
        relation: Relation,
        /// With what; more than one, or an address set, with `==` and `!=` only.
        operands: Vec<Operand>,
    },
    /// A comparison of `inport` or `outport` with port names; `negated` for `!=`.
    Port {
        /// Which of the two.
        symbol: PortSymbol,
        /// `!=` in place of `==`.
        negated: bool,
        /// With what.
        operands: Vec<PortOperand>,
    },
    /// A named condition.
    Predicate(Predicate),
}

/// A relational operator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Relation {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Relation {
    /// The relation that holds where this one does not.
    #[must_use]
    pub const fn inverse(self) -> Relation {
        match self {
            Relation::Equal => Relation::NotEqual,
            Relation::NotEqual => Relation::Equal,
            Relation::Less => Relation::AtLeast,
            Relation::AtMost => Relation::Greater,
            Relation::Greater => Relation::AtMost,
            Relation::AtLeast => Relation::Less,
        }
    }

    /// The relation with its sides exchanged: `5 < x` is `x > 5`.
    #[must_use]
    pub const fn mirrored(self) -> Relation {
        match self {
            Relation::Less => Relation::Greater,
            Relation::AtMost => Relation::AtLeast,
            Relation::Greater => Relation::Less,
            Relation::AtLeast => Relation::AtMost,
            Relation::Equal | Relation::NotEqual => self,
        }
    }

    /// As written.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Relation::Equal => "==",
            Relation::NotEqual => "!=",
            Relation::Less => "<",
            Relation::AtMost => "<=",
            Relation::Greater => ">",
            Relation::AtLeast => ">=",
        }
    }
}

/// An integer, perhaps masked: equal to a field when they agree in every bit of the mask.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Constant {
    /// Bits outside the mask are 0.
    value: u128,
    /// `None` for every bit.
    mask: Option<u128>,
}

impl Constant {
    /// An exact value.
    #[must_use]
    pub const fn new(value: u128) -> Constant {
        Constant { value, mask: None }
    }

    /// A value of which only the bits in `mask` count.
    #[must_use]
    pub const fn masked(value: u128, mask: u128) -> Constant {
        Constant {
            value: value & mask,
            mask: Some(mask),
        }
    }

    /// An IPv4 or IPv6 prefix; a length beyond the address's width counts as its width.
    #[must_use]
    pub fn prefix(address: impl Into<IpAddr>, length: u8) -> Constant {
        let (bits, width) = match address.into() {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32u8),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let host = ones(width.saturating_sub(length));
        match length >= width {
            true => Constant::new(bits),
            false => Constant::masked(bits, ones(width) & !host),
        }
    }

    /// The value; 0 outside the mask.
    #[must_use]
    pub const fn value(self) -> u128 {
        self.value
    }

    /// The mask; `None` when every bit counts.
    #[must_use]
    pub const fn mask(self) -> Option<u128> {
        self.mask
    }
}

/// What a field may be compared with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operand {
    /// An integer.
    Constant(Constant),
    /// `$name`: any address of the set.
    AddressSet(Arc<str>),
}

/// What a port may be compared with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PortOperand {
    /// `"name"`.
    Name(Arc<str>),
    /// `@name`: any port of the group.
    Group(Arc<str>),
}

macro_rules! constant_from {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Constant {
            fn from(value: $integer) -> Constant {
                Constant::new(u128::from(value))
            }
        }
    )*};
}
constant_from!(u8, u16, u32, u64, u128);

// An integer literal without suffix is an i32 unless something else is wanted of it.
impl From<i32> for Constant {
    /// # Panics
    /// For a negative number: there are none in packets.
    fn from(value: i32) -> Constant {
        Constant::new(u128::try_from(value).expect("constants in matches are not negative"))
    }
}

impl From<bool> for Constant {
    fn from(value: bool) -> Constant {
        Constant::new(u128::from(value))
    }
}

impl From<Ipv4Addr> for Constant {
    fn from(address: Ipv4Addr) -> Constant {
        Constant::new(u128::from(address.to_bits()))
    }
}

impl From<Ipv6Addr> for Constant {
    fn from(address: Ipv6Addr) -> Constant {
        Constant::new(address.to_bits())
    }
}

impl From<IpAddr> for Constant {
    fn from(address: IpAddr) -> Constant {
        match address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        }
    }
}

impl From<Mac> for Constant {
    fn from(address: Mac) -> Constant {
        Constant::new(u128::from(address.to_bits()))
    }
}

impl From<[u8; 6]> for Constant {
    fn from(address: [u8; 6]) -> Constant {
        Mac(address).into()
    }
}

impl<T: Into<Constant>> From<T> for Operand {
    fn from(constant: T) -> Operand {
        Operand::Constant(constant.into())
    }
}

impl Expr {
    /// All of `members`; true when there are none.
    #[must_use]
    pub fn all(members: impl IntoIterator<Item = impl Into<Expr>>) -> Expr {
        let mut flat = Vec::new();
        for member in members {
            match member.into() {
                Expr::True => {}
                Expr::False => return Expr::False,
                Expr::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Expr::True,
            1 => flat.pop().unwrap_or(Expr::True),
            _ => Expr::And(flat),
        }
    }

    /// Any of `members`; false when there are none.
    #[must_use]
    pub fn any(members: impl IntoIterator<Item = impl Into<Expr>>) -> Expr {
        let mut flat = Vec::new();
        for member in members {
            match member.into() {
                Expr::False => {}
                Expr::True => return Expr::True,
                Expr::Or(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Expr::False,
            1 => flat.pop().unwrap_or(Expr::False),
            _ => Expr::Or(flat),
        }
    }

    /// `part relation operands`. A mask that covers the part whole is dropped, and an empty list gives the constant that it means.
    #[must_use]
    pub fn compare(part: impl Into<Part>, relation: Relation, operands: Vec<Operand>) -> Expr {
        let part = part.into();
        if operands.is_empty() {
            return if relation == Relation::NotEqual {
                Expr::True
            } else {
                Expr::False
            };
        }
        let operands = operands
            .into_iter()
            .map(|operand| match operand {
                Operand::Constant(Constant {
                    value,
                    mask: Some(mask),
                }) if mask == part.mask() => Operand::Constant(Constant::new(value)),
                other => other,
            })
            .collect();
        Expr::Compare {
            part,
            relation,
            operands,
        }
    }
}

impl From<Predicate> for Expr {
    fn from(predicate: Predicate) -> Expr {
        Expr::Predicate(predicate)
    }
}

impl<T: Into<Expr>> BitAnd<T> for Expr {
    type Output = Expr;

    fn bitand(self, other: T) -> Expr {
        Expr::all([self, other.into()])
    }
}

impl<T: Into<Expr>> BitOr<T> for Expr {
    type Output = Expr;

    fn bitor(self, other: T) -> Expr {
        Expr::any([self, other.into()])
    }
}

impl Not for Expr {
    type Output = Expr;

    fn not(self) -> Expr {
        match self {
            Expr::True => Expr::False,
            Expr::False => Expr::True,
            Expr::Not(inner) => *inner,
            other => Expr::Not(Box::new(other)),
        }
    }
}

impl<T: Into<Expr>> BitAnd<T> for Predicate {
    type Output = Expr;

    fn bitand(self, other: T) -> Expr {
        Expr::from(self) & other
    }
}

impl<T: Into<Expr>> BitOr<T> for Predicate {
    type Output = Expr;

    fn bitor(self, other: T) -> Expr {
        Expr::from(self) | other
    }
}

impl Not for Predicate {
    type Output = Expr;

    fn not(self) -> Expr {
        !Expr::from(self)
    }
}

/// `inport == "name"`.
#[must_use]
pub fn inport(name: impl Into<Arc<str>>) -> Expr {
    PortSymbol::Inport.is(name)
}

/// `outport == "name"`.
#[must_use]
pub fn outport(name: impl Into<Arc<str>>) -> Expr {
    PortSymbol::Outport.is(name)
}

impl PortSymbol {
    /// `symbol == "name"`.
    #[must_use]
    pub fn is(self, name: impl Into<Arc<str>>) -> Expr {
        Expr::Port {
            symbol: self,
            negated: false,
            operands: vec![PortOperand::Name(name.into())],
        }
    }

    /// `symbol == {"a", "b"}`: false for no names.
    #[must_use]
    pub fn one_of(self, names: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Expr {
        let operands: Vec<_> = names
            .into_iter()
            .map(|name| PortOperand::Name(name.into()))
            .collect();
        match operands.is_empty() {
            true => Expr::False,
            false => Expr::Port {
                symbol: self,
                negated: false,
                operands,
            },
        }
    }

    /// `symbol == @group`.
    #[must_use]
    pub fn in_group(self, group: impl Into<Arc<str>>) -> Expr {
        Expr::Port {
            symbol: self,
            negated: false,
            operands: vec![PortOperand::Group(group.into())],
        }
    }
}

macro_rules! comparisons {
    ($type:ty) => {
        impl $type {
            /// `self == value`; a masked constant (see [`Constant::prefix`]) compares its own bits only.
            #[must_use]
            pub fn is(self, value: impl Into<Constant>) -> Expr {
                Expr::compare(self, Relation::Equal, vec![Operand::Constant(value.into())])
            }

            /// `self != value`: for ordinal symbols.
            #[must_use]
            pub fn is_not(self, value: impl Into<Constant>) -> Expr {
                Expr::compare(
                    self,
                    Relation::NotEqual,
                    vec![Operand::Constant(value.into())],
                )
            }

            /// `self == address/length`.
            #[must_use]
            pub fn in_prefix(self, address: impl Into<IpAddr>, length: u8) -> Expr {
                self.is(Constant::prefix(address, length))
            }

            /// `self == {…}`: false for no values.
            #[must_use]
            pub fn one_of(self, values: impl IntoIterator<Item = impl Into<Constant>>) -> Expr {
                let operands = values
                    .into_iter()
                    .map(|value| Operand::Constant(value.into()))
                    .collect();
                Expr::compare(self, Relation::Equal, operands)
            }

            /// `self == $name`.
            #[must_use]
            pub fn in_address_set(self, name: impl Into<Arc<str>>) -> Expr {
                Expr::compare(
                    self,
                    Relation::Equal,
                    vec![Operand::AddressSet(name.into())],
                )
            }

            /// `self <= value`: for ordinal symbols.
            #[must_use]
            pub fn at_most(self, value: impl Into<Constant>) -> Expr {
                Expr::compare(
                    self,
                    Relation::AtMost,
                    vec![Operand::Constant(value.into())],
                )
            }

            /// `self >= value`: for ordinal symbols.
            #[must_use]
            pub fn at_least(self, value: impl Into<Constant>) -> Expr {
                Expr::compare(
                    self,
                    Relation::AtLeast,
                    vec![Operand::Constant(value.into())],
                )
            }
        }
    };
}
comparisons!(Symbol);
comparisons!(Part);
