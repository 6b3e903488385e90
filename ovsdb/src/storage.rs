//! A database kept in a file, in `ovsdb-server`'s stand-alone format, so that its tools read it and theirs is read here.
//!
//! ```text
//! open: lock ─▶ read ─▶ records (record.rs) ─▶ replay (database/journal.rs) ─▶ Database
//!                                                     │ schema of an older version: converted
//! run:  deltas ─▶ Log: append, fsync; a compact copy when it has grown ─▶ Medium: the file
//! ```
//!
//! A record that cannot be read, and all behind it, is dropped, as `ovsdb-server` does: what a crash tore off was never
//! acknowledged. What was damaged otherwise is kept beside the file first, for a person to look at.
//!
//! Must not: know a table by name; write anything before it has the lock.

pub(crate) mod file;
mod lock;
pub(crate) mod log;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{error, info, warn};

use crate::database::{Converted, Database};
use crate::record::{self, Flaw};
use crate::schema::DatabaseSchema;
use crate::storage::file::File;
use crate::storage::lock::LockFile;
use crate::storage::log::Log;

/// A database and the file that it is kept in. [`Server::stored`](crate::Server::stored) serves it.
#[derive(Debug)]
pub struct Stored {
    pub(crate) database: Database,
    pub(crate) log: Log,
}

/// When a log is written anew, without what is history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Not below this size of the file, in bytes.
    pub min_bytes: u64,
    /// When the file is this many times as large as the compact one was; at least 2.
    pub growth: u64,
}

/// Why a file cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file system refused.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes the file.
    #[error(
        "{path}: is in use{}: its lock file {lock} is locked; stop that one, or give another file",
        holder.map(|pid| format!(" by process {pid}")).unwrap_or_default()
    )]
    Locked {
        /// The file.
        path: PathBuf,
        /// The lock file.
        lock: PathBuf,
        /// Who has it, where that is known.
        holder: Option<i32>,
    },
    /// The file does not start with a schema.
    #[error("{path}: is no OVSDB file: {problem}")]
    NoDatabase {
        /// The file.
        path: PathBuf,
        /// What it is.
        problem: String,
    },
    /// The file holds another database.
    #[error("{path}: holds database {found}, not {expected}; give another file")]
    OtherDatabase {
        /// The file.
        path: PathBuf,
        /// The database it holds.
        found: String,
        /// The one that is served.
        expected: String,
    },
    /// A newer program wrote the file.
    #[error(
        "{path}: {name} has schema version {found}, and this program knows {expected}: use a newer one, or convert the \
         file with ovsdb-tool convert"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The database.
        name: String,
        /// The version of the file.
        found: String,
        /// The version that is served.
        expected: String,
    },
    /// The rows do not fit the schema that is served.
    #[error("{path}: cannot be converted from schema version {found} to {expected}: {problem}")]
    Unconvertible {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        found: String,
        /// The version that is served.
        expected: String,
        /// What does not fit.
        problem: String,
    },
}

impl Default for Compaction {
    fn default() -> Compaction {
        Compaction {
            min_bytes: 10 << 20,
            growth: 4,
        }
    }
}

impl Stored {
    /// Opens a file for a database of this schema; makes it if there is none. Reads and writes, so not for an IO
    /// worker. A file of an older schema is converted, after a copy of it was made.
    ///
    /// # Errors
    /// When the file cannot be read or written, is in use, or holds something else.
    pub fn open(path: &Path, schema: DatabaseSchema) -> Result<Stored, StorageError> {
        Stored::open_with(path, schema, Compaction::default())
    }

    /// [`Stored::open`], with a say in when the log is compacted.
    ///
    /// # Errors
    /// As [`Stored::open`].
    pub fn open_with(
        path: &Path,
        schema: DatabaseSchema,
        compaction: Compaction,
    ) -> Result<Stored, StorageError> {
        // The file that a link leads to is the one that is locked and replaced.
        let path = match path.canonicalize() {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(source) => return Err(io_error(path, "find it", source)),
        };
        let lock = LockFile::take(&path)?;
        let stored = match fs::read(&path) {
            Ok(bytes) => Stored::read(&path, &bytes, schema, compaction, lock)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Stored::create(&path, schema, compaction, lock)?
            }
            Err(source) => return Err(io_error(&path, "read it", source)),
        };
        Ok(stored)
    }

    /// The rows.
    pub fn database(&self) -> &Database {
        &self.database
    }

    fn create(
        path: &Path,
        schema: DatabaseSchema,
        compaction: Compaction,
        lock: LockFile,
    ) -> Result<Stored, StorageError> {
        let database = Database::new(schema);
        let file = File::new(path, lock);
        let mut log = Log::new(Box::new(file), path, database.schema().clone(), compaction);
        log.rewrite(&database.snapshot(), "")
            .map_err(|source| io_error(path, "make it", source))?;
        info!(file = %path.display(), "made a database file");
        Ok(Stored { database, log })
    }

    fn read(
        path: &Path,
        bytes: &[u8],
        schema: DatabaseSchema,
        compaction: Compaction,
        lock: LockFile,
    ) -> Result<Stored, StorageError> {
        let no_database = |problem: String| StorageError::NoDatabase {
            path: path.to_owned(),
            problem,
        };
        let (found, start) = match record::decode(bytes) {
            Ok(Some(record)) => record,
            Ok(None) => {
                return Err(no_database(
                    "it is empty; remove it, and it is made anew".to_owned(),
                ));
            }
            Err(flaw) => return Err(no_database(flaw.to_string())),
        };
        let found =
            DatabaseSchema::from_json(&found).map_err(|error| no_database(error.to_string()))?;
        judge(path, &found, &schema)?;
        let mut database = Database::new(found);
        let replayed = replay(&mut database, bytes, start);
        let mut file =
            File::open(path, lock).map_err(|source| io_error(path, "open it", source))?;
        if let Some(damage) = &replayed.damage {
            repair(path, bytes, replayed.end, damage, &mut file)?;
        }
        let is_same = database.schema().tables == schema.tables
            && database.schema().version == schema.version;
        let dropped = match is_same {
            true => None,
            false => {
                let converted = convert(path, &database, schema)?;
                database = converted.database;
                Some(converted.dropped)
            }
        };
        let mut log = Log::new(Box::new(file), path, database.schema().clone(), compaction);
        log.opened(length(replayed.end), length(replayed.base));
        match dropped {
            Some(dropped) => {
                for what in &dropped {
                    warn!(file = %path.display(), "the schema has no {what}: left out, kept in the copy");
                }
                let comment = format!("converted to schema version {}", database.schema().version);
                log.rewrite(&database.snapshot(), &comment)
                    .map_err(|source| io_error(path, "write it anew", source))?;
            }
            None if log.has_grown() => {
                if let Err(error) = log.rewrite(&database.snapshot(), "compacted when opened") {
                    warn!(file = %path.display(), %error, "not compacted; going on with it as it is");
                }
            }
            None => {}
        }
        info!(file = %path.display(), records = replayed.records, "read a database file");
        Ok(Stored { database, log })
    }
}

/// What came of reading a file.
struct Replayed {
    records: usize,
    /// Where the good part ends.
    end: usize,
    /// Where its second record ends: of a compact file, the end.
    base: usize,
    damage: Option<Damage>,
}

enum Damage {
    /// The last record is not whole.
    Torn(String),
    /// Something else.
    Corrupt(String),
}

fn replay(database: &mut Database, bytes: &[u8], start: usize) -> Replayed {
    let mut replayed = Replayed {
        records: 0,
        end: start,
        base: start,
        damage: None,
    };
    loop {
        let rest = bytes.get(replayed.end..).unwrap_or_default();
        let (record, length) = match record::decode(rest) {
            Ok(None) => return replayed,
            Ok(Some(record)) => record,
            Err(flaw) => {
                replayed.damage = Some(match flaw {
                    Flaw::Torn { .. } => Damage::Torn(flaw.to_string()),
                    _ => Damage::Corrupt(flaw.to_string()),
                });
                return replayed;
            }
        };
        if let Err(error) = database.replay(&record) {
            replayed.damage = Some(Damage::Corrupt(format!("it cannot be applied: {error}")));
            return replayed;
        }
        replayed.records = replayed.records.saturating_add(1);
        replayed.end = replayed.end.saturating_add(length);
        if replayed.records == 1 {
            replayed.base = replayed.end;
        }
    }
}

/// Cuts off what cannot be read.
fn repair(
    path: &Path,
    bytes: &[u8],
    end: usize,
    damage: &Damage,
    file: &mut File,
) -> Result<(), StorageError> {
    let rest = bytes.get(end..).unwrap_or_default();
    match damage {
        Damage::Torn(problem) => warn!(
            file = %path.display(), offset = end, bytes = rest.len(),
            "the last record is torn and dropped: {problem}; whoever sent it had no answer yet"
        ),
        Damage::Corrupt(problem) => {
            let aside = beside(path, &format!("damaged-{end}"));
            fs::write(&aside, rest).map_err(|source| io_error(&aside, "write it", source))?;
            error!(
                file = %path.display(), offset = end, bytes = rest.len(), kept = %aside.display(),
                "the record is damaged: {problem}; it and what follows it are dropped and kept aside: compare, and \
                 write again by hand what is missing"
            );
        }
    }
    file.cut(length(end))
        .map_err(|source| io_error(path, "cut it", source))
}

/// Whether the file is one for this schema.
fn judge(
    path: &Path,
    found: &DatabaseSchema,
    expected: &DatabaseSchema,
) -> Result<(), StorageError> {
    if found.name != expected.name {
        return Err(StorageError::OtherDatabase {
            path: path.to_owned(),
            found: found.name.clone(),
            expected: expected.name.clone(),
        });
    }
    if numbers(&found.version) > numbers(&expected.version) {
        return Err(StorageError::Newer {
            path: path.to_owned(),
            name: found.name.clone(),
            found: found.version.clone(),
            expected: expected.version.clone(),
        });
    }
    Ok(())
}

fn convert(
    path: &Path,
    database: &Database,
    schema: DatabaseSchema,
) -> Result<Converted, StorageError> {
    let (found, expected) = (database.schema().version.clone(), schema.version.clone());
    let copy = beside(path, &format!("before-{expected}"));
    fs::copy(path, &copy).map_err(|source| io_error(&copy, "copy the file to it", source))?;
    info!(
        file = %path.display(), %found, %expected, copy = %copy.display(),
        "the file has another schema and is converted"
    );
    database
        .convert(schema)
        .map_err(|error| StorageError::Unconvertible {
            path: path.to_owned(),
            found,
            expected,
            problem: error.to_string(),
        })
}

/// `x.y.z` as numbers; what is none counts as 0.
fn numbers(version: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = version
        .split('.')
        .map(|part| part.parse().unwrap_or_default())
        .collect();
    numbers.resize(numbers.len().max(3), 0);
    numbers
}

/// A file next to another, named after it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn io_error(path: &Path, action: &'static str, source: io::Error) -> StorageError {
    StorageError::Io {
        path: path.to_owned(),
        action,
        source,
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The schema, shared with the database.
pub(crate) type Schema = Arc<DatabaseSchema>;

#[cfg(test)]
mod tests;
