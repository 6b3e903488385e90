//! Type-length-value properties, as newer OpenFlow messages carry them: the length counts the four header bytes but not the
//! padding to a multiple of 8.
//!
//! Must not: know any property.

use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer};

/// Most properties of one structure.
pub(crate) const PROPERTIES_MAX: usize = 1024;

/// Reads one property: its type and a reader of its body.
pub(crate) fn decode_property<'a>(
    reader: &mut Reader<'a>,
) -> Result<(u16, Reader<'a>), DecodeError> {
    let what = reader.what();
    let (kind, length) = (reader.u16()?, usize::from(reader.u16()?));
    let bad = DecodeError::Length {
        what,
        length,
        rule: "a property is at least 4 bytes",
    };
    let body = reader.part(what, length.checked_sub(4).ok_or(bad)?)?;
    let padding = length.next_multiple_of(8).saturating_sub(length);
    reader.skip(padding)?;
    Ok((kind, body))
}

/// Writes one property and its padding.
pub(crate) fn encode_property(
    writer: &mut Writer,
    kind: u16,
    body: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = writer.len();
    writer.u16(kind);
    writer.u16(0);
    body(writer)?;
    writer.patch("property", start.saturating_add(2), start)?;
    writer.pad(start);
    Ok(())
}

/// A property that this crate does not know: refused by number.
pub(crate) fn unknown_property(what: &'static str, kind: u16) -> DecodeError {
    DecodeError::Value {
        what,
        value: u64::from(kind),
        rule: "a property this crate knows",
    }
}
