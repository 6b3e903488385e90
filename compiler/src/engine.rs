//! Values that are computed from other values, know what they were computed from, and are computed anew only when that changed.
//!
//! ```text
//!   inputs ──▶ relations ──▶ derived cells ──▶ relations ──▶ … ──▶ units ──▶ placed units
//!   level 0        1               2                3                 14          16
//! ```
//!
//! A *cell* is a value under a [`Key`]. Three kinds: *inputs* are set from outside; *derived* cells are computed by a function that
//! reads others through a [`Reader`], which notes each one read, so that dependencies cannot be forgotten; *relations* are sets that
//! derived cells and inputs put members into (`emit`), counted, so that "nodes that hold a port of switch S" costs nothing to
//! keep. A derived cell that comes out equal to what it was wakes nobody (early cut-off).
//!
//! Every kind of key has a level and reads lower levels only. Cells are brought up to date level by level, so that each is
//! computed once, when all it may read is final.
//!
//! A cell lives as long as another one read it, or as long as somebody demands it. Invariant: only demanded cells emit.
//! Must not: know what a key means; that is `topology` and `unit`.

mod index;
mod key;
mod members;
mod reader;
mod readers;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::diagnostic::Diagnostic;
use crate::input::Options;
use crate::lowering::CONJUNCTIONS_MAX;
use crate::topology::{self, KeyTable, LocationChange, Locations};
use crate::unit::{PlacedUnit, Unit};

use index::Index;
use readers::Readers;

pub(crate) use key::{Emission, Key, LEVELS, Member};
pub(crate) use members::Members;
pub(crate) use reader::Reader;
pub(crate) use value::Value;

type CellId = u32;

/// The cells and what has to be done about them.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) options: Options,
    cells: Vec<Cell>,
    free: Vec<CellId>,
    /// Slots given up in this run: not reused before its end, because queues may still name them.
    given_up: Vec<CellId>,
    index: Index,
    queues: [Vec<CellId>; LEVELS],
    /// Of relations that were touched: who was a member before.
    pending: FxHashMap<CellId, Members<bool>>,
    datapath_keys: KeyTable,
    port_keys: FxHashMap<uuid::Uuid, KeyTable>,
    set_numbers: KeyTable,
    group_numbers: KeyTable,
    zone_numbers: KeyTable,
    conjunction_numbers: KeyTable,
    locations: FxHashMap<uuid::Uuid, Locations>,
    diagnostics: BTreeMap<Diagnostic, usize>,
    /// Diagnostics that came or went since the last run, and whether they were there before.
    touched_diagnostics: BTreeMap<Diagnostic, bool>,
    pub(crate) replaced: Vec<Replaced>,
    pub(crate) computed: usize,
    pub(crate) units_compiled: usize,
    pub(crate) flows_encoded: usize,
}

/// A unit that is placed differently now.
#[derive(Debug)]
pub(crate) struct Replaced {
    pub(crate) unit: Unit,
    pub(crate) old: Option<Arc<PlacedUnit>>,
    pub(crate) new: Option<Arc<PlacedUnit>>,
}

#[derive(Debug)]
struct Cell {
    /// `None` for a free slot.
    key: Option<Key>,
    value: Value,
    reads: Vec<CellId>,
    readers: Readers,
    emitted: Vec<Emission>,
    diagnostics: Vec<Diagnostic>,
    demand: u32,
    is_queued: bool,
}

impl Engine {
    pub(crate) fn new(options: Options) -> Engine {
        Engine {
            options,
            cells: Vec::new(),
            free: Vec::new(),
            given_up: Vec::new(),
            index: Index::default(),
            queues: std::array::from_fn(|_| Vec::new()),
            pending: FxHashMap::default(),
            datapath_keys: KeyTable::new(crate::pipeline::DatapathKey::COUNT),
            port_keys: FxHashMap::default(),
            set_numbers: KeyTable::new(crate::pipeline::BALANCER_SETS),
            group_numbers: KeyTable::new(crate::pipeline::GroupId::BALANCERS),
            zone_numbers: KeyTable::new(crate::pipeline::zone::TRANSLATING_ROUTERS),
            conjunction_numbers: KeyTable::new(CONJUNCTIONS_MAX),
            locations: FxHashMap::default(),
            diagnostics: BTreeMap::new(),
            touched_diagnostics: BTreeMap::new(),
            replaced: Vec::new(),
            computed: 0,
            units_compiled: 0,
            flows_encoded: 0,
        }
    }

    /// Sets an input. `difference` says what it puts into relations, and takes out of them, compared with what it was.
    pub(crate) fn set_input(
        &mut self,
        key: Key,
        value: Value,
        difference: impl FnOnce(&Value, &Value) -> (Vec<Emission>, Vec<Emission>),
    ) {
        let id = self.intern(key);
        if self.cell(id).value == value {
            return self.drop_if_dead(id);
        }
        let old = std::mem::replace(&mut self.cell_mut(id).value, value.clone());
        let (added, removed) = difference(&old, &value);
        self.wake_readers(id);
        self.emit_all(added, removed);
        self.drop_if_dead(id);
    }

    /// Demands a cell that no row demands.
    pub(crate) fn demand(&mut self, key: Key) {
        self.emit(Emission::Demand(key), true);
    }

    /// Computes what has to be computed.
    pub(crate) fn run(&mut self) {
        while let Some(level) = self.queues.iter().position(|queue| !queue.is_empty()) {
            while let Some(id) = self.queues[level].pop() {
                self.refresh(id);
            }
        }
        self.free.append(&mut self.given_up);
    }

    /// The value of a cell, if there is one.
    pub(crate) fn peek(&self, key: &Key) -> &Value {
        let id = self.index.find(&self.cells, key);
        id.map_or(&Value::Absent, |id| &self.cell(id).value)
    }

    /// Every unit, with what was compiled for it.
    pub(crate) fn units(&self) -> impl Iterator<Item = (&Unit, &Value)> {
        self.cells.iter().filter_map(|cell| match &cell.key {
            Some(Key::Unit(unit)) => Some((unit, &cell.value)),
            _ => None,
        })
    }

    /// Every input.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (&Key, &Value)> {
        let cells = self.cells.iter();
        cells
            .filter_map(|cell| cell.key.as_ref().map(|key| (key, &cell.value)))
            .filter(|(key, _)| key.level() == 0)
    }

    pub(crate) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.keys()
    }

    /// What is wrong that was not, and what was that is not.
    pub(crate) fn take_diagnostics(&mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (diagnostic, was) in std::mem::take(&mut self.touched_diagnostics) {
            match (was, self.diagnostics.contains_key(&diagnostic)) {
                (false, true) => added.push(diagnostic),
                (true, false) => removed.push(diagnostic),
                _ => {}
            }
        }
        (added, removed)
    }

    fn refresh(&mut self, id: CellId) {
        let cell = self.cell_mut(id);
        if !std::mem::take(&mut cell.is_queued) {
            return;
        }
        match &cell.key {
            None => {}
            Some(key) if key.is_relation() => self.settle(id),
            Some(_) => self.compute(id),
        }
    }

    /// A relation: wakes its readers if its members are not those of before.
    fn settle(&mut self, id: CellId) {
        let before = self.pending.remove(&id).unwrap_or_default();
        let members = self.cell(id).value.set();
        let is_changed = before
            .iter()
            .any(|(member, was)| members.contains(member) != *was);
        if is_changed {
            self.wake_readers(id);
        }
        self.drop_if_dead(id);
    }

    fn compute(&mut self, id: CellId) {
        let cell = self.cell_mut(id);
        cell.is_queued = false;
        let Some(key) = cell.key.clone() else { return };
        let old = std::mem::take(&mut cell.value);
        self.computed += 1;
        if matches!(key, Key::Unit(_)) {
            self.units_compiled += 1;
        }
        let mut reader = Reader::new(self, id, key.level());
        let value = topology::compute(&mut reader, &key, &old);
        let (reads, mut emitted, mut diagnostics) = reader.finish();
        emitted.sort();
        emitted.dedup();
        diagnostics.sort();
        diagnostics.dedup();
        self.replace_reads(id, reads);
        self.replace_diagnostics(id, diagnostics);
        emitted.shrink_to_fit();
        let before = std::mem::take(&mut self.cell_mut(id).emitted);
        let (added, removed) = difference(&before, &emitted);
        self.cell_mut(id).emitted = emitted;
        if value != old {
            self.note_replaced(&key, &old, &value);
            self.cell_mut(id).value = value;
            self.wake_readers(id);
        } else {
            self.cell_mut(id).value = old;
        }
        self.emit_all(added, removed);
    }

    fn note_replaced(&mut self, key: &Key, old: &Value, new: &Value) {
        if let Key::Placed(unit) = key {
            self.replaced.push(Replaced {
                unit: unit.clone(),
                old: old.placed().cloned(),
                new: new.placed().cloned(),
            });
        }
    }

    /// The reader has noted the new ones already.
    fn replace_reads(&mut self, id: CellId, mut reads: Vec<CellId>) {
        reads.sort_unstable();
        reads.shrink_to_fit();
        let old = std::mem::take(&mut self.cell_mut(id).reads);
        let is_gone = |read: &CellId| reads.binary_search(read).is_err();
        let gone: Vec<CellId> = old.into_iter().filter(is_gone).collect();
        self.cell_mut(id).reads = reads;
        for gone in gone {
            self.cell_mut(gone).readers.remove(id);
            self.drop_if_dead(gone);
        }
    }

    fn replace_diagnostics(&mut self, id: CellId, new: Vec<Diagnostic>) {
        if new.is_empty() && self.cell(id).diagnostics.is_empty() {
            return;
        }
        let old = std::mem::replace(&mut self.cell_mut(id).diagnostics, new.clone());
        for diagnostic in new {
            self.touch_diagnostic(&diagnostic);
            *self.diagnostics.entry(diagnostic).or_default() += 1;
        }
        for diagnostic in old {
            self.touch_diagnostic(&diagnostic);
            if let Some(count) = self.diagnostics.get_mut(&diagnostic) {
                *count -= 1;
                if *count == 0 {
                    self.diagnostics.remove(&diagnostic);
                }
            }
        }
    }

    fn touch_diagnostic(&mut self, diagnostic: &Diagnostic) {
        if !self.touched_diagnostics.contains_key(diagnostic) {
            let was = self.diagnostics.contains_key(diagnostic);
            self.touched_diagnostics.insert(diagnostic.clone(), was);
        }
    }

    /// Additions first, so that nothing dies that lives on.
    fn emit_all(&mut self, added: Vec<Emission>, removed: Vec<Emission>) {
        for emission in added {
            self.emit(emission, true);
        }
        for emission in removed {
            self.emit(emission, false);
        }
    }

    fn emit(&mut self, emission: Emission, is_added: bool) {
        match emission {
            Emission::Member(key, member) => self.emit_member(key, member, is_added),
            Emission::Demand(key) => self.emit_demand(key, is_added),
            Emission::DatapathNumber(datapath) => {
                let changes = self.datapath_keys.change(datapath, is_added);
                for (uuid, key) in changes {
                    self.set_key(Key::DatapathNumber(uuid), key);
                }
            }
            Emission::PortNumber(datapath, port) => {
                let table = self
                    .port_keys
                    .entry(datapath)
                    .or_insert_with(|| KeyTable::new(u32::from(crate::pipeline::PortKey::COUNT)));
                let changes = table.change(port, is_added);
                if table.is_empty() {
                    self.port_keys.remove(&datapath);
                }
                for (uuid, key) in changes {
                    self.set_key(Key::PortNumber(datapath, uuid), key);
                }
            }
            Emission::SetNumber(set) => {
                for (uuid, number) in self.set_numbers.change(set, is_added) {
                    self.set_key(Key::SetNumber(uuid), number);
                }
            }
            Emission::GroupNumber(group) => {
                for (uuid, number) in self.group_numbers.change(group, is_added) {
                    self.set_key(Key::GroupNumber(uuid), number);
                }
            }
            Emission::ZoneNumber(router) => {
                for (uuid, number) in self.zone_numbers.change(router, is_added) {
                    self.set_key(Key::ZoneNumber(uuid), number);
                }
            }
            Emission::ConjunctionNumber(conjunction) => {
                let changes = self.conjunction_numbers.change(conjunction, is_added);
                for (uuid, number) in changes {
                    self.set_key(Key::ConjunctionNumber(uuid), number);
                }
            }
            Emission::Fact(router, fact) => {
                let locations = self.locations.entry(router).or_default();
                let changes = locations.change(&fact, is_added);
                if locations.is_empty() {
                    self.locations.remove(&router);
                }
                for change in changes {
                    self.emit_location(router, change);
                }
            }
        }
    }

    fn emit_location(&mut self, router: uuid::Uuid, change: LocationChange) {
        match change {
            LocationChange::Prefix(prefix, node, is_added) => {
                let unit = Unit::Location(router, node.clone());
                let relation = Key::Prefixes(router, node);
                if is_added {
                    self.emit_member(relation, Member::Network(prefix), true);
                    self.emit_demand(Key::Placed(unit), true);
                } else {
                    self.emit_demand(Key::Placed(unit), false);
                    self.emit_member(relation, Member::Network(prefix), false);
                }
            }
            LocationChange::Double(address, is_added) => {
                self.emit_member(Key::Doubles(router), Member::Address(address), is_added);
            }
        }
    }

    fn emit_member(&mut self, key: Key, member: Member, is_added: bool) {
        let id = self.intern(key);
        let cell = self.cell_mut(id);
        let members = cell.value.set_mut();
        let was = members.contains(&member);
        if is_added {
            *members.get_or_insert(member.clone(), 0) += 1;
        } else if was {
            let count = members.get_or_insert(member.clone(), 0);
            *count -= 1;
            if *count == 0 {
                members.remove(&member);
            }
        }
        let pending = self.pending.entry(id).or_default();
        pending.get_or_insert(member, was);
        self.queue(id);
    }

    fn emit_demand(&mut self, key: Key, is_added: bool) {
        let id = self.intern(key);
        let cell = self.cell_mut(id);
        if is_added {
            cell.demand += 1;
        } else {
            cell.demand = cell.demand.saturating_sub(1);
            self.drop_if_dead(id);
        }
    }

    fn set_key(&mut self, key: Key, number: Option<u32>) {
        let id = self.intern(key);
        self.cell_mut(id).value = number.map_or(Value::Absent, Value::Number);
        self.wake_readers(id);
        self.drop_if_dead(id);
    }

    fn wake_readers(&mut self, id: CellId) {
        for reader in self.cell(id).readers.to_vec() {
            self.queue(reader);
        }
    }

    fn queue(&mut self, id: CellId) {
        let cell = &mut self.cells[id as usize];
        if let (Some(key), false) = (&cell.key, cell.is_queued) {
            cell.is_queued = true;
            self.queues[usize::from(key.level())].push(id);
        }
    }

    /// The cell of a key; made, and queued if it is a derived one, when there is none.
    fn intern(&mut self, key: Key) -> CellId {
        if let Some(id) = self.index.find(&self.cells, &key) {
            return id;
        }
        let is_derived = key.is_derived();
        let cell = Cell {
            value: match key.is_relation() {
                true => Value::Set(Members::EMPTY),
                false => Value::Absent,
            },
            key: Some(key),
            reads: Vec::new(),
            readers: Readers::EMPTY,
            emitted: Vec::new(),
            diagnostics: Vec::new(),
            demand: 0,
            is_queued: false,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.cells[id as usize] = cell;
                id
            }
            None => {
                self.cells.push(cell);
                CellId::try_from(self.cells.len() - 1).expect("fewer than 2^32 cells fit in memory")
            }
        };
        self.index.insert(&self.cells, id);
        if is_derived {
            self.queue(id);
        }
        id
    }

    /// For a reader at a higher level: the cell, up to date.
    fn current(&mut self, key: Key) -> CellId {
        let id = self.intern(key);
        if self.cell(id).is_queued && self.cell(id).key.as_ref().is_some_and(Key::is_derived) {
            self.compute(id);
        }
        id
    }

    fn drop_if_dead(&mut self, id: CellId) {
        let cell = self.cell(id);
        let Some(key) = &cell.key else { return };
        let is_held = cell.demand > 0 || !cell.readers.is_empty();
        let is_set = match &cell.value {
            Value::Set(members) => !members.is_empty() || self.pending.contains_key(&id),
            Value::Absent => false,
            // Inputs and allotted keys live as long as they have a value; what is derived can be derived again.
            _ => !key.is_derived(),
        };
        if !is_held && !is_set {
            self.drop_cell(id);
        }
    }

    fn drop_cell(&mut self, id: CellId) {
        let cell = self.cell_mut(id);
        let Some(key) = cell.key.take() else { return };
        let value = std::mem::take(&mut cell.value);
        let reads = std::mem::take(&mut cell.reads);
        let emitted = std::mem::take(&mut cell.emitted);
        self.index.remove(&key, id);
        self.given_up.push(id);
        self.note_replaced(&key, &value, &Value::Absent);
        self.replace_diagnostics(id, Vec::new());
        for read in reads {
            self.cell_mut(read).readers.remove(id);
            self.drop_if_dead(read);
        }
        self.emit_all(Vec::new(), emitted);
    }

    fn cell(&self, id: CellId) -> &Cell {
        &self.cells[id as usize]
    }

    fn cell_mut(&mut self, id: CellId) -> &mut Cell {
        &mut self.cells[id as usize]
    }
}

/// What is in `new` and not in `old`, and the other way round; both sorted.
fn difference(old: &[Emission], new: &[Emission]) -> (Vec<Emission>, Vec<Emission>) {
    let missing = |from: &[Emission], of: &[Emission]| {
        let is_missing = |emission: &&Emission| of.binary_search(emission).is_err();
        from.iter().filter(is_missing).cloned().collect()
    };
    (missing(new, old), missing(old, new))
}
