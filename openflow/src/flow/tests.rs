//! Flow text against what `ovs-ofctl --no-stats --no-names dump-flows` printed of Open vSwitch 3.1.

use super::*;

/// Lines of dumps, as they were printed (less the blank before them).
const DUMPED: &[&str] = &[
    "actions=drop",
    "icmp6,icmp_type=135,nd_target=fe80::1 actions=set_field:136->icmpv6_type,set_field:1610612736->nd_reserved",
    "icmp6,icmp_type=136,nd_target=fe80::1 actions=set_field:2->nd_options_type,set_field:aa:bb:cc:dd:ee:ff->nd_tll,set_field:1610612736->nd_reserved",
    "conj_id=5,ct_state=+new-est+trk,ct_zone=5,ct_mark=0x1/0x1,ct_label=0x5,ip,nw_tos=4,nw_ecn=1,nw_ttl=3 actions=ct(commit,table=4,zone=NXM_NX_REG13[0..15],nat(src=10.0.0.1-10.0.0.9:1-9,random),exec(set_field:0x1->ct_mark,set_field:0x2/0x3->ct_label)),ct_clear,output:NXM_NX_REG1[0..15],resubmit(5,6),resubmit(,7),resubmit(,8,ct)",
    "tcp6,in_port=ANY,ipv6_src=fd00::/64,ipv6_dst=::1,ipv6_label=0x00005 actions=set_field:0x5->metadata,set_field:0x28/0x1f8->metadata,set_field:0x5/0xffffff->tun_id,set_field:0x5/0x7->reg0,set_field:0x1->xreg0,set_field:0x20/0xe0->xxreg0,write_metadata:0x3/0x7",
    "sctp,tp_dst=5 actions=goto_table:9",
    "sctp,tp_dst=6 actions=write_actions(output:1),write_metadata:0x5,goto_table:8",
    "priority=9,tcp,tp_src=0x5/0xff,tcp_flags=+syn actions=conjunction(5,1/2),conjunction(6,2/3)",
    "tun_src=10.0.0.1 actions=controller(max_len=128,id=3,userdata=00.01.02.03,meter_id=5)",
    "actions=controller(userdata=01,pause)",
    "dl_vlan=5,dl_vlan_pcp=3 actions=pop_vlan",
    "vlan_tci=0x0000/0x1000 actions=output:5",
    "table=9, ip,nw_src=1.2.3.4 actions=output:1",
    "table=22, arp,arp_op=2 actions=set_field:1->arp_op,set_field:1.2.3.4->arp_spa,set_field:aa:bb:cc:dd:ee:ff->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
    "table=24, icmp actions=set_field:0->icmp_type,set_field:0->icmp_code",
    "table=24, icmp6,icmp_type=128,icmp_code=0 actions=set_field:129->icmpv6_type",
    "table=25, icmp6,icmp_type=135,icmp_code=0,nd_target=fd00::/64,nd_sll=01:02:03:04:05:06 actions=drop",
    "table=25, icmp6,icmp_type=136,icmp_code=0,nd_target=fd00::1,nd_tll=01:02:03:04:05:06,nd_reserved=5,nd_options_type=2 actions=drop",
    "cookie=0x5, table=26, priority=1,pkt_mark=0,ct_mark=0,reg0=0,reg1=0/0xff,reg4=0,reg5=0,tun_id=0,metadata=0,in_port=LOCAL,dl_src=00:00:00:00:00:00,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=output:70",
    "table=26, priority=0 actions=drop",
    "table=27, ip,nw_src=10.0.0.0/255.0.255.0,nw_dst=0.0.0.0/1 actions=LOCAL",
    "table=27, ipv6,ipv6_src=fd00::/24,ipv6_label=0x00005/0x000ff,nw_proto=59 actions=CONTROLLER:128",
    "table=27, ip,nw_frag=not_later actions=controller(reason=invalid_ttl,max_len=5)",
    "table=27, ip,nw_frag=first actions=controller(id=7)",
    "table=27, ipv6,nw_frag=no actions=CONTROLLER:65535",
    "table=27, rarp actions=controller(reason=no_match,max_len=0,userdata=00.11.22)",
    "table=27, dl_type=0x88cc actions=controller(meter_id=3)",
    "table=27, mpls actions=output(port=LOCAL,max_len=77),output:NXM_NX_REG0[],output:OXM_OF_PKT_REG1[0..15]",
    "table=27, ip,nw_proto=2 actions=ct(commit,zone=NXM_NX_REG1[0..15],exec(set_field:0x5->ct_mark,move:NXM_NX_REG0[]->NXM_NX_CT_LABEL[0..31],set_field:0x8->ct_label,set_field:0x1000000000000000000000000/0xffffffff000000000000000000000000->ct_label))",
    "table=28, ct_state=-trk,tcp,tcp_flags=-fin+syn actions=drop",
    "table=28, ct_state=+new+trk,tcp,tcp_flags=syn actions=note:01.02.03.04.05.06.07.00.00.00.00.00.00.00,exit,set_queue:5,pop_queue,push_vlan:0x8100",
    "table=29, ct_state=+est+trk,ct_nw_src=10.0.0.0/8,ct_nw_dst=1.1.1.1,ct_nw_proto=6,ct_tp_src=5,ct_tp_dst=0x6/0xfe,ip actions=drop",
    "table=29, ct_state=new|est|rel|rpl|inv|trk|snat|dnat,ct_ipv6_src=fd00::1,ct_ipv6_dst=fd00::/8,ipv6 actions=drop",
    "table=30, vlan_tci=0x0000/0x1fff actions=drop",
    "table=30, dl_vlan=5,dl_vlan_pcp=7 actions=drop",
    "table=30, vlan_tci=0x1005/0x1005 actions=drop",
    "table=30, tun_flags=+oam actions=drop",
    "table=30, tun_id=0x5,tun_src=10.0.0.0/24,tun_dst=1.1.1.1,metadata=0x7,in_port=3 actions=drop",
    "table=30, tun_ipv6_src=fd00::1,tun_ipv6_dst=::/1,tun_metadata0=0 actions=drop",
    "table=30, tun_gbp_id=5,tun_gbp_flags=0x3,tun_flags=-oam actions=drop",
    "table=31, tcp,tp_src=0x6/0x7,tp_dst=0x50/0xfff0 actions=conjunction(1,2/2)",
    "table=31, udp,tp_dst=80 actions=IN_PORT,IN_PORT,ALL,write_actions(output:1,group:1),goto_table:40",
    "table=31, sctp,tp_dst=80 actions=clear_actions,goto_table:40",
    "table=2, ip actions=set_field:10.0.0.1->ip_dst,set_field:10.0.0.0/16->ip_src,set_field:aa:bb:cc:00:00:00/ff:ff:ff:00:00:00->eth_src,set_field:0x5->tun_id,set_field:0->reg0,set_field:0->metadata,set_field:0xa->xxreg1,set_field:0x5/0xff->xxreg1",
    "table=3, ipv6 actions=set_field:fd00::/64->ipv6_dst,set_field:0x5->ipv6_label,move:NXM_NX_XXREG0[]->NXM_NX_IPV6_DST[],dec_ttl",
    "table=4, ip actions=set_field:1->nw_ecn,set_field:8->nw_tos,set_field:3->ip_dscp,set_field:9->nw_ttl,set_field:10.1.1.1->tun_dst,set_field:::1->tun_ipv6_dst,set_field:oam->tun_flags,set_field:0x3->pkt_mark",
    "table=5, tcp actions=set_field:80->tcp_dst,set_field:1->tcp_src,move:OXM_OF_METADATA[0..31]->NXM_NX_REG0[],move:NXM_NX_TUN_ID[0..23]->OXM_OF_METADATA[0..23],move:OXM_OF_PKT_REG0[3..4]->NXM_NX_REG7[1..2],move:OXM_OF_IP_DSCP[]->NXM_NX_REG0[0..5],move:NXM_OF_IP_TOS[2..7]->NXM_NX_REG0[0..5],set_field:3/0x7->tcp_dst",
    "table=7, ipv6 actions=ct(commit,nat(dst=[fd00::1]:80,hash)),ct(commit,nat(src=fd00::1-fd00::9,persistent)),ct(commit,nat(src=[fd00::1]-[fd00::9]:80-90,persistent))",
    "table=8, ct_state=+trk,tcp,tcp_flags=+syn+ack actions=clone(ct_clear,resubmit(LOCAL,5)),resubmit:5,resubmit:5",
    "table=10, ct_state=+est+trk,in_port=ANY,vlan_tci=0x1000/0x1000 actions=write_metadata:0x5,goto_table:11",
    "table=12, actions=controller(reason=group),controller(reason=packet_out),controller(reason=action_set,id=5),controller(reason=no_match,meter_id=3)",
    "table=13, icmp actions=set_field:8->icmp_type,mod_nw_ttl:4",
    "table=14, ct_state=new|est|rel|rpl|inv|trk|snat|dnat,tcp,tcp_flags=fin|syn|rst|psh|ack|urg|ece|cwr|ns|[200]|[400]|[800] actions=note:00.00.00.00.00.00",
    "table=15, mpls,dl_vlan=3,dl_vlan_pcp=3 actions=drop",
    "table=16, mpls,mpls_label=5,mpls_tc=3,mpls_ttl=6,mpls_bos=1 actions=drop",
    "table=16, arp,dl_dst=00:00:00:00:00:01,arp_spa=1.1.1.0/24,arp_op=1,arp_tha=aa:bb:cc:dd:ee:ff actions=drop",
    "table=16, pkt_mark=0x4/0x6,ct_zone=5,ct_label=0x5/0xff,tcp,reg3=0x5,in_port=CONTROLLER,nw_tos=16,nw_ecn=1 actions=drop",
    "table=16, ct_mark=0x5/0x7,udp6,tun_gbp_id=0x5/0x7,metadata=0x5/0x7 actions=drop",
    "table=40, ip actions=ct()",
    "table=42, ip actions=ct(nat)",
    "table=43, ip actions=ct(commit,nat(src=10.0.0.1)),ct(commit,nat(dst=10.0.0.1:80))",
    "table=44, ip actions=ct(commit,nat(src))",
    "table=45, ip actions=ct(commit,nat(src=1.1.1.1,persistent,hash))",
    "table=47, actions=clone(drop)",
    "table=50, actions=set_field:0x7->tun_metadata0,set_field:0x7/0xff->tun_metadata0",
    "table=50, tun_metadata0=0x9 actions=move:NXM_NX_TUN_METADATA0[0..15]->NXM_NX_REG0[0..15]",
    "table=51, actions=push_vlan:0x8100,set_field:4099->vlan_vid,set_field:3->vlan_pcp",
    "table=53, actions=output:NXM_NX_TUN_METADATA0[0..15]",
    "table=54, actions=set_field:LOCAL->in_port",
    "table=55, actions=set_field:ANY->in_port",
    "table=57, ip actions=multipath(symmetric_l3l4+udp,50,hrw,3,0,NXM_NX_REG8[16..31]),multipath(nw_dst,0,modulo_n,65536,7,NXM_NX_REG0[])",
    "table=58, tcp,tcp_flags=0 actions=drop",
];

#[test]
fn flows_print_as_the_switch_prints_them() {
    for text in DUMPED {
        let flow: Flow = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(flow.to_string(), *text);
        assert_eq!(
            flow.clone().canonical(),
            flow,
            "{text} is what a switch gave back"
        );
    }
}

#[test]
fn flows_survive_their_bytes() {
    for text in DUMPED {
        let flow: Flow = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let bytes = flow.add().unwrap_or_else(|error| panic!("{text}: {error}"));
        let (_, message) =
            crate::Message::decode(&bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
        let crate::Message::FlowMod(decoded) = message else {
            panic!("{message:?}")
        };
        assert_eq!(decoded.flow.to_string(), *text);
        assert_eq!(decoded.flow, flow);
    }
}
