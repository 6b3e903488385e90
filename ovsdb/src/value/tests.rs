//! Sets and maps against the standard library's.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn set(numbers: &BTreeSet<i64>) -> Set {
    numbers.iter().copied().collect()
}

fn map(pairs: &BTreeMap<i64, i64>) -> Map {
    pairs.iter().map(|(key, value)| (*key, *value)).collect()
}

proptest! {
    #[test]
    fn a_set_is_what_a_btree_set_is(
        a in proptest::collection::btree_set(0_i64..20, 0..12),
        b in proptest::collection::btree_set(0_i64..20, 0..12),
        one in 0_i64..20,
    ) {
        prop_assert_eq!(set(&a).union(&set(&b)), set(&a.union(&b).copied().collect()));
        prop_assert_eq!(set(&a).difference(&set(&b)), set(&a.difference(&b).copied().collect()));
        let both = set(&a).symmetric_difference(&set(&b));
        prop_assert_eq!(&both, &set(&a.symmetric_difference(&b).copied().collect()));
        prop_assert_eq!(set(&a).symmetric_difference(&both), set(&b));
        prop_assert_eq!(set(&a).is_subset(&set(&b)), a.is_subset(&b));
        prop_assert_eq!(set(&a).is_disjoint(&set(&b)), a.is_disjoint(&b));
        let (mut ours, mut theirs) = (set(&a), a.clone());
        prop_assert_eq!(ours.insert(one.into()), theirs.insert(one));
        prop_assert_eq!(&ours, &set(&theirs));
        prop_assert_eq!(ours.remove(&one.into()), theirs.remove(&one));
        prop_assert_eq!(&ours, &set(&theirs));
        prop_assert_eq!(ours.remove(&one.into()), false);
    }

    #[test]
    fn a_map_is_what_a_btree_map_is(
        a in proptest::collection::btree_map(0_i64..9, 0_i64..3, 0..9),
        b in proptest::collection::btree_map(0_i64..9, 0_i64..3, 0..9),
        key in 0_i64..9, value in 0_i64..3,
    ) {
        prop_assert_eq!(map(&a).apply_difference(&map(&a).difference_to(&map(&b))), map(&b));
        let (mut ours, mut theirs) = (map(&a), a.clone());
        prop_assert_eq!(ours.insert(key.into(), value.into()), theirs.insert(key, value).map(Atom::from));
        prop_assert_eq!(&ours, &map(&theirs));
        prop_assert_eq!(ours.get(&key.into()), Some(&Atom::from(value)));
        prop_assert_eq!(ours.remove(&key.into()), theirs.remove(&key).map(Atom::from));
        prop_assert_eq!(&ours, &map(&theirs));
    }
}

#[test]
fn of_pairs_with_one_key_the_last_counts() {
    let map: Map = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
    assert_eq!(map.get_str("a"), Some("3"));
    assert_eq!(map.len(), 2);
}

#[test]
fn zero_is_one_number() {
    assert_eq!(Real::new(-0.0), Real::new(0.0));
    assert_eq!(Real::new(f64::NAN), None);
    assert_eq!(Real::new(f64::INFINITY), None);
}
