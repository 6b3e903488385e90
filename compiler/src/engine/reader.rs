//! What a computation sees: values of lower levels, each noted as read.
//!
//! Must not: hand out a value without noting it.

use rustc_hash::FxHashSet;
use uuid::Uuid;

use super::{CellId, Emission, Engine, Key, Member, Value};
use crate::diagnostic::Diagnostic;
use crate::input::Options;

/// Access for one computation of one cell.
pub(crate) struct Reader<'a> {
    engine: &'a mut Engine,
    level: u8,
    reads: Vec<CellId>,
    /// The same, once they are more than a glance takes in.
    seen: FxHashSet<CellId>,
    emitted: Vec<Emission>,
    diagnostics: Vec<Diagnostic>,
    id: CellId,
}

impl<'a> Reader<'a> {
    pub(super) fn new(engine: &'a mut Engine, id: CellId, level: u8) -> Reader<'a> {
        Reader {
            engine,
            level,
            reads: Vec::new(),
            seen: FxHashSet::default(),
            emitted: Vec::new(),
            diagnostics: Vec::new(),
            id,
        }
    }

    pub(super) fn finish(self) -> (Vec<CellId>, Vec<Emission>, Vec<Diagnostic>) {
        (self.reads, self.emitted, self.diagnostics)
    }

    pub(crate) fn options(&self) -> Options {
        self.engine.options
    }

    /// The value under a key.
    pub(crate) fn read(&mut self, key: Key) -> &Value {
        assert!(
            key.level() < self.level,
            "level {} reads {key:?}, which is not below it",
            self.level
        );
        let id = self.engine.current(key);
        if self.is_first_look(id) {
            self.reads.push(id);
            // At once, so that the cell cannot be dropped while it is needed.
            self.engine.cell_mut(id).readers.insert(self.id);
        }
        &self.engine.cell(id).value
    }

    fn is_first_look(&mut self, id: CellId) -> bool {
        if self.reads.len() < GLANCE {
            return !self.reads.contains(&id);
        }
        if self.seen.is_empty() {
            self.seen.extend(&self.reads);
        }
        self.seen.insert(id)
    }

    /// The members of a relation.
    pub(crate) fn members(&mut self, key: Key) -> Vec<Member> {
        self.read(key).set().keys().cloned().collect()
    }

    /// The rows that are members of a relation.
    pub(crate) fn rows(&mut self, key: Key) -> Vec<Uuid> {
        let members = self.read(key).set().keys();
        members
            .filter_map(|member| match member {
                Member::Row(uuid) => Some(*uuid),
                _ => None,
            })
            .collect()
    }

    /// The least member of a relation, if it is a row.
    pub(crate) fn first_row(&mut self, key: Key) -> Option<Uuid> {
        match self.read(key).set().first() {
            Some(Member::Row(uuid)) => Some(*uuid),
            _ => None,
        }
    }

    /// Who has the lowest claim, if anybody has one.
    pub(crate) fn first_claim(&mut self, key: Key) -> Option<Uuid> {
        match self.read(key).set().first() {
            Some(Member::Claim(_, uuid)) => Some(*uuid),
            _ => None,
        }
    }

    /// Whether a relation has no members.
    pub(crate) fn is_empty(&mut self, key: Key) -> bool {
        self.read(key).set().is_empty()
    }

    /// Puts something into another cell, as long as this cell's value holds.
    pub(crate) fn emit(&mut self, emission: Emission) {
        self.emitted.push(emission);
    }

    /// Says what is wrong with a row.
    pub(crate) fn diagnose(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Notes that a flow was encoded.
    pub(crate) fn count_encoded(&mut self) {
        self.engine.flows_encoded += 1;
    }
}

const GLANCE: usize = 24;
