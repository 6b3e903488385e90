//! Bytes of the real tools, both ways.

use openflow_rs::{
    ErrorMessage, Flow, Group, GroupCommand, Match, Message, MultipartReply, NO_BUFFER, TlvMapping,
};

use crate::{flows, hex, messages};

/// A Geneve option's length is not known to the codec: it sends whole words where `ovs-ofctl` sends as few bytes as it can.
fn has_option(text: &str) -> bool {
    text.contains("->tun_metadata") || text.contains("tun_metadata0=")
}

#[test]
fn a_flow_is_put_on_the_wire_as_ovs_ofctl_puts_it() {
    let all = flows();
    assert!(all.len() > 60, "{} golden flows", all.len());
    for (text, golden) in all.iter().filter(|(text, _)| !has_option(text)) {
        let flow: Flow = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let encoded = flow.add().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(hex(&encoded[8..]), hex(&golden[8..]), "{text}");
    }
}

#[test]
fn a_flow_from_ovs_ofctl_prints_as_the_switch_prints_it() {
    for (text, golden) in flows() {
        let (_, message) =
            Message::decode(&golden).unwrap_or_else(|error| panic!("{text}: {error}"));
        let Message::FlowMod(flow_mod) = message else {
            panic!("{message:?}")
        };
        assert_eq!(flow_mod.flow.to_string(), text);
    }
}

#[test]
fn captured_messages_come_out_of_the_codec_as_they_went_in() {
    let all = messages();
    assert!(all.len() > 30, "{} golden messages", all.len());
    for (what, golden) in all {
        let (header, message) =
            Message::decode(&golden).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(
            !matches!(message, Message::Unknown { .. }),
            "{what}: {message:?}"
        );
        let encoded = message
            .encode(header.xid)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        if what.contains("dump-flows: reply") {
            // It holds a Geneve option: see has_option.
            assert_eq!(
                Message::decode(&encoded).map(|(_, message)| message),
                Ok(message),
                "{what}"
            );
        } else {
            assert_eq!(hex(&encoded), hex(&golden), "{what}: {message:?}");
        }
    }
}

/// The decoded message behind a line of `golden/messages.txt`.
fn captured(start: &str) -> Message {
    let all = messages();
    let (_, bytes) = all
        .iter()
        .find(|(what, _)| what[2..].starts_with(start))
        .unwrap_or_else(|| panic!("{start}"));
    Message::decode(bytes).expect("a message").1
}

#[test]
fn a_dump_of_flows_is_read() {
    let Message::MultipartReply(part) = captured("ovs-ofctl dump-flows: reply") else {
        panic!()
    };
    let MultipartReply::Flows(flows) = part.body else {
        panic!()
    };
    assert!(!part.more);
    let texts: Vec<String> = flows.iter().map(|desc| desc.flow.to_string()).collect();
    assert_eq!(
        texts,
        [
            "cookie=0x1234, table=3, priority=7,tcp,reg14=0x1,metadata=0x5,nw_dst=10.128.0.0/14 actions=move:NXM_NX_TUN_METADATA0[0..15]->NXM_NX_REG15[0..15],resubmit(,4)",
            "table=4, tun_metadata0=0x10002 actions=set_field:0x50007->tun_metadata0,output:1",
        ]
    );
    let desc = &flows[1];
    assert_eq!(
        (
            desc.idle_timeout,
            desc.hard_timeout,
            desc.importance,
            desc.flags
        ),
        (60, 600, 3, 1)
    );
    assert_eq!((desc.stats.packets, desc.stats.bytes), (Some(0), Some(0)));
    assert!(desc.stats.duration.is_some());
}

#[test]
fn a_dump_of_groups_is_read_and_printed_as_ovs_ofctl_prints_it() {
    let Message::MultipartReply(part) = captured("ovs-ofctl dump-groups: reply") else {
        panic!()
    };
    let MultipartReply::Groups(mut groups) = part.body else {
        panic!()
    };
    groups.sort();
    let texts: Vec<String> = groups.iter().map(Group::to_string).collect();
    assert_eq!(
        texts,
        [
            "group_id=1,type=select,selection_method=hash,fields(eth_src,ip_src=255.255.255.0),bucket=bucket_id:6,weight:7,actions=ct(commit,table=3,nat(dst=1.2.3.4)),bucket=bucket_id:9,weight:3,actions=output:1",
            "group_id=2,type=all,bucket=bucket_id:0,actions=output:1,bucket=bucket_id:7,actions=output:1",
            "group_id=3,type=ff,bucket=bucket_id:0,watch_port:1,actions=output:1,bucket=bucket_id:1,watch_group:2,actions=output:1",
            "group_id=4,type=indirect,bucket=bucket_id:0,actions=output:1",
        ]
    );
    for (text, group) in texts.iter().zip(groups) {
        assert_eq!(text.parse(), Ok(group));
    }
}

#[test]
fn group_commands_are_told_apart() {
    let Message::GroupMod(insert) = captured("ovs-ofctl insert-buckets") else {
        panic!()
    };
    assert_eq!(
        (insert.command, insert.command_bucket_id),
        (GroupCommand::InsertBucket, openflow_rs::BUCKET_LAST)
    );
    let Message::GroupMod(remove) = captured("ovs-ofctl remove-buckets") else {
        panic!()
    };
    assert_eq!(
        (remove.command, remove.command_bucket_id),
        (GroupCommand::RemoveBucket, 5)
    );
    let Message::GroupMod(either) = captured("ovs-ofctl --may-create mod-group") else {
        panic!()
    };
    assert_eq!(either.command, GroupCommand::AddOrModify);
}

#[test]
fn errors_have_names_and_say_which_message_failed() {
    let Message::Error(error) = captured("the error for meter:9") else {
        panic!()
    };
    assert_eq!(error.to_string(), "OFPMMFC_INVALID_METER");
    assert_eq!(
        error.failed().map(|header| (header.kind, header.xid)),
        Some((14, 2))
    );
    let Message::Error(error) = captured("the error for tun_metadata9") else {
        panic!()
    };
    assert_eq!(error.to_string(), "NXFMFC_INVALID_TLV_FIELD");
    let nameless = ErrorMessage {
        kind: 99,
        code: 7,
        experimenter: None,
        data: Default::default(),
    };
    assert_eq!(nameless.to_string(), "type 99 code 7");
    let foreign = ErrorMessage {
        kind: 0xffff,
        code: 37,
        experimenter: Some(5),
        data: Default::default(),
    };
    assert_eq!(foreign.to_string(), "experimenter 0x5 error 37");
}

#[test]
fn a_packet_for_the_controller_carries_its_metadata_and_userdata() {
    let metadata: Match = "reg3=0x5,in_port=1".parse().expect("a match");
    let Message::PacketIn2(packet) = captured("NXT_PACKET_IN2") else {
        panic!()
    };
    assert_eq!(
        (
            packet.packet.len(),
            packet.table,
            packet.cookie,
            packet.reason
        ),
        (16, 0, 9, 1)
    );
    assert_eq!(
        (&packet.userdata[..], packet.buffer_id, packet.metadata),
        (&[1, 2, 3][..], NO_BUFFER, metadata.clone())
    );
    let Message::PacketIn(packet) = captured("OFPT_PACKET_IN ") else {
        panic!()
    };
    assert_eq!(
        (
            packet.packet.len(),
            packet.total_length,
            packet.cookie,
            packet.metadata
        ),
        (16, 16, 9, metadata)
    );
}

#[test]
fn mappings_ports_and_removed_flows_are_read() {
    let Message::TlvTableReply(table) = captured("ovs-ofctl dump-tlv-map: reply") else {
        panic!()
    };
    assert_eq!((table.space_max, table.fields_max), (256, 64));
    assert_eq!(
        table.mappings,
        [TlvMapping {
            class: 0x102,
            kind: 0x80,
            length: 4,
            index: 0
        }]
    );
    let Message::PortStatus(status) = captured("a port status") else {
        panic!()
    };
    assert_eq!((&status.port.name[..], status.port.port.0), (&b"p9"[..], 9));
    let Message::FlowRemoved(removed) = captured("a flow removed") else {
        panic!()
    };
    assert_eq!(
        (
            removed.table,
            removed.priority,
            removed.cookie,
            removed.reason
        ),
        (50, 3, 7, 1)
    );
    assert_eq!(removed.matches.to_string(), "ip,reg0=0x5,in_port=1");
}
