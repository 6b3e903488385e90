//! Bytes and text that mean harm: cut, flipped, nested, too long.

use openflow_rs::{
    Action, DEPTH_MAX, DecodeError, EncodeError, Field, Flow, Group, Match, Message, Part,
    Reassembly,
};

use crate::{bytes, decode_and_check, flows, messages, with_length};

fn all() -> Vec<(&'static str, Vec<u8>)> {
    flows().into_iter().chain(messages()).collect()
}

#[test]
fn a_message_cut_anywhere_is_an_error() {
    for (what, golden) in all() {
        for length in 0..golden.len() {
            assert!(
                Message::decode(&golden[..length]).is_err(),
                "{what} cut to {length} bytes"
            );
        }
    }
}

/// Types whose body ends in bytes that are not looked into, so that fewer of them are as good: errors, and packets.
const OPEN_ENDED: [u8; 3] = [1, 10, 13];

#[test]
fn a_message_cut_anywhere_whose_length_agrees_is_an_error_or_a_shorter_message() {
    let mut shorter = 0;
    for (what, golden) in all() {
        for length in 8..golden.len() {
            let decoded = decode_and_check(&with_length(golden[..length].to_vec()));
            let is_list = length % 8 == 0 || decoded.is_err() || OPEN_ENDED.contains(&golden[1]);
            assert!(
                is_list,
                "{what} cut to {length} bytes was taken for {decoded:?}"
            );
            shorter += usize::from(decoded.is_ok());
        }
    }
    assert!(shorter > 0, "lists can be cut between entries");
}

#[test]
fn a_message_with_any_bit_flipped_does_no_harm() {
    for (_, golden) in all() {
        for bit in 0..golden.len() * 8 {
            let mut flipped = golden.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = decode_and_check(&flipped);
        }
    }
}

#[test]
fn a_message_with_any_byte_at_its_ends_does_no_harm() {
    for (_, golden) in all() {
        for place in 8..golden.len() {
            for value in [0x00, 0x7f, 0x80, 0xff] {
                let mut changed = golden.clone();
                changed[place] = value;
                let _ = decode_and_check(&changed);
            }
        }
    }
}

#[test]
fn another_version_is_refused_with_what_to_do() {
    let error = Message::decode(&bytes("0414000800000001")).expect_err("OpenFlow 1.3");
    assert_eq!(error, DecodeError::Version { version: 4 });
    assert!(
        error.to_string().contains("protocols=OpenFlow15"),
        "{error}"
    );
    assert!(
        Message::decode(&bytes("0400000800000001")).is_ok(),
        "a hello may be of any version"
    );
}

#[test]
fn bytes_behind_a_message_are_an_error() {
    let error = Message::decode(&bytes("061400080000000100")).expect_err("one byte too many");
    assert_eq!(
        error,
        DecodeError::Trailing {
            what: "message",
            bytes: 1
        }
    );
    let error = Message::decode(&bytes("061400090000000100")).expect_err("a barrier has no body");
    assert_eq!(
        error,
        DecodeError::Trailing {
            what: "message",
            bytes: 1
        }
    );
}

fn nested(depth: usize) -> Action {
    (0..depth).fold(Action::DecTtl, |action, _| Action::Clone(vec![action]))
}

fn flow_of(actions: Vec<Action>) -> Flow {
    Flow {
        table: 0,
        priority: 0,
        cookie: 0,
        matches: Match::new(),
        actions,
    }
}

#[test]
fn nesting_is_bounded_both_ways() {
    let deep = flow_of(vec![nested(DEPTH_MAX)]);
    let encoded = deep.add().expect("as deep as may be");
    assert!(Message::decode(&encoded).is_ok());
    assert!(matches!(
        flow_of(vec![nested(DEPTH_MAX + 1)]).add(),
        Err(EncodeError::Misplaced { .. })
    ));
    // 2,000 clones, each around the next, as no encoder here would write them.
    let mut actions = Vec::new();
    for left in (1..=2000_u16).rev() {
        actions.extend(bytes(&format!(
            "ffff{:04x}00002320002a000000000000",
            left * 16
        )));
    }
    let length = u16::try_from(actions.len() + 8)
        .expect("fits")
        .to_be_bytes();
    let mut message = bytes(
        "060e000000000000000000000000000000000000000000000000000000008000ffffffffffffffffffffffff00000000",
    );
    message.extend(bytes("00010004000000000004"));
    message.extend(length);
    message.extend(bytes("00000000"));
    message.extend(actions);
    let error = Message::decode(&with_length(message)).expect_err("too deep");
    assert_eq!(
        error,
        DecodeError::Depth {
            what: "action",
            limit: DEPTH_MAX
        }
    );
    let text = format!(
        "actions={}drop{}",
        "clone(".repeat(20_000),
        ")".repeat(20_000)
    );
    let error = text.parse::<Flow>().expect_err("too deep");
    assert!(error.message.contains("8 levels"), "{error}");
}

#[test]
fn a_message_that_is_too_long_is_not_sent() {
    let longest = flow_of(vec![Action::DecTtl; 8179]);
    let encoded = longest.add().expect("as long as may be");
    assert!(encoded.len() > 65_000, "{}", encoded.len());
    let error = flow_of(vec![Action::DecTtl; 8190])
        .add()
        .expect_err("too long");
    assert!(
        matches!(error, EncodeError::TooLong { limit: 65535, .. }),
        "{error}"
    );
}

#[test]
fn a_value_wider_than_its_field_is_not_sent() {
    let error = flow_of(vec![Action::SetField {
        field: Field::Reg(0),
        value: 1 << 32,
        mask: u128::MAX,
    }])
    .add();
    let error = error.expect_err("33 bits");
    assert_eq!(
        error,
        EncodeError::TooWide {
            field: "reg0".to_owned(),
            value: 1 << 32,
            bits: 32
        }
    );
}

#[test]
fn instructions_have_their_place() {
    for text in [
        "goto_table:3,output:1",
        "goto_table:3,goto_table:4",
        "clone(goto_table:3)",
        "goto_table:3,clear_actions",
    ] {
        let flow: Flow = format!("actions={text}").parse().expect("a flow");
        assert!(
            matches!(flow.add(), Err(EncodeError::Misplaced { .. })),
            "{text}"
        );
    }
}

#[test]
fn a_reply_without_end_is_dropped() {
    let (_, golden) = messages()
        .into_iter()
        .find(|(what, _)| what.contains("dump-flows: reply"))
        .expect("a dump");
    let (_, Message::MultipartReply(part)) = Message::decode(&golden).expect("a dump") else {
        panic!()
    };
    let part = Part { more: true, ..part };
    let mut reassembly = Reassembly::new();
    for _ in 0..3 {
        assert_eq!(reassembly.push(part.clone(), 6), Ok(None));
    }
    assert!(matches!(
        reassembly.push(part.clone(), 6),
        Err(DecodeError::Count { limit: 6, .. })
    ));
    assert_eq!(reassembly.push(part.clone(), 6), Ok(None), "it starts anew");
    let whole = reassembly
        .push(Part::last(part.body), 6)
        .expect("a reply")
        .expect("the last part");
    let openflow_rs::MultipartReply::Flows(flows) = whole else {
        panic!("{whole:?}")
    };
    assert_eq!(flows.len(), 4);
}

#[test]
fn parts_of_different_kinds_do_not_mix() {
    let flows = openflow_rs::MultipartReply::Flows(Vec::new());
    let groups = openflow_rs::MultipartReply::Groups(Vec::new());
    let mut reassembly = Reassembly::new();
    assert_eq!(
        reassembly.push(
            Part {
                more: true,
                body: flows
            },
            9
        ),
        Ok(None)
    );
    assert!(reassembly.push(Part::last(groups), 9).is_err());
}

#[test]
fn bad_flow_text_is_refused_with_its_column() {
    for (text, column, what) in [
        ("table=3", 1, "actions= is missing"),
        ("table=300 actions=drop", 7, "too large"),
        ("reg16=1 actions=drop", 1, "no match field"),
        ("tp_dst=80 actions=drop", 1, "needs tcp, udp or sctp"),
        ("ip,nw_src=10.0.0.300 actions=drop", 11, "IPv4 address"),
        ("ip,nw_src=10.0.0.0/33 actions=drop", 20, "IPv4 address"),
        ("dl_src=1:2:3:4:5 actions=drop", 8, "Ethernet address"),
        ("ct_state=+new-nonsense actions=drop", 10, "no flag"),
        ("actions=outptu:1", 9, "no action"),
        ("actions=output:1)", 17, "closed that was not opened"),
        ("actions=clone(output:1", 9, "not closed"),
        (
            "actions=move:NXM_NX_REG0[0..40]->NXM_NX_REG1[]",
            14,
            "32 bits",
        ),
        ("actions=conjunction(1,3/2)", 21, "CLAUSE"),
        ("actions=set_field:1", 19, "->"),
        ("actions=set_field:0x100000000->reg0", 19, "larger"),
        ("actions=controller(colour=red)", 20, "max_len"),
        ("actions=ct(zone=70000)", 17, "too large"),
    ] {
        let error = text.parse::<Flow>().expect_err(text);
        assert!(
            error.message.contains(what) && error.column == column,
            "{text}: {error}"
        );
    }
    for text in [
        "type=all",
        "group_id=1,type=some",
        "group_id=1,type=all,bucket=colour:red",
        "group_id=x",
    ] {
        assert!(text.parse::<Group>().is_err(), "{text}");
    }
}
