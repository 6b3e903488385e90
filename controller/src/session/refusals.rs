//! What a switch will not take: told once it is known in full, and tried again with growing waits.
//!
//! A full table may have room again, and nobody tells when; so the entries that were refused, and nothing else, are offered after
//! [`RETRY_FIRST`], twice that, and so on up to [`RETRY_MOST`].
//!
//! Must not: read the clock, or decide what is offered.

use std::time::{Duration, Instant};

use weft_compiler::{CompiledFlow, CompiledGroup};

use super::ledger::Ledger;
use super::{Effect, Refusal, RefusedKey};

#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// What was told last; sorted.
    told: Vec<Refusal>,
    /// The wait that is under way.
    wait: Duration,
    retry_at: Option<Instant>,
}

impl Refusals {
    /// Everything was offered. What is refused now is told if that is news, and tried again later.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        flows: &Ledger<CompiledFlow>,
        groups: &Ledger<CompiledGroup>,
        effects: &mut Vec<Effect>,
    ) {
        let count = flows
            .counts()
            .refused
            .saturating_add(groups.counts().refused);
        if count == 0 {
            self.forgive();
            if !self.told.is_empty() {
                self.told.clear();
                effects.push(Effect::Refused(Vec::new()));
            }
            return;
        }
        if self.retry_at.is_none() {
            self.wait = self.wait.saturating_mul(2).clamp(RETRY_FIRST, RETRY_MOST);
            self.retry_at = now.checked_add(self.wait);
        }
        let flows = flows.refusals().map(|(flow, error)| Refusal {
            key: RefusedKey::Flow(flow.key().clone()),
            what: flow.flow().to_string(),
            error: error.to_owned(),
        });
        let groups = groups.refusals().map(|(group, error)| Refusal {
            key: RefusedKey::Group(group.group.id),
            what: group.group.to_string(),
            error: error.to_owned(),
        });
        let mut refused: Vec<Refusal> = flows.chain(groups).collect();
        refused.sort_unstable();
        if refused != self.told {
            self.told.clone_from(&refused);
            effects.push(Effect::Refused(refused));
        }
    }

    /// Another switch may answer now, or nothing is refused any more.
    pub(super) fn forgive(&mut self) {
        self.wait = Duration::ZERO;
        self.retry_at = None;
    }

    /// When what was refused is to be offered again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether that time has come; the next settling begins another wait.
    pub(super) fn is_time_to_retry(&mut self, now: Instant) -> bool {
        self.retry_at.take_if(|at| now >= *at).is_some()
    }
}

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(300);
