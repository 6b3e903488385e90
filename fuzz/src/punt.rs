//! Packets that a switch hands over, with what is to be made of them: what is made is a good packet, and no longer than it may be.
//!
//! An input is userdata of 8 bytes (no actions), then the packet.
//!
//! Must not: ask that anything is made.

use weft_compiler::interpret::frame::Frame;
use weft_compiler::punt::{Request, packet};

/// One request about one packet.
pub fn check(data: &[u8]) {
    let _ = Request::decode(data);
    let Some((userdata, packet)) = data.split_at_checked(8) else {
        return;
    };
    let Ok(request) = Request::decode(userdata) else {
        return;
    };
    let Some(made) = packet::make(&request, packet) else {
        return;
    };
    assert!(made.len() <= 14 + 1280, "{} bytes", made.len());
    let read = Frame::parse(&made);
    assert!(read.is_ok(), "{read:?}: {packet:02x?} made {made:02x?}");
}

/// Every request about every packet of `frame`.
pub fn seeds() -> Vec<Vec<u8>> {
    let packets = crate::frame::seeds();
    let requests = (1u8..=4).map(|opcode| [1, opcode, 3, 4, 5, 120, 0, 0]);
    requests
        .flat_map(|request| {
            packets
                .iter()
                .map(move |packet| [&request[..], packet].concat())
        })
        .collect()
}
