//! Carrying out mutations (RFC 7047 §5.1, `<mutation>`).
//!
//! Must not: change a row when any mutation of it fails.

use crate::database::{Refusal, Table};
use crate::operation::{Mutation, Mutator};
use crate::row::Row;
use crate::schema::{ColumnSchema, ColumnType};
use crate::value::{Atom, AtomType, Datum, Map, Real, Set};

/// Refuses mutations of columns that are not there or immutable, and values that their type does not allow.
pub(crate) fn check(table: &Table, mutation: &Mutation) -> Result<(), Refusal> {
    let schema = column(table, mutation)?;
    if !schema.mutable {
        return Err(Refusal::constraint(format!(
            "Cannot mutate immutable column {} in table {}.",
            mutation.column, table.name
        )));
    }
    let kind = &schema.kind;
    let problem = match mutation.mutator {
        Mutator::Insert | Mutator::Delete if kind.is_scalar() => Some(format!(
            "its type does not allow \"{}\"",
            mutation.mutator.name()
        )),
        Mutator::Insert => kind
            .check_kinds(&mutation.value)
            .err()
            .map(|misfit| misfit.to_string()),
        Mutator::Delete => {
            // From a map, pairs or just keys.
            let keys = ColumnType::set(kind.key.clone());
            match kind.check_kinds(&mutation.value) {
                Err(_) if kind.is_map() && keys.check_kinds(&mutation.value).is_ok() => None,
                other => other.err().map(|misfit| misfit.to_string()),
            }
        }
        arithmetic => {
            let numeric = match kind.key.atom {
                AtomType::Integer => true,
                AtomType::Real => arithmetic != Mutator::Mod,
                _ => false,
            };
            let operand = mutation.value.as_atom().map(Atom::atom_type);
            if kind.is_map() || !numeric {
                Some(format!("its type does not allow \"{}\"", arithmetic.name()))
            } else if operand != Some(kind.key.atom) {
                Some(format!("{} is no {}", mutation.value, kind.key.atom))
            } else {
                None
            }
        }
    };
    problem.map_or(Ok(()), |problem| {
        Err(Refusal::syntax(format!(
            "Mutation of column {} of table {}: {problem}.",
            mutation.column, table.name
        )))
    })
}

/// A row after checked mutations.
pub(crate) fn apply(table: &Table, row: &Row, mutations: &[Mutation]) -> Result<Row, Refusal> {
    let mut row = row.clone();
    for mutation in mutations {
        let kind = &column(table, mutation)?.kind;
        let value = table.value(&row, &mutation.column);
        let value = match (mutation.mutator, value, &mutation.value) {
            (Mutator::Insert, Datum::Set(set), Datum::Set(more)) => Datum::Set(set.union(more)),
            (Mutator::Insert, Datum::Map(map), Datum::Map(more)) => {
                Datum::Map(insert_pairs(map, more))
            }
            (Mutator::Delete, Datum::Set(set), Datum::Set(less)) => {
                Datum::Set(set.difference(less))
            }
            (Mutator::Delete, Datum::Map(map), Datum::Set(keys)) => Datum::Map(
                map.as_slice()
                    .iter()
                    .filter(|(key, _)| !keys.contains(key))
                    .cloned()
                    .collect(),
            ),
            (Mutator::Delete, Datum::Map(map), Datum::Map(pairs)) => Datum::Map(
                map.as_slice()
                    .iter()
                    .filter(|(key, value)| pairs.get(key) != Some(value))
                    .cloned()
                    .collect(),
            ),
            (Mutator::Insert | Mutator::Delete, value, _) => value.clone(),
            (mutator, Datum::Set(set), operand) => {
                Datum::Set(calculate(table, mutation, mutator, set, operand)?)
            }
            (_, Datum::Map(_), _) => value.clone(),
        };
        if let Err(misfit) = kind.check(&value) {
            return Err(Refusal::constraint(format!(
                "Mutation of column {} of table {}: {misfit}",
                mutation.column, table.name
            )));
        }
        row.set(mutation.column.clone(), value);
    }
    table.normalize(&mut row);
    Ok(row)
}

/// Pairs whose key is there already are passed over (RFC 7047 §5.1).
fn insert_pairs(map: &Map, more: &Map) -> Map {
    let new = more
        .as_slice()
        .iter()
        .filter(|(key, _)| !map.contains_key(key));
    map.as_slice().iter().chain(new).cloned().collect()
}

fn calculate(
    table: &Table,
    mutation: &Mutation,
    mutator: Mutator,
    set: &Set,
    operand: &Datum,
) -> Result<Set, Refusal> {
    let place = || format!("column {} of table {}", mutation.column, table.name);
    let mut out = Vec::with_capacity(set.len());
    for atom in set {
        let result = match (atom, operand.as_atom()) {
            (Atom::Integer(_), Some(Atom::Integer(0)))
                if matches!(mutator, Mutator::Div | Mutator::Mod) =>
            {
                return Err(Refusal::new(
                    "domain error",
                    format!("Division by zero in {}.", place()),
                ));
            }
            (Atom::Real(_), Some(Atom::Real(by))) if mutator == Mutator::Div && by.get() == 0.0 => {
                return Err(Refusal::new(
                    "domain error",
                    format!("Division by zero in {}.", place()),
                ));
            }
            (Atom::Integer(a), Some(Atom::Integer(b))) => {
                integer(mutator, *a, *b).map(Atom::Integer)
            }
            (Atom::Real(a), Some(Atom::Real(b))) => real(mutator, a.get(), b.get()).map(Atom::Real),
            _ => None,
        };
        out.push(result.ok_or_else(|| {
            Refusal::new(
                "range error",
                format!(
                    "Result of \"{}\" operation on {} is out of range.",
                    mutator.name(),
                    place()
                ),
            )
        })?);
    }
    let given = out.len();
    let set: Set = out.into_iter().collect();
    if set.len() != given {
        return Err(Refusal::constraint(format!(
            "Result of \"{}\" in {} contains duplicates.",
            mutator.name(),
            place()
        )));
    }
    Ok(set)
}

fn integer(mutator: Mutator, a: i64, b: i64) -> Option<i64> {
    match mutator {
        Mutator::Add => a.checked_add(b),
        Mutator::Sub => a.checked_sub(b),
        Mutator::Mul => a.checked_mul(b),
        Mutator::Div => a.checked_div(b),
        Mutator::Mod => a.checked_rem(b),
        Mutator::Insert | Mutator::Delete => None,
    }
}

fn real(mutator: Mutator, a: f64, b: f64) -> Option<Real> {
    Real::new(match mutator {
        Mutator::Add => a + b,
        Mutator::Sub => a - b,
        Mutator::Mul => a * b,
        Mutator::Div => a / b,
        Mutator::Mod | Mutator::Insert | Mutator::Delete => return None,
    })
}

fn column<'a>(table: &'a Table, mutation: &Mutation) -> Result<&'a ColumnSchema, Refusal> {
    table
        .schema
        .column(&mutation.column)
        .ok_or_else(|| Refusal::unknown_column(table, &mutation.column))
}
