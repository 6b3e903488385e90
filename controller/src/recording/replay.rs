//! Playing a recording: every session gets its events again, and has to answer each as it did.
//!
//! Must not: need anything of the run but the recording.
#![allow(
    clippy::indexing_slicing,
    reason = "only JSON is indexed, where what is missing is null"
)]

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openflow_rs::Message;
use serde_json::Value;
use uuid::Uuid;
use weft_compiler::{CompiledFlow, CompiledGroup, CompiledMeter};
use weft_ovsdb::{Row, RowChange, TableSchema};
use weft_schema::Table;
use weft_schema::vswitch::{Bridge, Controller, FlowTable, Interface, OpenVSwitch, Port};

use super::{chassis_effect, session_effect};
use crate::chassis::{self, Answer, Chassis, Configuration};
use crate::mailbox::Delivery;
use crate::nodes::Listener;
use crate::session::{self, Session};

/// Where a replay parts from its recording.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the recording: {what}")]
pub struct Difference {
    /// From 1.
    pub line: usize,
    /// What was expected and what came, or what cannot be read.
    pub what: String,
}

/// Plays a recording. Returns how many events were played.
///
/// # Errors
/// The first line that cannot be read, or whose effects are others now.
pub fn replay(recording: impl BufRead) -> Result<usize, Difference> {
    let mut sessions: BTreeMap<String, Player> = BTreeMap::new();
    let began = Instant::now();
    let mut played = 0;
    for (index, line) in recording.lines().enumerate() {
        let line_number = index.saturating_add(1);
        let fault = |what: String| Difference {
            line: line_number,
            what,
        };
        let line = line.map_err(|error| fault(error.to_string()))?;
        let line: Value = serde_json::from_str(&line).map_err(|error| fault(error.to_string()))?;
        let at = line["at"]
            .as_u64()
            .ok_or_else(|| fault("no time \"at\"".to_owned()))?;
        let now = began
            .checked_add(Duration::from_nanos(at))
            .ok_or_else(|| fault("a time beyond all clocks".to_owned()))?;
        let name = format!("{} {} {}", line["node"], line["life"], line["side"]);
        let event = &line["event"];
        let effects = match sessions.get_mut(&name) {
            None => {
                let player = Player::begin(&line["side"], event, now).map_err(fault)?;
                sessions.insert(name, player);
                Vec::new()
            }
            Some(player) => player.play(event, now).map_err(fault)?,
        };
        let expected = line["effects"].as_array().cloned().unwrap_or_default();
        if effects != expected {
            let text = |effects: Vec<Value>| Value::from(effects).to_string();
            return Err(fault(format!(
                "the session answers {event} otherwise:\n then {}\n now  {}",
                text(expected),
                text(effects)
            )));
        }
        played = line_number;
    }
    Ok(played)
}

enum Player {
    Ovsdb(Box<Chassis>),
    Openflow(Box<Session>),
}

impl Player {
    fn begin(side: &Value, event: &Value, now: Instant) -> Result<Player, String> {
        let began = event
            .get("began")
            .ok_or("a session's first line has to say how it began")?;
        match side.as_str() {
            Some("openflow") => {
                let probe = Duration::from_millis(number(&began["probe_ms"])?);
                Ok(Player::Openflow(Box::new(Session::new(probe, now))))
            }
            Some("ovsdb") => {
                let encap_ip = match &began["encap_ip"] {
                    Value::Null => None,
                    ip => Some(
                        text(ip)?
                            .parse()
                            .map_err(|_| format!("{ip} is no address"))?,
                    ),
                };
                let listener = match &began["listener"] {
                    Value::Null => None,
                    listener => Some(Listener {
                        target: text(&listener[0])?.to_owned(),
                        port: number(&listener[1])?,
                    }),
                };
                let mut configuration = Configuration::new(encap_ip, listener);
                let tables = list(&began["prefix_tables"])?.iter().map(number);
                configuration.prefix_tables = tables.collect::<Result<_, _>>()?;
                Ok(Player::Ovsdb(Box::new(Chassis::new(configuration))))
            }
            _ => Err(format!("{side} is no side")),
        }
    }

    fn play(&mut self, event: &Value, now: Instant) -> Result<Vec<Value>, String> {
        match self {
            Player::Ovsdb(chassis) => {
                let effects = chassis.handle(chassis_event(event)?, now);
                Ok(effects.iter().map(chassis_effect).collect())
            }
            Player::Openflow(session) => {
                let effects = session.handle(session_event(event)?, now);
                Ok(effects.iter().map(session_effect).collect())
            }
        }
    }
}

fn session_event(event: &Value) -> Result<session::Event, String> {
    match event.as_str() {
        Some("connected") => return Ok(session::Event::Connected),
        Some("disconnected") => return Ok(session::Event::Disconnected),
        Some("tick") => return Ok(session::Event::Tick),
        _ => {}
    }
    if let Some(said) = event.get("said") {
        let bytes = bytes(said)?;
        let xid = bytes.get(4..8).and_then(|xid| xid.try_into().ok());
        let xid = u32::from_be_bytes(xid.ok_or("a message without a header")?);
        return Ok(match Message::decode(&bytes) {
            Ok((_, message)) => session::Event::Received { xid, message },
            Err(error) => session::Event::Garbled {
                xid,
                error: error.to_string(),
            },
        });
    }
    let Some(delivered) = event.get("delivered") else {
        return Err(format!("{event} is no event of an OpenFlow session"));
    };
    let mut delivery = Delivery {
        generation: delivered["generation"].as_u64(),
        ..Delivery::default()
    };
    for (field, is_wanted) in [("flows", true), ("gone", false)] {
        for text in list(&delivered[field])? {
            let Ok((_, Message::FlowMod(change))) = Message::decode(&bytes(text)?) else {
                return Err(format!("{text} is no flow"));
            };
            let flow = CompiledFlow::new(change.flow).map_err(|error| error.to_string())?;
            delivery
                .flows
                .insert(flow.key().clone(), is_wanted.then(|| Arc::new(flow)));
        }
    }
    for group in list(&delivered["groups"])? {
        let compiled = match &group[1] {
            Value::Null => None,
            text => {
                let Ok((_, Message::GroupMod(change))) = Message::decode(&bytes(text)?) else {
                    return Err(format!("{text} is no group"));
                };
                let group = CompiledGroup::new(change.group).map_err(|error| error.to_string())?;
                Some(Arc::new(group))
            }
        };
        delivery.groups.insert(number(&group[0])?, compiled);
    }
    for meter in list(&delivered["meters"])? {
        let id = number(&meter[0])?;
        let wanted = meter[1].as_bool() == Some(true);
        let compiled = wanted.then(|| CompiledMeter::numbered(id).map(Arc::new));
        let unknown = || format!("there is no meter {id}");
        let compiled = compiled
            .map(|meter| meter.ok_or_else(unknown))
            .transpose()?;
        delivery.meters.insert(id, compiled);
    }
    Ok(session::Event::Delivered(delivery))
}

fn chassis_event(event: &Value) -> Result<chassis::Event, String> {
    if event.as_str() == Some("tick") {
        return Ok(chassis::Event::Tick);
    }
    let (kind, content) = event
        .as_object()
        .and_then(|object| object.iter().next())
        .ok_or_else(|| format!("{event} is no event"))?;
    let database = chassis::Event::Database;
    Ok(match kind.as_str() {
        "snapshot" => database(weft_ovsdb::Event::Snapshot(rows(content)?)),
        "changes" => database(weft_ovsdb::Event::Changes(rows(content)?)),
        "disconnected" => database(weft_ovsdb::Event::Disconnected {
            reason: text(content)?.to_owned(),
        }),
        "answers" => {
            let answers = list(content)?.iter();
            let answers = answers.map(|entry| Ok((uuid(&entry[0])?, answer(&entry[1])?)));
            chassis::Event::Answers(answers.collect::<Result<_, String>>()?)
        }
        "localnets" => {
            let pairs = list(content)?.iter();
            let pairs = pairs.map(|pair| Ok((text(&pair[0])?.into(), text(&pair[1])?.into())));
            chassis::Event::Localnets(Arc::new(pairs.collect::<Result<_, String>>()?))
        }
        "ended" => chassis::Event::TransactionEnded(match content {
            Value::Null => Ok(()),
            error => Err(text(error)?.to_owned()),
        }),
        _ => return Err(format!("{kind} is no event of an OVSDB session")),
    })
}

fn rows(content: &Value) -> Result<Vec<RowChange>, String> {
    let mut changes = Vec::new();
    for entry in list(content)? {
        let table = text(&entry[0])?;
        let row = match &entry[2] {
            Value::Null => None,
            row => Some(Arc::new(
                Row::from_json(row, &schema(table)?).map_err(|error| error.to_string())?,
            )),
        };
        changes.push(RowChange {
            table: table.into(),
            uuid: uuid(&entry[1])?,
            row,
        });
    }
    Ok(changes)
}

fn schema(table: &str) -> Result<TableSchema, String> {
    Ok(match table {
        Bridge::NAME => Bridge::schema(),
        Controller::NAME => Controller::schema(),
        FlowTable::NAME => FlowTable::schema(),
        Interface::NAME => Interface::schema(),
        OpenVSwitch::NAME => OpenVSwitch::schema(),
        Port::NAME => Port::schema(),
        _ => return Err(format!("{table} is no table that is monitored")),
    })
}

fn answer(entry: &Value) -> Result<Option<Answer>, String> {
    if entry.is_null() {
        return Ok(None);
    }
    Ok(Some(Answer {
        port: text(&entry["port"])?.into(),
        mac: entry["mac"].as_str().map(str::to_owned),
        addresses: text(&entry["addresses"])?.to_owned(),
        gateways: text(&entry["gateways"])?.to_owned(),
        mtu: number(&entry["mtu"])?,
        installed_ms: entry["installed_ms"].as_u64(),
    }))
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value
        .as_array()
        .ok_or_else(|| format!("{value} is no list"))
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}

fn number<T: TryFrom<u64>>(value: &Value) -> Result<T, String> {
    let number = value.as_u64().and_then(|number| number.try_into().ok());
    number.ok_or_else(|| format!("{value} is no number that fits"))
}

fn uuid(value: &Value) -> Result<Uuid, String> {
    text(value)?
        .parse()
        .map_err(|_| format!("{value} is no UUID"))
}

fn bytes(value: &Value) -> Result<Bytes, String> {
    let digits = text(value)?.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.map(byte).collect();
    bytes
        .map(Bytes::from)
        .ok_or_else(|| format!("{value} is not hexadecimal"))
}
