//! OFPT_BUNDLE_CONTROL and OFPT_BUNDLE_ADD_MESSAGE: changes that a switch makes together or not at all (OpenFlow 1.5 §7.3.9).
//!
//! Open vSwitch drops a bundle that saw no message for 10 s (`other_config:bundle-idle-timeout`), so open late and commit soon.
//! An error about a bundled message carries the transaction ID that the message was added with.
//!
//! Must not: keep track of bundles (the session does).

use bytes::Bytes;

use crate::error::{DecodeError, EncodeError};
use crate::header::{Header, message};
use crate::message::kind;
use crate::wire::{Reader, Writer};

/// Flag: all or nothing.
pub const BUNDLE_ATOMIC: u16 = 1;
/// Flag: in the order of adding.
pub const BUNDLE_ORDERED: u16 = 2;

/// What a bundle control asks or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum BundleStep {
    /// Opens a bundle.
    OpenRequest = 0,
    /// It is open.
    OpenReply = 1,
    /// No message comes any more.
    CloseRequest = 2,
    /// It is closed.
    CloseReply = 3,
    /// Carry it out (closing it, if need be).
    CommitRequest = 4,
    /// It is carried out.
    CommitReply = 5,
    /// Forget it.
    DiscardRequest = 6,
    /// It is forgotten.
    DiscardReply = 7,
}

/// OFPT_BUNDLE_CONTROL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BundleControl {
    /// Chosen by the controller, unique on the connection.
    pub id: u32,
    /// What to do, or what was done.
    pub step: BundleStep,
    /// `BUNDLE_*`; the same in all messages of a bundle (Open vSwitch answers with 0).
    pub flags: u16,
}

/// OFPT_BUNDLE_ADD_MESSAGE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BundleAdd {
    /// The bundle.
    pub id: u32,
    /// `BUNDLE_*`.
    pub flags: u16,
    /// A whole message. Its transaction ID is that of the message around it.
    pub message: Bytes,
}

impl BundleControl {
    /// An atomic, ordered bundle's control message.
    #[must_use]
    pub fn new(id: u32, step: BundleStep) -> BundleControl {
        BundleControl {
            id,
            step,
            flags: BUNDLE_ATOMIC | BUNDLE_ORDERED,
        }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u32(self.id);
        writer.u16(self.step as u16);
        writer.u16(self.flags);
        Ok(())
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<BundleControl, DecodeError> {
        let id = reader.u32()?;
        let step = match reader.u16()? {
            0 => BundleStep::OpenRequest,
            1 => BundleStep::OpenReply,
            2 => BundleStep::CloseRequest,
            3 => BundleStep::CloseReply,
            4 => BundleStep::CommitRequest,
            5 => BundleStep::CommitReply,
            6 => BundleStep::DiscardRequest,
            7 => BundleStep::DiscardReply,
            step => {
                return Err(DecodeError::Value {
                    what: "bundle control type",
                    value: u64::from(step),
                    rule: "0 to 7",
                });
            }
        };
        let control = BundleControl {
            id,
            step,
            flags: reader.u16()?,
        };
        reader.end()?;
        Ok(control)
    }
}

impl BundleAdd {
    /// A whole OFPT_BUNDLE_ADD_MESSAGE around a whole message that was encoded before, perhaps for many switches; only the
    /// transaction ID within is written anew. The bundle is atomic and ordered.
    ///
    /// # Errors
    /// If there is no whole message, or the two together are longer than 65,535 bytes.
    pub fn wrap(id: u32, xid: u32, inner: &[u8]) -> Result<Bytes, EncodeError> {
        message(kind::BUNDLE_ADD_MESSAGE, xid, |writer| {
            put(writer, id, BUNDLE_ATOMIC | BUNDLE_ORDERED, xid, inner)
        })
    }

    pub(crate) fn encode(&self, writer: &mut Writer, xid: u32) -> Result<(), EncodeError> {
        put(writer, self.id, self.flags, xid, &self.message)
    }

    pub(crate) fn decode(mut reader: Reader<'_>, xid: u32) -> Result<BundleAdd, DecodeError> {
        let id = reader.u32()?;
        reader.skip(2)?;
        let flags = reader.u16()?;
        let header = Header::decode(&mut reader.clone())?;
        let body = reader.take(usize::from(header.length))?;
        if header.xid != xid {
            let rule = "that of the message around it";
            return Err(DecodeError::Value {
                what: "bundled transaction ID",
                value: u64::from(header.xid),
                rule,
            });
        }
        // Properties may follow; none is defined.
        reader.end_padding()?;
        Ok(BundleAdd {
            id,
            flags,
            message: Bytes::copy_from_slice(body),
        })
    }
}

fn put(
    writer: &mut Writer,
    id: u32,
    flags: u16,
    xid: u32,
    inner: &[u8],
) -> Result<(), EncodeError> {
    let whole = Header::decode(&mut Reader::new("bundled message", inner)).ok();
    let whole = whole.filter(|header| usize::from(header.length) == inner.len());
    let (Some(_), Some(start), Some(body)) = (whole, inner.get(..4), inner.get(8..)) else {
        return Err(EncodeError::Misplaced {
            what: "a part of a message",
            rule: "bundles hold whole messages",
        });
    };
    writer.u32(id);
    writer.zeros(2);
    writer.u16(flags);
    writer.slice(start);
    writer.u32(xid);
    writer.slice(body);
    Ok(())
}
