//! Judging a database from its rows alone: what is kept up to date step by step, computed anew and compared.
//!
//! For tests and fuzzing, which have it look after every transaction; nothing calls it while serving.
//!
//! Must not: trust a count, an index or a check made earlier.

use std::collections::HashMap;

use uuid::Uuid;

use crate::database::{Database, RowKey, Table};
use crate::row::Row;
use crate::schema::RefType;

impl Database {
    /// Everything that is wrong with the database, a sentence each: values that their columns do not allow, references to
    /// rows that are not there, rows that nothing keeps, and counts and indexes that are not what the rows say.
    pub fn audit(&self) -> Vec<String> {
        let mut flaws = Vec::new();
        let mut strong: HashMap<RowKey, u32> = HashMap::new();
        let mut weak: HashMap<RowKey, HashMap<RowKey, u32>> = HashMap::new();
        for (id, table) in self.tables.iter().enumerate() {
            for (uuid, stored) in &table.rows {
                let key = (id, *uuid);
                audit_row(table, *uuid, &stored.row, &mut flaws);
                for (target, kind) in references(table, &stored.row) {
                    let at = || format!("{} row {uuid}", table.name);
                    if !self.table(target.0).rows.contains_key(&target.1) {
                        flaws.push(format!(
                            "{} references {} that is not there",
                            at(),
                            target.1
                        ));
                    }
                    let count = match kind {
                        RefType::Strong if target == key => continue,
                        RefType::Strong => strong.entry(target).or_default(),
                        RefType::Weak => weak.entry(target).or_default().entry(key).or_default(),
                    };
                    *count = count.saturating_add(1);
                }
            }
            audit_indexes(table, &mut flaws);
            let rows = u64::try_from(table.rows.len()).unwrap_or(u64::MAX);
            if table.schema.max_rows.is_some_and(|max| rows > max) {
                flaws.push(format!("{} has {rows} rows", table.name));
            }
        }
        for (id, table) in self.tables.iter().enumerate() {
            for uuid in table.rows.keys() {
                if !table.schema.is_root && !strong.contains_key(&(id, *uuid)) {
                    flaws.push(format!("nothing keeps {} row {uuid}", table.name));
                }
            }
            let counted = strong.iter().filter(|((table, _), _)| *table == id);
            let counted: HashMap<Uuid, u32> =
                counted.map(|((_, uuid), count)| (*uuid, *count)).collect();
            if counted != table.strong {
                flaws.push(format!(
                    "strong references to {} are {counted:?}, counted as {:?}",
                    table.name, table.strong
                ));
            }
        }
        if weak != self.weak {
            flaws.push(format!(
                "weak references are {weak:?}, counted as {:?}",
                self.weak
            ));
        }
        flaws
    }
}

fn audit_row(table: &Table, uuid: Uuid, row: &Row, flaws: &mut Vec<String>) {
    for (column, schema) in &table.schema.columns {
        let at = |problem: String| format!("{} row {uuid} column {column}: {problem}", table.name);
        let value = table.value(row, column);
        let checked = schema.kind.check_kinds(value);
        if let Err(misfit) = checked.and_then(|()| schema.kind.check(value)) {
            flaws.push(at(misfit.to_string()));
        }
        if row
            .get(column)
            .is_some_and(|datum| schema.kind.is_default(datum))
        {
            flaws.push(at("its default is stored".to_owned()));
        }
    }
    for (column, _) in row {
        if table.schema.column(column).is_none() {
            flaws.push(format!(
                "{} row {uuid}: there is no column {column}",
                table.name
            ));
        }
    }
}

fn audit_indexes(table: &Table, flaws: &mut Vec<String>) {
    for (columns, index) in table.schema.indexes.iter().zip(&table.indexes) {
        let entries = table
            .rows
            .iter()
            .map(|(uuid, stored)| (table.index_key(columns, &stored.row), *uuid));
        let built: HashMap<_, _> = entries.collect();
        if built.len() != table.rows.len() || built != *index {
            flaws.push(format!(
                "the index of {} on {} is {index:?} over {built:?}",
                table.name,
                columns.join(", ")
            ));
        }
    }
}

fn references(table: &Table, row: &Row) -> Vec<(RowKey, RefType)> {
    let columns = table.references.iter();
    columns
        .filter_map(|column| Some((column, row.get(&column.column)?)))
        .flat_map(|(column, datum)| column.of(datum))
        .map(|(table, kind, uuid)| ((table, uuid), kind))
        .collect()
}
