//! Rows of the northbound database: what a typed row was read from, it writes again, and its operations say the difference.
//!
//! Must not: know any column by name.

use arbitrary::{Arbitrary, Result, Unstructured};
use uuid::Uuid;
use weft_ovsdb::{Atom, Database, DatabaseSchema, Datum, Row, TableSchema};
use weft_schema::{Table, nb};

macro_rules! tables {
    ($( $name:ident, )*) => {
        const TABLES: &[fn(&mut Unstructured<'_>) -> Result<()>] = &[$( check_table::<nb::$name>, )*];
    };
}

tables! {
    Acl,
    AddressSet,
    Bfd,
    ChassisTemplateVar,
    Connection,
    Copp,
    DhcpOptions,
    DhcpRelay,
    Dns,
    ForwardingGroup,
    GatewayChassis,
    HaChassis,
    HaChassisGroup,
    LoadBalancer,
    LoadBalancerGroup,
    LoadBalancerHealthCheck,
    LogicalRouter,
    LogicalRouterPolicy,
    LogicalRouterPort,
    LogicalRouterStaticRoute,
    LogicalSwitch,
    LogicalSwitchPort,
    Meter,
    MeterBand,
    Mirror,
    Nat,
    NbGlobal,
    PortGroup,
    Qos,
    Sample,
    SampleCollector,
    SamplingApp,
    Ssl,
    StaticMacBinding,
}

/// Two rows of one table.
pub fn check(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(table) = bytes.choose(TABLES) else {
        return;
    };
    // Running out of bytes ends an input, and nothing else.
    let _ = table(&mut bytes);
}

fn check_table<T: Table>(bytes: &mut Unstructured<'_>) -> Result<()> {
    let uuid = Uuid::from_u128(1);
    let schema = T::schema();
    let (old, new) = (row(bytes, &schema)?, row(bytes, &schema)?);
    let (Ok(old), Ok(new)) = (T::from_row(uuid, &old), T::from_row(uuid, &new)) else {
        return Ok(());
    };
    for row in [&old, &new] {
        let again = T::from_row(uuid, &row.to_row());
        assert_eq!(again.as_ref(), Ok(row));
    }
    // Where the database takes the old row, the operations that lead to the new one give it, or are refused.
    let mut database = alone::<T>(schema);
    if database.transact(&[old.insert()]).is_err() {
        return Ok(());
    }
    let stored = database
        .row(T::NAME, uuid)
        .map(|row| T::from_row(uuid, row));
    let Some(Ok(old)) = stored else {
        panic!("{old:?} was stored as {stored:?}")
    };
    if database.transact(&new.update_from(&old)).is_ok()
        && let Some(row) = database.row(T::NAME, uuid)
    {
        let read = T::from_row(uuid, row);
        let differing = read.as_ref().map(|read| new.update_from(read));
        assert_eq!(differing, Ok(Vec::new()), "{old:?}\n{new:?}\n{read:?}");
    }
    assert_eq!(database.audit(), Vec::<String>::new());
    Ok(())
}

/// A database of this table alone, in which references are but UUIDs.
fn alone<T: Table>(mut schema: TableSchema) -> Database {
    schema.is_root = true;
    Database::new(DatabaseSchema {
        name: T::DATABASE.to_owned(),
        version: "1.0.0".to_owned(),
        cksum: None,
        tables: [(T::NAME.into(), schema)].into(),
    })
}

/// Some columns of the table, most of them of the right type.
fn row(bytes: &mut Unstructured<'_>, schema: &TableSchema) -> Result<Row> {
    let mut row = Row::new();
    for (name, column) in &schema.columns {
        if !bool::arbitrary(bytes)? {
            continue;
        }
        let kind = &column.kind;
        let keys = if bytes.ratio(1, 50)? {
            None
        } else {
            Some(kind)
        };
        let len = bytes.int_in_range(u8::try_from(kind.min).unwrap_or(1)..=3)?;
        let mut pairs = Vec::new();
        for _ in 0..len {
            let key = atom(bytes, keys.map(|kind| &kind.key))?;
            let value = match keys.and_then(|kind| kind.value.as_ref()) {
                Some(base) => Some(atom(bytes, Some(base))?),
                None => None,
            };
            pairs.push((key, value));
        }
        let datum = match kind.value {
            Some(_) => Datum::Map(
                pairs
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, value?)))
                    .collect(),
            ),
            None => Datum::Set(pairs.into_iter().map(|(key, _)| key).collect()),
        };
        row.set(name.clone(), datum);
    }
    Ok(row)
}

fn atom(bytes: &mut Unstructured<'_>, base: Option<&weft_ovsdb::BaseType>) -> Result<Atom> {
    use weft_ovsdb::AtomType;
    if let Some(allowed) = base.and_then(|base| base.allowed.as_ref())
        && !bytes.ratio(1, 20)?
    {
        return Ok(bytes.choose(allowed.as_slice())?.clone());
    }
    let kinds = [
        AtomType::Integer,
        AtomType::Boolean,
        AtomType::String,
        AtomType::Uuid,
    ];
    let kind = match base {
        Some(base) => base.atom,
        None => *bytes.choose(&kinds)?,
    };
    Ok(match kind {
        AtomType::Integer => match bool::arbitrary(bytes)? {
            true => Atom::Integer(i64::from(u8::arbitrary(bytes)?)),
            false => Atom::Integer(i64::arbitrary(bytes)?),
        },
        // No column of the database is real: the wrong kind is as good.
        AtomType::Real | AtomType::Boolean => Atom::Boolean(bool::arbitrary(bytes)?),
        AtomType::String => Atom::from(<&str>::arbitrary(bytes)?),
        AtomType::Uuid => Atom::Uuid(Uuid::from_u128(u128::from(u8::arbitrary(bytes)? % 4))),
    })
}

/// A few bytes for each table.
pub fn seeds() -> Vec<Vec<u8>> {
    let table = |table: u8| {
        (0..150_u16)
            .map(move |n| table.wrapping_add((n * 37 % 251) as u8))
            .collect()
    };
    (0..8).map(table).collect()
}
