//! What a recording that was tampered with says.

use super::*;

fn played(lines: &[&str]) -> String {
    let outcome = replay(lines.join("\n").as_bytes());
    outcome.map_or_else(|error| error.to_string(), |count| count.to_string())
}

const BEGAN: &str =
    r#"{"node":"n1","life":1,"side":"openflow","at":5,"event":{"began":{"probe_ms":5000}}}"#;

#[test]
fn a_recording_that_is_not_one_is_refused_by_line() {
    assert_eq!(played(&[]), "0");
    assert_eq!(played(&[BEGAN]), "1");
    for (line, expected) in [
        ("{", "line 2"),
        (r#"{"node":"n1"}"#, "no time"),
        (
            r#"{"node":"n2","life":1,"side":"openflow","at":5,"event":"tick"}"#,
            "how it began",
        ),
        (
            r#"{"node":"n1","life":1,"side":"openflow","at":5,"event":{"said":"06"}}"#,
            "without a header",
        ),
        (
            r#"{"node":"n1","life":1,"side":"openflow","at":5,"event":{"said":"0x"}}"#,
            "not hexadecimal",
        ),
        (
            r#"{"node":"n1","life":1,"side":"openflow","at":5,"event":"nothing"}"#,
            "no event",
        ),
        (
            r#"{"node":"n1","life":1,"side":"openflow","at":5,"event":"tick","effects":[{"close":"x"}]}"#,
            "otherwise",
        ),
    ] {
        let said = played(&[BEGAN, line]);
        assert!(said.contains(expected), "{line}\n said {said}");
    }
}
