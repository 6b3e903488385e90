//! A flow as the bytes that add it: what a controller keeps of very many flows, at a quarter of the memory of a [`Flow`].
//!
//! ```text
//! │ header 8 │ cookie 8 │ mask 8 │ table … priority … match, padded │ instructions │
//!                                 ╰──────── EncodedKey ────────────╯
//! ```
//!
//! Canonical flows that are equal have equal bytes, and canonical flows with equal keys have equal key bytes.
//!
//! Must not: hold what did not come out of this crate's encoder.

use bytes::Bytes;

use crate::error::EncodeError;
use crate::flow::{Flow, FlowKey};
use crate::flow_mod::{FlowCommand, FlowMod};
use crate::header::HEADER_LENGTH;
use crate::matches::Match;
use crate::wire::Reader;

/// A canonical flow as a whole OFPT_FLOW_MOD that adds or replaces it, transaction ID 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncodedFlow {
    add: Bytes,
    key: EncodedKey,
}

/// What identifies a flow within a switch, as bytes. Ordered by table first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncodedKey(Bytes);

impl EncodedFlow {
    /// Encodes the flow in its canonical form.
    ///
    /// # Errors
    /// As [`Flow::add`].
    pub fn new(flow: Flow) -> Result<EncodedFlow, EncodeError> {
        let encoded = FlowMod {
            flow: flow.canonical(),
            ..FlowMod::new(FlowCommand::Add)
        }
        .message(0)?;
        // Exactly as long as it is: the encoder's buffer has room to grow.
        let add = Bytes::copy_from_slice(&encoded);
        let key = add.slice(KEY_START..key_end(&add).unwrap_or(add.len()));
        Ok(EncodedFlow {
            add,
            key: EncodedKey(key),
        })
    }

    /// The whole message.
    #[must_use]
    pub fn add(&self) -> &Bytes {
        &self.add
    }

    /// What identifies it.
    #[must_use]
    pub fn key(&self) -> &EncodedKey {
        &self.key
    }

    /// The cookie.
    #[must_use]
    pub fn cookie(&self) -> u64 {
        let bytes = self.add.get(HEADER_LENGTH..).unwrap_or_default();
        Reader::new("cookie", bytes).u64().unwrap_or_default()
    }

    /// The flow, in canonical form.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let body = self.add.get(HEADER_LENGTH..).unwrap_or_default();
        FlowMod::decode(Reader::new("flow mod", body))
            .expect("what was encoded here can be decoded")
            .flow
            .canonical()
    }
}

impl EncodedKey {
    /// The key of a flow.
    ///
    /// # Errors
    /// As [`Flow::add`].
    pub fn of(flow: &Flow) -> Result<EncodedKey, EncodeError> {
        let only_key = Flow {
            actions: Vec::new(),
            ..flow.clone()
        };
        Ok(EncodedFlow::new(only_key)?.key)
    }

    /// The table, the priority and the match.
    #[must_use]
    pub fn decode(&self) -> FlowKey {
        let read = || {
            let mut reader = Reader::new("flow key", &self.0);
            let (table, _command) = (reader.u8()?, reader.u8()?);
            let (_idle, _hard, priority) = (reader.u16()?, reader.u16()?, reader.u16()?);
            let (_buffer, _port, _group) = (reader.u32()?, reader.u32()?, reader.u32()?);
            let (_flags, _importance) = (reader.u16()?, reader.u16()?);
            let matches = Match::decode(&mut reader)?;
            Ok::<_, crate::error::DecodeError>(FlowKey {
                table,
                priority,
                matches,
            })
        };
        read().expect("what was encoded here can be decoded")
    }

    /// A whole message that deletes exactly the flow with this key; transaction ID 0.
    ///
    /// # Errors
    /// As [`Flow::add`].
    pub fn delete_strict(&self) -> Result<Bytes, EncodeError> {
        self.decode().delete_strict()
    }
}

/// Where the match ends, its padding included.
fn key_end(add: &[u8]) -> Option<usize> {
    let mut lengths = Reader::new("match", add.get(MATCH_START..)?);
    let (_kind, length) = (lengths.u16().ok()?, lengths.u16().ok()?);
    let padded = usize::from(length).next_multiple_of(8);
    MATCH_START
        .checked_add(padded)
        .filter(|end| *end <= add.len())
}

const KEY_START: usize = HEADER_LENGTH.saturating_add(16);
const MATCH_START: usize = HEADER_LENGTH.saturating_add(40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_and_keys_come_back_as_they_went_in() {
        for text in [
            "table=3, priority=100,reg14=0x1 actions=resubmit(,4)",
            "cookie=0x12, priority=0 actions=drop",
            "table=28, priority=50,arp,metadata=0x7,arp_tpa=10.0.0.1,arp_op=1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],output:1",
        ] {
            let flow: Flow = text.parse().unwrap();
            let flow = flow.canonical();
            let encoded = EncodedFlow::new(flow.clone()).unwrap();
            assert_eq!(encoded.flow(), flow);
            assert_eq!(encoded.cookie(), flow.cookie);
            assert_eq!(encoded.key().decode(), flow.key());
            assert_eq!(encoded.key(), &EncodedKey::of(&flow).unwrap());
            assert_eq!(
                encoded.key().delete_strict().unwrap(),
                flow.delete_strict().unwrap()
            );
            assert_eq!(encoded.add(), &flow.add().unwrap());
        }
    }

    #[test]
    fn keys_differ_by_table_priority_and_match_and_by_nothing_else() {
        let key = |text: &str| EncodedKey::of(&text.parse().unwrap()).unwrap();
        let one = key("table=3, priority=100,reg14=0x1 actions=resubmit(,4)");
        assert_eq!(
            one,
            key("table=3, cookie=9, priority=100,reg14=0x1 actions=drop")
        );
        assert_ne!(
            one,
            key("table=4, priority=100,reg14=0x1 actions=resubmit(,4)")
        );
        assert_ne!(
            one,
            key("table=3, priority=101,reg14=0x1 actions=resubmit(,4)")
        );
        assert_ne!(
            one,
            key("table=3, priority=100,reg14=0x2 actions=resubmit(,4)")
        );
        assert_ne!(
            one,
            key("table=3, priority=100,reg14=0x1/0x1 actions=resubmit(,4)")
        );
    }
}
