//! OFPMP_DESC: who made the switch, and its version (OpenFlow 1.5 §7.3.5.1).
//!
//! Must not: be trusted for what the switch can do.

use bytes::Bytes;

use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer};

const LONG: usize = 256;
const SHORT: usize = 32;

/// The switch; each text without the zeros behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SwitchDesc {
    /// Up to 255 bytes.
    pub manufacturer: Bytes,
    /// Up to 255 bytes.
    pub hardware: Bytes,
    /// Up to 255 bytes: Open vSwitch's version.
    pub software: Bytes,
    /// Up to 31 bytes.
    pub serial: Bytes,
    /// Up to 255 bytes.
    pub datapath: Bytes,
}

impl SwitchDesc {
    pub(super) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let SwitchDesc {
            manufacturer,
            hardware,
            software,
            serial,
            datapath,
        } = self;
        for (text, size) in [
            (manufacturer, LONG),
            (hardware, LONG),
            (software, LONG),
            (serial, SHORT),
            (datapath, LONG),
        ] {
            encode_text(writer, text, size)?;
        }
        Ok(())
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<SwitchDesc, DecodeError> {
        Ok(SwitchDesc {
            manufacturer: decode_text(reader, LONG)?,
            hardware: decode_text(reader, LONG)?,
            software: decode_text(reader, LONG)?,
            serial: decode_text(reader, SHORT)?,
            datapath: decode_text(reader, LONG)?,
        })
    }
}

/// Writes a text of a fixed size, zeros behind it.
pub(super) fn encode_text(
    writer: &mut Writer,
    text: &[u8],
    size: usize,
) -> Result<(), EncodeError> {
    if text.len() >= size {
        return Err(EncodeError::TooLong {
            what: "text",
            length: text.len(),
            limit: size.saturating_sub(1),
        });
    }
    writer.slice(text);
    writer.zeros(size.saturating_sub(text.len()));
    Ok(())
}

/// Reads a text of a fixed size up to its first zero; there must be one.
pub(super) fn decode_text(reader: &mut Reader<'_>, size: usize) -> Result<Bytes, DecodeError> {
    let bytes = reader.take(size)?;
    let end = bytes.iter().position(|byte| *byte == 0);
    let bad = DecodeError::Length {
        what: "text",
        length: size,
        rule: "a zero at its end",
    };
    Ok(Bytes::copy_from_slice(
        bytes.get(..end.ok_or(bad)?).unwrap_or_default(),
    ))
}
