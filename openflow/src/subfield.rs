//! A run of bits within a field, as actions move, push and load it: `NXM_NX_REG0[0..15]`.
//!
//! Must not: check what an action may do with it (the switch does).

use std::fmt;

use crate::field::Field;

/// `bits` bits of a field from bit `offset` (0 is the least significant).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subfield {
    /// The field.
    pub field: Field,
    /// The least significant bit.
    pub offset: u16,
    /// How many bits; at least one.
    pub bits: u16,
}

impl Subfield {
    /// Bits `offset`… of `field`.
    #[must_use]
    pub const fn new(field: Field, offset: u16, bits: u16) -> Subfield {
        Subfield {
            field,
            offset,
            bits,
        }
    }

    /// A whole field.
    #[must_use]
    pub const fn whole(field: Field) -> Subfield {
        Subfield {
            field,
            offset: 0,
            bits: field.width_bits(),
        }
    }

    /// Whether the bits lie within the field (Geneve options: within what Open vSwitch allows, 124 bytes).
    #[must_use]
    pub fn is_valid(self) -> bool {
        let width = match self.field {
            Field::TunMetadata(_) => 992,
            field => field.width_bits(),
        };
        self.bits > 0
            && self
                .offset
                .checked_add(self.bits)
                .is_some_and(|end| end <= width)
    }

    /// The mask of these bits within the field.
    #[must_use]
    pub fn mask(self) -> u128 {
        let ones = u128::MAX
            .checked_shr(128_u32.saturating_sub(u32::from(self.bits)))
            .unwrap_or(0);
        ones.checked_shl(u32::from(self.offset)).unwrap_or(0)
    }
}

impl From<Field> for Subfield {
    fn from(field: Field) -> Subfield {
        Subfield::whole(field)
    }
}

impl fmt::Display for Subfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subfield {
            field,
            offset,
            bits,
        } = *self;
        f.write_str(&field.header_name())?;
        match bits {
            _ if *self == Subfield::whole(field) => f.write_str("[]"),
            1 => write!(f, "[{offset}]"),
            _ => write!(
                f,
                "[{offset}..{}]",
                offset.saturating_add(bits).saturating_sub(1)
            ),
        }
    }
}
