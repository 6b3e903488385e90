//! OFPT_METER_MOD and meters: rate limits (OpenFlow 1.5 §7.3.4.5).
//!
//! Must not: choose meter numbers.

use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer};

/// Flag: rates are in kilobits per second.
pub const METER_KBPS: u16 = 1;
/// Flag: rates are in packets per second.
pub const METER_PKTPS: u16 = 2;
/// Flag: bands have a burst size.
pub const METER_BURST: u16 = 4;
/// Flag: counters are kept.
pub const METER_STATS: u16 = 8;
/// All meters (`OFPM_ALL`), in requests and deletes.
pub const ALL_METERS: u32 = 0xffff_ffff;
/// The meter of packet-ins (`OFPM_CONTROLLER`).
pub const CONTROLLER_METER: u32 = 0xffff_fffd;
const BANDS_MAX: usize = 256;
const BAND_DROP: u16 = 1;
const BAND_DSCP_REMARK: u16 = 2;

/// A meter, in a meter mod or a dump.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meter {
    /// 1 to 0xffff0000, or a reserved one.
    pub id: u32,
    /// `METER_*`.
    pub flags: u16,
    /// What happens above each rate.
    pub bands: Vec<MeterBand>,
}

/// What happens above a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterBand {
    /// The rate, in the unit of the meter's flags.
    pub rate: u32,
    /// Kilobits or packets.
    pub burst: u32,
    /// `None` drops; else the drop precedence of the DSCP goes up by this much.
    pub dscp_precedence: Option<u8>,
}

/// What a meter mod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum MeterCommand {
    /// Adds; refused if there is one of this number.
    Add = 0,
    /// Replaces.
    Modify = 1,
    /// Deletes it, or [`ALL_METERS`].
    Delete = 2,
}

/// OFPT_METER_MOD.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterCommand,
    /// The meter.
    pub meter: Meter,
}

impl MeterMod {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u16(self.command as u16);
        encode_body(writer, &self.meter)
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<MeterMod, DecodeError> {
        let command = match reader.u16()? {
            0 => MeterCommand::Add,
            1 => MeterCommand::Modify,
            2 => MeterCommand::Delete,
            command => {
                return Err(DecodeError::Value {
                    what: "meter mod command",
                    value: u64::from(command),
                    rule: "0 to 2",
                });
            }
        };
        Ok(MeterMod {
            command,
            meter: decode_body(reader)?,
        })
    }
}

impl Meter {
    /// Writes an entry of a meter configuration reply.
    pub(crate) fn encode_entry(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let start = writer.len();
        writer.u16(0);
        encode_body(writer, self)?;
        writer.patch("meter", start, start)
    }

    /// Reads an entry of a meter configuration reply.
    pub(crate) fn decode_entry(reader: &mut Reader<'_>) -> Result<Meter, DecodeError> {
        let length = usize::from(reader.u16()?);
        let bad = DecodeError::Length {
            what: "meter",
            length,
            rule: "at least 8",
        };
        decode_body(reader.part("meter", length.checked_sub(2).ok_or(bad)?)?)
    }
}

fn encode_body(writer: &mut Writer, meter: &Meter) -> Result<(), EncodeError> {
    writer.u16(meter.flags);
    writer.u32(meter.id);
    for band in &meter.bands {
        writer.u16(if band.dscp_precedence.is_some() {
            BAND_DSCP_REMARK
        } else {
            BAND_DROP
        });
        writer.u16(16);
        writer.u32(band.rate);
        writer.u32(band.burst);
        writer.u8(band.dscp_precedence.unwrap_or(0));
        writer.zeros(3);
    }
    Ok(())
}

fn decode_body(mut reader: Reader<'_>) -> Result<Meter, DecodeError> {
    let (flags, id) = (reader.u16()?, reader.u32()?);
    let bands = reader.entries(BANDS_MAX, |reader| {
        let (kind, length) = (reader.u16()?, usize::from(reader.u16()?));
        if length != 16 {
            return Err(DecodeError::Length {
                what: "meter band",
                length,
                rule: "16",
            });
        }
        let (rate, burst, precedence) = (reader.u32()?, reader.u32()?, reader.u8()?);
        reader.skip(3)?;
        let dscp_precedence = match kind {
            BAND_DROP => None,
            BAND_DSCP_REMARK => Some(precedence),
            _ => {
                let rule = "1 drop or 2 DSCP remark";
                return Err(DecodeError::Value {
                    what: "meter band",
                    value: u64::from(kind),
                    rule,
                });
            }
        };
        Ok(MeterBand {
            rate,
            burst,
            dscp_precedence,
        })
    })?;
    Ok(Meter { id, flags, bands })
}
