//! Where the one who decides leaves what a node's tasks are to do.
//!
//! Two mailboxes per node: flows for the OpenFlow session, answers and localnet ports for the OVSDB session. The writer never waits, so a slow
//! or dead node delays nobody; what is left in the box coalesces by key, so a full day of changes to ten flows is ten entries.
//!
//! Must not: be unbounded in anything but the number of keys that exist.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openflow_rs::EncodedKey;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use uuid::Uuid;
use weft_compiler::{
    CompiledFlow, CompiledGroup, CompiledMeter, FlowChange, GroupChange, MeterChange, NodeDelta,
};

use crate::chassis::{Answer, Localnets};

/// A box that one task fills and one task empties.
#[derive(Debug)]
pub struct Mailbox<T> {
    content: Mutex<T>,
    filled: Notify,
}

impl<T: Default> Mailbox<T> {
    /// An empty box.
    #[must_use]
    pub fn new() -> Arc<Mailbox<T>> {
        Arc::new(Mailbox {
            content: Mutex::new(T::default()),
            filled: Notify::new(),
        })
    }

    /// Adds to the content.
    pub fn leave(&self, add: impl FnOnce(&mut T)) {
        add(&mut self.lock());
        self.filled.notify_one();
    }

    /// Waits until something was left, and takes it all. Cancel-safe: what is not returned stays in the box.
    pub async fn take(&self) -> T {
        self.filled.notified().await;
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        // Nothing is left half done by a panic: an entry is in the box or it is not.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the OpenFlow session.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Flows that should (`Some`) or should not be there.
    pub flows: FxHashMap<EncodedKey, Option<Arc<CompiledFlow>>>,
    /// Groups likewise.
    pub groups: BTreeMap<u32, Option<Arc<CompiledGroup>>>,
    /// Meters likewise.
    pub meters: BTreeMap<u32, Option<Arc<CompiledMeter>>>,
    /// The generation that this makes complete; nothing may be sent before there is one.
    pub generation: Option<u64>,
    /// Something says that the switch is there: dial now.
    pub dial: bool,
    /// The name of the bridge to dial.
    pub bridge: Option<String>,
}

impl Delivery {
    /// Adds a delta; of two changes of one key the later one stays.
    pub fn add(&mut self, delta: NodeDelta, generation: Option<u64>) {
        for change in delta.flows {
            match change {
                FlowChange::Put(flow) => self.flows.insert(flow.key().clone(), Some(flow)),
                FlowChange::Remove(key) => self.flows.insert(key, None),
            };
        }
        for change in delta.groups {
            match change {
                GroupChange::Put(group) => self.groups.insert(group.group.id, Some(group)),
                GroupChange::Remove(id) => self.groups.insert(id, None),
            };
        }
        for change in delta.meters {
            match change {
                MeterChange::Put(meter) => self.meters.insert(meter.meter.id, Some(meter)),
                MeterChange::Remove(id) => self.meters.insert(id, None),
            };
        }
        self.generation = generation.or(self.generation);
    }
}

/// For the OVSDB session.
#[derive(Debug, Default)]
pub struct Instructions {
    /// What interfaces are told.
    pub answers: BTreeMap<Uuid, Option<Answer>>,
    /// The localnet ports there are, if they are others now.
    pub localnets: Option<Arc<Localnets>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_changes_to_ten_flows_is_ten_entries_and_the_last_of_each() {
        let flow = |host: u32, cookie: u32| {
            let text = format!("cookie={cookie},table=8,ip,nw_dst=10.0.0.{host},actions=drop");
            Arc::new(CompiledFlow::new(text.parse().expect("a flow")).expect("encodes"))
        };
        let mailbox = Mailbox::<Delivery>::new();
        for change in 0..10_000 {
            let put = FlowChange::Put(flow(change % 10, change));
            let removal = FlowChange::Remove(flow(change % 10, change).key().clone());
            let delta = NodeDelta {
                flows: vec![if change % 10 == 9 { removal } else { put }],
                ..NodeDelta::default()
            };
            mailbox.leave(|delivery| delivery.add(delta, Some(change.into())));
        }
        let content = mailbox.lock();
        assert_eq!((content.flows.len(), content.generation), (10, Some(9_999)));
        for host in 0..10 {
            let last = flow(host, 9_990 + host);
            let kept = content.flows.get(last.key()).expect("an entry");
            let expected = (host != 9).then_some(last);
            assert_eq!(kept.as_deref(), expected.as_deref());
        }
    }
}
