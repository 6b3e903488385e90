//! Packets that flows hand over: each is answered by one that is made out of it, as the flow's [`Request`] says.
//!
//! ```text
//!   PACKET_IN2 { packet, registers, userdata } ──▶ Request ──▶ the answer is made ──▶ PACKET_OUT { registers set, actions, answer }
//! ```
//!
//! What a switch sends here it sends under a meter; a switch that does not keep to it gets fewer answers than it asks for, and disturbs no other session. Answers go
//! back to the switch that asked, and to no other: a node that makes requests up can harm itself only.
//!
//! A pure part of the session: the time is an argument, and a recorded run is played again with the same answers.
//!
//! Must not: know anything of the logical network.

use std::time::{Duration, Instant};

use bytes::Bytes;
use openflow_rs::{Action, Field, Match, Message, NO_BUFFER, PacketIn2, PacketOut, PortNo};
use weft_compiler::punt::{Request, packet};

/// The packets of one switch.
#[derive(Debug)]
pub(crate) struct Punts {
    /// How many may be answered at once, in thousandths.
    credit: u64,
    since: Instant,
}

impl Punts {
    pub(crate) fn new(now: Instant) -> Punts {
        Punts {
            credit: BURST * 1000,
            since: now,
        }
    }

    /// The packet-out that answers a packet, if one is owed and there were not too many of late.
    pub(crate) fn answer(&mut self, packet: &PacketIn2, xid: u32, now: Instant) -> Option<Bytes> {
        if !self.is_affordable(now) {
            return None;
        }
        let request = Request::decode(&packet.userdata).ok()?;
        let answer = packet::make(&request, &packet.packet)?;
        let mut actions = restored(&packet.metadata);
        actions.extend(request.actions);
        let message = Message::PacketOut(PacketOut {
            buffer_id: NO_BUFFER,
            metadata: Match::new().exact(Field::InPort, PortNo::CONTROLLER.0),
            actions,
            packet: answer.into(),
        });
        message.encode(xid).ok()
    }

    fn is_affordable(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let earned = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        // What is less than a thousandth is counted the next time.
        if earned > 0 {
            self.since += Duration::from_millis(earned);
        }
        let earned = earned.saturating_mul(RATE);
        self.credit = self.credit.saturating_add(earned).min(BURST * 1000);
        match self.credit.checked_sub(1000) {
            Some(left) => {
                self.credit = left;
                true
            }
            None => false,
        }
    }
}

/// Sets registers and metadata to what they were where the packet was handed over.
fn restored(metadata: &Match) -> Vec<Action> {
    let is_ours = |field| matches!(field, Field::Reg(_) | Field::Metadata | Field::PktMark);
    let fields = metadata.iter().filter(|entry| is_ours(entry.field));
    let set = |entry: &openflow_rs::MatchField| Action::SetField {
        field: entry.field,
        value: entry.value,
        mask: entry.mask,
    };
    fields.map(set).collect()
}

/// Packets a second that a session answers, whatever the meters let through: twice what all of them let through together.
const RATE: u64 = 600;
const BURST: u64 = 600;

#[cfg(test)]
mod tests;
