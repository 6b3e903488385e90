//! One bundle: encoded at once, sent in one piece, followed by a barrier.
//!
//! ```text
//! xid:  open │ (delete everything) │ groups put │ flows put and removed │ groups removed │ commit │ barrier
//! ```
//!
//! Every message has its own transaction ID, in sequence, so that an error names the flow it is about: the switch
//! answers a bundled message under the ID that it was added with. OVS drops a bundle that is idle for 10 s, so nothing is opened
//! before all of it is ready to be sent.
//!
//! Two kinds of refusal: at the door (the message cannot be decoded; the rest of the bundle goes on), and at the commit
//! (nothing is applied).
//!
//! Must not: decide what goes into it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use openflow_rs::{BundleAdd, BundleControl, BundleStep, EncodeError, ErrorMessage, Group};
use weft_compiler::{CompiledFlow, CompiledGroup};

use super::ledger::Change;
use super::{after, request};

/// A bundle on its way.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The generation that it makes complete.
    pub(super) generation: u64,
    /// The transaction ID of the barrier behind it.
    pub(super) barrier: u32,
    open: u32,
    commit: u32,
    items: Vec<Item>,
    committed: bool,
    refused_any: bool,
    failure: Option<String>,
}

#[derive(Debug)]
struct Item {
    xid: u32,
    what: What,
    refused: bool,
}

#[derive(Debug)]
enum What {
    Flow(Change<CompiledFlow>),
    Group(Change<CompiledGroup>),
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
        flows: Vec<Change<CompiledFlow>>,
        groups: Vec<Change<CompiledGroup>>,
    ) -> Result<(Bundle, Bytes), EncodeError> {
        let mut xid = first;
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(&request::bundle(xid, id, BundleStep::OpenRequest));
        let open = xid;
        if start == Start::Blank {
            for delete in [request::delete_all_flows, request::delete_all_groups] {
                xid = after(xid);
                bytes.extend_from_slice(&BundleAdd::wrap(id, xid, &delete(xid))?);
            }
        }
        let is_put = |change: &Change<CompiledGroup>| matches!(change, Change::Put { .. });
        let (puts, removals): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_put);
        let whats = puts.into_iter().map(What::Group);
        let whats = whats
            .chain(flows.into_iter().map(What::Flow))
            .chain(removals.into_iter().map(What::Group));
        let mut items = Vec::new();
        for what in whats {
            xid = after(xid);
            bytes.extend_from_slice(&BundleAdd::wrap(id, xid, &what.message()?)?);
            items.push(Item {
                xid,
                what,
                refused: false,
            });
        }
        let commit = after(xid);
        bytes.extend_from_slice(&request::bundle(commit, id, BundleStep::CommitRequest));
        let barrier = after(commit);
        bytes.extend_from_slice(&request::barrier(barrier));
        let bundle = Bundle {
            generation,
            barrier,
            open,
            commit,
            items,
            committed: false,
            refused_any: false,
            failure: None,
        };
        Ok((bundle, bytes.freeze()))
    }

    /// The switch reports progress.
    pub(super) fn control(&mut self, xid: u32, control: BundleControl) {
        self.committed |= xid == self.commit && control.step == BundleStep::CommitReply;
    }

    /// The switch reports an error.
    pub(super) fn fail(&mut self, xid: u32, error: &ErrorMessage) -> Fault {
        if xid == self.open || xid == self.commit {
            self.failure = Some(error.to_string());
            return Fault::Bundle;
        }
        // In sequence, so a search by halves would do, but for the one place where the sequence wraps.
        let Some(item) = self.items.iter_mut().find(|item| item.xid == xid) else {
            return Fault::Stray;
        };
        let fault = match &item.what {
            What::Flow(Change::Put { entry, .. }) => Fault::Flow(entry.clone()),
            What::Group(Change::Put { entry, .. }) => Fault::Group(entry.clone()),
            What::Flow(Change::Remove(_)) | What::Group(Change::Remove(_)) => {
                self.failure = Some(format!("a removal was answered with {error}"));
                return Fault::Bundle;
            }
        };
        item.refused = true;
        self.refused_any = true;
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
                What::Group(_) => None,
            })
    }

    /// Group changes that were not refused.
    pub(super) fn group_changes(&self) -> impl Iterator<Item = &Change<CompiledGroup>> {
        self.items
            .iter()
            .filter(|item| !item.refused)
            .filter_map(|item| match &item.what {
                What::Group(change) => Some(change),
                What::Flow(_) => None,
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
    fn message(&self) -> Result<Bytes, EncodeError> {
        match self {
            What::Flow(Change::Put { entry, .. }) => Ok(entry.add().clone()),
            What::Flow(Change::Remove(key)) => key.delete_strict(),
            What::Group(Change::Put {
                entry,
                replaces: false,
            }) => Ok(entry.add.clone()),
            What::Group(Change::Put {
                entry,
                replaces: true,
            }) => Ok(entry.modify.clone()),
            What::Group(Change::Remove(id)) => Group::delete(*id),
        }
    }
}
