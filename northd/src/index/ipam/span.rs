//! A span: an aligned power of two of indices, that is, a prefix of 32-bit numbers.
//!
//! Must not: hold host bits.

use std::{fmt, net::Ipv4Addr};

/// An aligned run of `2^(32 - length)` indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    base: u32,
    length: u8,
}

impl Span {
    /// The span of `length` bits that contains `index`. A length above 32 is 32.
    #[must_use]
    pub fn containing(index: u32, length: u8) -> Self {
        let length = length.min(32);
        Self {
            base: index & mask(length),
            length,
        }
    }

    /// The first index.
    #[must_use]
    pub fn first(self) -> u32 {
        self.base
    }

    /// The last index.
    #[must_use]
    pub fn last(self) -> u32 {
        self.base | !mask(self.length)
    }

    /// Length of the prefix, in bits.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether `index` is in it.
    #[must_use]
    pub fn contains(self, index: u32) -> bool {
        index & mask(self.length) == self.base
    }

    /// Whether any index is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// The spans of `length` bits in it, ascending. None if `length` is shorter than its own.
    pub fn split(self, length: u8) -> impl Iterator<Item = Self> {
        let length = length.min(32);
        let count = match length.checked_sub(self.length) {
            Some(bits) => 1_u64.checked_shl(u32::from(bits)).unwrap_or(0),
            None => 0,
        };
        let step = 1_u64
            .checked_shl(u32::from(32_u8.saturating_sub(length)))
            .unwrap_or(0);
        (0..count).filter_map(move |number| {
            let base = u64::from(self.base).checked_add(number.checked_mul(step)?)?;
            Some(Self {
                base: u32::try_from(base).ok()?,
                length,
            })
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.base), self.length)
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX
        .checked_shl(32_u32.saturating_sub(u32::from(length)))
        .unwrap_or(0)
}
