//! A group's change as messages: single buckets where that is less than all of them.
//!
//! A bucket that changes is removed and inserted again, for Open vSwitch changes none in place; all of it is one bundle, so no packet meets the group in between.
//!
//! Must not: know which groups use which.

use std::collections::BTreeMap;

use bytes::Bytes;
use openflow_rs::{
    Action, BUCKET_LAST, Bucket, EncodeError, Group, GroupCommand, GroupMod, GroupType,
};
use weft_compiler::CompiledGroup;

/// The messages that make `old` into `new`, if they are shorter than `new` as a whole.
///
/// # Errors
/// As [`Group::add`].
pub(super) fn by_buckets(
    old: &CompiledGroup,
    new: &CompiledGroup,
) -> Result<Option<Vec<Bytes>>, EncodeError> {
    let (from, to) = (&old.group, &new.group);
    // In others the order of buckets matters.
    let is_select = from.kind == GroupType::Select && to.kind == GroupType::Select;
    if !is_select || from.selection != to.selection {
        return Ok(None);
    }
    let (held, wanted) = (by_id(from), by_id(to));
    let mut messages = Vec::new();
    let differs = |id: &u32, bucket: &&Bucket, other: &BTreeMap<u32, &Bucket>| {
        other.get(id).is_none_or(|other| other != bucket)
    };
    for (id, _) in held
        .iter()
        .filter(|(id, bucket)| differs(id, bucket, &wanted))
    {
        messages.push(GroupMod::remove_bucket(to.id, to.kind, *id).message(0)?);
    }
    let added = wanted
        .iter()
        .filter(|(id, bucket)| differs(id, bucket, &held));
    let added: Vec<Bucket> = added.map(|(_, bucket)| (*bucket).clone()).collect();
    if !added.is_empty() {
        let insert = GroupMod::insert_buckets(to.id, to.kind, BUCKET_LAST, added);
        debug_assert_eq!(insert.command, GroupCommand::InsertBucket);
        messages.push(insert.message(0)?);
    }
    let length = |messages: &[Bytes]| {
        messages
            .iter()
            .map(|message| message.len() + WRAPPING)
            .sum()
    };
    let length: usize = length(&messages);
    Ok((length < new.modify.len() + WRAPPING).then_some(messages))
}

/// Whether a group has others as buckets: they come before it, and go after it.
pub(super) fn is_above_others(group: &Group) -> bool {
    let mut actions = group.buckets.iter().flat_map(|bucket| &bucket.actions);
    actions.any(|action| matches!(action, Action::Group(_)))
}

fn by_id(group: &Group) -> BTreeMap<u32, &Bucket> {
    let buckets = group.buckets.iter();
    buckets.map(|bucket| (bucket.id, bucket)).collect()
}

/// What a message takes more in a bundle.
const WRAPPING: usize = 16;

#[cfg(test)]
mod tests {
    use openflow_rs::{Action, PortNo, Selection};

    use super::*;

    fn group(buckets: &[(u32, u32)], method: &str) -> CompiledGroup {
        let bucket =
            |(id, port): &(u32, u32)| Bucket::new(*id, vec![Action::Output(PortNo(*port))]);
        let group = Group {
            id: 7,
            kind: GroupType::Select,
            buckets: buckets.iter().map(bucket).collect(),
            selection: Some(Selection {
                method: method.to_owned(),
                parameter: 0,
                fields: Vec::new(),
            }),
        };
        CompiledGroup::new(group).expect("it fits")
    }

    #[test]
    fn what_differs_is_removed_and_inserted_and_all_of_it_sent_only_where_that_is_shorter() {
        let many: Vec<(u32, u32)> = (1..100).map(|id| (id, id)).collect();
        let old = group(&many, "hash");
        let mut buckets = many.clone();
        buckets[3] = (1000, 1000);
        buckets[5].1 = 2000;
        let messages = by_buckets(&old, &group(&buckets, "hash")).expect("it fits");
        let messages = messages.expect("it is shorter");
        let kinds: Vec<(u8, usize)> = messages
            .iter()
            .map(|message| (message[9], message.len()))
            .collect();
        assert_eq!(kinds[..2], [(5, 24), (5, 24)], "two removals");
        assert_eq!(kinds[2].0, 3, "one insertion");
        assert_eq!(kinds.len(), 3);
        for other in [group(&[(1000, 1)], "hash"), group(&many, "dp_hash")] {
            assert_eq!(by_buckets(&old, &other), Ok(None));
        }
    }
}
