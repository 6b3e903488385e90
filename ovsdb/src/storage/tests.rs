//! Files that are whole, cut, damaged, somebody else's, of another schema, in use.

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::fixture::schema;
use crate::operation::Operation;
use crate::row::Row;
use crate::server::Server;
use crate::{Connection, Error};

fn tag(number: i64) -> Operation {
    Operation::Insert {
        table: "Tag".into(),
        uuid: None,
        row: Row::new()
            .with("name", format!("tag {number}"))
            .with("x", number),
    }
}

fn names(database: &Database) -> Vec<String> {
    let name = |row: &Row| {
        row.get("name")
            .and_then(|name| Some(name.as_str()?.to_owned()))
    };
    let mut names: Vec<String> = database
        .rows("Tag")
        .filter_map(|(_, row)| name(row))
        .collect();
    names.sort();
    names
}

/// A file to which this many tags were written.
async fn written(folder: &TempDir, tags: i64) -> PathBuf {
    let path = folder.path().join("zoo.db");
    let server = Server::stored(Stored::open(&path, schema()).unwrap()).unwrap();
    let connection = Connection::local(&server, "Zoo");
    for number in 0..tags {
        connection.transact(vec![tag(number)]).await.unwrap();
    }
    server.close().await;
    path
}

fn refused(path: &Path, schema: DatabaseSchema) -> String {
    Stored::open(path, schema).unwrap_err().to_string()
}

/// Where each record ends.
fn ends(mut bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    while let Ok(Some((_, length))) = record::decode(bytes) {
        ends.push(ends.last().copied().unwrap_or_default() + length);
        bytes = &bytes[length..];
    }
    ends
}

#[tokio::test]
async fn what_was_written_is_there_again() {
    let folder = TempDir::new().unwrap();
    let path = written(&folder, 3).await;
    let stored = Stored::open(&path, schema()).unwrap();
    assert_eq!(names(stored.database()), ["tag 0", "tag 1", "tag 2"]);
}

#[tokio::test]
async fn a_file_cut_at_any_length_keeps_every_whole_record() {
    let folder = TempDir::new().unwrap();
    let path = written(&folder, 3).await;
    let bytes = fs::read(&path).unwrap();
    let ends = ends(&bytes);
    assert_eq!((ends.len(), ends[3]), (4, bytes.len()));
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let whole = ends.iter().filter(|end| **end <= length).count();
        if whole == 0 {
            let error = refused(&path, schema());
            assert!(error.contains("is no OVSDB file"), "{length}: {error}");
            continue;
        }
        let stored = Stored::open(&path, schema()).unwrap();
        assert_eq!(names(stored.database()).len(), whole - 1, "{length}");
        assert_eq!(
            fs::metadata(&path).unwrap().len(),
            ends[whole - 1] as u64,
            "the torn part is cut off"
        );
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "only the file and its lock: {left:?}");
}

#[tokio::test]
async fn from_a_damaged_record_on_the_log_is_put_aside() {
    let folder = TempDir::new().unwrap();
    let path = written(&folder, 3).await;
    let mut bytes = fs::read(&path).unwrap();
    let start = ends(&bytes)[1];
    bytes[start + 70] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let stored = Stored::open(&path, schema()).unwrap();
    assert_eq!(names(stored.database()), ["tag 0"]);
    assert_eq!(fs::read(&path).unwrap(), bytes[..start]);
    let aside = beside(&path, &format!("damaged-{start}"));
    assert_eq!(fs::read(aside).unwrap(), bytes[start..]);
}

#[tokio::test]
async fn zeros_behind_the_last_record_are_what_a_crash_leaves() {
    let folder = TempDir::new().unwrap();
    let path = written(&folder, 2).await;
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    bytes.extend([0; 5000]);
    fs::write(&path, &bytes).unwrap();
    let stored = Stored::open(&path, schema()).unwrap();
    assert_eq!(names(stored.database()).len(), 2);
    assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
}

#[tokio::test]
async fn a_file_is_written_by_one_at_a_time() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("zoo.db");
    let link = folder.path().join("link.db");
    let first = Stored::open(&path, schema()).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let error = refused(path, schema());
        assert!(
            error.contains("is in use by process") && error.contains(".zoo.db.~lock~"),
            "{error}"
        );
    }
    drop(first);
    Stored::open(&link, schema()).unwrap();
}

#[test]
fn what_is_no_file_of_this_database_is_refused_in_words() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("zoo.db");
    let other = DatabaseSchema {
        name: "Park".to_owned(),
        ..schema()
    };
    let newer = DatabaseSchema {
        version: "1.10.0".to_owned(),
        ..schema()
    };
    drop(Stored::open(&path, newer.clone()).unwrap());
    let before = fs::read(&path).unwrap();
    let recent = DatabaseSchema {
        version: "1.9.0".to_owned(),
        ..schema()
    };
    for (schema, parts) in [
        (other, ["holds database Zoo, not Park", "give another file"]),
        (
            recent,
            [
                "Zoo has schema version 1.10.0, and this program knows 1.9.0",
                "ovsdb-tool convert",
            ],
        ),
    ] {
        let error = refused(&path, schema);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    for (content, part) in [
        ("", "it is empty; remove it"),
        ("hello\n", "\"hello\" is no record header"),
        ("OVSDB CLUSTER 5 aaaa\n", "cluster-to-standalone"),
    ] {
        fs::write(&path, content).unwrap();
        let error = refused(&path, schema());
        assert!(
            error.contains(part) && error.contains("zoo.db"),
            "{content:?}: {error}"
        );
    }
    let error = refused(&folder.path().join("not/there.db"), schema());
    assert!(
        error.contains("not/.there.db.~lock~: cannot open the lock file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_of_an_older_schema_is_converted_and_a_copy_kept() {
    let folder = TempDir::new().unwrap();
    let path = written(&folder, 2).await;
    let before = fs::read(&path).unwrap();
    let mut text = schema().to_json();
    text["version"] = json!("1.1.0");
    text["tables"]["Tag"]["columns"]["color"] = json!({"type": "string"});
    let wider = DatabaseSchema::from_json(&text).unwrap();
    let stored = Stored::open(&path, wider.clone()).unwrap();
    assert_eq!(names(stored.database()).len(), 2);
    drop(stored);
    let stored = Stored::open(&path, wider.clone()).unwrap();
    assert_eq!(
        **stored.database().schema(),
        wider,
        "the file has the new schema"
    );
    assert_eq!(names(stored.database()).len(), 2);
    assert_eq!(fs::read(beside(&path, "before-1.1.0")).unwrap(), before);
    drop(stored);
    let error = refused(&path, schema());
    assert!(
        error.contains("1.1.0") && error.contains("1.0.0"),
        "{error}"
    );
}

#[tokio::test]
async fn a_log_that_has_grown_is_compacted_when_opened() {
    let folder = TempDir::new().unwrap();
    let path = written(&folder, 1).await;
    let server = Server::stored(Stored::open(&path, schema()).unwrap()).unwrap();
    let connection = Connection::local(&server, "Zoo");
    for number in 0..50 {
        let row = Row::new().with("x", number);
        let operation = Operation::Update {
            table: "Tag".into(),
            conditions: vec![],
            row,
        };
        connection.transact(vec![operation]).await.unwrap();
    }
    server.close().await;
    let long = fs::metadata(&path).unwrap().len();
    let compaction = Compaction {
        min_bytes: 0,
        growth: 2,
    };
    drop(Stored::open_with(&path, schema(), compaction).unwrap());
    assert!(fs::metadata(&path).unwrap().len() < long);
    assert_eq!(ends(&fs::read(&path).unwrap()).len(), 2);
    let stored = Stored::open(&path, schema()).unwrap();
    let (_, row) = stored.database().rows("Tag").next().unwrap();
    assert_eq!(row.get("x"), Some(&49.into()));
}

#[tokio::test]
async fn after_the_end_nothing_can_be_written() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("zoo.db");
    let server = Server::stored(Stored::open(&path, schema()).unwrap()).unwrap();
    let connection = Connection::local(&server, "Zoo");
    server.close().await;
    let error = connection.transact(vec![tag(1)]).await.unwrap_err();
    assert!(
        matches!(&error, Error::Transaction(error) if error.error == "not allowed"),
        "{error}"
    );
    let next = Stored::open(&path, schema()).unwrap();
    assert_eq!(names(next.database()).len(), 0);
}
