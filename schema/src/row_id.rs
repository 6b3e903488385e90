//! Row UUIDs derived from names, so that every replica derives the same rows from the same cluster.
//!
//! `RowId<T>` is the UUID of a row of table `T`. A derived one is the UUID v5 of table and key in a
//! namespace of weft's own. Must not: be random.

use std::{cmp::Ordering, fmt, hash, marker::PhantomData};

use uuid::{Uuid, uuid};

use crate::Table;

/// UUID of a row of table `T`.
pub struct RowId<T>(Uuid, PhantomData<fn() -> T>);

impl<T: Table> RowId<T> {
    /// The UUID v5 of table `T` and `key`. `key` must be unique in its table.
    #[must_use]
    pub fn derived(key: &str) -> Self {
        let name = format!("{}\0{key}", T::NAME);
        Self(Uuid::new_v5(&NAMESPACE, name.as_bytes()), PhantomData)
    }
}

impl<T> RowId<T> {
    /// The row with this UUID.
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// The UUID alone.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl<T> Clone for RowId<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for RowId<T> {}

impl<T> PartialEq for RowId<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for RowId<T> {}

impl<T> PartialOrd for RowId<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for RowId<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T> hash::Hash for RowId<T> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T> fmt::Debug for RowId<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<T> fmt::Display for RowId<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Changing it would rename every row of every deployment.
const NAMESPACE: Uuid = uuid!("5f1c6d1e-8f0b-4e0c-9a51-3c1d2a7b9e64");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nb::{LogicalRouter, LogicalSwitch};

    #[test]
    fn a_derived_uuid_depends_on_table_and_key_and_on_nothing_else() {
        let shop = RowId::<LogicalSwitch>::derived("shop");
        assert_eq!(shop, RowId::derived("shop"));
        assert_ne!(shop, RowId::derived("office"));
        assert_ne!(shop.uuid(), RowId::<LogicalRouter>::derived("shop").uuid());
        assert_eq!(shop.uuid().get_version_num(), 5);
        // A constant: another value would rename every row of every deployment.
        assert_eq!(shop.to_string(), "b5d7b975-af09-548e-a487-a6ea9cddd64d");
    }
}
