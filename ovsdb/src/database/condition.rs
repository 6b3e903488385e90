//! Whether a condition holds for a row (RFC 7047 §5.1).
//!
//! Must not: be evaluated before it was checked against the schema.

use uuid::Uuid;

use crate::database::{Refusal, StoredRow, Table};
use crate::operation::{Condition, Function};
use crate::schema::{BaseType, ColumnType};
use crate::value::{AtomType, Datum};

/// Refuses conditions on columns that are not there, and relations and values that their type does not allow.
pub(crate) fn check(table: &Table, condition: &Condition) -> Result<(), Refusal> {
    if matches!(condition.function, Function::True | Function::False) {
        return Ok(());
    }
    let kind = column_type(table, &condition.column)?;
    let mut relaxed = kind.clone();
    match condition.function {
        Function::Less | Function::LessOrEqual | Function::Greater | Function::GreaterOrEqual => {
            let numeric = matches!(kind.key.atom, AtomType::Integer | AtomType::Real);
            if kind.is_map() || kind.max != Some(1) || !numeric {
                return Err(Refusal::syntax(format!(
                    "Type mismatch: \"{}\" operator may not be applied to column {} of table {}, which holds no single \
                     number.",
                    condition.function.name(),
                    condition.column,
                    table.name
                )));
            }
            relaxed.min = 1;
        }
        Function::Includes | Function::Excludes => {
            relaxed.min = 0;
            relaxed.max = None;
        }
        _ => {}
    }
    let len = condition.value.len();
    let enough = u64::try_from(len).is_ok_and(|len| len >= u64::from(relaxed.min));
    let fits = relaxed
        .max
        .is_none_or(|max| u32::try_from(len).is_ok_and(|len| len <= max));
    let problem = match relaxed.check_kinds(&condition.value) {
        Err(misfit) => misfit.to_string(),
        Ok(()) if !(enough && fits) => format!("{len} elements are not a value of the column"),
        Ok(()) => return Ok(()),
    };
    Err(Refusal::syntax(format!(
        "Condition on column {} of table {}: {problem}",
        condition.column, table.name
    )))
}

/// The type of a column, `_uuid` and `_version` included.
pub(crate) fn column_type(table: &Table, column: &str) -> Result<ColumnType, Refusal> {
    if column == "_uuid" || column == "_version" {
        return Ok(ColumnType::scalar(BaseType::uuid()));
    }
    let schema = table
        .schema
        .column(column)
        .ok_or_else(|| Refusal::unknown_column(table, column))?;
    Ok(schema.kind.clone())
}

/// Whether a checked condition holds for a row.
pub(crate) fn matches(
    table: &Table,
    uuid: Uuid,
    stored: &StoredRow,
    condition: &Condition,
) -> bool {
    let own;
    let value = match &*condition.column {
        "_uuid" => {
            own = Datum::scalar(uuid);
            &own
        }
        "_version" => {
            own = Datum::scalar(stored.version);
            &own
        }
        column => table.value(&stored.row, column),
    };
    let order = || match (value.as_atom(), condition.value.as_atom()) {
        (Some(value), Some(limit)) => Some(value.cmp(limit)),
        // An optional number that is absent is neither more nor less than anything.
        _ => None,
    };
    match condition.function {
        Function::True => true,
        Function::False => false,
        Function::Equal => equal(value, &condition.value),
        Function::NotEqual => !equal(value, &condition.value),
        Function::Less => order().is_some_and(std::cmp::Ordering::is_lt),
        Function::LessOrEqual => order().is_some_and(std::cmp::Ordering::is_le),
        Function::Greater => order().is_some_and(std::cmp::Ordering::is_gt),
        Function::GreaterOrEqual => order().is_some_and(std::cmp::Ordering::is_ge),
        Function::Includes => match (value, &condition.value) {
            (Datum::Set(value), Datum::Set(part)) => part.is_subset(value),
            (Datum::Map(value), Datum::Map(part)) => {
                part.iter().all(|(k, v)| value.get(k) == Some(v))
            }
            (_, part) => part.is_empty(),
        },
        Function::Excludes => match (value, &condition.value) {
            (Datum::Set(value), Datum::Set(part)) => part.is_disjoint(value),
            (Datum::Map(value), Datum::Map(part)) => {
                !part.iter().any(|(k, v)| value.get(k) == Some(v))
            }
            _ => true,
        },
    }
}

/// The row that the conditions name, if they do.
pub(crate) fn uuid_asked_for(conditions: &[Condition]) -> Option<Uuid> {
    let equal = conditions
        .iter()
        .find(|c| &*c.column == "_uuid" && c.function == Function::Equal)?;
    equal.value.as_uuid()
}

/// An empty set equals an empty map.
fn equal(a: &Datum, b: &Datum) -> bool {
    a == b || (a.is_empty() && b.is_empty())
}
