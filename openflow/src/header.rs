//! The eight bytes before every OpenFlow message: version, type, length, transaction ID.
//!
//! Must not: know message bodies.

use bytes::Bytes;

use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer};

/// Wire version of OpenFlow 1.5.
pub const VERSION: u8 = 6;
/// Bytes of a header.
pub const HEADER_LENGTH: usize = 8;
/// Longest message: the length is 16 bits.
pub const MESSAGE_MAX: usize = 65535;

/// `ofp_header`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 6 for OpenFlow 1.5; hello messages may carry others.
    pub version: u8,
    /// `OFPT_*`.
    pub kind: u8,
    /// Bytes of the whole message.
    pub length: u16,
    /// Chosen by whoever asks, repeated in the answer.
    pub xid: u32,
}

impl Header {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Header, DecodeError> {
        let header = Header {
            version: reader.u8()?,
            kind: reader.u8()?,
            length: reader.u16()?,
            xid: reader.u32()?,
        };
        match usize::from(header.length) {
            HEADER_LENGTH.. => Ok(header),
            length => Err(DecodeError::Length {
                what: "message",
                length,
                rule: "at least 8",
            }),
        }
    }
}

/// Writes a whole message: header, then what `body` writes.
pub(crate) fn message(
    kind: u8,
    xid: u32,
    body: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    nested(&mut writer, kind, xid, body)?;
    Ok(writer.finish())
}

/// Writes a whole message within another.
pub(crate) fn nested(
    writer: &mut Writer,
    kind: u8,
    xid: u32,
    body: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = writer.len();
    writer.u8(VERSION);
    writer.u8(kind);
    writer.u16(0);
    writer.u32(xid);
    body(writer)?;
    writer.patch("message", start.saturating_add(2), start)
}
