//! OpenFlow messages: what was understood survives its own encoding, and what was encoded is canonical.
//!
//! Must not: ask that bytes not from our encoder come back as they were: padding and order may differ.

use bytes::{Bytes, BytesMut};
use openflow_rs::framing::OpenFlowCodec;
use openflow_rs::{EncodeError, Message};
use tokio_util::codec::Decoder;

/// One message, and the same bytes as a stream of them.
pub fn check(data: &[u8]) {
    check_message(data);
    // A fuzzer does not find out about the length member by itself.
    if let (Some(length), true) = (u16::try_from(data.len()).ok(), data.len() >= 8) {
        let mut whole = data.to_vec();
        whole[0] = 6;
        whole[2..4].copy_from_slice(&length.to_be_bytes());
        check_message(&whole);
    }
    let mut stream = BytesMut::from(data);
    while let Ok(Some(received)) = OpenFlowCodec.decode(&mut stream) {
        assert_eq!(received.bytes.len(), usize::from(received.header.length));
    }
}

fn check_message(data: &[u8]) {
    let Ok((header, message)) = Message::decode(data) else {
        return;
    };
    let encoded: Bytes = match message.encode(header.xid) {
        Ok(encoded) => encoded,
        // Padding that the sender left out may push a message over the limit.
        Err(EncodeError::TooLong { .. }) if data.len() > 60_000 => return,
        Err(error) => panic!("{message:?} was decoded and cannot be encoded: {error}"),
    };
    let (again_header, again) = Message::decode(&encoded)
        .unwrap_or_else(|error| panic!("{message:?} encodes to what is refused: {error}"));
    assert_eq!(again, message);
    assert_eq!(again_header.xid, header.xid);
    let canonical = again.encode(header.xid);
    assert_eq!(canonical.as_ref(), Ok(&encoded), "{message:?}");
    if let Message::BundleAdd(add) = &message {
        check_message(&add.message);
    }
}

/// What Open vSwitch and its tools put on the wire.
pub fn seeds() -> Vec<Vec<u8>> {
    crate::golden(include_str!("../../openflow/tests/golden/messages.txt"))
        .chain(crate::golden(include_str!(
            "../../openflow/tests/golden/flows.txt"
        )))
        .map(|(_, bytes)| bytes)
        .collect()
}
