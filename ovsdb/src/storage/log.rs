//! The log of a database: what is in it, how long it is, and what to do when writing fails.
//!
//! ```text
//! deltas ─▶ records, one write ─▶ fsync ─▶ saved
//!               │ fails: whole records stay, the rest is cut off and refused
//!               └─────────▶ fails: what the file holds is not known: it is written anew from memory
//! ```
//!
//! Invariant: the file holds the records of all deltas that were reported saved, and no part of one that was not.
//!
//! Must not: hold rows; decide what happens to what was refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::database::{Database, Delta, Snapshot};
use crate::record;
use crate::storage::file::Medium;
use crate::storage::{Compaction, Schema};

/// A log that is written to.
#[derive(Debug)]
pub(crate) struct Log {
    medium: Box<dyn Medium>,
    path: PathBuf,
    /// An empty database: what a delta's tables and columns are.
    shape: Database,
    compaction: Compaction,
    /// Bytes of whole records.
    length: u64,
    /// Bytes of the compact log that it grew from.
    base: u64,
    /// True if what is on disk is not known: it has to be written anew before anything is added.
    is_broken: bool,
}

/// Some deltas were not saved: those behind the first `saved`.
#[derive(Debug)]
pub(crate) struct NotSaved {
    pub(crate) saved: usize,
    pub(crate) error: io::Error,
}

impl Log {
    pub(crate) fn new(
        medium: Box<dyn Medium>,
        path: &Path,
        schema: Schema,
        compaction: Compaction,
    ) -> Log {
        Log {
            medium,
            path: path.to_owned(),
            shape: Database::new((*schema).clone()),
            compaction,
            length: 0,
            base: 0,
            is_broken: false,
        }
    }

    /// The file was read: how long it is, and how long when it was last compact.
    pub(crate) fn opened(&mut self, length: u64, base: u64) {
        (self.length, self.base) = (length, base);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// True if nothing can be added before [`Log::rewrite`].
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// True if a compact log would be much shorter.
    pub(crate) fn has_grown(&self) -> bool {
        let grown = self.base.saturating_mul(self.compaction.growth.max(2));
        self.length > grown.max(self.compaction.min_bytes)
    }

    /// Adds deltas, durably.
    pub(crate) fn append(&mut self, deltas: &[Arc<Delta>]) -> Result<(), NotSaved> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(deltas.len()));
        let date_ms = now_ms();
        for delta in deltas {
            if let Some(content) = self.shape.journal(delta, date_ms) {
                record::encode(&content, &mut bytes);
            }
            ends.push(bytes.len());
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let failed = self.medium.append(self.length, &bytes).err();
        let (saved, kept) = match &failed {
            None => (deltas.len(), bytes.len()),
            Some((written, _)) => {
                let saved = ends.iter().take_while(|end| *end <= written).count();
                let last = saved.checked_sub(1).and_then(|last| ends.get(last));
                (saved, last.copied().unwrap_or_default())
            }
        };
        let end = self
            .length
            .saturating_add(u64::try_from(kept).unwrap_or(u64::MAX));
        // A part of a record that stayed would end the log for every reader, whatever is written behind it.
        let made_whole = match failed {
            Some(_) => self.medium.cut(end),
            None => Ok(()),
        };
        if let Err(error) = made_whole.and_then(|()| self.medium.sync()) {
            self.is_broken = true;
            return Err(NotSaved { saved: 0, error });
        }
        self.length = end;
        match failed {
            None => Ok(()),
            Some((_, error)) => Err(NotSaved { saved, error }),
        }
    }

    /// Writes the log anew, with these rows and nothing else.
    pub(crate) fn rewrite(&mut self, rows: &Snapshot, comment: &str) -> io::Result<()> {
        let (schema, rows) = rows.journal(now_ms(), comment);
        let mut bytes = Vec::new();
        record::encode(&schema, &mut bytes);
        if let Some(rows) = rows {
            record::encode(&rows, &mut bytes);
        }
        let replaced = self.medium.replace(&bytes);
        let is_in_place = replaced.as_ref().err().is_none_or(|not| not.is_in_place);
        if is_in_place {
            self.length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.base = self.length;
            self.is_broken = replaced.is_err();
        }
        replaced.map_err(|not| not.error)
    }

    /// Does not try to compact again before the log has grown as much again.
    pub(crate) fn put_off_compaction(&mut self) {
        self.base = self.length;
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
