//! Who read a cell: a vector while they are few, which they mostly are, a hash set beyond that.
//!
//! Must not: be expensive for a cell that ten thousand others read, nor for ten thousand cells that one other reads.

use rustc_hash::FxHashSet;

use super::CellId;

/// See the [module](self).
#[derive(Debug)]
pub(super) enum Readers {
    /// None twice.
    Few(Vec<CellId>),
    Many(FxHashSet<CellId>),
}

impl Readers {
    pub(super) const EMPTY: Readers = Readers::Few(Vec::new());

    pub(super) fn insert(&mut self, reader: CellId) {
        match self {
            Readers::Few(few) if few.contains(&reader) => {}
            Readers::Few(few) if few.len() < FEW => few.push(reader),
            Readers::Few(few) => {
                let mut many: FxHashSet<CellId> = few.drain(..).collect();
                many.insert(reader);
                *self = Readers::Many(many);
            }
            Readers::Many(many) => {
                many.insert(reader);
            }
        }
    }

    pub(super) fn remove(&mut self, reader: CellId) {
        match self {
            Readers::Few(few) => few.retain(|known| *known != reader),
            Readers::Many(many) => {
                many.remove(&reader);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Readers::Few(few) => few.is_empty(),
            Readers::Many(many) => many.is_empty(),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<CellId> {
        match self {
            Readers::Few(few) => few.clone(),
            Readers::Many(many) => many.iter().copied().collect(),
        }
    }
}

const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_does_what_a_set_does(steps in proptest::collection::vec((0..40u32, 0..3u8), 0..200)) {
            let (mut readers, mut model) = (Readers::EMPTY, BTreeSet::new());
            for (number, step) in steps {
                match step {
                    0 => {
                        readers.remove(number);
                        model.remove(&number);
                    }
                    _ => {
                        readers.insert(number);
                        model.insert(number);
                    }
                }
                let mut all = readers.to_vec();
                all.sort_unstable();
                prop_assert!(all.iter().eq(&model));
                prop_assert_eq!(readers.is_empty(), model.is_empty());
            }
        }
    }
}
