//! `ovs-ofctl` text of flows, keys, matches, actions and groups: what was read prints as text that reads the same.
//!
//! Must not: ask more of text than of its canonical form.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use openflow_rs::{Action, Flow, FlowKey, Group, Match, Message};

/// Every reader of text.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    check_round_trip::<FlowKey>(text);
    check_round_trip::<Match>(text);
    check_round_trip::<Action>(text);
    check_round_trip::<Group>(text);
    let Ok(flow) = text.parse::<Flow>() else {
        return;
    };
    let flow = flow.canonical();
    let printed = flow.to_string();
    let read = printed.parse::<Flow>().map(Flow::canonical);
    assert_eq!(read.as_ref(), Ok(&flow), "{text:?} printed as {printed:?}");
    if let Ok(bytes) = flow.add() {
        let decoded = Message::decode(&bytes).map(|(_, message)| message);
        let Ok(Message::FlowMod(decoded)) = decoded else {
            panic!("{printed:?} was encoded as {decoded:?}")
        };
        assert_eq!(decoded.flow, flow, "{text:?}");
    }
}

fn check_round_trip<T: FromStr<Err: Debug> + Display + Debug + PartialEq>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let printed = value.to_string();
    match printed.parse::<T>() {
        Ok(read) => assert_eq!(read, value, "{text:?} printed as {printed:?}"),
        Err(error) => panic!("{text:?} printed as {printed:?}, which is refused: {error:?}"),
    }
}

/// The golden flows, and groups.
pub fn seeds() -> Vec<Vec<u8>> {
    let flows = crate::golden(include_str!("../../openflow/tests/golden/flows.txt"));
    let groups = crate::golden(include_str!("../../openflow/tests/golden/messages.txt"))
        .filter_map(|(what, _)| what.split('\'').nth(1));
    let flows = flows.map(|(text, _)| text);
    flows
        .chain(groups)
        .map(|text| text.as_bytes().to_vec())
        .collect()
}
