//! The codec and the connection against a real Open vSwitch: what is sent is what is found there, by dump and by `ovs-ofctl`.
//!
//! Each test has a switch of its own: `ovsdb-server` and `ovs-vswitchd` in a temporary directory, with the dummy datapath. No
//! privileges are needed. Each ends in an audit of what the switch complained about.

#[path = "switch/control.rs"]
mod control;
#[path = "switch/harness.rs"]
mod harness;
#[path = "switch/tls.rs"]
mod tls;

use std::time::Duration;

use bytes::Bytes;
use openflow_rs::connection::{Connection, ConnectionError, Remote};
use openflow_rs::{
    ALL_GROUPS, ALL_METERS, Action, AsyncConfig, BUCKET_LAST, Bucket, BundleControl, BundleStep,
    ControllerRole, CtFlush, CtTuple, ErrorMessage, Field, Flow, FlowCommand, FlowMod, FlowRequest,
    Group, GroupMod, GroupType, METER_BURST, METER_PKTPS, Match, Message, Meter, MeterBand,
    MeterCommand, MeterMod, MultipartReply, MultipartRequest, NO_BUFFER, PacketOut, PortNo,
    PortReason, Role, SwitchConfig, TlvCommand, TlvMapping, TlvTableMod,
};

use crate::control::Control;
use crate::harness::{Switch, TIMEOUT};

/// The option that OVN and weft use: class 0x0102, type 0x80, four bytes.
const OPTION: TlvMapping = TlvMapping {
    class: 0x0102,
    kind: 0x80,
    length: 4,
    index: 0,
};

/// Texts of flows with every action and field that is known.
fn golden_flows() -> Vec<Flow> {
    let texts = include_str!("golden/flows.txt").lines().step_by(2);
    texts
        .map(|text| {
            text.parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"))
        })
        .collect()
}

#[tokio::test]
async fn a_switch_is_greeted_and_says_what_it_is() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    let Message::FeaturesReply(features) = control.ask(Message::FeaturesRequest).await else {
        panic!()
    };
    assert!(
        features.datapath_id != 0 && features.tables == 254,
        "{features:?}"
    );
    let MultipartReply::Desc(desc) = control.dump(MultipartRequest::Desc).await else {
        panic!()
    };
    assert_eq!(desc.hardware, "Open vSwitch");
    control
        .tell(Message::SetConfig(SwitchConfig {
            flags: 0,
            miss_send_len: 0xffff,
        }))
        .await;
    let Message::GetConfigReply(config) = control.ask(Message::GetConfigRequest).await else {
        panic!()
    };
    assert_eq!(config.miss_send_len, 0xffff);
    let echo = Bytes::from_static(b"are you there");
    assert_eq!(
        control.ask(Message::EchoRequest(echo.clone())).await,
        Message::EchoReply(echo)
    );
    switch.audit(&[]);
}

#[tokio::test]
async fn tables_and_ports_are_described() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    let MultipartReply::Ports(ports) = control.dump(MultipartRequest::Ports(PortNo::ANY)).await
    else {
        panic!()
    };
    let mut names: Vec<(u32, &[u8])> = ports
        .iter()
        .map(|port| (port.port.0, &port.name[..]))
        .collect();
    names.sort_unstable();
    assert_eq!(names, [(1, &b"p1"[..]), (PortNo::LOCAL.0, &b"br0"[..])]);
    let MultipartReply::Tables(tables) = control.dump(MultipartRequest::Tables).await else {
        panic!()
    };
    assert_eq!(tables.len(), 254);
    // More than a megabyte, in a part for each table or two.
    let MultipartReply::TableFeatures(tables) = control.dump(MultipartRequest::TableFeatures).await
    else {
        panic!()
    };
    let numbers: Vec<u8> = tables.iter().map(|table| table.table).collect();
    assert_eq!(numbers, (0..254).collect::<Vec<u8>>());
    switch.audit(&[]);
}

#[tokio::test]
async fn every_action_and_field_comes_back_as_it_was_sent() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    control.map_option(OPTION).await;
    for id in [1, 3] {
        control.tell(Message::MeterMod(add_meter(id))).await;
    }
    control
        .tell_bytes(
            Group {
                id: 1,
                kind: GroupType::All,
                buckets: vec![],
                selection: None,
            }
            .add()
            .unwrap(),
        )
        .await;
    let mut flows: Vec<Flow> = golden_flows();
    flows.sort_by_key(Flow::key);
    flows.dedup_by_key(|flow| flow.key());
    assert!(flows.len() > 60);
    control
        .commit(flows.iter().map(|flow| flow.add().unwrap()))
        .await
        .expect("all are valid");
    let mut dumped = control.flows().await;
    dumped.sort_by_key(Flow::key);
    for (sent, found) in flows.iter().zip(&dumped) {
        assert_eq!(
            found,
            &sent.clone().canonical(),
            "\n found {found}\n sent  {sent}"
        );
    }
    assert_eq!(dumped.len(), flows.len());
    let mut ours: Vec<String> = flows.iter().map(Flow::to_string).collect();
    let mut theirs = switch.ofctl_lines(&["--no-stats", "--no-names", "dump-flows", "br0"]);
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
    control
        .commit(dumped.iter().map(|flow| flow.delete_strict().unwrap()))
        .await
        .expect("all are there");
    assert_eq!(control.flows().await, []);
    switch.audit(&["referring to port ANY", "deprecated"]);
}

#[tokio::test]
async fn a_bundle_of_ten_thousand_flows_is_acknowledged_and_dumped_back_equal() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    control.map_option(OPTION).await;
    let flows: Vec<Flow> = (0..10_000_u32)
        .map(|number| {
            let address = std::net::Ipv4Addr::from_bits(0x0a80_0000 + number);
            let table = 8 + number % 30;
            let text = format!(
                "cookie={number:#x},table={table},priority={},ip,reg14={:#x},metadata={:#x},nw_dst={address}                  actions=set_field:{:#x}->tun_metadata0,set_field:0x7->tun_id,set_field:10.0.0.{}->tun_dst,set_field:0xffff->in_port,resubmit(,{})",
                100 + number % 7,
                number % 9 + 1,
                number % 11 + 1,
                number * 65_537,
                number % 250 + 1,
                table + 1,
            );
            text.replace("set_field:0x0->", "set_field:0->").parse().unwrap_or_else(|error| panic!("{text}: {error}"))
        })
        .collect();
    control
        .commit(flows.iter().map(|flow| flow.add().unwrap()))
        .await
        .expect("all are valid");
    let mut sent: Vec<Flow> = flows.into_iter().map(Flow::canonical).collect();
    let mut dumped = control.flows().await;
    sent.sort();
    dumped.sort();
    assert_eq!(dumped.len(), sent.len());
    assert!(
        dumped == sent,
        "first difference: {:?}",
        dumped.iter().zip(&sent).find(|(found, sent)| found != sent)
    );
    switch.audit(&[]);
}

#[tokio::test]
async fn groups_and_buckets_come_back_as_they_were_sent() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    let texts = [
        "group_id=1,type=select,selection_method=hash,fields(eth_src,ip_src=255.255.255.0),bucket=bucket_id:5,weight:10,actions=output:1,bucket=bucket_id:6,weight:7,actions=ct(commit,table=3,nat(dst=1.2.3.4))",
        "group_id=2,type=all,bucket=bucket_id:0,actions=output:1,bucket=bucket_id:7,actions=set_field:0x5->reg15,resubmit(,40)",
        "group_id=3,type=ff,bucket=bucket_id:0,watch_port:1,actions=output:1,bucket=bucket_id:1,watch_group:2,actions=output:1",
        "group_id=4,type=indirect,bucket=bucket_id:0,actions=output:1",
        "group_id=5,type=select,bucket=bucket_id:9,actions=output:1",
        "group_id=6,type=all",
    ];
    let groups: Vec<Group> = texts
        .iter()
        .map(|text| {
            text.parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"))
        })
        .collect();
    control
        .commit(groups.iter().map(|group| group.add().unwrap()))
        .await
        .expect("all are valid");
    let expected: Vec<Group> = groups.into_iter().map(Group::canonical).collect();
    let found = control.groups().await;
    assert_eq!(found, expected);
    let theirs = switch.ofctl_lines(&["dump-groups", "br0"]);
    let mut ours: Vec<String> = found.iter().map(Group::to_string).collect();
    let mut theirs: Vec<String> = theirs
        .into_iter()
        .filter(|line| line.starts_with("group_id"))
        .collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);

    let bucket = Bucket {
        weight: 3,
        ..Bucket::new(8, vec![Action::Output(PortNo(1))])
    };
    let insert = GroupMod::insert_buckets(1, GroupType::Select, BUCKET_LAST, vec![bucket]);
    control.tell(Message::GroupMod(insert)).await;
    control
        .tell(Message::GroupMod(GroupMod::remove_bucket(
            1,
            GroupType::Select,
            5,
        )))
        .await;
    let buckets: Vec<(u32, u16)> = control.groups().await[0]
        .buckets
        .iter()
        .map(|bucket| (bucket.id, bucket.weight))
        .collect();
    assert_eq!(buckets, [(6, 7), (8, 3)]);
    let error = control
        .refused(Message::GroupMod(GroupMod::remove_bucket(
            1,
            GroupType::Select,
            77,
        )))
        .await;
    assert_eq!(error.to_string(), "OFPGMFC_UNKNOWN_BUCKET");
    control
        .tell(Message::GroupMod(GroupMod::delete(ALL_GROUPS)))
        .await;
    assert_eq!(control.groups().await, []);
    switch.audit(&[]);
}

#[tokio::test]
async fn the_largest_group_that_a_dump_can_hold_comes_back_whole() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    let nat: Vec<Action> = "ct(commit,table=3,nat(dst=10.128.0.9:8080))"
        .parse()
        .map(|action| vec![action])
        .unwrap();
    let buckets = (0..256)
        .map(|id| Bucket {
            weight: 100,
            ..Bucket::new(id, nat.clone())
        })
        .collect();
    let group = Group {
        id: 9,
        kind: GroupType::Select,
        buckets,
        selection: None,
    };
    control.tell_bytes(group.add().unwrap()).await;
    assert_eq!(control.groups().await, [group.canonical()]);
    switch.audit(&[]);
}

#[tokio::test]
async fn options_are_mapped_and_a_bad_mapping_is_refused_by_name() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    let flow: Flow = "tun_metadata0=0x10002 actions=drop".parse().unwrap();
    let error = control
        .refused(Message::FlowMod(Box::new(FlowMod {
            flow: flow.clone(),
            ..FlowMod::new(FlowCommand::Add)
        })))
        .await;
    assert_eq!(error.to_string(), "NXFMFC_INVALID_TLV_FIELD");
    control.map_option(OPTION).await;
    let Message::TlvTableReply(table) = control.ask(Message::TlvTableRequest).await else {
        panic!()
    };
    assert_eq!(table.mappings, [OPTION]);
    control.tell_bytes(flow.add().unwrap()).await;
    assert_eq!(control.flows().await, [flow]);
    let change = |command| {
        Message::TlvTableMod(TlvTableMod {
            command,
            mappings: vec![OPTION],
        })
    };
    assert_eq!(
        control.refused(change(TlvCommand::Add)).await.to_string(),
        "NXTTMFC_ALREADY_MAPPED"
    );
    assert_eq!(
        control
            .refused(change(TlvCommand::Delete))
            .await
            .to_string(),
        "NXTTMFC_INVALID_TLV_DEL"
    );
    control
        .tell_bytes(FlowMod::delete_all().message(0).unwrap())
        .await;
    // Open vSwitch lets go of a flow a moment after it is deleted, and of the mapping only then.
    control
        .tell_in_time(change(TlvCommand::Delete), "NXTTMFC_INVALID_TLV_DEL")
        .await;
    let Message::TlvTableReply(table) = control.ask(Message::TlvTableRequest).await else {
        panic!()
    };
    assert_eq!(table.mappings, []);
    switch.audit(&[]);
}

#[tokio::test]
async fn an_option_of_several_words_compares_equal_too() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    control
        .map_option(TlvMapping {
            class: 0x0103,
            kind: 0x80,
            length: 12,
            index: 1,
        })
        .await;
    let flows = [
        "table=1, tun_metadata1=0x10002 actions=set_field:0x5->tun_metadata1,output:1",
        "table=2, tun_metadata1=0xa0000000b0000000c0000/0xffff0000ffff0000ffff0000 actions=set_field:0x700000000/0xf00000000->tun_metadata1,output:1",
    ];
    let flows: Vec<Flow> = flows
        .iter()
        .map(|text| text.parse::<Flow>().unwrap().canonical())
        .collect();
    control
        .commit(flows.iter().map(|flow| flow.add().unwrap()))
        .await
        .expect("all are valid");
    let mut dumped = control.flows().await;
    dumped.sort();
    assert_eq!(dumped, flows);
    switch.audit(&[]);
}

#[tokio::test]
async fn a_bad_action_in_a_bundle_is_named_by_its_transaction_and_nothing_is_changed() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    let before: Flow = "table=1, actions=drop".parse().unwrap();
    control
        .commit([before.add().unwrap()])
        .await
        .expect("it is valid");
    let good = |table: u8| {
        Flow {
            table,
            ..before.clone()
        }
        .add()
        .unwrap()
    };
    let bad: Flow = "table=3, actions=group:77".parse().unwrap();
    let failed = control
        .commit([good(2), bad.add().unwrap(), good(4)])
        .await
        .expect_err("there is no group 77");
    assert_eq!(
        failed.names(),
        ["OFPBAC_BAD_OUT_GROUP", "OFPBFC_MSG_FAILED"]
    );
    assert_eq!(failed.position(), Some(1));
    assert_eq!(
        control.flows().await,
        std::slice::from_ref(&before),
        "all or nothing"
    );
    // A flow that is not even well formed is refused as it is added. Open vSwitch would commit the others without it, so a
    // bundle is committed only once a barrier shows that nothing was refused.
    let mut broken = good(5).to_vec();
    broken.extend([0xff, 0xff, 0, 8, 0, 0, 0, 0]);
    let total = u16::try_from(broken.len()).unwrap().to_be_bytes();
    broken[2..4].copy_from_slice(&total);
    let failed = control
        .commit([good(2), Bytes::from(broken)])
        .await
        .expect_err("it is malformed");
    assert_eq!(
        (failed.names()[0].as_str(), failed.position()),
        ("OFPBIC_BAD_EXPERIMENTER", Some(1))
    );
    assert_eq!(control.flows().await, [before]);
    switch.audit(&["error", "bad", "OFPT_ERROR"]);
}

#[tokio::test]
async fn only_the_controller_of_the_newest_generation_writes() {
    let switch = Switch::start();
    let (mut old, mut new) = (
        Control::connect(&switch).await,
        Control::connect(&switch).await,
    );
    let master = |generation_id| {
        Message::RoleRequest(Role {
            role: ControllerRole::Master,
            generation_id,
        })
    };
    let granted = |generation_id| {
        Message::RoleReply(Role {
            role: ControllerRole::Master,
            generation_id,
        })
    };
    assert_eq!(old.ask(master(3)).await, granted(3));
    assert_eq!(new.ask(master(4)).await, granted(4));
    assert_eq!(old.refused(master(3)).await.to_string(), "OFPRRFC_STALE");
    let flow: Flow = "actions=drop".parse().unwrap();
    let add = Message::FlowMod(Box::new(FlowMod {
        flow,
        ..FlowMod::new(FlowCommand::Add)
    }));
    assert_eq!(
        old.refused(add.clone()).await.to_string(),
        "OFPBRC_IS_SECONDARY"
    );
    new.tell(add).await;
    assert_eq!(new.flows().await.len(), 1);
    switch.audit(&[]);
}

fn add_meter(id: u32) -> MeterMod {
    let bands = vec![MeterBand {
        rate: 100,
        burst: 50,
        dscp_precedence: None,
    }];
    MeterMod {
        command: MeterCommand::Add,
        meter: Meter {
            id,
            flags: METER_PKTPS | METER_BURST,
            bands,
        },
    }
}

#[tokio::test]
async fn meters_come_back_as_they_were_sent() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    control.tell(Message::MeterMod(add_meter(7))).await;
    let MultipartReply::Meters(meters) = control.dump(MultipartRequest::Meters(ALL_METERS)).await
    else {
        panic!()
    };
    assert_eq!(meters, [add_meter(7).meter]);
    assert_eq!(
        control
            .refused(Message::MeterMod(add_meter(7)))
            .await
            .to_string(),
        "OFPMMFC_METER_EXISTS"
    );
    switch.audit(&[]);
}

#[tokio::test]
async fn packets_ports_and_ends_of_flows_are_told() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    control.tell(Message::SetPacketInFormat(2)).await;
    control
        .tell(Message::SetConfig(SwitchConfig {
            flags: 0,
            miss_send_len: 0xffff,
        }))
        .await;
    let Message::GetAsyncReply(AsyncConfig { masks }) = control.ask(Message::GetAsyncRequest).await
    else {
        panic!()
    };
    assert!(masks.len() >= 6, "{masks:?}");
    control.tell(Message::SetAsync(AsyncConfig { masks })).await;
    let flow: Flow =
        "cookie=0x9,in_port=1 actions=set_field:0x5->reg3,controller(userdata=01.02.03)"
            .parse()
            .unwrap();
    let add = FlowMod {
        flow,
        flags: openflow_rs::FLOW_SEND_REMOVED,
        ..FlowMod::new(FlowCommand::Add)
    };
    control.tell(Message::FlowMod(Box::new(add))).await;
    switch.appctl(&[
        "netdev-dummy/receive",
        "p1",
        "ffffffffffff0102030405060800aabb",
    ]);
    let Message::PacketIn2(packet) = control
        .told(|message| matches!(message, Message::PacketIn2(_)))
        .await
    else {
        panic!()
    };
    assert_eq!((packet.cookie, &packet.userdata[..]), (9, &[1, 2, 3][..]));
    let metadata: Match = "in_port=1,reg3=0x5".parse().unwrap();
    assert_eq!(packet.metadata, metadata);
    assert_eq!(packet.packet.len(), 16);
    // Sent out anew, through the tables, it comes again.
    let out = PacketOut {
        buffer_id: NO_BUFFER,
        metadata: Match::new().exact(Field::InPort, 1_u8),
        actions: vec![Action::Output(PortNo::TABLE)],
        packet: packet.packet.clone(),
    };
    control.tell(Message::PacketOut(out)).await;
    let Message::PacketIn2(again) = control
        .told(|message| matches!(message, Message::PacketIn2(_)))
        .await
    else {
        panic!()
    };
    assert_eq!(again.packet, packet.packet);
    control
        .tell_bytes(FlowMod::delete_all().message(0).unwrap())
        .await;
    let Message::FlowRemoved(removed) = control
        .told(|message| matches!(message, Message::FlowRemoved(_)))
        .await
    else {
        panic!()
    };
    assert_eq!(
        (removed.cookie, removed.reason, removed.stats.packets),
        (9, 2, Some(2))
    );
    switch.vsctl(&[
        "add-port",
        "br0",
        "p2",
        "--",
        "set",
        "interface",
        "p2",
        "type=dummy",
        "ofport_request=2",
    ]);
    let is_added = |message: &Message| matches!(message, Message::PortStatus(status) if status.reason == PortReason::Add);
    let Message::PortStatus(status) = control.told(is_added).await else {
        panic!()
    };
    assert_eq!(
        (status.port.port, &status.port.name[..]),
        (PortNo(2), &b"p2"[..])
    );
    switch.audit(&[]);
}

#[tokio::test]
async fn connections_are_flushed() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    control.tell(Message::CtFlushZone(5)).await;
    let original = CtTuple {
        source: Some("10.0.0.1".parse().unwrap()),
        source_port: Some(5),
        ..CtTuple::default()
    };
    control
        .tell(Message::CtFlush(CtFlush {
            protocol: 6,
            original,
            zone: Some(5),
            ..CtFlush::default()
        }))
        .await;
    let reply = CtTuple {
        destination: Some("fd00::1".parse().unwrap()),
        ..CtTuple::default()
    };
    control
        .tell(Message::CtFlush(CtFlush {
            reply,
            ..CtFlush::default()
        }))
        .await;
    switch.audit(&[]);
}

#[tokio::test]
async fn requests_of_one_table_bring_its_flows_only() {
    let switch = Switch::start();
    let mut control = Control::connect(&switch).await;
    let flows: Vec<Flow> = (1..4)
        .map(|table| {
            format!("table={table}, cookie=0x{table}, actions=drop")
                .parse()
                .unwrap()
        })
        .collect();
    control
        .commit(flows.iter().map(|flow| flow.add().unwrap()))
        .await
        .expect("all are valid");
    let request = FlowRequest {
        table: 2,
        ..FlowRequest::all()
    };
    let MultipartReply::Flows(found) = control.dump(MultipartRequest::Flows(request)).await else {
        panic!()
    };
    assert_eq!(
        found.iter().map(|desc| &desc.flow).collect::<Vec<_>>(),
        [&flows[1]]
    );
    let request = FlowRequest {
        cookie: 3,
        cookie_mask: u64::MAX,
        ..FlowRequest::all()
    };
    let MultipartReply::Flows(found) = control.dump(MultipartRequest::Flows(request)).await else {
        panic!()
    };
    assert_eq!(
        found.iter().map(|desc| &desc.flow).collect::<Vec<_>>(),
        [&flows[2]]
    );
    switch.audit(&[]);
}

#[tokio::test]
async fn a_switch_that_does_not_speak_1_5_is_told_what_to_do() {
    let switch = Switch::start();
    switch.vsctl(&["set", "bridge", "br0", "protocols=OpenFlow13"]);
    let error = Connection::connect(&switch.remote(), None, TIMEOUT)
        .await
        .expect_err("it speaks 1.3 only");
    assert!(
        error
            .to_string()
            .contains("set `protocols` of its bridge to OpenFlow15"),
        "{error}"
    );
    // How a switch names the end of a negotiation depends on which side it hears of it first from.
    switch.audit(&[
        "version negotiation failed",
        "connection dropped (Protocol error)",
    ]);
}

#[tokio::test]
async fn nobody_there_silence_and_nonsense_are_told_apart() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("s");
    let remote: Remote = format!("unix:{}", path.display()).parse().unwrap();
    let soon = Duration::from_millis(200);
    assert!(matches!(
        Connection::connect(&remote, None, soon).await,
        Err(ConnectionError::Dial { .. })
    ));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    assert!(
        matches!(
            Connection::connect(&remote, None, soon).await,
            Err(ConnectionError::Timeout { .. })
        ),
        "silence"
    );
    drop(listener.accept().await.unwrap());
    for (sent, check) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "did not begin with a hello",
        ),
        (&[6, 20, 0, 8, 0, 0, 0, 0][..], "type 20"),
        (&[6, 0, 0, 4, 0, 0, 0, 0][..], "does not speak OpenFlow"),
        (&[][..], "closed the connection"),
        (&[6, 0, 0][..], "bytes remaining"),
    ] {
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, sent)
                .await
                .unwrap();
            if sent.starts_with(b"HTTP") {
                // A long message seems to follow: 0x502f bytes. End it.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &[b' '; 0x6000]).await;
            }
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            stream
        };
        let (error, _stream) = tokio::join!(Connection::connect(&remote, None, TIMEOUT), serve);
        let error = error.expect_err("no switch");
        let text = std::error::Error::source(&error)
            .map_or(error.to_string(), |source| format!("{error}: {source}"));
        assert!(text.contains(check), "{sent:?}: {text}");
    }
}

/// What is known of a bundle that failed.
#[derive(Debug)]
pub struct Failed {
    /// Errors in the order in which they came.
    errors: Vec<ErrorMessage>,
    /// Transaction IDs of the messages in the bundle.
    xids: Vec<u32>,
}

impl Failed {
    fn names(&self) -> Vec<String> {
        self.errors.iter().map(ErrorMessage::to_string).collect()
    }

    /// Which message the first error is about.
    fn position(&self) -> Option<usize> {
        let failed = self.errors.first()?.failed()?;
        self.xids.iter().position(|xid| *xid == failed.xid)
    }
}

/// A bundle's control message.
fn bundle(id: u32, step: BundleStep) -> Message {
    Message::BundleControl(BundleControl::new(id, step))
}
