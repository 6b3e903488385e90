//! Noticing that somebody else changes flows: a flow monitor (OFPMP_FLOW_MONITOR, OpenFlow 1.5 §7.3.5.17; Open vSwitch
//! `struct ofp14_flow_monitor_request`).
//!
//! The switch tells of every flow that comes, changes or goes; of this connection's own doing in a few bytes without
//! the flow. So anything told in full is somebody else's doing, and the switch is read again. Groups and meters have no such
//! monitor, but a switch forwards other connections' changes of them when asked to (OFPT_REQUESTFORWARD, §7.4.7).
//!
//! Must not: look at which flow it was; reading the switch tells.

use bytes::{Bytes, BytesMut};
use openflow_rs::{
    ALL_TABLES, ANY_GROUP, ASYNC_REQUEST_FORWARD_MASTER, AsyncConfig, Message, MultipartReply,
    MultipartRequest, Part, PortNo,
};

use super::request::encode;

/// Asks to be told about all flows from now on.
pub(super) fn watch(xid: u32) -> Bytes {
    let mut body = BytesMut::new();
    body.extend_from_slice(&MONITOR.to_be_bytes());
    body.extend_from_slice(&PortNo::ANY.0.to_be_bytes());
    body.extend_from_slice(&ANY_GROUP.to_be_bytes());
    body.extend_from_slice(&(ADDED | REMOVED | MODIFIED).to_be_bytes());
    body.extend_from_slice(&[ALL_TABLES, COMMAND_ADD]);
    // A match of every flow: type OXM, length 4, padding.
    body.extend_from_slice(&[0, 1, 0, 4, 0, 0, 0, 0]);
    let body = MultipartRequest::Unknown {
        kind: FLOW_MONITOR,
        body: body.freeze(),
    };
    encode(xid, Message::MultipartRequest(Part::last(body)))
}

/// Asks to be told about other connections' groups and meters from now on.
pub(super) fn watch_groups(xid: u32) -> Bytes {
    let masks = vec![(ASYNC_REQUEST_FORWARD_MASTER, GROUPS | METERS)];
    encode(xid, Message::SetAsync(AsyncConfig { masks }))
}

/// Whether a message tells that somebody else changed a group or a meter.
pub(super) fn is_forwarded_request(message: &Message) -> bool {
    matches!(
        message,
        Message::Unknown {
            kind: REQUEST_FORWARD,
            ..
        }
    )
}

/// Whether a multipart reply is this monitor's, and if so, whether it tells of somebody else's doing.
pub(super) fn tells(reply: &MultipartReply) -> Option<bool> {
    let MultipartReply::Unknown {
        kind: FLOW_MONITOR,
        body,
    } = reply
    else {
        return None;
    };
    let mut rest: &[u8] = body;
    while let [high, low, _, event, ..] = *rest {
        if event != EVENT_ABBREVIATED && event != EVENT_RESUMED {
            return Some(true);
        }
        let length = usize::from(u16::from_be_bytes([high, low])).max(ENTRY_LENGTH_MIN);
        rest = rest.get(length..).unwrap_or_default();
    }
    Some(false)
}

/// `OFPT_REQUESTFORWARD`
const REQUEST_FORWARD: u8 = 32;
/// `OFPRFR_GROUP_MOD`, `OFPRFR_METER_MOD` as bits.
const GROUPS: u32 = 1;
const METERS: u32 = 2;
const FLOW_MONITOR: u16 = 16;
/// Our only monitor's number.
const MONITOR: u32 = 1;
const COMMAND_ADD: u8 = 0;
/// `OFPFMF14_ADD`, `OFPFMF14_REMOVED`, `OFPFMF14_MODIFY`; not `INITIAL`, which would send every flow once more.
const ADDED: u16 = 1 << 1;
const REMOVED: u16 = 1 << 2;
const MODIFIED: u16 = 1 << 3;
/// `OFPFME_ABBREV`: our own doing.
const EVENT_ABBREVIATED: u8 = 4;
/// `OFPFME_RESUMED`; the pause before it is told as an event of its own, and some are missing since.
const EVENT_RESUMED: u8 = 6;
const ENTRY_LENGTH_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_told_in_full_is_somebody_elses_doing() {
        let own = [0, 8, 0, 4, 0, 0, 0, 7];
        let added: &[u8] = &[
            0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 4, 0,
            0, 0, 0,
        ];
        for (body, expected) in [
            (vec![], false),
            (own.to_vec(), false),
            ([own, own].concat(), false),
            (added.to_vec(), true),
            ([&own[..], added].concat(), true),
            (vec![0, 8, 0, 5, 0, 0, 0, 0], true),
            (vec![0, 0, 0, 4], false),
            (vec![0xff, 0xff, 0, 4], false),
            (vec![0, 8, 0], false),
        ] {
            let reply = MultipartReply::Unknown {
                kind: FLOW_MONITOR,
                body: body.clone().into(),
            };
            assert_eq!(tells(&reply), Some(expected), "{body:?}");
        }
        assert_eq!(tells(&MultipartReply::Flows(Vec::new())), None);
    }
}
