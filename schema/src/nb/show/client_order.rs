//! The order in which OVS' C client library walks a table's rows.
//!
//! Its tables are hash tables of chained buckets: a row's bucket is the first 32 bits of its UUID
//! under a mask, a new row becomes the head of its chain, and the table grows as rows come
//! (OVS lib/hmap.h, lib/hmap.c). Rows come in the order of the JSON object that carried them,
//! itself such a table by the hash of the UUID's text (lib/shash.c, lib/hash.h), filled in the
//! order of the message, which weft's server writes ascending.
//! Invariant: a pure function of the set of UUIDs. Must not: matter to anything but printing.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "shifts and masks of fixed width; sizes of small tables"
)]

use std::collections::BTreeMap;

use uuid::Uuid;

/// The rows in the client library's order.
pub(super) fn sort<T>(rows: BTreeMap<Uuid, T>) -> Vec<T> {
    let mut message = ChainedTable::default();
    for (uuid, row) in rows {
        message.insert(text_hash(&uuid), (uuid, row));
    }
    let mut table = ChainedTable::default();
    for (uuid, row) in message.into_values() {
        let (first, ..) = uuid.as_fields();
        table.insert(first, row);
    }
    table.into_values().collect()
}

/// A hash table of chained buckets, newest first in each chain.
struct ChainedTable<T> {
    /// Each chain in reverse: its head is the last element.
    buckets: Vec<Vec<(u32, T)>>,
    count: usize,
}

impl<T> Default for ChainedTable<T> {
    fn default() -> Self {
        Self {
            buckets: vec![Vec::new()],
            count: 0,
        }
    }
}

impl<T> ChainedTable<T> {
    fn insert(&mut self, hash: u32, value: T) {
        self.push(hash, value);
        self.count += 1;
        if self.count / 2 > self.buckets.len() - 1 {
            self.grow();
        }
    }

    /// Doubles the buckets (at least four), moving chains head first: a chain's order turns round.
    fn grow(&mut self) {
        let size = (self.count / 2 + 1).next_power_of_two().max(4);
        let old = std::mem::take(&mut self.buckets);
        self.buckets.resize_with(size, Vec::new);
        for (hash, value) in old.into_iter().flat_map(|chain| chain.into_iter().rev()) {
            self.push(hash, value);
        }
    }

    fn push(&mut self, hash: u32, value: T) {
        let bucket = usize::try_from(hash).unwrap_or(usize::MAX) & (self.buckets.len() - 1);
        if let Some(chain) = self.buckets.get_mut(bucket) {
            chain.push((hash, value));
        }
    }

    fn into_values(self) -> impl Iterator<Item = T> {
        self.buckets
            .into_iter()
            .flat_map(|chain| chain.into_iter().rev().map(|(_, value)| value))
    }
}

/// The hash of a UUID's text: MurmurHash3's 32-bit variant with basis 0.
fn text_hash(uuid: &Uuid) -> u32 {
    let text = uuid.to_string();
    let mut hash = 0_u32;
    for word in text.as_bytes().chunks(4) {
        let mut bytes = [0; 4];
        for (to, from) in bytes.iter_mut().zip(word) {
            *to = *from;
        }
        let mixed = u32::from_le_bytes(bytes)
            .wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593);
        hash = (hash ^ mixed)
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    hash ^= u32::try_from(text.len()).unwrap_or(u32::MAX);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}
