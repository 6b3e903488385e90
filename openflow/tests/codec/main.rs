//! The codec against bytes that Open vSwitch 3.1 and its `ovs-ofctl -O OpenFlow15` put on the wire, and against hostile ones.
//!
//! `golden/flows.txt`: a flow's text, then the message of `ovs-ofctl -O OpenFlow15 add-flow SWITCH TEXT`.
//! `golden/messages.txt`: the command after `#`, then the message that it, or the switch, sent.

mod arbitrary;
mod golden;
mod hostile;
mod laws;

use bytes::Bytes;
use openflow_rs::{DecodeError, Header, Message};

/// Bytes from hexadecimal digits.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16)
                .expect("hexadecimal digits")
        })
        .collect()
}

/// Hexadecimal digits from bytes.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `# …` says and the message behind it.
fn messages() -> Vec<(&'static str, Vec<u8>)> {
    pairs(include_str!("../golden/messages.txt"))
}

/// A flow's text and its flow mod.
fn flows() -> Vec<(&'static str, Vec<u8>)> {
    pairs(include_str!("../golden/flows.txt"))
}

fn pairs(text: &'static str) -> Vec<(&'static str, Vec<u8>)> {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .chunks_exact(2)
        .map(|pair| (pair[0], bytes(pair[1])))
        .collect()
}

/// Decodes hostile bytes: never a panic, and what was understood survives its own encoding.
fn decode_and_check(bytes: &[u8]) -> Result<(Header, Message), DecodeError> {
    let (header, message) = Message::decode(bytes)?;
    match message.encode(header.xid) {
        Ok(again) => {
            let decoded = Message::decode(&again).map(|(_, message)| message);
            assert_eq!(
                decoded.as_ref(),
                Ok(&message),
                "{}\n{}",
                hex(bytes),
                hex(&again)
            );
        }
        // Padding that the sender left out may push a message over the limit.
        Err(openflow_rs::EncodeError::TooLong { .. }) if bytes.len() > 60_000 => {}
        Err(error) => panic!("{}: {message:?}: {error}", hex(bytes)),
    }
    Ok((header, message))
}

/// The message with its length member set to its length.
fn with_length(mut bytes: Vec<u8>) -> Bytes {
    let length = u16::try_from(bytes.len()).expect("a message").to_be_bytes();
    bytes[2..4].copy_from_slice(&length);
    bytes.into()
}
