//! Reading a switch: three dumps, taken into the ledgers part by part, so that no dump is ever held whole.
//!
//! A part that cannot be decoded (somebody's flow with an action nobody knows) makes what was read worthless: what is not known
//! cannot be taken away by name. Then the next bundle begins by deleting everything.
//!
//! Must not: send anything.

use openflow_rs::{FlowDesc, MultipartReply, Part};
use weft_compiler::{CompiledFlow, CompiledGroup, CompiledMeter};

use super::Note;
use super::ledger::Ledger;

/// What the dumps are taken into.
pub(super) type Ledgers<'a> = (
    &'a mut Ledger<CompiledFlow>,
    &'a mut Ledger<CompiledGroup>,
    &'a mut Ledger<CompiledMeter>,
);

/// The dumps under way.
#[derive(Debug)]
pub(super) struct Reading {
    flows: Option<u32>,
    groups: Option<u32>,
    meters: Option<u32>,
    found: usize,
    stale: usize,
    /// A part could not be decoded.
    pub(super) is_broken: bool,
}

impl Reading {
    /// Waits for the answers to these requests.
    pub(super) fn new(flows: u32, groups: u32, meters: u32) -> Reading {
        Reading {
            flows: Some(flows),
            groups: Some(groups),
            meters: Some(meters),
            found: 0,
            stale: 0,
            is_broken: false,
        }
    }

    /// One part of an answer.
    pub(super) fn take_in(
        &mut self,
        xid: u32,
        part: Part<MultipartReply>,
        (flows, groups, meters): Ledgers<'_>,
    ) {
        match part.body {
            MultipartReply::Flows(entries) if self.flows == Some(xid) => {
                for entry in entries {
                    self.found_flow(entry, flows);
                }
                self.flows = self.flows.filter(|_| part.more);
            }
            MultipartReply::Groups(entries) if self.groups == Some(xid) => {
                for entry in entries {
                    let group = entry.canonical();
                    let is_same = groups.found(group.id, |wanted| wanted.group == group);
                    self.count(is_same);
                }
                self.groups = self.groups.filter(|_| part.more);
            }
            MultipartReply::Meters(entries) if self.meters == Some(xid) => {
                for entry in entries {
                    let is_same = meters.found(entry.id, |wanted| wanted.meter == entry);
                    self.count(is_same);
                }
                self.meters = self.meters.filter(|_| part.more);
            }
            _ => {}
        }
    }

    /// Part of an answer could not be decoded.
    pub(super) fn spoil(&mut self, xid: u32) {
        if [self.flows, self.groups, self.meters].contains(&Some(xid)) {
            self.is_broken = true;
        }
    }

    /// Whether all parts are there, or no more are of use.
    pub(super) fn is_done(&self) -> bool {
        let waits = [self.flows, self.groups, self.meters];
        self.is_broken || waits.iter().all(Option::is_none)
    }

    /// For the log.
    pub(super) fn note(&self) -> Note {
        match self.is_broken {
            true => Note::Unreadable,
            false => Note::Read {
                found: self.found,
                stale: self.stale,
            },
        }
    }

    fn found_flow(&mut self, entry: FlowDesc, flows: &mut Ledger<CompiledFlow>) {
        // One that ends by itself is not one of ours, whatever it does until then.
        let lasts = entry.idle_timeout == 0 && entry.hard_timeout == 0;
        let Ok(flow) = CompiledFlow::new(entry.flow) else {
            self.is_broken = true;
            return;
        };
        let is_same = flows.found(flow.key().clone(), |wanted| lasts && *wanted == flow);
        self.count(is_same);
    }

    fn count(&mut self, is_same: bool) {
        self.found += 1;
        self.stale += usize::from(!is_same);
    }
}
