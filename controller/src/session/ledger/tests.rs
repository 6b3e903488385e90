//! The ledger's laws, over an entry that is a number and a text.
//!
//! Must not: need a switch.

use proptest::prelude::*;
use std::collections::BTreeMap;

use super::*;

#[derive(Debug)]
struct Entry(u32, &'static str);

impl Keyed for Entry {
    type Key = u32;

    fn key(&self) -> &u32 {
        &self.0
    }

    fn is_same(&self, other: &Entry) -> bool {
        self.1 == other.1
    }
}

impl Borrow<u32> for ByKey<Entry> {
    fn borrow(&self) -> &u32 {
        &self.0.0
    }
}

fn show(changes: &[Change<Entry>]) -> Vec<String> {
    let text = |change: &Change<Entry>| match change {
        Change::Put {
            entry,
            held: Held::Nothing,
        } => format!("add {} {}", entry.0, entry.1),
        Change::Put { entry, .. } => format!("replace {} {}", entry.0, entry.1),
        Change::Remove(key) => format!("remove {key}"),
    };
    changes.iter().map(text).collect()
}

fn want(ledger: &mut Ledger<Entry>, key: u32, text: &'static str) -> Arc<Entry> {
    let entry = Arc::new(Entry(key, text));
    ledger.want(&key, Some(entry.clone()));
    entry
}

fn apply(ledger: &mut Ledger<Entry>) -> Vec<String> {
    let plan = ledger.plan();
    plan.iter().for_each(|change| ledger.applied(change));
    show(&plan)
}

#[test]
fn reading_a_switch_leaves_only_the_difference_to_plan() {
    let mut ledger = Ledger::default();
    want(&mut ledger, 1, "same");
    want(&mut ledger, 2, "differs");
    want(&mut ledger, 3, "missing");
    ledger.begin_reading();
    ledger.found(1, |_| true);
    ledger.found(2, |_| false);
    ledger.found(9, |_| true);
    assert_eq!(
        apply(&mut ledger),
        ["replace 2 differs", "add 3 missing", "remove 9"]
    );
    assert!(apply(&mut ledger).is_empty());
    assert!(ledger.is_settled());
}

#[test]
fn changes_of_one_key_coalesce_and_a_change_back_is_none() {
    let mut ledger = Ledger::default();
    let first = want(&mut ledger, 1, "a");
    assert_eq!(apply(&mut ledger), ["add 1 a"]);
    want(&mut ledger, 1, "b");
    want(&mut ledger, 1, "c");
    assert_eq!(apply(&mut ledger), ["replace 1 c"]);
    ledger.want(&1, None);
    ledger.want(&2, None);
    assert_eq!(apply(&mut ledger), ["remove 1"]);
    ledger.want(&1, Some(first.clone()));
    apply(&mut ledger);
    ledger.want(&1, None);
    ledger.want(&1, Some(first));
    assert!(apply(&mut ledger).is_empty());
}

#[test]
fn what_did_not_happen_is_planned_again() {
    let mut ledger = Ledger::default();
    want(&mut ledger, 1, "a");
    let plan = ledger.plan();
    assert!(ledger.is_settled());
    ledger.replan(plan.iter());
    assert_eq!(apply(&mut ledger), ["add 1 a"]);
}

#[test]
fn a_refused_entry_is_not_offered_again_until_it_is_wanted_differently() {
    let mut ledger = Ledger::default();
    want(&mut ledger, 1, "old");
    apply(&mut ledger);
    let refused = want(&mut ledger, 1, "bad");
    let plan = ledger.plan();
    ledger.replan(plan.iter());
    ledger.refuse(&refused, "full".to_owned());
    assert_eq!(
        apply(&mut ledger),
        ["remove 1"],
        "what was there before is not what should be there"
    );
    assert_eq!(
        ledger.counts(),
        Counts {
            desired: 1,
            installed: 0,
            refused: 1
        }
    );
    assert!(apply(&mut ledger).is_empty());
    let refusals: Vec<_> = ledger
        .refusals()
        .map(|(entry, error)| (entry.1, error))
        .collect();
    assert_eq!(refusals, [("bad", "full")]);
    ledger.retry();
    assert_eq!(show(&ledger.plan()), ["add 1 bad"]);
    ledger.refuse(&refused, "still full".to_owned());
    assert!(apply(&mut ledger).is_empty());
    want(&mut ledger, 1, "good");
    assert_eq!(apply(&mut ledger), ["add 1 good"]);
    assert_eq!(
        ledger.counts(),
        Counts {
            desired: 1,
            installed: 1,
            refused: 0
        }
    );
}

proptest! {
    #[test]
    fn applying_the_plan_makes_the_switch_what_it_should_be(
        before in prop::collection::btree_map(0u32..8, 0usize..3, 0..8),
        wants in prop::collection::vec((0u32..8, prop::option::of(0usize..3), any::<bool>()), 0..30),
    ) {
        const TEXTS: [&str; 3] = ["a", "b", "c"];
        let mut switch: BTreeMap<u32, &str> = before.iter().map(|(key, text)| (*key, TEXTS[*text])).collect();
        let mut desired = BTreeMap::new();
        let mut ledger = Ledger::default();
        ledger.begin_reading();
        for (key, text) in &switch {
            ledger.found(*key, |entry: &Entry| entry.1 == *text);
        }
        for (key, text, flush) in wants {
            match text {
                Some(text) => {
                    want(&mut ledger, key, TEXTS[text]);
                    desired.insert(key, TEXTS[text]);
                }
                None => {
                    ledger.want(&key, None);
                    desired.remove(&key);
                }
            }
            if flush {
                carry_out(&mut ledger, &mut switch);
                prop_assert_eq!(&switch, &desired);
            }
        }
        carry_out(&mut ledger, &mut switch);
        prop_assert_eq!(switch, desired);
    }
}

fn carry_out(ledger: &mut Ledger<Entry>, switch: &mut BTreeMap<u32, &'static str>) {
    for change in ledger.plan() {
        match &change {
            Change::Put { entry, held } => {
                assert_eq!(
                    switch.insert(entry.0, entry.1).is_none(),
                    matches!(held, Held::Nothing),
                    "key {}",
                    entry.0
                );
            }
            Change::Remove(key) => assert!(switch.remove(key).is_some(), "nothing under {key}"),
        }
        ledger.applied(&change);
    }
}
