//! What a northbound database must have to be read and written: tables and columns, whatever its version.
//!
//! A database of another version is as good as one of ours if it has these. Other columns of the tables that are read are
//! asked for where both sides have them; what only the database has is never asked for.
//!
//! Must not: do IO.

use std::fmt;
use std::sync::Arc;

use weft_ovsdb::{ColumnType, DatabaseSchema, MonitorTable};
use weft_schema::nb::{self, Change};

/// A database that lacks something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "northbound database: {found} is not {expected}: it lacks {}; give a newer one, or convert it (ovsdb-client convert)",
    lacks.join(", ")
)]
pub struct SchemaMismatch {
    /// Name and version found.
    pub found: SchemaName,
    /// Name and version of the schema that was built for.
    pub expected: SchemaName,
    /// Tables and columns that are not there, or are something else.
    pub lacks: Vec<String>,
}

/// Name and version of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// The tables and columns to monitor in a database of this schema.
///
/// # Errors
/// What it lacks, all of it.
pub fn monitored(found: &DatabaseSchema) -> Result<Vec<MonitorTable>, SchemaMismatch> {
    let expected = nb::database_schema();
    let mut lacks = Vec::new();
    let mut tables = Vec::new();
    for name in Change::TABLES {
        let Some(table) = found.table(name) else {
            lacks.push(format!("table {name}"));
            continue;
        };
        let mut columns = Vec::new();
        let wanted = expected.table(name).into_iter();
        for (column, wanted) in wanted.flat_map(|table| &table.columns) {
            let is_needed = NEEDED
                .iter()
                .any(|(table, columns)| table == name && columns.contains(&&**column));
            match table.column(column) {
                Some(there) if is_alike(&there.kind, &wanted.kind) => {
                    columns.push(Arc::clone(column))
                }
                Some(_) if is_needed => lacks.push(format!(
                    "column {column} of table {name} (it has another type)"
                )),
                None if is_needed => lacks.push(format!("column {column} of table {name}")),
                _ => {}
            }
        }
        tables.push(MonitorTable::new(*name).columns(columns));
    }
    let of = |schema: &DatabaseSchema| SchemaName {
        name: schema.name.clone(),
        version: schema.version.clone(),
    };
    if lacks.is_empty() {
        if found.version != expected.version {
            tracing::info!(
                found = found.version,
                expected = expected.version,
                "northbound database has another schema version, and all that is needed"
            );
        }
        return Ok(tables);
    }
    Err(SchemaMismatch {
        found: of(found),
        expected: of(&expected),
        lacks,
    })
}

/// Whether values of one type can be read as the other. What they may be at most is the database's own affair.
fn is_alike(found: &ColumnType, wanted: &ColumnType) -> bool {
    let atoms = |kind: &ColumnType| (kind.key.atom, kind.value.as_ref().map(|value| value.atom));
    atoms(found) == atoms(wanted)
}

/// Without these columns a network would be read as something else than was written, or could not be answered.
const NEEDED: &[(&str, &[&str])] = &[
    (
        "NB_Global",
        &[
            "nb_cfg",
            "sb_cfg",
            "sb_cfg_timestamp",
            "hv_cfg",
            "hv_cfg_timestamp",
        ],
    ),
    ("Logical_Switch", &["name", "ports", "other_config"]),
    (
        "Logical_Switch_Port",
        &[
            "name",
            "type",
            "addresses",
            "port_security",
            "options",
            "enabled",
            "up",
            "parent_name",
            "tag",
            "external_ids",
        ],
    ),
    (
        "Logical_Router",
        &["name", "ports", "static_routes", "enabled", "options"],
    ),
    (
        "Logical_Router_Port",
        &["name", "mac", "networks", "peer", "enabled"],
    ),
    (
        "Logical_Router_Static_Route",
        &["ip_prefix", "nexthop", "policy", "output_port"],
    ),
];

#[cfg(test)]
mod tests {
    use weft_ovsdb::{BaseType, ColumnSchema};

    use super::*;

    #[test]
    fn all_that_is_needed_is_in_the_schema_that_is_served() {
        let schema = nb::database_schema();
        for (table, columns) in NEEDED {
            assert!(Change::TABLES.contains(table), "{table}");
            for column in *columns {
                assert!(
                    schema
                        .table(table)
                        .is_some_and(|table| table.column(column).is_some()),
                    "{table} {column}"
                );
            }
        }
        let tables = monitored(&schema).expect("its own");
        for table in tables {
            let all = schema.table(&table.table).map(|table| table.columns.len());
            assert_eq!(table.columns.map(|columns| columns.len()), all);
        }
    }

    #[test]
    fn what_a_database_lacks_is_named_and_what_it_has_beside_is_no_matter() {
        let mut schema = nb::database_schema();
        schema.version = "5.11.0".to_owned();
        schema.tables.remove("Mirror");
        let text = ColumnSchema::new(ColumnType::scalar(BaseType::string()));
        let port = schema.tables.get_mut("Logical_Router_Port").expect("there");
        port.columns.insert("new".into(), text.clone());
        port.columns.remove("ipv6_prefix");
        let tables = monitored(&schema).expect("all that is needed");
        let of_port = tables
            .iter()
            .find(|table| &*table.table == "Logical_Router_Port");
        let columns = of_port
            .and_then(|table| table.columns.clone())
            .expect("columns");
        assert!(
            !columns
                .iter()
                .any(|column| matches!(&**column, "new" | "ipv6_prefix"))
        );

        port_of(&mut schema).columns.remove("peer");
        port_of(&mut schema).columns.insert(
            "networks".into(),
            ColumnSchema::new(ColumnType::set(BaseType::integer())),
        );
        schema.tables.remove("NB_Global");
        assert_eq!(
            monitored(&schema).expect_err("it lacks much").to_string(),
            "northbound database: OVN_Northbound 5.11.0 is not OVN_Northbound 7.6.0: it lacks table NB_Global, column \
             networks of table Logical_Router_Port (it has another type), column peer of table Logical_Router_Port; \
             give a newer one, or convert it (ovsdb-client convert)"
        );
    }

    fn port_of(schema: &mut DatabaseSchema) -> &mut weft_ovsdb::TableSchema {
        schema.tables.get_mut("Logical_Router_Port").expect("there")
    }
}
