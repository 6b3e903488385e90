//! What holds follows from what is wanted, in whatever order it came.

use openflow_rs::{Field, Flow, Match};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::unit::Unit;

fn unit(number: u8) -> Contributor {
    Arc::new(Unit::Port(Uuid::from_u128(u128::from(number))))
}

fn flow(port: u8, actions: Vec<Action>) -> Arc<CompiledFlow> {
    let matches = Match::new().exact(Field::InPort, port);
    let (table, priority, cookie) = (8, 50, 7);
    let flow = Flow {
        table,
        priority,
        cookie,
        matches,
        actions,
    };
    Arc::new(CompiledFlow::new(flow).unwrap())
}

fn counting(port: u8, id: u8, clause: u8) -> Arc<CompiledFlow> {
    let id = u32::from(id);
    flow(port, vec![Action::Conjunction { id, clause, n: 2 }])
}

fn doing(port: u8, table: u8) -> Arc<CompiledFlow> {
    flow(port, vec![Action::Resubmit { table }])
}

fn held(state: &NodeState) -> Vec<String> {
    let mut flows: Vec<String> = state.flows().map(|flow| flow.flow().to_string()).collect();
    flows.sort();
    flows
}

#[test]
fn flows_that_count_for_conjunctive_matches_become_one_that_counts_for_all() {
    let mut state = NodeState::default();
    let (one, other) = (counting(1, 9, 1), counting(1, 4, 2));
    state.put(&unit(1), &one);
    state.put(&unit(2), &other);
    state.put(&unit(1), &counting(1, 5, 1));
    let actions = |state: &NodeState| state.flow(one.key()).map(|flow| flow.flow().actions);
    let part = |id, clause| Action::Conjunction { id, clause, n: 2 };
    assert_eq!(
        actions(&state),
        Some(vec![part(4, 2), part(5, 1), part(9, 1)])
    );
    state.take_delta();
    state.remove(&unit(2), &other);
    assert_eq!(actions(&state), Some(vec![part(5, 1), part(9, 1)]));
    assert_eq!(state.take_delta().flows.len(), 1);
    state.remove(&unit(1), &one);
    state.remove(&unit(1), &counting(1, 5, 1));
    assert_eq!(state.flow_count(), 0);
}

#[test]
fn a_flow_that_does_something_holds_before_those_that_count_and_they_come_back() {
    let mut state = NodeState::default();
    let (counts, does) = (counting(1, 9, 1), doing(1, 64));
    state.put(&unit(1), &counts);
    state.put(&unit(2), &does);
    assert_eq!(state.flow(does.key()), Some(&does));
    state.remove(&unit(2), &does);
    assert_eq!(state.flow(does.key()), Some(&counts));
}

proptest! {
    #[test]
    fn what_holds_depends_on_what_is_wanted_and_not_on_what_was(
        steps in prop::collection::vec((0u8..3, 0u8..2, 0u8..6, any::<bool>()), 0..60),
    ) {
        let made = |port: u8, what: u8| match what {
            0..=3 => counting(port, what / 2, what % 2 + 1),
            what => doing(port, what),
        };
        let mut state = NodeState::default();
        let mut wanted = std::collections::BTreeSet::new();
        for (number, port, what, is_added) in steps {
            if is_added {
                wanted.insert((number, port, what));
                state.put(&unit(number), &made(port, what));
            } else {
                wanted.remove(&(number, port, what));
                state.remove(&unit(number), &made(port, what));
            }
        }
        let mut fresh = NodeState::default();
        for (number, port, what) in wanted {
            fresh.put(&unit(number), &made(port, what));
        }
        prop_assert_eq!(held(&state), held(&fresh));
    }
}
