//! Keys for rows, derived from their UUIDs: the same rows have the same keys, whatever came and went before.
//!
//! Each row has an endless sequence of keys it would take, drawn from its UUID; it gets the first one that no row with a smaller UUID
//! has. That is one assignment and no other, so history cannot show. A new row may push another off its key, once in
//! (keys / rows) additions.
//!
//! Must not: depend on the order of calls (tested).

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use uuid::Uuid;

/// Keys 1 to a limit, and who has them.
#[derive(Debug)]
pub(crate) struct KeyTable {
    limit: u32,
    holders: FxHashMap<u32, Uuid>,
    /// Where each row stands in its sequence: it was turned away at all keys before.
    places: FxHashMap<Uuid, u32>,
    /// Rows turned away at a key.
    waiting: BTreeMap<u32, BTreeSet<Uuid>>,
}

impl KeyTable {
    pub(crate) fn new(limit: u32) -> KeyTable {
        KeyTable {
            limit,
            holders: FxHashMap::default(),
            places: FxHashMap::default(),
            waiting: BTreeMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds or removes a row. Gives the rows whose keys changed, and their keys.
    pub(crate) fn change(&mut self, row: Uuid, is_added: bool) -> BTreeMap<Uuid, Option<u32>> {
        let mut changed = BTreeMap::new();
        match (is_added, self.places.contains_key(&row)) {
            (true, false) => self.seat(row, 0, &mut changed),
            (false, true) => self.remove(row, &mut changed),
            _ => {}
        }
        changed
    }

    /// Seats a row at the first key, from `place` in its sequence on, that it can have.
    fn seat(&mut self, row: Uuid, place: u32, changed: &mut BTreeMap<Uuid, Option<u32>>) {
        let (mut row, mut place) = (row, place);
        loop {
            if place >= PLACES_MAX {
                // More rows than keys: without one.
                self.places.insert(row, place);
                changed.insert(row, None);
                return;
            }
            let key = self.draw(row, place);
            match self.holders.get(&key).copied() {
                Some(holder) if holder <= row => {
                    if holder != row {
                        self.waiting.entry(key).or_default().insert(row);
                    }
                    place += 1;
                }
                holder => {
                    self.holders.insert(key, row);
                    self.places.insert(row, place);
                    changed.insert(row, Some(key));
                    let Some(ousted) = holder else { return };
                    self.waiting.entry(key).or_default().insert(ousted);
                    place = self.places.get(&ousted).map_or(0, |place| place + 1);
                    row = ousted;
                }
            }
        }
    }

    fn remove(&mut self, row: Uuid, changed: &mut BTreeMap<Uuid, Option<u32>>) {
        let Some(key) = self.leave(row) else {
            changed.insert(row, None);
            return;
        };
        changed.insert(row, None);
        self.holders.remove(&key);
        // Those turned away here by this row may come back, the least first, and free their own keys in turn.
        let mut freed = BTreeSet::from([key]);
        while let Some(key) = freed.pop_first() {
            let Some(next) = self
                .waiting
                .get(&key)
                .and_then(|rows| rows.first().copied())
            else {
                continue;
            };
            if let Some(left) = self.leave(next) {
                self.holders.remove(&left);
                freed.insert(left);
            }
            let place = (0..PLACES_MAX).find(|place| self.draw(next, *place) == key);
            for place in 0..place.unwrap_or(0) {
                let turned_away_at = self.draw(next, place);
                if turned_away_at != key {
                    self.waiting.entry(turned_away_at).or_default().insert(next);
                }
            }
            self.holders.insert(key, next);
            self.places.insert(next, place.unwrap_or(0));
            changed.insert(next, Some(key));
        }
    }

    /// Takes a row off its key and out of every queue; gives the key it held.
    fn leave(&mut self, row: Uuid) -> Option<u32> {
        let place = self.places.remove(&row)?;
        for earlier in 0..place {
            let key = self.draw(row, earlier);
            if let Some(rows) = self.waiting.get_mut(&key) {
                rows.remove(&row);
                if rows.is_empty() {
                    self.waiting.remove(&key);
                }
            }
        }
        (place < PLACES_MAX).then(|| self.draw(row, place))
    }

    fn draw(&self, row: Uuid, place: u32) -> u32 {
        draw(row, place, self.limit)
    }
}

/// The key that a row has as long as no other wants it.
pub(crate) fn first_choice(row: Uuid, limit: u32) -> u32 {
    draw(row, 0, limit)
}

/// The key at a place of a row's sequence: SplitMix64 over the UUID, which will be the same tomorrow.
fn draw(row: Uuid, place: u32, limit: u32) -> u32 {
    let (high, low) = row.as_u64_pair();
    let mixed = mix(high ^ mix(low.wrapping_add(u64::from(place).wrapping_mul(GOLDEN))));
    u32::try_from(mixed % u64::from(limit)).map_or(1, |key| key + 1)
}

const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(GOLDEN);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Draws before a row goes without: enough that tables of which nine tenths are taken seat everyone.
const PLACES_MAX: u32 = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_depend_on_the_rows_there_are_and_not_on_those_there_were(
            steps in prop::collection::vec((0u128..40, any::<bool>()), 0..120),
        ) {
            // Few keys, so that rows meet all the time; more keys than rows, so that all get one.
            let mut table = KeyTable::new(48);
            let mut keys: BTreeMap<Uuid, Option<u32>> = BTreeMap::new();
            let mut rows = BTreeSet::new();
            for (row, is_added) in steps {
                let row = Uuid::from_u128(row);
                for (row, key) in table.change(row, is_added) {
                    keys.insert(row, key);
                }
                if is_added { rows.insert(row); } else { rows.remove(&row); }
                keys.retain(|row, _| rows.contains(row));
            }
            let mut fresh = KeyTable::new(48);
            let mut expected = BTreeMap::new();
            for row in &rows {
                expected.extend(fresh.change(*row, true));
            }
            prop_assert_eq!(&keys, &expected);
            let distinct: BTreeSet<_> = keys.values().collect();
            prop_assert_eq!(distinct.len(), rows.len());
            prop_assert!(keys.values().all(|key| key.is_some_and(|key| (1..=48).contains(&key))));
        }
    }
}
