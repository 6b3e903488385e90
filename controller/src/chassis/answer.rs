//! What an interface is told in its own row: addresses, gateways, MTU, and that its flows are installed.
//!
//! Invariants: an answer reaches the row only while it still claims the same logical port; `ovn-installed` is set
//! after the other keys or with them, never before, and never removed.
//!
//! Must not: decide what the answer is.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;
use weft_ovsdb::{Atom, Condition, Datum, Function, Mutation, Mutator, Operation};
use weft_schema::vswitch::Interface;
use weft_schema::{Table, keys};

/// What to tell one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The logical switch port that it is.
    pub port: Arc<str>,
    /// The MAC address it must have, if the port has one.
    pub mac: Option<String>,
    /// `ADDRESS/LENGTH…`, separated by spaces, IPv4 first.
    pub addresses: String,
    /// Gateways, separated by spaces, IPv4 first.
    pub gateways: String,
    /// The largest packet that fits the tunnels.
    pub mtu: u16,
    /// When the node acknowledged the port's flows, in milliseconds since the epoch.
    pub installed_ms: Option<u64>,
}

pub(super) fn plan(
    interfaces: &BTreeMap<Uuid, Interface>,
    answers: &BTreeMap<Uuid, Answer>,
) -> Vec<Operation> {
    let answered = answers
        .iter()
        .filter_map(|(row, answer)| Some((row, interfaces.get(row)?, answer)));
    answered
        .filter_map(|(row, interface, answer)| operation(*row, interface, answer))
        .collect()
}

fn operation(row: Uuid, interface: &Interface, answer: &Answer) -> Option<Operation> {
    if interface
        .external_ids
        .get(keys::IFACE_ID)
        .map(String::as_str)
        != Some(&*answer.port)
    {
        return None;
    }
    let mut wanted: Vec<(&str, String)> = Vec::new();
    wanted.extend(answer.mac.clone().map(|mac| (keys::MAC, mac)));
    wanted.push((keys::ADDRESSES, answer.addresses.clone()));
    wanted.push((keys::GATEWAYS, answer.gateways.clone()));
    wanted.push((keys::MTU, answer.mtu.to_string()));
    if let Some(installed_ms) = answer.installed_ms
        && interface
            .external_ids
            .get(keys::OVN_INSTALLED)
            .map(String::as_str)
            != Some("true")
    {
        wanted.push((keys::OVN_INSTALLED, "true".to_owned()));
        wanted.push((keys::OVN_INSTALLED_TS, installed_ms.to_string()));
    }
    wanted.retain(|(key, value)| interface.external_ids.get(*key) != Some(value));
    if wanted.is_empty() {
        return None;
    }
    // Inserting into a map leaves a key that is there as it is: take it away first.
    let stale: Vec<Atom> = wanted.iter().map(|(key, _)| Atom::from(*key)).collect();
    let fresh = wanted
        .iter()
        .map(|(key, value)| (Atom::from(*key), Atom::from(value.as_str())));
    let external_ids = |mutator, value| Mutation {
        column: "external_ids".into(),
        mutator,
        value,
    };
    let still_claims = Datum::Map(
        [(Atom::from(keys::IFACE_ID), Atom::from(&*answer.port))]
            .into_iter()
            .collect(),
    );
    Some(Operation::Mutate {
        table: Interface::NAME.into(),
        conditions: vec![
            Condition::uuid(row),
            Condition {
                column: "external_ids".into(),
                function: Function::Includes,
                value: still_claims,
            },
        ],
        mutations: vec![
            external_ids(Mutator::Delete, Datum::Set(stale.into_iter().collect())),
            external_ids(Mutator::Insert, Datum::Map(fresh.collect())),
        ],
    })
}
