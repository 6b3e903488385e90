//! What reaches the compiler when a database goes, comes back, and comes back with nothing.

use weft_schema::nb::LogicalRouter;

use super::*;

fn row(table: &str, number: u128, name: &str) -> RowChange {
    RowChange {
        table: table.into(),
        uuid: Uuid::from_u128(number),
        row: Some(Arc::new(Row::new().with("name", name))),
    }
}

fn rows() -> Vec<RowChange> {
    vec![
        row(LogicalRouter::NAME, 1, "r"),
        row(LogicalSwitch::NAME, 2, "a"),
        row(LogicalSwitch::NAME, 3, "b"),
    ]
}

fn names(update: &Update) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::LogicalRouter(_, row) => row.as_ref().map(|row| row.name.clone()),
        Change::LogicalSwitch(_, row) => row.as_ref().map(|row| row.name.clone()),
        _ => None,
    };
    let text = |change| name(change).unwrap_or_else(|| "gone".to_owned());
    update.changes.iter().map(text).collect()
}

#[test]
fn a_database_that_comes_back_as_it_was_changes_nothing() {
    let mut northbound = Northbound::default();
    assert_eq!(northbound.apply(Event::Snapshot(rows())).changes.len(), 3);
    let reason = "killed".to_owned();
    assert!(
        northbound
            .apply(Event::Disconnected { reason })
            .changes
            .is_empty()
    );
    assert!(northbound.apply(Event::Snapshot(rows())).changes.is_empty());
    let mut fewer = rows();
    fewer.pop();
    let update = northbound.apply(Event::Snapshot(fewer));
    assert_eq!(
        (names(&update), update.complaints.len()),
        (vec!["gone".to_owned()], 0)
    );
}

#[test]
fn a_database_that_comes_back_with_nothing_is_not_believed_until_it_has_rows() {
    let mut northbound = Northbound::default();
    northbound.apply(Event::Snapshot(vec![]));
    assert!(!northbound.is_emptied, "it may start so");
    northbound.apply(Event::Changes(rows()));
    let update = northbound.apply(Event::Snapshot(vec![]));
    assert!(update.changes.is_empty() && northbound.is_emptied);
    assert!(northbound.apply(Event::Changes(vec![])).changes.is_empty());
    // Who writes it anew says what there is from now on.
    let update = northbound.apply(Event::Changes(vec![
        row(LogicalRouter::NAME, 1, "r"),
        row(LogicalSwitch::NAME, 2, "new"),
    ]));
    assert_eq!(names(&update), ["new", "gone"]);
    let update = northbound.apply(Event::Changes(vec![row(LogicalSwitch::NAME, 4, "c")]));
    assert_eq!(names(&update), ["c"], "and then goes on");
}
