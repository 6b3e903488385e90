//! What is read, what is refused and in which words, and what hostile text does.

use weft_expr::{Action, Expr, ParseError, parse_actions, parse_match};

fn parsed(text: &str) -> Expr {
    parse_match(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Each text is read, and printed as the second one.
#[track_caller]
fn prints(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let expr = parsed(text);
        assert_eq!(expr.to_string(), *expected, "{text}");
        assert_eq!(parsed(expected), expr, "{expected} does not parse back");
    }
}

#[test]
fn matches_of_the_manual_are_read() {
    prints(&[
        ("1", "1"),
        ("0", "0"),
        ("ip4.dst == 192.168.0.1", "ip4.dst == 192.168.0.1"),
        ("192.168.0.1==ip4.dst", "ip4.dst == 192.168.0.1"),
        ("ip.proto == 6", "ip.proto == 6"),
        ("eth.type ==\n0x800", "eth.type == 0x800"),
        ("eth.type == 2048", "eth.type == 0x800"),
        ("vlan.tci[13..15] == 7", "vlan.tci[13..15] == 0x7"),
        ("eth.dst[40]", "eth.dst[40]"),
        ("!eth.dst[40]", "!eth.dst[40]"),
        ("eth.dst[40] == 0", "eth.dst[40] == 0x0"),
        ("80 == tcp.src", "tcp.src == 80"),
        (
            "1024 <= tcp.src <= 49151",
            "tcp.src >= 1024 && tcp.src <= 49151",
        ),
        (
            "49151 > tcp.src >= 1024",
            "tcp.src < 49151 && tcp.src >= 1024",
        ),
        ("vlan.present", "vlan.present"),
        ("vlan.present == 1", "vlan.present"),
        ("vlan.present != 1", "!vlan.present"),
        ("!!vlan.present", "vlan.present"),
        ("!(vlan.present == 0)", "vlan.present"),
        (
            "(eth.type == 0x800 || eth.type == 0x86dd) && ip.proto == 6",
            "(eth.type == 0x800 || eth.type == 0x86dd) && ip.proto == 6",
        ),
        ("!(tcp.dst == 80)", "!(tcp.dst == 80)"),
        (
            "ip4.src == {10.0.0.1 10.0.0.2,}",
            "ip4.src == {10.0.0.1, 10.0.0.2}",
        ),
        ("ip4.src == {10.0.0.1}", "ip4.src == 10.0.0.1"),
        (
            "ip4.src != {10.0.0.0/8, 192.168.0.0/16}",
            "ip4.src != {10.0.0.0/8, 192.168.0.0/16}",
        ),
        (
            "ip4.src == 10.0.0.0/255.255.255.0",
            "ip4.src == 10.0.0.0/24",
        ),
        ("ip4.src == 10.0.0.0/32", "ip4.src == 10.0.0.0"),
        (
            "ip4.src == 10.0.0.1/255.0.0.255",
            "ip4.src == 10.0.0.1/255.0.0.255",
        ),
        ("ip4.src == 0.0.0.0/0", "ip4.src == 0.0.0.0/0"),
        ("ip6.dst == fd00::/8", "ip6.dst == fd00::/8"),
        ("ip6.dst == FE80::1", "ip6.dst == fe80::1"),
        ("ip6.dst == ::ffff:10.0.0.1", "ip6.dst == ::ffff:10.0.0.1"),
        ("eth.src == 0A:58:0a:80:0:9", "eth.src == 0a:58:0a:80:00:09"),
        (
            "eth.src == 33:33:00:00:00:00/ff:ff:00:00:00:00",
            "eth.src == 33:33:00:00:00:00/ff:ff:00:00:00:00",
        ),
        ("tcp.flags == 0x2/0x2", "tcp.flags == 0x2/0x2"),
        ("reg0 == 10.0.0.1", "reg0 == 10.0.0.1"),
        ("reg0 == 5", "reg0 == 5"),
        ("reg0[0..7] == 0x10", "reg0[0..7] == 16"),
        ("xxreg0 == fd00::1", "xxreg0 == fd00::1"),
        (
            "ip4.src == $web && tcp.dst == 80",
            "ip4.src == $web && tcp.dst == 80",
        ),
        (
            "ip4.src == {$a, 10.0.0.1, $b}",
            "ip4.src == {$a, 10.0.0.1, $b}",
        ),
        ("inport == @pg", "inport == @pg"),
        (
            "outport == {\"a\", @pg1, \"b\\\"\\u00e9\"}",
            "outport == {\"a\", @pg1, \"b\\\"é\"}",
        ),
        ("!(inport != \"eth0\")", "!(inport != \"eth0\")"),
        (
            "ct.est && !ct.rel && !ct.new",
            "ct.est && !ct.rel && !ct.new",
        ),
        ("((ip4)) && (arp && ip6)", "ip4 && arp && ip6"),
        ("ip4 && 1", "ip4"),
        ("ip4 || 1", "1"),
        ("ip4 && (0 || arp)", "ip4 && arp"),
        (
            "ip4 // the rest is silence\n && /* inside */ tcp",
            "ip4 && tcp",
        ),
        (
            "nd_ns && nd.target == fd00::1 && nd.options_type == 1",
            "nd_ns && nd.target == fd00::1 && nd.options_type == 1",
        ),
    ]);
}

#[test]
fn actions_are_read() {
    let texts = [
        "",
        "drop;",
        "next;",
        "next(5);",
        "next(pipeline=egress, table=3);",
        "output;",
        "reg0 = 10.0.0.1; reg1[0..15] = 7; xxreg0 = fd00::1; next;",
        "eth.dst = eth.src; eth.src = 0a:58:00:00:00:01; arp.op = 2; outport = inport; flags.loopback = 1; output;",
        "ip4.src <-> ip4.dst; ip.ttl--; icmp4.type = 0;",
        "outport = \"_MC_flood\"; inport = \"\"; output;",
        "reg8[0..15] = 4; reg8[16..31] = select(0, 1, 2);",
        "reg0[0] = 1; ct_lb_mark;",
        "ct_clear; output;",
        "ct_lb_mark(backends=10.0.0.1:80,10.0.0.2:80);",
        "ct_lb_mark(backends=[fd00::1]:80,fd00::2; hash_fields=\"ip_src,tcp_dst\");",
        "forward(\"n2\");",
        "eth.dst = 0a:58:00:00:00:01; deliver(\"red\", \"red_web-0\");",
        "icmp6.type = 136; flags.nd_reply = 1; next(pipeline=ingress, table=4);",
        "icmp4 { eth.dst <-> eth.src; icmp4.type = 11; icmp4.code = 0; ip4.dst = ip4.src; ip4.src = 10.0.0.1; ip.ttl = 254; next; };",
        "icmp6_error { icmp6.frag_mtu = 1280; next(pipeline=ingress, table=11); }; next;",
        "reject { outport = inport; output; };",
        "tcp_reset { };",
        "nd.options_type = 2; nd.reserved = 0x60000000; nd.tll = 0a:58:00:00:00:01;",
    ];
    for text in texts {
        let actions = parse_actions(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Action::list(&actions), text);
    }
    assert_eq!(
        Action::list(&parse_actions("next(table=3,pipeline=egress) ;").unwrap()),
        "next(pipeline=egress, table=3);"
    );
}

#[track_caller]
fn refused(errors: &[(&str, usize, &str)], parse: impl Fn(&str) -> Option<ParseError>) {
    for (text, column, message) in errors {
        let error = parse(text).unwrap_or_else(|| panic!("{text} was read"));
        assert_eq!(error.column, *column, "{error}");
        assert!(
            error.to_string().contains(message),
            "{error}\ndoes not say\n{message}"
        );
    }
}

#[test]
fn a_wrong_match_is_told_where_and_what_instead() {
    refused(
        &[
            (
                "ip5.src == 10.0.0.1",
                1,
                "unknown field \"ip5.src\" at column 1 of \"ip5.src == 10.0.0.1\"; did you mean ip4.src?",
            ),
            ("ip4 && ip.src == 10.0.0.1", 8, "did you mean ip4.src?"),
            (
                "elephants",
                1,
                "unknown field \"elephants\" at column 1 of \"elephants\"",
            ),
            ("", 1, "found the end where a field"),
            ("ip4 &&", 7, "found the end"),
            ("ip4 & tcp", 5, "a single &; write &&"),
            ("ip4 && tcp || udp", 12, "put one of them in parentheses"),
            ("!tcp.dst == 80", 2, "put the comparison in parentheses"),
            ("(ip4", 5, "found the end where &&, || or )"),
            ("ip4)", 4, "found ) where"),
            ("ip4 == 2", 8, "ip4 is true or false"),
            ("!ip4", 2, "ip4 may only be tested positively"),
            ("ip4 == 0", 1, "ip4 may only be tested positively"),
            (
                "ip.proto != 6",
                1,
                "ip.proto may only be tested for equality",
            ),
            (
                "!(ip.proto == 6)",
                3,
                "ip.proto may only be tested for equality",
            ),
            ("ip.ttl < 2", 1, "ip.ttl has no order"),
            ("ip.proto[0]", 9, "ip.proto has no bits"),
            ("inport != \"a\"", 1, "only be tested for equality"),
            ("!(inport == \"a\")", 3, "only be tested for equality"),
            ("inport < \"a\"", 1, "names have no order"),
            (
                "inport == 5",
                11,
                "inport is a name; write it in quotation marks",
            ),
            ("inport", 1, "compare it with a name"),
            ("tcp.dst == \"a\"", 12, "tcp.dst is a number"),
            ("tcp.dst", 1, "tcp.dst has more than one bit"),
            (
                "tcp.dst == 65536",
                12,
                "0x10000 does not fit tcp.dst, which has 16 bits",
            ),
            ("tcp.dst == {80, 65536}", 17, "does not fit"),
            ("tcp.dst == {}", 12, "an empty set"),
            ("tcp.dst < {80, 443}", 1, "sets go with == and !="),
            ("ip4.src < 10.0.0.0/8", 1, "masks go with == and !="),
            ("ip.proto == 6/7", 13, "ip.proto is matched whole"),
            ("ip4.src == 10.0.0.5/24", 12, "bits set outside the mask"),
            (
                "ip4.src == 10.0.0.0/33",
                12,
                "a prefix of 33 bits; an address of this kind has 32",
            ),
            ("ip4.src == 10.0.0.0/", 12, "a mask is missing"),
            (
                "ip4.src == fd00::1",
                12,
                "ip4.src does not compare with an IPv6 address",
            ),
            ("ip4.src == 10.0.0", 12, "\"10.0.0\" is no number"),
            ("ip4.src == 10.0.0.256", 12, "is no number"),
            ("ip6.src == fd00:::1", 12, "is no number"),
            ("tcp.dst == 80x", 12, "\"80x\" is no number"),
            (
                "tcp.dst == 340282366920938463463374607431768211456",
                12,
                "is no number",
            ),
            ("tcp.dst == tcp.src", 12, "a field on both sides"),
            (
                "eth.dst[48]",
                8,
                "eth.dst has the bits 0 to 47, not 48 to 48",
            ),
            ("eth.dst[5..3] == 0", 8, "not 5 to 3"),
            ("eth.dst[", 9, "a bit number"),
            ("5", 1, "only 0 and 1 are conditions"),
            ("1 <= tcp.dst >= 5", 14, "a range is written"),
            ("1 == tcp.dst == 5", 14, "a range is written"),
            ("inport == \"a", 11, "a string that does not end"),
            ("inport == \"a\\x\"", 11, "an unknown escape"),
            ("inport == \"a\\ud800\"", 11, "an unknown escape"),
            ("inport == \"\n\"", 11, "a control character"),
            ("é == 1", 1, "unexpected character 'é'"),
            ("ip4 /* and so on", 5, "close it with */"),
            ("$ == ip4.src", 1, "unexpected character '$'"),
            ("ip4.src == $", 12, "unexpected character '$'"),
        ],
        |text| parse_match(text).err(),
    );
}

#[test]
fn wrong_actions_are_told_where_and_what_instead() {
    refused(
        &[
            ("next", 5, "found the end where ;"),
            (
                "nextt;",
                1,
                "unknown action \"nextt\" at column 1 of \"nextt;\"; did you mean next?",
            ),
            ("ip5.src = 1;", 1, "unknown field"),
            ("next; drop;", 7, "drop stands alone"),
            ("drop; next;", 7, "drop stands alone"),
            ("next(256);", 6, "256 is no table"),
            ("next(pipeline=egress);", 21, "found ) where , table="),
            ("next(pipeline=sideways, table=1);", 15, "ingress or egress"),
            ("next(table=1, table=2);", 15, "each once"),
            ("eth.type = 5;", 1, "eth.type cannot be written"),
            ("ip4 = 1;", 1, "ip4 is a condition"),
            (
                "eth.dst = ip4.dst;",
                11,
                "eth.dst has 48 bits and ip4.dst has 32",
            ),
            ("eth.dst <-> eth.type;", 13, "eth.dst has 48 bits"),
            ("icmp4.type <-> ip.proto;", 16, "ip.proto cannot be written"),
            ("eth.dst = \"a\";", 11, "a field or a predicate"),
            ("outport = eth.dst;", 11, "both sides must be of one kind"),
            ("reg0 = 1/1;", 8, "a masked constant cannot be assigned"),
            ("reg0 = 0x100000000;", 8, "does not fit reg0"),
            ("reg0--;", 1, "only ip.ttl counts down"),
            ("forward(n2);", 9, "the name of a node in quotation marks"),
            ("deliver(\"a\");", 12, "found ) where ,"),
            ("icmp4 next;", 7, "found \"next\" where { should be"),
            ("reject { next; }", 17, "where ; "),
            ("reject { drop; };", 10, "drop stands alone"),
            ("icmp4 { icmp4 { next; }; };", 9, "icmp4 is a condition"),
            ("icmp4.frag_mtu = 1400;", 1, "unknown field"),
            ("icmp4 { icmp4.frag_mtu = 65536; };", 26, "65536"),
            ("rejct { next; };", 1, "did you mean reject"),
            ("ct_lb_mark();", 12, "found ) where backends="),
            (
                "ct_lb_mark(backends=);",
                21,
                "an address, with or without port",
            ),
            ("ct_lb_mark(backends=10.0.0.1:65536);", 21, "10.0.0.1:65536"),
            (
                "ct_lb_mark(backends=7);",
                21,
                "an address, with or without port",
            ),
            (
                "ct_lb_mark(backends=10.0.0.1; hash_fields=\"mac\");",
                43,
                "found \"mac\" where eth_src",
            ),
            ("reg8[16..31] = select(0);", 24, "a second choice"),
            (
                "reg8[16..31] = select(1, 2);",
                23,
                "the next number, from 0 on",
            ),
            (
                "reg8[0..0] = select(0, 1, 2);",
                27,
                "the next number, from 0 on",
            ),
            ("reg0 5;", 6, "=, <-> or --"),
        ],
        |text| parse_actions(text).err(),
    );
}

#[test]
fn hostile_text_is_refused_and_not_recursed_into() {
    let refuses = |text: String| assert!(parse_match(&text).is_err());
    refuses("(".repeat(200_000));
    refuses("!".repeat(200_000));
    refuses(format!("{}ip4{}", "(".repeat(101), ")".repeat(101)));
    refuses("ip4 && ".repeat(50_000));
    refuses(format!("ip4.src == {{{}}}", "10.0.0.1,".repeat(40_000)));
    let nested = format!("{}ip4{}", "(".repeat(99), ")".repeat(99));
    assert_eq!(parsed(&nested).to_string(), "ip4");
    let many = format!("ip4.src == {{{}}}", "10.0.0.1,".repeat(20_000));
    assert!(parse_match(&many).is_ok());
    let long_word = "x".repeat(100_000);
    assert!(parse_match(&long_word).unwrap_err().to_string().len() < 1_000);
}

#[test]
fn a_text_cut_at_any_length_is_read_or_refused() {
    let text = "!(ip4.src == {10.0.0.0/8, $set} || eth.dst[40..47] != 0x33) && inport == {\"a\\u00e9\", @pg} && 1 < tcp.dst <= 80 /* é */ && xxreg0 == fd00::1/64";
    for end in 0..=text.len() {
        if let Some(cut) = text.get(..end) {
            let _ = parse_match(cut);
            let _ = parse_actions(cut);
        }
    }
    let actions = "next(pipeline=egress, table=3); eth.dst <-> eth.src; deliver(\"a\", \"b\"); ip.ttl--; reject { icmp4.frag_mtu = 9; output; }; reg0[0..7] = 5;";
    for end in 0..actions.len() {
        let cut = &actions[..end];
        let _ = parse_match(cut);
        if let Ok(read) = parse_actions(cut) {
            assert!(
                cut.is_empty() || cut.trim_end().ends_with(';'),
                "{cut} was read as {read:?}"
            );
        }
    }
}
