//! A pool of numbers: fresh ones first, ascending, then the one given back longest ago.
//!
//! Work per call is logarithmic, whatever the size of the range. Must not: shrink or move.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Numbers from `first` to `last`, some of them taken.
#[derive(Clone, Debug)]
pub struct Pool {
    last: u32,
    /// Every number below is taken or resting, or was never to be had. `None`: past the end.
    fresh: Option<u32>,
    taken: BTreeSet<u32>,
    /// Given back, by when.
    resting: BTreeMap<u64, u32>,
    resting_since: HashMap<u32, u64>,
    /// Counts what was given back: the pool's clock.
    returns: u64,
    first: u32,
}

impl Pool {
    /// The numbers from `first` to `last`; none if `first` is greater.
    #[must_use]
    pub fn new(first: u32, last: u32) -> Self {
        Self {
            first,
            last,
            fresh: (first <= last).then_some(first),
            taken: BTreeSet::new(),
            resting: BTreeMap::new(),
            resting_since: HashMap::new(),
            returns: 0,
        }
    }

    /// Takes a number, or nothing if all are taken.
    pub fn take(&mut self) -> Option<u32> {
        while let Some(number) = self.fresh {
            self.fresh = number.checked_add(1).filter(|next| *next <= self.last);
            if !self.taken.contains(&number) && !self.resting_since.contains_key(&number) {
                self.taken.insert(number);
                return Some(number);
            }
        }
        let (since, number) = self.resting.pop_first()?;
        debug_assert_eq!(self.resting_since.get(&number), Some(&since));
        self.resting_since.remove(&number);
        self.taken.insert(number);
        Some(number)
    }

    /// Takes this number; `false` if it is taken or outside the pool.
    pub fn claim(&mut self, number: u32) -> bool {
        if !(self.first..=self.last).contains(&number) || !self.taken.insert(number) {
            return false;
        }
        if let Some(since) = self.resting_since.remove(&number) {
            self.resting.remove(&since);
        }
        true
    }

    /// Gives a number back; nothing happens if it is not taken.
    pub fn give_back(&mut self, number: u32) {
        if self.taken.remove(&number) {
            self.returns = self.returns.saturating_add(1);
            self.resting.insert(self.returns, number);
            self.resting_since.insert(number, self.returns);
        }
    }

    /// Whether the number is taken.
    #[must_use]
    pub fn is_taken(&self, number: u32) -> bool {
        self.taken.contains(&number)
    }

    /// The taken numbers from `first` to `last`.
    pub fn taken_within(&self, first: u32, last: u32) -> impl Iterator<Item = u32> {
        self.taken.range(first..=last).copied()
    }

    /// Whether no number is taken.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.taken.is_empty()
    }

    /// Whether every number is taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let size = u64::from(self.last)
            .saturating_sub(u64::from(self.first))
            .saturating_add(1);
        self.first > self.last || u64::try_from(self.taken.len()).unwrap_or(u64::MAX) >= size
    }
}
