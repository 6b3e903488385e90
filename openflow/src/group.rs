//! Groups and their buckets (OpenFlow 1.5 §7.3.4.3, `struct ofp15_bucket`).
//!
//! Must not: choose buckets or bucket IDs (the compiler does).

mod text;

use bytes::Bytes;

use crate::action::{Action, canonical_list, decode_actions, encode_actions};
use crate::error::{DecodeError, EncodeError};
use crate::field::Field;
use crate::group_mod::{GroupCommand, GroupMod};
use crate::matches::{FieldHeader, MatchField, encode_field};
use crate::port::PortNo;
use crate::property::{PROPERTIES_MAX, decode_property, encode_property};
use crate::wire::{Reader, Writer};

/// Most buckets of one group: as many empty ones as a message holds.
const BUCKETS_MAX: usize = 8192;
const EXPERIMENTER: u16 = 0xffff;
const NETRONOME: u32 = 0x0000_154d;
const NTR_SELECTION_METHOD: u32 = 1;
const METHOD_LENGTH: usize = 16;
const BUCKET_WEIGHT: u16 = 0;
const BUCKET_WATCH_PORT: u16 = 1;
const BUCKET_WATCH_GROUP: u16 = 2;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// 0 to 0xffffff00.
    pub id: u32,
    /// How buckets are chosen.
    pub kind: GroupType,
    /// The buckets, in the order that matters for fast failover.
    pub buckets: Vec<Bucket>,
    /// How a select group picks; `None` leaves it to the switch.
    pub selection: Option<Selection>,
}

/// How a group chooses among its buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum GroupType {
    /// All, a copy each.
    All = 0,
    /// One, by weight.
    Select = 1,
    /// The only one.
    Indirect = 2,
    /// The first that is alive.
    FastFailover = 3,
}

/// One bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Up to 0xffffff00, unique within the group.
    pub id: u32,
    /// Share of a select group; 1 in others, where it is not sent.
    pub weight: u16,
    /// The port whose state decides whether the bucket is alive (fast failover).
    pub watch_port: Option<PortNo>,
    /// The group whose state decides whether the bucket is alive (fast failover).
    pub watch_group: Option<u32>,
    /// What the bucket does.
    pub actions: Vec<Action>,
}

/// How a select group picks a bucket (Netronome's group property, understood by Open vSwitch).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selection {
    /// `hash` or `dp_hash`; up to 15 bytes of ASCII.
    pub method: String,
    /// A parameter of the method.
    pub parameter: u64,
    /// Fields that go into the hash, with masks; sorted.
    pub fields: Vec<SelectionField>,
}

/// One field of [`Selection::fields`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SelectionField {
    /// The field.
    pub field: Field,
    /// The bits that go into the hash.
    pub mask: u128,
}

impl Bucket {
    /// A bucket of weight 1.
    #[must_use]
    pub fn new(id: u32, actions: Vec<Action>) -> Bucket {
        Bucket {
            id,
            weight: 1,
            watch_port: None,
            watch_group: None,
            actions,
        }
    }
}

impl Group {
    /// The group as Open vSwitch gives it back in a dump.
    #[must_use]
    pub fn canonical(mut self) -> Group {
        for bucket in &mut self.buckets {
            bucket.actions = canonical_list(std::mem::take(&mut bucket.actions));
            if self.kind != GroupType::Select {
                bucket.weight = 1;
            }
        }
        // Their order says nothing, and depends on what was inserted when.
        if self.kind == GroupType::Select {
            self.buckets.sort_by_key(|bucket| bucket.id);
        }
        self.selection
            .iter_mut()
            .for_each(|selection| selection.fields.sort());
        self
    }

    /// A whole message that adds the group; transaction ID 0.
    ///
    /// # Errors
    /// If a value is wider than its field, or the message would be longer than 65,535 bytes.
    pub fn add(&self) -> Result<Bytes, EncodeError> {
        GroupMod::new(GroupCommand::Add, self.clone()).message(0)
    }

    /// A whole message that replaces the group's type, buckets and selection; transaction ID 0.
    ///
    /// # Errors
    /// As [`Group::add`].
    pub fn modify(&self) -> Result<Bytes, EncodeError> {
        GroupMod::new(GroupCommand::Modify, self.clone()).message(0)
    }

    /// A whole message that deletes the group, and with it all flows that output to it; transaction ID 0.
    ///
    /// # Errors
    /// None in practice: the message is short.
    pub fn delete(id: u32) -> Result<Bytes, EncodeError> {
        GroupMod::delete(id).message(0)
    }
}

impl GroupType {
    pub(crate) fn decode(value: u8) -> Result<GroupType, DecodeError> {
        match value {
            0 => Ok(GroupType::All),
            1 => Ok(GroupType::Select),
            2 => Ok(GroupType::Indirect),
            3 => Ok(GroupType::FastFailover),
            _ => Err(DecodeError::Value {
                what: "group type",
                value: u64::from(value),
                rule: "0 to 3",
            }),
        }
    }
}

/// Writes buckets and properties as they stand behind the fixed part of a message, and the bytes of the buckets at `length_at`.
pub(crate) fn encode_buckets(
    writer: &mut Writer,
    group: &Group,
    length_at: usize,
) -> Result<(), EncodeError> {
    let start = writer.len();
    group
        .buckets
        .iter()
        .try_for_each(|bucket| encode_bucket(writer, bucket, group.kind))?;
    writer.patch("buckets", length_at, start)?;
    group
        .selection
        .iter()
        .try_for_each(|selection| encode_selection(writer, selection))
}

fn encode_bucket(writer: &mut Writer, bucket: &Bucket, kind: GroupType) -> Result<(), EncodeError> {
    let start = writer.len();
    writer.u32(0);
    writer.u32(bucket.id);
    let actions = writer.len();
    encode_actions(writer, &bucket.actions, 0)?;
    writer.patch("bucket actions", start.saturating_add(2), actions)?;
    if kind == GroupType::Select || bucket.weight != 1 {
        encode_bucket_property(
            writer,
            BUCKET_WEIGHT,
            &[&bucket.weight.to_be_bytes()[..], &[0, 0]].concat(),
        );
    }
    if let Some(port) = bucket.watch_port {
        encode_bucket_property(writer, BUCKET_WATCH_PORT, &port.0.to_be_bytes());
    }
    if let Some(group) = bucket.watch_group {
        encode_bucket_property(writer, BUCKET_WATCH_GROUP, &group.to_be_bytes());
    }
    writer.patch("bucket", start, start)
}

fn encode_bucket_property(writer: &mut Writer, kind: u16, body: &[u8]) {
    writer.u16(kind);
    writer.u16(8);
    writer.slice(body);
}

fn encode_selection(writer: &mut Writer, selection: &Selection) -> Result<(), EncodeError> {
    let method = selection.method.as_bytes();
    if method.len() >= METHOD_LENGTH || !method.iter().all(u8::is_ascii_graphic) {
        let (what, length) = ("selection method", method.len());
        return Err(EncodeError::TooLong {
            what,
            length,
            limit: METHOD_LENGTH.saturating_sub(1),
        });
    }
    encode_property(writer, EXPERIMENTER, |writer| {
        writer.u32(NETRONOME);
        writer.u32(NTR_SELECTION_METHOD);
        writer.zeros(4);
        writer.slice(method);
        writer.zeros(METHOD_LENGTH.saturating_sub(method.len()));
        writer.u64(selection.parameter);
        selection
            .fields
            .iter()
            .try_for_each(|entry| encode_selection_field(writer, entry))
    })
}

/// A field of a selection is written as a match whose value is the mask.
fn encode_selection_field(writer: &mut Writer, entry: &SelectionField) -> Result<(), EncodeError> {
    encode_field(writer, entry.field, entry.mask, entry.field.all_ones())
}

/// Writes an entry of a group description reply.
pub(crate) fn encode_group_desc(writer: &mut Writer, group: &Group) -> Result<(), EncodeError> {
    let start = writer.len();
    writer.zeros(2);
    writer.u8(group.kind as u8);
    writer.zeros(1);
    writer.u32(group.id);
    let length_at = writer.len();
    writer.zeros(8);
    encode_buckets(writer, group, length_at)?;
    writer.patch("group description", start, start)
}

/// Reads an entry of a group description reply.
pub(crate) fn decode_group_desc(reader: &mut Reader<'_>) -> Result<Group, DecodeError> {
    let length = usize::from(reader.u16()?);
    let bad = DecodeError::Length {
        what: "group description",
        length,
        rule: "at least 16",
    };
    let mut reader = reader.part("group description", length.checked_sub(2).ok_or(bad)?)?;
    let kind = GroupType::decode(reader.u8()?)?;
    reader.skip(1)?;
    let (id, length) = (reader.u32()?, usize::from(reader.u16()?));
    reader.skip(6)?;
    let buckets = decode_buckets(reader.part("buckets", length)?)?;
    Ok(Group {
        id,
        kind,
        buckets,
        selection: decode_properties(reader)?,
    })
}

/// Reads `length` bytes of buckets.
pub(crate) fn decode_buckets(mut reader: Reader<'_>) -> Result<Vec<Bucket>, DecodeError> {
    reader.entries(BUCKETS_MAX, |reader| {
        let (length, actions) = (usize::from(reader.u16()?), usize::from(reader.u16()?));
        let bad = DecodeError::Length {
            what: "bucket",
            length,
            rule: "a multiple of 8, at least 8",
        };
        let body = length
            .checked_sub(4)
            .filter(|_| length >= 8 && length.is_multiple_of(8))
            .ok_or(bad)?;
        let mut reader = reader.part("bucket", body)?;
        let mut bucket = Bucket::new(reader.u32()?, Vec::new());
        bucket.actions = decode_actions(reader.part("bucket actions", actions)?, 0)?;
        reader.entries(PROPERTIES_MAX, |reader| {
            decode_bucket_property(reader, &mut bucket)
        })?;
        Ok(bucket)
    })
}

fn decode_bucket_property(reader: &mut Reader<'_>, bucket: &mut Bucket) -> Result<(), DecodeError> {
    let (kind, length) = (reader.u16()?, reader.u16()?);
    if length != 8 {
        let length = usize::from(length);
        return Err(DecodeError::Length {
            what: "bucket property",
            length,
            rule: "8",
        });
    }
    match kind {
        BUCKET_WEIGHT => {
            bucket.weight = reader.u16()?;
            reader.skip(2)
        }
        BUCKET_WATCH_PORT => {
            bucket.watch_port = Some(PortNo(reader.u32()?)).filter(|port| *port != PortNo::ANY);
            Ok(())
        }
        BUCKET_WATCH_GROUP => {
            bucket.watch_group = Some(reader.u32()?).filter(|group| *group != u32::MAX);
            Ok(())
        }
        _ => Err(DecodeError::Value {
            what: "bucket property",
            value: u64::from(kind),
            rule: "0 to 2",
        }),
    }
}

/// Reads the properties behind the buckets.
pub(crate) fn decode_properties(mut reader: Reader<'_>) -> Result<Option<Selection>, DecodeError> {
    let mut selection = None;
    reader.entries(PROPERTIES_MAX, |reader| {
        let (kind, mut part) = decode_property(reader)?;
        let vendor = part.u32()?;
        let (known, rule) = (
            kind == EXPERIMENTER && vendor == NETRONOME,
            "Netronome's selection method",
        );
        if !known || part.u32()? != NTR_SELECTION_METHOD {
            return Err(DecodeError::Value {
                what: "group property",
                value: u64::from(vendor),
                rule,
            });
        }
        selection = decode_selection(part)?;
        Ok(())
    })?;
    Ok(selection)
}

fn decode_selection(mut reader: Reader<'_>) -> Result<Option<Selection>, DecodeError> {
    reader.skip(4)?;
    let name = reader.take(METHOD_LENGTH)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let rule = "ASCII of up to 15 bytes";
    let bad = DecodeError::Value {
        what: "selection method",
        value: 0,
        rule,
    };
    let is_name = name.len() < METHOD_LENGTH && name.iter().all(u8::is_ascii_graphic);
    let method = String::from_utf8(name.to_vec())
        .ok()
        .filter(|_| is_name)
        .ok_or(bad)?;
    let parameter = reader.u64()?;
    let mut fields = reader.entries(PROPERTIES_MAX, |reader| {
        let header = FieldHeader::decode(&mut reader.clone())?;
        let MatchField { field, value, mask } = crate::matches::decode_field(reader)?;
        Ok(SelectionField {
            field,
            mask: if header.has_mask { mask } else { value },
        })
    })?;
    fields.sort();
    // An empty name is how Open vSwitch dumps a group that was given no method.
    Ok(Some(Selection {
        method,
        parameter,
        fields,
    })
    .filter(|selection| !selection.method.is_empty()))
}
