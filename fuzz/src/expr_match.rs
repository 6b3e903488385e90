//! OVN's expressions and actions: what was read prints as text that reads the same; normal forms end.
//!
//! Must not: know flows.

use weft_expr::{Action, Expr, NoSets, Packet, factor, normalize, parse_actions, parse_match};

/// The text as a match, and as actions.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(actions) = parse_actions(text) {
        let printed = Action::list(&actions);
        let read = parse_actions(&printed);
        assert_eq!(
            read.as_ref(),
            Ok(&actions),
            "{text:?} printed as {printed:?}"
        );
    }
    if let Ok(expr) = parse_match(text) {
        check_match(text, &expr);
    }
}

fn check_match(text: &str, expr: &Expr) {
    let printed = expr.to_string();
    let read = parse_match(&printed);
    assert_eq!(read.as_ref(), Ok(expr), "{text:?} printed as {printed:?}");
    let empty = Packet::default();
    let holds = expr.holds(&empty, &NoSets);
    if let Ok(conjuncts) = normalize(expr, &NoSets) {
        let normal = conjuncts.iter().any(|conjunct| conjunct.holds(&empty));
        assert_eq!(normal, holds, "{text:?}: {conjuncts:?}");
    }
    if let Ok(form) = factor(expr, &NoSets) {
        assert_eq!(form.holds(&empty), holds, "{text:?}: {form:?}");
    }
}

/// Matches and actions as northd and people write them.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        r#"inport == "web" && arp && arp.op == 1 && arp.tpa == 10.0.0.9"#,
        r#"outport == @pg && ip4.src == $set && !(tcp.dst == {80, 443} || udp)"#,
        "ip4.src == {10.0.0.0/8, 192.168.1.1} && ip4.dst != 10.0.0.0/255.0.255.0",
        "eth.dst == 01:00:00:00:00:00/01:00:00:00:00:00 || eth.mcast",
        "ip6.src[96..127] == 0x1 && icmp6.type == 135 && nd.target == fd00::1 && nd",
        "0 < ip.ttl <= 64 && tcp.flags[1] && ct.est && !ct.rel",
        "reg0[0..7] == 5 && xxreg1 == ::1/64 && 1",
        "next; next(4); drop; output; eth.dst <-> eth.src; ip.ttl--;",
        r#"outport = "web"; reg0 = 7; reg1[3] = 1; ip4.dst = 10.0.0.1; flags.loopback = 1;"#,
        "arp { eth.dst = eth.src; output; }; icmp4 { ip.ttl = 255; next; };",
        "ct_next; ct_commit; ct_lb(10.0.0.1:80,10.0.0.2:80); ct_snat(10.0.0.1);",
        "nd_na { eth.src = 0a:58:0a:00:00:01; nd.tll = 0a:58:0a:00:00:01; output; };",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
