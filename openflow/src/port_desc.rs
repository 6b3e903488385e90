//! Ports as a switch describes them: in port descriptions and in OFPT_PORT_STATUS (OpenFlow 1.5 §7.2.1).
//!
//! Must not: be how the controller finds a pod's port (that is the switch's database).

use bytes::Bytes;

use crate::error::{DecodeError, EncodeError};
use crate::port::PortNo;
use crate::wire::{Reader, Writer};

const NAME_LENGTH: usize = 16;
const FIXED_LENGTH: usize = 40;

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PortDesc {
    /// Its number.
    pub port: PortNo,
    /// Its Ethernet address.
    pub address: [u8; 6],
    /// Its name: up to 15 bytes, without the zeros behind them.
    pub name: Bytes,
    /// `OFPPC_*`.
    pub config: u32,
    /// `OFPPS_*`.
    pub state: u32,
    /// Speeds and the like, as they came.
    pub properties: Bytes,
}

/// Why a port status was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PortReason {
    /// The port is new.
    Add = 0,
    /// The port is gone.
    Delete = 1,
    /// Something about it changed.
    Modify = 2,
}

/// OFPT_PORT_STATUS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// The port as it is, or was.
    pub port: PortDesc,
}

impl PortDesc {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let name = &self.name;
        if name.len() >= NAME_LENGTH || name.contains(&0) {
            let limit = NAME_LENGTH.saturating_sub(1);
            return Err(EncodeError::TooLong {
                what: "port name",
                length: name.len(),
                limit,
            });
        }
        let start = writer.len();
        writer.u32(self.port.0);
        writer.zeros(4);
        writer.slice(&self.address);
        writer.zeros(2);
        writer.slice(name);
        writer.zeros(NAME_LENGTH.saturating_sub(name.len()));
        writer.u32(self.config);
        writer.u32(self.state);
        writer.slice(&self.properties);
        writer.patch("port", start.saturating_add(4), start)
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<PortDesc, DecodeError> {
        let (port, length) = (PortNo(reader.u32()?), usize::from(reader.u16()?));
        reader.skip(2)?;
        let address = reader.array()?;
        reader.skip(2)?;
        let name = reader.take(NAME_LENGTH)?;
        let end = name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(NAME_LENGTH);
        let rule = "up to 15 bytes, zeros behind them";
        let (name, rest) = name.split_at_checked(end).unwrap_or((name, &[]));
        if rest.is_empty() || rest.iter().any(|byte| *byte != 0) {
            return Err(DecodeError::Value {
                what: "port name",
                value: 0,
                rule,
            });
        }
        let (config, state) = (reader.u32()?, reader.u32()?);
        let bad = DecodeError::Length {
            what: "port",
            length,
            rule: "at least 40",
        };
        let properties = reader.take(length.checked_sub(FIXED_LENGTH).ok_or(bad)?)?;
        let (name, properties) = (
            Bytes::copy_from_slice(name),
            Bytes::copy_from_slice(properties),
        );
        Ok(PortDesc {
            port,
            address,
            name,
            config,
            state,
            properties,
        })
    }
}

impl PortStatus {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u8(self.reason as u8);
        writer.zeros(7);
        self.port.encode(writer)
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<PortStatus, DecodeError> {
        let reason = match reader.u8()? {
            0 => PortReason::Add,
            1 => PortReason::Delete,
            2 => PortReason::Modify,
            reason => {
                return Err(DecodeError::Value {
                    what: "port status reason",
                    value: u64::from(reason),
                    rule: "0 to 2",
                });
            }
        };
        reader.skip(7)?;
        let port = PortDesc::decode(&mut reader)?;
        reader.end()?;
        Ok(PortStatus { reason, port })
    }
}
