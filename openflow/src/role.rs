//! OFPT_ROLE_REQUEST, OFPT_ROLE_REPLY and OFPT_ROLE_STATUS: who may write (OpenFlow 1.5 §7.3.8, §7.4.4).
//!
//! Must not: elect anybody (Leases do).

use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, Writer};

/// What a controller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ControllerRole {
    /// A request that only asks.
    NoChange = 0,
    /// As any other.
    Equal = 1,
    /// The one that may write; others that were become slaves.
    Master = 2,
    /// Reads only.
    Slave = 3,
}

/// OFPT_ROLE_REQUEST and OFPT_ROLE_REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Role {
    /// The role asked for, or held.
    pub role: ControllerRole,
    /// Refused with OFPRRFC_STALE if it is behind one that the switch has seen (modulo 2⁶⁴); for master and slave only.
    pub generation_id: u64,
}

impl Role {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u32(self.role as u32);
        writer.zeros(4);
        writer.u64(self.generation_id);
        Ok(())
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Role, DecodeError> {
        let role = ControllerRole::decode(&mut reader)?;
        reader.skip(4)?;
        let generation_id = reader.u64()?;
        reader.end()?;
        Ok(Role {
            role,
            generation_id,
        })
    }
}

/// OFPT_ROLE_STATUS: the switch says that this controller's role changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoleStatus {
    /// The role now held.
    pub role: ControllerRole,
    /// `OFPCRR_*`: 0 another controller became master, 1 the switch was configured, 2 experimenter.
    pub reason: u8,
    /// The generation that the switch has seen.
    pub generation_id: u64,
}

impl RoleStatus {
    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.u32(self.role as u32);
        writer.u8(self.reason);
        writer.zeros(3);
        writer.u64(self.generation_id);
        Ok(())
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<RoleStatus, DecodeError> {
        let (role, reason) = (ControllerRole::decode(&mut reader)?, reader.u8()?);
        reader.skip(3)?;
        let generation_id = reader.u64()?;
        reader.end()?;
        Ok(RoleStatus {
            role,
            reason,
            generation_id,
        })
    }
}

impl ControllerRole {
    fn decode(reader: &mut Reader<'_>) -> Result<ControllerRole, DecodeError> {
        match reader.u32()? {
            0 => Ok(ControllerRole::NoChange),
            1 => Ok(ControllerRole::Equal),
            2 => Ok(ControllerRole::Master),
            3 => Ok(ControllerRole::Slave),
            role => Err(DecodeError::Value {
                what: "role",
                value: u64::from(role),
                rule: "0 to 3",
            }),
        }
    }
}
