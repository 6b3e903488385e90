//! A conjunction of masked field values and port names: what one flow can match.
//!
//! Invariants: no mask is 0, no value has bits outside its mask or field, so equal meanings are equal values.
//! Must not: hold anything that is not a plain "these bits have this value".

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
    /// Sorted by field: there are few, and very many conjuncts are made.
    fields: Vec<(Field, Masked)>,
    /// Sorted by symbol.
    ports: Vec<(PortSymbol, Arc<str>)>,
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
            conjunct.fields.push((part.field(), Masked { value, mask }));
        }
        conjunct
    }

    /// `symbol == "name"`.
    pub(crate) fn port(symbol: PortSymbol, name: Arc<str>) -> Conjunct {
        Conjunct {
            fields: Vec::new(),
            ports: vec![(symbol, name)],
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
        let at = self.find(field).ok()?;
        self.fields.get(at).map(|(_, masked)| *masked)
    }

    fn find(&self, field: Field) -> Result<usize, usize> {
        self.fields
            .binary_search_by_key(&field, |(field, _)| *field)
    }

    fn port_name(&self, symbol: PortSymbol) -> Option<&Arc<str>> {
        let mut ports = self.ports.iter();
        ports
            .find(|(known, _)| *known == symbol)
            .map(|(_, name)| name)
    }

    /// Adds what is said of a field; whether there are still packets for which all of it holds.
    pub(crate) fn narrow(&mut self, field: Field, masked: Masked) -> bool {
        if masked.mask == 0 {
            return true;
        }
        match self.find(field) {
            Err(at) => self.fields.insert(at, (field, masked)),
            Ok(at) => {
                let Some((_, known)) = self.fields.get_mut(at) else {
                    return false;
                };
                if (known.value ^ masked.value) & known.mask & masked.mask != 0 {
                    return false;
                }
                known.value |= masked.value;
                known.mask |= masked.mask;
            }
        }
        true
    }

    /// Adds what is said of a port, as [`Conjunct::narrow`].
    pub(crate) fn narrow_port(&mut self, symbol: PortSymbol, name: &Arc<str>) -> bool {
        if let Some(known) = self.port_name(symbol) {
            return known == name;
        }
        let at = self.ports.partition_point(|(known, _)| *known < symbol);
        self.ports.insert(at, (symbol, Arc::clone(name)));
        true
    }

    /// Adds all that another says, as [`Conjunct::narrow`].
    pub(crate) fn narrow_by(&mut self, other: &Conjunct) -> bool {
        let mut fields = other.fields.iter();
        let mut ports = other.ports.iter();
        fields.all(|(field, masked)| self.narrow(*field, *masked))
            && ports.all(|(symbol, name)| self.narrow_port(*symbol, name))
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
        both.narrow_by(small).then_some(both)
    }

    /// Whether it holds for every packet for which `other` does.
    #[must_use]
    pub fn covers(&self, other: &Conjunct) -> bool {
        self.fields.iter().all(|(field, masked)| {
            other.field(*field).is_some_and(|narrower| {
                masked.mask & !narrower.mask == 0 && narrower.value & masked.mask == masked.value
            })
        }) && self
            .ports
            .iter()
            .all(|(symbol, name)| other.port_name(*symbol) == Some(name))
    }

    /// What all of `members` say; `None` when there are none.
    pub(crate) fn shared(members: &[Conjunct]) -> Option<Conjunct> {
        let (first, others) = members.split_first()?;
        let mut shared = first.clone();
        for other in others {
            let fields = shared.fields.iter().filter_map(|(field, masked)| {
                let theirs = other.field(*field)?;
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
                .filter(|(symbol, name)| other.port_name(*symbol) == Some(name));
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
            .filter(|(field, masked)| common.field(*field) != Some(*masked));
        let ports = self
            .ports
            .iter()
            .map(|(symbol, _)| symbol)
            .filter(|symbol| common.port_name(**symbol).is_none());
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
