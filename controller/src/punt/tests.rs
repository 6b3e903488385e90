//! What a switch is sent for a packet that it hands over, and how much of that.

use weft_compiler::punt::Opcode;

use super::*;

fn handed_over(userdata: Bytes) -> PacketIn2 {
    let packet = [
        &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..],
        // 10.0.0.2 to 10.1.0.2, a datagram whose TTL is 1.
        &[
            0x45, 0, 0, 28, 0, 0, 0, 0, 1, 17, 0xa5, 0xcd, 10, 0, 0, 2, 10, 1, 0, 2,
        ],
        &[0x0f, 0xa0, 0, 80, 0, 8, 0, 0],
    ];
    PacketIn2 {
        packet: packet.concat().into(),
        full_length: None,
        buffer_id: NO_BUFFER,
        table: 96,
        cookie: 7,
        reason: 1,
        metadata: Match::new()
            .exact(Field::Metadata, 5u8)
            .exact(Field::Reg(14), 3u8)
            .exact(Field::TunId, 5u8)
            .exact(Field::InPort, 65_000u32),
        userdata,
        continuation: None,
    }
}

fn request() -> Bytes {
    let request = Request {
        opcode: Opcode::Icmp4,
        message: (11, 0),
        frag_mtu: 0,
        actions: vec![Action::Resubmit { table: 51 }],
    };
    request.encode().unwrap()
}

#[test]
fn an_answer_goes_on_where_the_flow_says_with_its_registers() {
    let now = Instant::now();
    let answer = Punts::new(now).answer(&handed_over(request()), 0, now);
    let (_, message) = Message::decode(&answer.expect("an answer")).unwrap();
    let Message::PacketOut(out) = message else {
        panic!("{message:?}");
    };
    assert_eq!(
        out.metadata,
        Match::new().exact(Field::InPort, PortNo::CONTROLLER.0)
    );
    let flow = openflow_rs::Flow {
        table: 0,
        priority: 0,
        cookie: 0,
        matches: Match::new(),
        actions: out.actions,
    };
    let text = flow.to_string();
    assert!(
        text.ends_with("actions=set_field:0x3->reg14,set_field:0x5->metadata,resubmit(,51)")
            || text.ends_with("actions=set_field:0x5->metadata,set_field:0x3->reg14,resubmit(,51)"),
        "{text}"
    );
    assert_eq!(out.packet[34..36], [11, 0]);
}

#[test]
fn what_is_no_request_is_not_answered() {
    let now = Instant::now();
    let mut punts = Punts::new(now);
    for userdata in [
        Bytes::new(),
        Bytes::from_static(&[1, 1, 0, 0, 0, 0, 0, 0, 9]),
    ] {
        assert_eq!(punts.answer(&handed_over(userdata), 0, now), None);
    }
    let mut other = handed_over(request());
    other.packet = Bytes::from_static(&[0; 9]);
    assert_eq!(punts.answer(&other, 0, now), None);
}

#[test]
fn a_flood_is_answered_in_part_and_the_rest_not_later() {
    let began = Instant::now();
    let mut punts = Punts::new(began);
    let mut answered = |now| {
        (0..10_000)
            .filter(|_| punts.answer(&handed_over(request()), 0, now).is_some())
            .count()
    };
    assert_eq!(answered(began), 600);
    assert_eq!(answered(began), 0);
    assert_eq!(answered(began + Duration::from_millis(500)), 300);
    assert_eq!(answered(began + Duration::from_secs(3600)), 600);
}
