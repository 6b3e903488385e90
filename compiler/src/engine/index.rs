//! Which cell has which key. Keys are kept in the cells and nowhere else: there are tens of thousands of both.
//!
//! Must not: hold a key.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::{Cell, CellId, Key};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Index(HashTable<CellId>);

impl Index {
    /// The cell with a key.
    pub(super) fn find(&self, cells: &[Cell], key: &Key) -> Option<CellId> {
        let has_key = |id: &CellId| key_of(cells, *id) == Some(key);
        self.0.find(hash(key), has_key).copied()
    }

    /// Notes a cell, which has a key that no other has.
    pub(super) fn insert(&mut self, cells: &[Cell], id: CellId) {
        let hash_of = |id: &CellId| key_of(cells, *id).map_or(0, hash);
        self.0.insert_unique(hash_of(&id), id, hash_of);
    }

    /// Forgets a cell that had this key.
    pub(super) fn remove(&mut self, key: &Key, id: CellId) {
        if let Ok(entry) = self.0.find_entry(hash(key), |known| *known == id) {
            entry.remove();
        }
    }
}

fn key_of(cells: &[Cell], id: CellId) -> Option<&Key> {
    cells.get(id as usize)?.key.as_ref()
}

fn hash(key: &Key) -> u64 {
    FxBuildHasher.hash_one(key)
}
