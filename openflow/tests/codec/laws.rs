//! What must hold of every flow and group: bytes and text lose nothing.

use openflow_rs::{BundleAdd, DecodeError, Field, Flow, Group, Match, Message};
use proptest::prelude::*;

use crate::arbitrary::{flow, group, matches};
use crate::decode_and_check;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_flow_survives_its_bytes(flow in flow()) {
        let flow = flow.canonical();
        let bytes = flow.add().expect("it fits");
        let (_, message) = Message::decode(&bytes).expect("what was encoded decodes");
        let Message::FlowMod(decoded) = message else { panic!("{message:?}") };
        prop_assert_eq!(decoded.flow, flow);
    }

    #[test]
    fn a_flow_survives_its_text(flow in flow()) {
        let flow = flow.canonical();
        let text = flow.to_string();
        let parsed: Flow = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        prop_assert_eq!(&parsed, &flow, "{}", text);
    }

    #[test]
    fn the_canonical_form_is_its_own(flow in flow()) {
        let once = flow.canonical();
        prop_assert_eq!(once.clone().canonical(), once);
    }

    #[test]
    fn a_flow_bundled_is_the_flow(flow in flow(), xid: u32) {
        let flow = flow.canonical();
        let inner = flow.add().expect("it fits");
        let wrapped = BundleAdd::wrap(7, xid, &inner).expect("it fits");
        let (_, message) = Message::decode(&wrapped).expect("what was encoded decodes");
        let Message::BundleAdd(add) = message else { panic!("{message:?}") };
        let (header, message) = Message::decode(&add.message).expect("the message within");
        let Message::FlowMod(decoded) = message else { panic!("{message:?}") };
        prop_assert_eq!((header.xid, decoded.flow), (xid, flow));
    }

    #[test]
    fn a_group_survives_its_bytes_and_text(group in group()) {
        let bytes = group.add().expect("it fits");
        let (_, message) = Message::decode(&bytes).expect("what was encoded decodes");
        let Message::GroupMod(decoded) = message else { panic!("{message:?}") };
        prop_assert_eq!(&decoded.group, &group);
        let text = group.to_string();
        let parsed: Group = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        prop_assert_eq!(&parsed, &group, "{}", text);
    }

    #[test]
    fn the_order_of_matching_does_not_matter(one in matches(), other in matches()) {
        let disjoint: Vec<_> = other.iter().filter(|entry| one.get(entry.field).is_none()).copied().collect();
        let forwards: Match = one.iter().copied().chain(disjoint.iter().copied()).collect();
        let backwards: Match = disjoint.iter().rev().copied().chain(one.iter().rev().copied()).collect();
        prop_assert_eq!(forwards, backwards);
    }

    #[test]
    fn any_bytes_do_no_harm(kind: u8, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![6, kind % 40, 0, 0, 0, 0, 0, 0];
        bytes.extend(body);
        let _ = decode_and_check(&crate::with_length(bytes));
    }

    #[test]
    fn any_text_does_no_harm(text in "[a-z0-9_=,.:()\\[\\]/> -]{0,80}") {
        let _ = text.parse::<Flow>();
        let _ = format!("{text} actions={text}").parse::<Flow>();
        let _ = text.parse::<Group>();
    }
}

#[test]
fn fields_of_the_table_have_numbers_and_names_of_their_own() {
    let mut numbers = std::collections::BTreeSet::new();
    let mut names = std::collections::BTreeSet::new();
    for first in Field::ALL {
        let spec = first.spec();
        for index in 0..spec.count {
            let field = first.with_index(index);
            assert_eq!(field.index(), index);
            assert_eq!(Field::from_name(&field.to_string()), Some(field));
            assert_eq!(Field::from_name(&field.header_name()), Some(field));
            assert!(names.insert(field.to_string()), "{field}");
            for (class, number) in [spec.oxm, spec.nxm].into_iter().flatten() {
                let number = number + index;
                assert!(
                    numbers.insert((class, number)),
                    "{field}: {class:#x} {number}"
                );
                assert_eq!(Field::from_number(class, number), Some(field));
            }
        }
    }
    assert_eq!(Field::from_name("reg16"), None);
    assert_eq!(Field::from_name("reg01"), None);
    assert_eq!(Field::from_name(""), None);
}

#[test]
fn a_field_that_is_not_in_the_table_passes_through_a_match() {
    // NXOXM_NSH_SPI=5: `ovs-ofctl -O OpenFlow15 add-flow SWITCH dl_type=0x894f,nsh_spi=5,actions=drop`.
    let flow: Flow = "dl_type=0x894f,oxm(0xffff0808,00.5a.d6.50.00.00.00.05) actions=drop"
        .parse()
        .expect("a flow");
    assert_eq!(flow.matches.unknown().len(), 1);
    let (_, message) = Message::decode(&flow.add().expect("it fits")).expect("it decodes");
    let Message::FlowMod(decoded) = message else {
        panic!()
    };
    assert_eq!(decoded.flow, flow);
    assert_eq!(decoded.flow.to_string(), flow.to_string());
}

#[test]
fn registers_are_one_match_however_wide_they_were_given() {
    let narrow = Match::new()
        .exact(Field::Reg(4), 1_u8)
        .exact(Field::Reg(5), 2_u8);
    let wide = Match::new().exact(Field::XReg(2), (1_u64 << 32) | 2);
    let widest = Match::new().masked(
        Field::XxReg(1),
        ((1_u128 << 32) | 2) << 64,
        u128::from(u64::MAX) << 64,
    );
    assert_eq!(narrow, wide);
    assert_eq!(narrow, widest);
    assert_eq!(narrow.to_string(), "reg4=0x1,reg5=0x2");
}

#[test]
fn a_transaction_id_that_differs_within_a_bundle_is_refused() {
    let flow: Flow = "actions=drop".parse().expect("a flow");
    let wrapped = BundleAdd::wrap(7, 3, &flow.add().expect("it fits")).expect("it fits");
    let mut bytes = wrapped.to_vec();
    bytes[7] = 4;
    assert!(matches!(
        Message::decode(&bytes),
        Err(DecodeError::Value {
            what: "bundled transaction ID",
            ..
        })
    ));
}
