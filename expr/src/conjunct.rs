//! A conjunction of masked field values and port names: what one flow can match.
//!
//! Invariants: no mask is 0, no value has bits outside its mask or field, so equal meanings are equal values.
//! Must not: hold anything that is not a plain "these bits have this value".

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::eval::Packet;
use crate::symbol::{Field, Part, PortSymbol};

/// Bits of a field and the values they must have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Masked {
    /// 0 outside the mask.
    pub value: u128,
    /// Never 0.
    pub mask: u128,
}

/// Fields and ports that must all be as it says; the default holds for every packet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Conjunct {
    fields: BTreeMap<Field, Masked>,
    ports: BTreeMap<PortSymbol, Arc<str>>,
}

/// What a conjunct can test.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Tested {
    Field(Field),
    Port(PortSymbol),
}

impl Conjunct {
    /// `part == value/mask`.
    pub(crate) fn part(part: Part, value: u128, mask: u128) -> Conjunct {
        let mask = (mask & part.mask()) << part.field_offset();
        let value = ((value & part.mask()) << part.field_offset()) & mask;
        let mut conjunct = Conjunct::default();
        if mask != 0 {
            conjunct.fields.insert(part.field(), Masked { value, mask });
        }
        conjunct
    }

    /// `symbol == "name"`.
    pub(crate) fn port(symbol: PortSymbol, name: Arc<str>) -> Conjunct {
        Conjunct {
            fields: BTreeMap::new(),
            ports: BTreeMap::from([(symbol, name)]),
        }
    }

    /// The fields it tests, in order.
    pub fn fields(&self) -> impl Iterator<Item = (Field, Masked)> + '_ {
        self.fields.iter().map(|(field, masked)| (*field, *masked))
    }

    /// The ports it tests.
    pub fn ports(&self) -> impl Iterator<Item = (PortSymbol, &Arc<str>)> + '_ {
        self.ports.iter().map(|(symbol, name)| (*symbol, name))
    }

    /// What it says of a field.
    #[must_use]
    pub fn field(&self, field: Field) -> Option<Masked> {
        self.fields.get(&field).copied()
    }

    /// Whether a packet meets it.
    #[must_use]
    pub fn holds(&self, packet: &Packet) -> bool {
        self.fields
            .iter()
            .all(|(field, masked)| packet.field(*field) & masked.mask == masked.value)
            && self
                .ports
                .iter()
                .all(|(symbol, name)| packet.port(*symbol) == name)
    }

    /// Both; `None` when no packet can meet both.
    #[must_use]
    pub fn and(&self, other: &Conjunct) -> Option<Conjunct> {
        let (small, large) = match self.fields.len() < other.fields.len() {
            true => (self, other),
            false => (other, self),
        };
        let mut both = large.clone();
        for (field, masked) in &small.fields {
            let merged = both.fields.entry(*field).or_insert(*masked);
            if (merged.value ^ masked.value) & merged.mask & masked.mask != 0 {
                return None;
            }
            *merged = Masked {
                value: merged.value | masked.value,
                mask: merged.mask | masked.mask,
            };
        }
        for (symbol, name) in &small.ports {
            if both.ports.entry(*symbol).or_insert_with(|| name.clone()) != name {
                return None;
            }
        }
        Some(both)
    }

    /// Whether it holds for every packet for which `other` does.
    #[must_use]
    pub fn covers(&self, other: &Conjunct) -> bool {
        self.fields.iter().all(|(field, masked)| {
            other.fields.get(field).is_some_and(|narrower| {
                masked.mask & !narrower.mask == 0 && narrower.value & masked.mask == masked.value
            })
        }) && self
            .ports
            .iter()
            .all(|(symbol, name)| other.ports.get(symbol) == Some(name))
    }

    /// What all of `members` say; `None` when there are none.
    pub(crate) fn shared(members: &[Conjunct]) -> Option<Conjunct> {
        let (first, others) = members.split_first()?;
        let mut shared = first.clone();
        for other in others {
            let fields = shared.fields.iter().filter_map(|(field, masked)| {
                let theirs = other.fields.get(field)?;
                let mask = masked.mask & theirs.mask & !(masked.value ^ theirs.value);
                (mask != 0).then_some((
                    *field,
                    Masked {
                        value: masked.value & mask,
                        mask,
                    },
                ))
            });
            let fields = fields.collect();
            let ports = shared
                .ports
                .iter()
                .filter(|(symbol, name)| other.ports.get(symbol) == Some(name));
            let ports = ports
                .map(|(symbol, name)| (*symbol, name.clone()))
                .collect();
            shared = Conjunct { fields, ports };
        }
        Some(shared)
    }

    /// What it tests that `common` does not settle.
    pub(crate) fn tested_beyond(&self, common: &Conjunct) -> Vec<Tested> {
        let fields = self
            .fields
            .iter()
            .filter(|(field, masked)| common.fields.get(field) != Some(masked));
        let ports = self
            .ports
            .keys()
            .filter(|symbol| !common.ports.contains_key(symbol));
        fields
            .map(|(field, _)| Tested::Field(*field))
            .chain(ports.map(|symbol| Tested::Port(*symbol)))
            .collect()
    }
}

/// Sorted, and without members that another covers.
pub(crate) fn minimized(mut conjuncts: Vec<Conjunct>) -> Vec<Conjunct> {
    conjuncts.sort();
    conjuncts.dedup();
    if conjuncts.len() > MAX_COMPARED {
        return conjuncts;
    }
    let is_needed = |conjunct: &&Conjunct| {
        // Distinct ones never cover each other both ways, so at least one of two stays.
        !conjuncts
            .iter()
            .any(|other| other != *conjunct && other.covers(conjunct))
    };
    conjuncts.iter().filter(is_needed).cloned().collect()
}

impl fmt::Display for Conjunct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (symbol, name) in &self.ports {
            write!(f, "{separator}{symbol}={name:?}")?;
            separator = ",";
        }
        for (field, Masked { value, mask }) in &self.fields {
            write!(f, "{separator}{field:?}={value:#x}")?;
            if *mask != field.mask() {
                write!(f, "/{mask:#x}")?;
            }
            separator = ",";
        }
        match separator {
            "" => f.write_str("any"),
            _ => Ok(()),
        }
    }
}

/// Above this many, only equal ones are removed: comparing all pairs would cost more than the flows it saves.
const MAX_COMPARED: usize = 256;
