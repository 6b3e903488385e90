//! What a flow tells the controller to do with a packet it hands over: the `userdata` of its `controller` action.
//!
//! ```text
//!   icmp4 { icmp4.type = 11; icmp4.code = 0; ip4.dst = ip4.src; …; next(ingress, 11); }
//!       │ lowering                                                      ▲
//!       ▼                                                               │ PACKET_OUT: registers as they were, then the actions
//!   controller(userdata = Request { what, type, code, mtu, actions }) ──┴▶ session: makes the packet out of the one it was handed
//! ```
//!
//! So that the controller needs to know nothing of the logical network, nor the flow's row of this: what is to be done is in the flow, as in OVN.
//!
//! On the wire: version, opcode, ICMP type, ICMP code, frag_mtu (2 bytes), 2 bytes of 0, then the actions as OpenFlow has them.
//!
//! How another use joins: an action of the language in `weft-expr` (text both ways, what it does to a packet's fields), an [`Opcode`] here,
//! a meter in [`crate::pipeline::meter`], the bytes of the packet in [`packet`]. Whatever is refused (a service without
//! endpoints, an ACL's `reject`) has `reject { outport = inport; flags.loopback = 1; output; };` or `reject { next(…); };` already.
//!
//! Must not: hold anything of a node or a port; the same flow goes to many.

pub mod packet;

use bytes::{BufMut, Bytes, BytesMut};
use openflow_rs::{Action, DecodeError, EncodeError};
use weft_expr::Replacement;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What packet.
    pub opcode: Opcode,
    /// ICMP type and code.
    pub message: (u8, u8),
    /// How long packets may be, in an error that says so; else 0.
    pub frag_mtu: u16,
    /// What happens to the packet.
    pub actions: Vec<Action>,
}

/// What packet is to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opcode {
    /// An ICMP error.
    Icmp4 = 1,
    /// An ICMPv6 error.
    Icmp6 = 2,
    /// A TCP reset, between the same addresses.
    TcpReset = 3,
    /// A TCP reset, or port unreachable, back to where the packet came from.
    Reject = 4,
}

impl Opcode {
    const ALL: [Opcode; 4] = [
        Opcode::Icmp4,
        Opcode::Icmp6,
        Opcode::TcpReset,
        Opcode::Reject,
    ];
}

impl From<Replacement> for Opcode {
    fn from(replacement: Replacement) -> Opcode {
        match replacement {
            Replacement::Icmp4 | Replacement::Icmp4Error => Opcode::Icmp4,
            Replacement::Icmp6 | Replacement::Icmp6Error => Opcode::Icmp6,
            Replacement::TcpReset => Opcode::TcpReset,
            Replacement::Reject => Opcode::Reject,
        }
    }
}

/// Userdata that is none of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Too short, or of another version of weft.
    #[error("no request of this version")]
    Version,
    /// An opcode nobody knows.
    #[error("no request has opcode {0}")]
    Opcode(u8),
    /// Actions that cannot be read.
    #[error(transparent)]
    Actions(#[from] DecodeError),
}

impl Request {
    /// As userdata.
    ///
    /// # Errors
    /// When the actions cannot be encoded.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut bytes = BytesMut::new();
        bytes.put_slice(&[VERSION, self.opcode as u8, self.message.0, self.message.1]);
        bytes.put_u16(self.frag_mtu);
        bytes.put_u16(0);
        bytes.put_slice(&Action::encode_list(&self.actions)?);
        Ok(bytes.freeze())
    }

    /// Reads userdata.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn decode(userdata: &[u8]) -> Result<Request, RequestError> {
        let [VERSION, opcode, kind, code, high, low, 0, 0, actions @ ..] = userdata else {
            return Err(RequestError::Version);
        };
        let known = Opcode::ALL.into_iter().find(|one| *one as u8 == *opcode);
        Ok(Request {
            opcode: known.ok_or(RequestError::Opcode(*opcode))?,
            message: (*kind, *code),
            frag_mtu: u16::from_be_bytes([*high, *low]),
            actions: Action::decode_list(actions)?,
        })
    }
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_and_anything_else_is_refused() {
        let request = Request {
            opcode: Opcode::Icmp4,
            message: (3, 4),
            frag_mtu: 1400,
            actions: vec![Action::DecTtl, Action::Resubmit { table: 51 }],
        };
        let bytes = request.encode().unwrap();
        assert_eq!(Request::decode(&bytes), Ok(request));
        for end in 0..bytes.len() {
            let cut = Request::decode(&bytes[..end]);
            // Between two actions a cut is not to be seen.
            assert!(cut.is_err() || end >= 8, "{end}: {cut:?}");
        }
        let refused = |userdata: &[u8]| Request::decode(userdata).unwrap_err().to_string();
        assert_eq!(
            refused(&[1, 9, 0, 0, 0, 0, 0, 0]),
            "no request has opcode 9"
        );
        assert_eq!(
            refused(&[2, 1, 0, 0, 0, 0, 0, 0]),
            "no request of this version"
        );
    }
}
