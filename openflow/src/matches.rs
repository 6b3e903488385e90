//! A flow's match: fields with value and mask, sorted, in one normal form.
//!
//! Normal form, so that two matches are equal exactly if a switch treats them alike and a match read back from Open vSwitch
//! equals the one that was sent:
//!
//! - registers are kept as 32-bit registers, whatever width they were given in; VLAN number and priority as `VlanTci`;
//!   the ingress port as `InPort`; `nw_tos` as `IpDscp`;
//! - bits outside the mask are zero, an all-zero mask is no match at all, and an exact match has all bits of the mask set;
//! - `VlanTci` 0 with any mask that holds the low 13 bits is "no VLAN header": mask 0x1fff;
//! - a Geneve option whose mask covers whole 4-byte words from its low end is an exact match.
//!
//! Must not: check prerequisites or contradictions; the switch refuses these by name.

mod text;
mod wire;

use std::cmp::Ordering;

use crate::field::Field;

pub(crate) use self::text::unknown_piece;
pub(crate) use self::wire::{FieldHeader, decode_field, encode_field, encode_header};

/// A match. Empty, it matches every packet.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    fields: Vec<MatchField>,
    unknown: Vec<UnknownField>,
}

/// One field of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchField {
    /// The field.
    pub field: Field,
    /// Its value; bits outside `mask` are zero.
    pub value: u128,
    /// The bits that are compared.
    pub mask: u128,
}

impl MatchField {
    /// Whether all bits are compared.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.mask == self.field.all_ones()
    }
}

/// A field that the field table does not list, passed through as it came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownField {
    /// The 32-bit OXM header.
    pub header: u32,
    /// What follows it.
    pub body: Vec<u8>,
}

impl Match {
    /// A match of every packet.
    #[must_use]
    pub fn new() -> Match {
        Match::default()
    }

    /// Adds an exact match.
    #[must_use]
    pub fn exact(self, field: Field, value: impl Into<u128>) -> Match {
        self.masked(field, value, field.all_ones())
    }

    /// Adds a match of the bits in `mask`. On bits that were matched before, the new value holds.
    #[must_use]
    pub fn masked(mut self, field: Field, value: impl Into<u128>, mask: impl Into<u128>) -> Match {
        self.insert(field, value.into(), mask.into());
        self
    }

    /// Adds a match of the bits in `mask`, as [`Match::masked`].
    pub fn insert(&mut self, field: Field, value: u128, mask: u128) {
        let mask = mask & field.all_ones();
        match field {
            Field::XReg(n) => self.insert_registers(n.saturating_mul(2), 2, value, mask),
            Field::XxReg(n) => self.insert_registers(n.saturating_mul(4), 4, value, mask),
            Field::VlanVid => self.insert_plain(Field::VlanTci, value, mask),
            Field::VlanPcp => {
                self.insert_plain(Field::VlanTci, value << 13 | 0x1000, (mask << 13) | 0x1000)
            }
            Field::IpTos => self.insert_plain(Field::IpDscp, value >> 2, mask >> 2),
            Field::InPortOxm => self.insert_plain(Field::InPort, value & 0xffff, mask & 0xffff),
            _ => self.insert_plain(field, value, mask),
        }
    }

    /// The matched fields in the table's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &MatchField> + DoubleEndedIterator {
        self.fields.iter()
    }

    /// What is matched of a field. Fields that the normal form replaces (such as `XReg`) are never there.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<MatchField> {
        let index = self
            .fields
            .binary_search_by(|entry| entry.field.cmp(&field))
            .ok()?;
        self.fields.get(index).copied()
    }

    /// The value of a field that is matched exactly.
    #[must_use]
    pub fn exact_value(&self, field: Field) -> Option<u128> {
        self.get(field)
            .filter(MatchField::is_exact)
            .map(|entry| entry.value)
    }

    /// Whether every packet matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.unknown.is_empty()
    }

    /// Fields that came from a switch and are not in the field table.
    #[must_use]
    pub fn unknown(&self) -> &[UnknownField] {
        &self.unknown
    }

    fn insert_registers(&mut self, first: u8, count: u8, value: u128, mask: u128) {
        for place in 0..count {
            let shift = u32::from(count.saturating_sub(place).saturating_sub(1)).saturating_mul(32);
            let part = |number: u128| number.checked_shr(shift).unwrap_or(0) & 0xffff_ffff;
            self.insert_plain(
                Field::Reg(first.saturating_add(place)),
                part(value),
                part(mask),
            );
        }
    }

    fn insert_plain(&mut self, field: Field, value: u128, mask: u128) {
        if mask == 0 {
            return;
        }
        let value = value & mask;
        let at = match self
            .fields
            .binary_search_by(|entry| entry.field.cmp(&field))
        {
            Ok(at) => at,
            Err(at) => {
                self.fields.insert(
                    at,
                    MatchField {
                        field,
                        value: 0,
                        mask: 0,
                    },
                );
                at
            }
        };
        if let Some(entry) = self.fields.get_mut(at) {
            entry.value = (entry.value & !mask) | value;
            entry.mask = normal_mask(field, entry.value, entry.mask | mask);
        }
    }
}

impl FromIterator<MatchField> for Match {
    fn from_iter<I: IntoIterator<Item = MatchField>>(fields: I) -> Match {
        let mut all = Match::new();
        fields
            .into_iter()
            .for_each(|entry| all.insert(entry.field, entry.value, entry.mask));
        all
    }
}

impl PartialOrd<Field> for MatchField {
    fn partial_cmp(&self, other: &Field) -> Option<Ordering> {
        self.field.partial_cmp(other)
    }
}

impl PartialEq<Field> for MatchField {
    fn eq(&self, other: &Field) -> bool {
        self.field == *other
    }
}

/// The mask by which Open vSwitch knows this match.
fn normal_mask(field: Field, value: u128, mask: u128) -> u128 {
    match field {
        // OXM has no way to say "no tag" but a VLAN number without the tag bit, which has no priority beside it.
        Field::VlanTci if value == 0 && mask & 0x1fff == 0x1fff => 0x1fff,
        _ => field.normal_mask(mask),
    }
}
