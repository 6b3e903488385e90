//! One bundle: encoded at once, sent in one piece, followed by a barrier.
//!
//! ```text
//! xid:  (meters deleted) meters put │ open │ (delete everything) │ groups put │ flows put and removed │ groups removed │ commit │ barrier
//!       meters removed │ barrier
//! ```
//!
//! Every message has its own transaction ID, in sequence, so that an error names the flow it is about: the switch
//! answers a bundled message under the ID that it was added with. OVS drops a bundle that is idle for 10 s, so nothing is opened
//! before all of it is ready to be sent.
//!
//! Open vSwitch takes no meters in a bundle, so they are put before it is opened, which disturbs nothing. To delete one takes the flows that use it along: that
//! is done by itself, when the flows are gone.
//!
//! Two kinds of refusal: at the door (the message cannot be decoded; the rest of the bundle goes on), and at the commit
//! (nothing is applied).
//!
//! Must not: decide what goes into it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use openflow_rs::{BundleAdd, BundleControl, BundleStep, EncodeError, ErrorMessage, Group};
use weft_compiler::{CompiledFlow, CompiledGroup, CompiledMeter};

use super::ledger::{Change, Held};
use super::{after, group, request};

/// A bundle on its way.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The generation that it makes complete.
    pub(super) generation: u64,
    /// The transaction ID of the barrier behind it.
    pub(super) barrier: u32,
    /// Of the bundle itself; none when only meters go.
    open: Option<u32>,
    commit: Option<u32>,
    items: Vec<Item>,
    committed: bool,
    refused_any: bool,
    failure: Option<String>,
}

#[derive(Debug)]
struct Item {
    /// Of its first message.
    xid: u32,
    /// How many it has.
    messages: usize,
    what: What,
    /// A group is changed bucket by bucket.
    by_buckets: bool,
    refused: bool,
}

#[derive(Debug)]
enum What {
    Flow(Change<CompiledFlow>),
    Group(Change<CompiledGroup>),
    Meter(Change<CompiledMeter>),
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) flows: Vec<Change<CompiledFlow>>,
    pub(super) groups: Vec<Change<CompiledGroup>>,
    /// Removals only if there are no flows and groups.
    pub(super) meters: Vec<Change<CompiledMeter>>,
}

/// What a bundle builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// What the switch was found to have.
    Known,
    /// Nothing: all is deleted first, in the same bundle.
    Blank,
}

/// What became of a bundle, once its barrier is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    /// Nothing was applied, for reasons that were named.
    RefusedInPart,
    Failed(String),
}

/// What an error is about.
#[derive(Debug)]
pub(super) enum Fault {
    Flow(Arc<CompiledFlow>),
    Group(Arc<CompiledGroup>),
    Meter(Arc<CompiledMeter>),
    /// Single buckets of it.
    Buckets(Arc<CompiledGroup>),
    Bundle,
    Stray,
}

impl Bundle {
    /// The bundle and its bytes, barrier included; `first` is the first transaction ID it may use.
    pub(super) fn encode(
        id: u32,
        first: u32,
        generation: u64,
        start: Start,
        plan: Plan,
    ) -> Result<(Bundle, Bytes), EncodeError> {
        let mut writer = Writing {
            xid: first,
            bytes: BytesMut::new(),
            items: Vec::new(),
        };
        if start == Start::Blank {
            writer.send(request::delete_all_meters);
        }
        for change in plan.meters {
            let (xid, what) = (writer.xid, What::Meter(change));
            let (messages, by_buckets) = what.messages()?;
            let count = messages.len();
            for message in messages {
                writer.send(|xid| numbered(&message, xid));
            }
            writer.items.push(Item::new(xid, count, what, by_buckets));
        }
        let is_bundled = start == Start::Blank || !plan.flows.is_empty() || !plan.groups.is_empty();
        let (mut open, mut commit) = (None, None);
        if is_bundled {
            open = Some(writer.xid);
            writer.send(|xid| request::bundle(xid, id, BundleStep::OpenRequest));
            if start == Start::Blank {
                for delete in [request::delete_all_flows, request::delete_all_groups] {
                    let message = delete(writer.xid);
                    writer.add(id, &message)?;
                }
            }
            let is_put = |change: &Change<CompiledGroup>| matches!(change, Change::Put { .. });
            let (mut puts, removals): (Vec<_>, Vec<_>) = plan.groups.into_iter().partition(is_put);
            puts.sort_by_key(|change| match change {
                Change::Put { entry, .. } => group::is_above_others(&entry.group),
                Change::Remove(_) => false,
            });
            let whats = puts.into_iter().map(What::Group);
            let whats = whats
                .chain(plan.flows.into_iter().map(What::Flow))
                .chain(removals.into_iter().map(What::Group));
            for what in whats {
                let xid = writer.xid;
                let (messages, by_buckets) = what.messages()?;
                for message in &messages {
                    writer.add(id, message)?;
                }
                let count = messages.len();
                writer.items.push(Item::new(xid, count, what, by_buckets));
            }
            commit = Some(writer.xid);
            writer.send(|xid| request::bundle(xid, id, BundleStep::CommitRequest));
        }
        let barrier = writer.xid;
        writer.send(request::barrier);
        let bundle = Bundle {
            generation,
            barrier,
            open,
            commit,
            items: writer.items,
            committed: !is_bundled,
            refused_any: false,
            failure: None,
        };
        Ok((bundle, writer.bytes.freeze()))
    }

    /// The switch reports progress.
    pub(super) fn control(&mut self, xid: u32, control: BundleControl) {
        self.committed |= self.commit == Some(xid) && control.step == BundleStep::CommitReply;
    }

    /// The switch reports an error.
    pub(super) fn fail(&mut self, xid: u32, error: &ErrorMessage) -> Fault {
        if [self.open, self.commit].contains(&Some(xid)) {
            self.failure = Some(error.to_string());
            return Fault::Bundle;
        }
        // In sequence, so a search by halves would do, but for the one place where the sequence wraps.
        let is_its = |item: &&mut Item| {
            let mut own = std::iter::successors(Some(item.xid), |xid| Some(after(*xid)));
            own.by_ref().take(item.messages).any(|own| own == xid)
        };
        let Some(item) = self.items.iter_mut().find(is_its) else {
            return Fault::Stray;
        };
        let fault = match &item.what {
            What::Flow(Change::Put { entry, .. }) => Fault::Flow(entry.clone()),
            What::Group(Change::Put { entry, .. }) if item.by_buckets => {
                Fault::Buckets(entry.clone())
            }
            What::Group(Change::Put { entry, .. }) => Fault::Group(entry.clone()),
            What::Meter(Change::Put { entry, .. }) => Fault::Meter(entry.clone()),
            What::Flow(Change::Remove(_))
            | What::Group(Change::Remove(_))
            | What::Meter(Change::Remove(_)) => {
                self.failure = Some(format!("a removal was answered with {error}"));
                return Fault::Bundle;
            }
        };
        item.refused = true;
        // Whether a meter is there is not the bundle's concern; the flows that use it are refused by name.
        self.refused_any |= !matches!(item.what, What::Meter(_));
        fault
    }

    /// What became of it.
    pub(super) fn outcome(&self) -> Outcome {
        match (&self.failure, self.committed, self.refused_any) {
            (_, true, _) => Outcome::Committed,
            (_, false, true) => Outcome::RefusedInPart,
            (Some(failure), false, false) => {
                Outcome::Failed(format!("the switch answers a bundle with {failure}"))
            }
            (None, false, false) => {
                Outcome::Failed("the switch did not answer a bundle's commit".to_owned())
            }
        }
    }

    /// Whether something in it was refused.
    pub(super) fn has_refusals(&self) -> bool {
        self.refused_any
    }

    /// Flow changes that were not refused.
    pub(super) fn flow_changes(&self) -> impl Iterator<Item = &Change<CompiledFlow>> {
        self.items
            .iter()
            .filter(|item| !item.refused)
            .filter_map(|item| match &item.what {
                What::Flow(change) => Some(change),
                What::Group(_) | What::Meter(_) => None,
            })
    }

    /// Group changes that were not refused.
    pub(super) fn group_changes(&self) -> impl Iterator<Item = &Change<CompiledGroup>> {
        self.items
            .iter()
            .filter(|item| !item.refused)
            .filter_map(|item| match &item.what {
                What::Group(change) => Some(change),
                What::Flow(_) | What::Meter(_) => None,
            })
    }

    /// Meter changes that were not refused.
    pub(super) fn meter_changes(&self) -> impl Iterator<Item = &Change<CompiledMeter>> {
        self.items
            .iter()
            .filter(|item| !item.refused)
            .filter_map(|item| match &item.what {
                What::Meter(change) => Some(change),
                What::Flow(_) | What::Group(_) => None,
            })
    }

    /// How many flows, and groups, were put and removed.
    pub(super) fn tally(&self) -> ((usize, usize), (usize, usize)) {
        let flows = self
            .flow_changes()
            .filter(|change| matches!(change, Change::Put { .. }))
            .count();
        let groups = self
            .group_changes()
            .filter(|change| matches!(change, Change::Put { .. }))
            .count();
        (
            (flows, self.flow_changes().count().saturating_sub(flows)),
            (groups, self.group_changes().count().saturating_sub(groups)),
        )
    }
}

impl What {
    /// What is to be sent, and whether it is single buckets.
    fn messages(&self) -> Result<(Vec<Bytes>, bool), EncodeError> {
        let message = match self {
            What::Flow(Change::Put { entry, .. }) => entry.add().clone(),
            What::Flow(Change::Remove(key)) => key.delete_strict()?,
            What::Group(Change::Put { entry, held }) => match held {
                Held::Nothing => entry.add.clone(),
                Held::Something => entry.modify.clone(),
                Held::Entry(old) => match group::by_buckets(old, entry)? {
                    Some(messages) => return Ok((messages, true)),
                    None => entry.modify.clone(),
                },
            },
            What::Group(Change::Remove(id)) => Group::delete(*id)?,
            What::Meter(Change::Put { entry, held }) => match held {
                Held::Nothing => entry.add.clone(),
                _ => entry.modify.clone(),
            },
            What::Meter(Change::Remove(id)) => request::delete_meter(0, *id),
        };
        Ok((vec![message], false))
    }
}

impl Item {
    fn new(xid: u32, messages: usize, what: What, by_buckets: bool) -> Item {
        Item {
            xid,
            messages,
            what,
            by_buckets,
            refused: false,
        }
    }
}

/// Messages in the making, each with the next transaction ID.
struct Writing {
    /// Of the next message.
    xid: u32,
    bytes: BytesMut,
    items: Vec<Item>,
}

impl Writing {
    fn send(&mut self, message: impl FnOnce(u32) -> Bytes) {
        self.bytes.extend_from_slice(&message(self.xid));
        self.xid = after(self.xid);
    }

    /// A message within the bundle.
    fn add(&mut self, bundle: u32, message: &Bytes) -> Result<(), EncodeError> {
        let added = BundleAdd::wrap(bundle, self.xid, message)?;
        self.bytes.extend_from_slice(&added);
        self.xid = after(self.xid);
        Ok(())
    }
}

/// A message of ours under another transaction ID.
fn numbered(message: &Bytes, xid: u32) -> Bytes {
    let mut bytes = BytesMut::from(&message[..]);
    if let Some(place) = bytes.get_mut(XID) {
        place.copy_from_slice(&xid.to_be_bytes());
    }
    bytes.freeze()
}

/// Where a message has its transaction ID.
const XID: std::ops::Range<usize> = 4..8;
