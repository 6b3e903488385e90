//! A sorted map from members to something: a vector while it is small, which most are, a tree beyond that.
//!
//! A B-tree's first leaf has room for eleven entries, which a hundred thousand relations of one member each would pay for.
//!
//! Must not: know what a member means.

use std::collections::BTreeMap;

use super::Member;

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) enum Members<V> {
    /// Sorted, none twice.
    Few(Vec<(Member, V)>),
    Many(BTreeMap<Member, V>),
}

impl<V> Members<V> {
    pub(crate) const EMPTY: Members<V> = Members::Few(Vec::new());

    pub(crate) fn get(&self, member: &Member) -> Option<&V> {
        match self {
            Members::Few(few) => find(few, member)
                .ok()
                .and_then(|at| few.get(at))
                .map(|(_, value)| value),
            Members::Many(many) => many.get(member),
        }
    }

    pub(crate) fn contains(&self, member: &Member) -> bool {
        self.get(member).is_some()
    }

    /// The value of a member, which is made one with this value if it is none.
    pub(crate) fn get_or_insert(&mut self, member: Member, value: V) -> &mut V {
        if let Members::Few(few) = self
            && few.len() >= FEW
            && find(few, &member).is_err()
        {
            *self = Members::Many(std::mem::take(few).into_iter().collect());
        }
        match self {
            Members::Few(few) => {
                let at = find(few, &member).unwrap_or_else(|at| {
                    // Most never hold more.
                    few.reserve_exact(1);
                    few.insert(at, (member, value));
                    at
                });
                &mut few[at].1
            }
            Members::Many(many) => many.entry(member).or_insert(value),
        }
    }

    pub(crate) fn remove(&mut self, member: &Member) -> Option<V> {
        match self {
            Members::Few(few) => find(few, member).ok().map(|at| few.remove(at).1),
            Members::Many(many) => many.remove(member),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Member, &V)> {
        let (few, many) = match self {
            Members::Few(few) => (Some(few), None),
            Members::Many(many) => (None, Some(many)),
        };
        let few = few
            .into_iter()
            .flatten()
            .map(|(member, value)| (member, value));
        few.chain(many.into_iter().flatten())
    }

    /// In order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Member> {
        self.iter().map(|(member, _)| member)
    }

    /// The least.
    pub(crate) fn first(&self) -> Option<&Member> {
        match self {
            Members::Few(few) => few.first().map(|(member, _)| member),
            Members::Many(many) => many.first_key_value().map(|(member, _)| member),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Members::Few(few) => few.len(),
            Members::Many(many) => many.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<V> Default for Members<V> {
    fn default() -> Self {
        Members::EMPTY
    }
}

impl<V: PartialEq> PartialEq for Members<V> {
    /// By what they hold: a map that was large once stays a tree.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

fn find<V>(few: &[(Member, V)], member: &Member) -> Result<usize, usize> {
    few.binary_search_by(|(known, _)| known.cmp(member))
}

const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn it_does_what_a_tree_does(steps in proptest::collection::vec((0..40u128, 0..3u8), 0..200)) {
            let (mut members, mut model) = (Members::EMPTY, BTreeMap::new());
            for (number, step) in steps {
                let member = Member::Row(Uuid::from_u128(number));
                if step == 0 {
                    prop_assert_eq!(members.remove(&member), model.remove(&member));
                } else {
                    let known = model.entry(member.clone()).or_insert(number);
                    prop_assert_eq!(&*members.get_or_insert(member, number), &*known);
                }
                prop_assert!(members.iter().eq(model.iter()));
                prop_assert_eq!(members.first(), model.keys().next());
                prop_assert_eq!(members.len(), model.len());
            }
            let rebuilt = model.into_iter().fold(Members::EMPTY, |mut all, (member, value)| {
                all.get_or_insert(member, value);
                all
            });
            prop_assert_eq!(members, rebuilt);
        }
    }
}
