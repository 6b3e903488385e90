//! OFPT_MULTIPART_REQUEST and _REPLY: dumps that may take many messages (OpenFlow 1.5 §7.3.5).
//!
//! Open vSwitch splits a reply between entries, so every part decodes alone; [`Reassembly`] puts the parts together.
//!
//! Must not: let a switch send parts without end.

mod desc;
mod flow_desc;
mod table;

use bytes::Bytes;

pub use self::desc::SwitchDesc;
pub use self::flow_desc::{FlowDesc, FlowRequest};
pub use self::table::{TableDesc, TableFeatures};
use crate::error::{DecodeError, EncodeError};
use crate::group::{Group, decode_group_desc, encode_group_desc};
use crate::meter_mod::Meter;
use crate::port::PortNo;
use crate::port_desc::PortDesc;
use crate::wire::{Reader, Writer};

const DESC: u16 = 0;
const FLOW_DESC: u16 = 1;
const GROUP_DESC: u16 = 7;
const METER_CONFIG: u16 = 10;
const TABLE_FEATURES: u16 = 12;
const PORT_DESC: u16 = 13;
const TABLE_DESC: u16 = 14;
const MORE: u16 = 1;
/// Entries of one part: more than fit.
const PART_MAX: usize = 16384;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MultipartRequest {
    /// Who made the switch.
    Desc,
    /// Flows.
    Flows(FlowRequest),
    /// One group, or [`crate::ALL_GROUPS`].
    Groups(u32),
    /// One meter, or [`crate::ALL_METERS`].
    Meters(u32),
    /// One port, or [`PortNo::ANY`].
    Ports(PortNo),
    /// What tables can do.
    TableFeatures,
    /// How tables are configured.
    Tables,
    /// Another request, passed through.
    Unknown {
        /// `OFPMP_*`.
        kind: u16,
        /// Its body.
        body: Bytes,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MultipartReply {
    /// Who made the switch.
    Desc(Box<SwitchDesc>),
    /// Flows.
    Flows(Vec<FlowDesc>),
    /// Groups.
    Groups(Vec<Group>),
    /// Meters.
    Meters(Vec<Meter>),
    /// Ports.
    Ports(Vec<PortDesc>),
    /// What tables can do.
    TableFeatures(Vec<TableFeatures>),
    /// How tables are configured.
    Tables(Vec<TableDesc>),
    /// Another reply, passed through.
    Unknown {
        /// `OFPMP_*`.
        kind: u16,
        /// Its body.
        body: Bytes,
    },
}

/// A request or reply with its "more parts follow" flag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part<T> {
    /// Whether more parts follow.
    pub more: bool,
    /// This part.
    pub body: T,
}

impl<T> Part<T> {
    /// The only, or last, part.
    #[must_use]
    pub fn last(body: T) -> Part<T> {
        Part { more: false, body }
    }
}

impl MultipartRequest {
    fn kind(&self) -> u16 {
        match self {
            MultipartRequest::Desc => DESC,
            MultipartRequest::Flows(_) => FLOW_DESC,
            MultipartRequest::Groups(_) => GROUP_DESC,
            MultipartRequest::Meters(_) => METER_CONFIG,
            MultipartRequest::Ports(_) => PORT_DESC,
            MultipartRequest::TableFeatures => TABLE_FEATURES,
            MultipartRequest::Tables => TABLE_DESC,
            MultipartRequest::Unknown { kind, .. } => *kind,
        }
    }
}

impl MultipartReply {
    fn kind(&self) -> u16 {
        match self {
            MultipartReply::Desc(_) => DESC,
            MultipartReply::Flows(_) => FLOW_DESC,
            MultipartReply::Groups(_) => GROUP_DESC,
            MultipartReply::Meters(_) => METER_CONFIG,
            MultipartReply::Ports(_) => PORT_DESC,
            MultipartReply::TableFeatures(_) => TABLE_FEATURES,
            MultipartReply::Tables(_) => TABLE_DESC,
            MultipartReply::Unknown { kind, .. } => *kind,
        }
    }
}

impl Part<MultipartRequest> {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        encode_header(writer, self.body.kind(), self.more);
        match &self.body {
            MultipartRequest::Desc | MultipartRequest::TableFeatures | MultipartRequest::Tables => {
            }
            MultipartRequest::Flows(request) => return request.encode(writer),
            MultipartRequest::Groups(number)
            | MultipartRequest::Meters(number)
            | MultipartRequest::Ports(PortNo(number)) => {
                writer.u32(*number);
                writer.zeros(4);
            }
            MultipartRequest::Unknown { body, .. } => writer.slice(body),
        }
        Ok(())
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Part<MultipartRequest>, DecodeError> {
        let (kind, more) = decode_header(&mut reader)?;
        let number = |reader: &mut Reader<'_>| {
            let number = reader.u32()?;
            reader.skip(4)?;
            Ok(number)
        };
        let body = match kind {
            DESC => MultipartRequest::Desc,
            FLOW_DESC => MultipartRequest::Flows(FlowRequest::decode(&mut reader)?),
            GROUP_DESC => MultipartRequest::Groups(number(&mut reader)?),
            METER_CONFIG => MultipartRequest::Meters(number(&mut reader)?),
            PORT_DESC => MultipartRequest::Ports(PortNo(number(&mut reader)?)),
            TABLE_FEATURES if reader.is_empty() => MultipartRequest::TableFeatures,
            TABLE_DESC => MultipartRequest::Tables,
            _ => MultipartRequest::Unknown {
                kind,
                body: Bytes::copy_from_slice(reader.rest()),
            },
        };
        reader.end()?;
        Ok(Part { more, body })
    }
}

impl Part<MultipartReply> {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        encode_header(writer, self.body.kind(), self.more);
        match &self.body {
            MultipartReply::Desc(desc) => desc.encode(writer),
            MultipartReply::Flows(flows) => flows.iter().try_for_each(|flow| flow.encode(writer)),
            MultipartReply::Groups(groups) => groups
                .iter()
                .try_for_each(|group| encode_group_desc(writer, group)),
            MultipartReply::Meters(meters) => meters
                .iter()
                .try_for_each(|meter| meter.encode_entry(writer)),
            MultipartReply::Ports(ports) => ports.iter().try_for_each(|port| port.encode(writer)),
            MultipartReply::TableFeatures(tables) => {
                tables.iter().try_for_each(|table| table.encode(writer))
            }
            MultipartReply::Tables(tables) => {
                tables.iter().try_for_each(|table| table.encode(writer))
            }
            MultipartReply::Unknown { body, .. } => {
                writer.slice(body);
                Ok(())
            }
        }
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Part<MultipartReply>, DecodeError> {
        let (kind, more) = decode_header(&mut reader)?;
        let body = match kind {
            DESC => MultipartReply::Desc(Box::new(SwitchDesc::decode(&mut reader)?)),
            FLOW_DESC => MultipartReply::Flows(reader.entries(PART_MAX, FlowDesc::decode)?),
            GROUP_DESC => MultipartReply::Groups(reader.entries(PART_MAX, decode_group_desc)?),
            METER_CONFIG => MultipartReply::Meters(reader.entries(PART_MAX, Meter::decode_entry)?),
            PORT_DESC => MultipartReply::Ports(reader.entries(PART_MAX, PortDesc::decode)?),
            TABLE_FEATURES => {
                MultipartReply::TableFeatures(reader.entries(PART_MAX, TableFeatures::decode)?)
            }
            TABLE_DESC => MultipartReply::Tables(reader.entries(PART_MAX, TableDesc::decode)?),
            _ => MultipartReply::Unknown {
                kind,
                body: Bytes::copy_from_slice(reader.rest()),
            },
        };
        reader.end()?;
        Ok(Part { more, body })
    }
}

/// Parts of one reply, put together.
#[derive(Debug, Default)]
pub struct Reassembly {
    so_far: Option<MultipartReply>,
}

impl Reassembly {
    /// Nothing received yet.
    #[must_use]
    pub fn new() -> Reassembly {
        Reassembly::default()
    }

    /// Adds a part; gives the whole reply after the last one. At most `limit` entries (bytes, of unknown replies) are kept.
    ///
    /// # Errors
    /// If the parts are of different kinds or there are too many entries. What was received is dropped then.
    pub fn push(
        &mut self,
        part: Part<MultipartReply>,
        limit: usize,
    ) -> Result<Option<MultipartReply>, DecodeError> {
        let whole = match self.so_far.take() {
            None => part.body,
            Some(so_far) => join(so_far, part.body)?,
        };
        if whole.entries() > limit {
            return Err(DecodeError::Count {
                what: "multipart reply",
                limit,
            });
        }
        match part.more {
            true => {
                self.so_far = Some(whole);
                Ok(None)
            }
            false => Ok(Some(whole)),
        }
    }
}

impl MultipartReply {
    fn entries(&self) -> usize {
        match self {
            MultipartReply::Desc(_) => 1,
            MultipartReply::Flows(entries) => entries.len(),
            MultipartReply::Groups(entries) => entries.len(),
            MultipartReply::Meters(entries) => entries.len(),
            MultipartReply::Ports(entries) => entries.len(),
            MultipartReply::TableFeatures(entries) => entries.len(),
            MultipartReply::Tables(entries) => entries.len(),
            MultipartReply::Unknown { body, .. } => body.len(),
        }
    }
}

fn join(mut so_far: MultipartReply, part: MultipartReply) -> Result<MultipartReply, DecodeError> {
    let value = u64::from(part.kind());
    match (&mut so_far, part) {
        (MultipartReply::Flows(all), MultipartReply::Flows(part)) => all.extend(part),
        (MultipartReply::Groups(all), MultipartReply::Groups(part)) => all.extend(part),
        (MultipartReply::Meters(all), MultipartReply::Meters(part)) => all.extend(part),
        (MultipartReply::Ports(all), MultipartReply::Ports(part)) => all.extend(part),
        (MultipartReply::TableFeatures(all), MultipartReply::TableFeatures(part)) => {
            all.extend(part)
        }
        (MultipartReply::Tables(all), MultipartReply::Tables(part)) => all.extend(part),
        (
            MultipartReply::Unknown {
                kind: one,
                body: all,
            },
            MultipartReply::Unknown { kind, body },
        ) if *one == kind => {
            *all = [&all[..], &body[..]].concat().into();
        }
        _ => {
            let rule = "all parts of one reply are of one kind";
            return Err(DecodeError::Value {
                what: "multipart type",
                value,
                rule,
            });
        }
    }
    Ok(so_far)
}

fn encode_header(writer: &mut Writer, kind: u16, more: bool) {
    writer.u16(kind);
    writer.u16(if more { MORE } else { 0 });
    writer.zeros(4);
}

fn decode_header(reader: &mut Reader<'_>) -> Result<(u16, bool), DecodeError> {
    let (kind, flags) = (reader.u16()?, reader.u16()?);
    reader.skip(4)?;
    Ok((kind, flags & MORE != 0))
}
