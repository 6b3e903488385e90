//! The reachability matrix: rows send, columns receive, a cell is a round-trip time or why there is none.
//!
//! ```text
//!                        1      2      3
//!  1  shop/front-0  n1   ·   0.21   0.34
//!  2  stock/db      n2 0.22     ·      –
//! ```
//!
//! It fits the width it is given: with many pods the cells shrink to a mark, then the columns are split into blocks.
//!
//! Must not: hold an opinion of its own about a pair; `reached` and `expected` are the report's.

use std::{collections::HashMap, fmt::Write};

use weft_e2e::probe::{Family, Probe};

use super::report::{Pair, Report};
use crate::terminal::{Colour, Tone};

/// Every matrix of the report: one per probe and address family, then what went wrong, then a line that sums up.
pub fn render(report: &Report, probes: &[Probe], colour: Colour, width: usize) -> String {
    let mut text = String::new();
    for &probe in probes {
        for family in Family::ALL {
            let pairs: Vec<&Pair> = report
                .pairs
                .iter()
                .filter(|pair| pair.is_of(probe, family))
                .collect();
            if !pairs.is_empty() {
                grid(
                    &mut text,
                    report,
                    &pairs,
                    &format!("{probe} over {}", name(family)),
                    colour,
                    width,
                );
            }
        }
    }
    legend(&mut text, report, colour);
    text
}

/// How all pairs came out, and each that is not as it should be.
pub fn summary(report: &Report, colour: Colour) -> String {
    let wrong: Vec<&Pair> = report
        .pairs
        .iter()
        .filter(|pair| !pair.is_as_expected())
        .collect();
    let talk = report.pairs.iter().filter(|pair| pair.reached).count();
    let total = report.pairs.len();
    let mut text = String::new();
    for pair in wrong.iter().take(WRONG_SHOWN_MAX) {
        let port = pair.port.map(|port| format!(":{port}")).unwrap_or_default();
        let what = if pair.reached {
            "should be isolated and got through"
        } else {
            "should talk and got no answer"
        };
        let line = format!(
            "{} → {}: {}{port} over {} {what}",
            pair.from,
            pair.to,
            pair.proto,
            name(pair.family)
        );
        let _ = writeln!(text, "{}", colour.paint(Tone::Bad, line));
    }
    if wrong.len() > WRONG_SHOWN_MAX {
        let _ = writeln!(
            text,
            "… and {} more",
            wrong.len().saturating_sub(WRONG_SHOWN_MAX)
        );
    }
    let verdict = match wrong.len() {
        0 => colour.paint(Tone::Good, "all as the manifests say"),
        count => colour.paint(Tone::Bad, format!("{count} not as the manifests say")),
    };
    let _ = writeln!(
        text,
        "{total} probes: {talk} answered, {} not; {verdict}",
        total.saturating_sub(talk)
    );
    let services = &report.services;
    if !services.is_empty() {
        let reached = services.iter().filter(|row| row.reached).count();
        let wrong = services.iter().filter(|row| !row.is_as_expected).count();
        let verdict = match wrong {
            0 => colour.paint(Tone::Good, "all as the manifests say"),
            count => colour.paint(Tone::Bad, format!("{count} not as the manifests say")),
        };
        let _ = writeln!(
            text,
            "{} tries of Services: {reached} reached, {} not; {verdict}",
            services.len(),
            services.len().saturating_sub(reached)
        );
    }
    text
}

fn grid(
    text: &mut String,
    report: &Report,
    pairs: &[&Pair],
    title: &str,
    colour: Colour,
    width: usize,
) {
    let by_ends: HashMap<(&str, &str), &Pair> = pairs
        .iter()
        .map(|pair| ((pair.from.as_str(), pair.to.as_str()), *pair))
        .collect();
    let pods = &report.pods;
    let name_width = pods
        .iter()
        .map(|pod| pod.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(NAME_WIDTH_MAX);
    let node_width = pods
        .iter()
        .filter_map(|pod| pod.node.as_ref())
        .map(|node| node.chars().count())
        .max()
        .unwrap_or(0);
    let label_width = 5usize
        .saturating_add(name_width)
        .saturating_add(1)
        .saturating_add(node_width);
    let room = width.saturating_sub(label_width);
    let detailed = pods.len().saturating_mul(CELL_WIDTH) <= room;
    let cell_width = if detailed { CELL_WIDTH } else { MARK_WIDTH };
    let block = (room / cell_width).max(1);
    let unit = if detailed {
        ", round-trip times in ms"
    } else {
        ""
    };
    let _ = writeln!(text, "{}{unit}", colour.paint(Tone::Strong, title));
    for first in (0..pods.len()).step_by(block) {
        let columns = pods.iter().enumerate().skip(first).take(block);
        let _ = write!(text, "{:label_width$}", "");
        for (column, _) in columns.clone() {
            let _ = write!(
                text,
                "{}",
                colour.paint(
                    Tone::Faint,
                    format!("{:>cell_width$}", column.saturating_add(1))
                )
            );
        }
        text.push('\n');
        for (row, from) in pods.iter().enumerate() {
            let number = colour.paint(Tone::Faint, format!("{:>3}", row.saturating_add(1)));
            let name = shortened(&from.name, name_width);
            let node = colour.paint(
                Tone::Faint,
                format!("{:<node_width$}", from.node.as_deref().unwrap_or("")),
            );
            let _ = write!(text, "{number}  {name:<name_width$} {node}");
            for (column, to) in columns.clone() {
                let pair = by_ends
                    .get(&(from.name.as_str(), to.name.as_str()))
                    .copied();
                let (tone, cell) = if row == column {
                    (Tone::Faint, "·".to_owned())
                } else {
                    cell(pair, detailed)
                };
                let _ = write!(
                    text,
                    "{}",
                    colour.paint(tone, format!("{cell:>cell_width$}"))
                );
            }
            text.push('\n');
        }
        text.push('\n');
    }
}

fn cell(pair: Option<&Pair>, detailed: bool) -> (Tone, String) {
    let Some(pair) = pair else {
        return (Tone::Faint, " ".to_owned());
    };
    match (pair.reached, pair.expected) {
        (true, true) if detailed && pair.rtt_us.unwrap_or(0) > SLOW_US => {
            (Tone::Notice, milliseconds(pair.rtt_us.unwrap_or(0)))
        }
        (true, true) if detailed => (Tone::Good, milliseconds(pair.rtt_us.unwrap_or(0))),
        (true, true) => (Tone::Good, "✓".to_owned()),
        (false, false) => (Tone::Faint, ISOLATED.to_owned()),
        (false, true) => (Tone::Bad, if detailed { "LOST" } else { "✗" }.to_owned()),
        (true, false) => (Tone::Bad, if detailed { "LEAK" } else { "!" }.to_owned()),
    }
}

/// At most five characters, as many digits as fit.
fn milliseconds(rtt_us: u64) -> String {
    let (whole, part) = (rtt_us / 1000, rtt_us % 1000);
    match whole {
        0..10 => format!("{whole}.{:02}", part / 10),
        10..100 => format!("{whole}.{}", part / 100),
        _ => whole.to_string(),
    }
}

fn legend(text: &mut String, report: &Report, colour: Colour) {
    if report
        .pairs
        .iter()
        .any(|pair| !pair.reached && !pair.expected)
    {
        let _ = writeln!(
            text,
            "{ISOLATED} no answer and none due: on another router, or nothing declared on that port"
        );
    }
    if report
        .pairs
        .iter()
        .any(|pair| !pair.reached && pair.expected)
    {
        let _ = writeln!(
            text,
            "{} should talk and got no answer",
            colour.paint(Tone::Bad, "LOST ✗")
        );
    }
    if report
        .pairs
        .iter()
        .any(|pair| pair.reached && !pair.expected)
    {
        let _ = writeln!(
            text,
            "{} should be isolated and got through",
            colour.paint(Tone::Bad, "LEAK !")
        );
    }
}

/// As people write it.
fn name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

fn shortened(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    name.chars()
        .take(width.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// Longer than a packet takes on one machine unless something waited for something.
const SLOW_US: u64 = 20_000;
const CELL_WIDTH: usize = 7;
const MARK_WIDTH: usize = 3;
const NAME_WIDTH_MAX: usize = 32;
const WRONG_SHOWN_MAX: usize = 20;
const ISOLATED: &str = "–";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::report::Pod;

    /// Pods `a/p1`… on n1, n2 in turn; `reached` and `expected` by the pods' numbers.
    fn report(count: usize, outcome: impl Fn(usize, usize) -> (bool, bool)) -> Report {
        let name = |number: usize| format!("a/p{number}");
        let mut report = Report {
            pods: (1..=count)
                .map(|number| Pod {
                    name: name(number),
                    node: Some(format!("n{}", number % 2 + 1)),
                    ips: vec![],
                })
                .collect(),
            ..Report::default()
        };
        for from in 1..=count {
            for to in (1..=count).filter(|to| *to != from) {
                let (reached, expected) = outcome(from, to);
                report.pairs.push(Pair {
                    from: name(from),
                    to: name(to),
                    family: Family::Ipv4,
                    proto: "icmp",
                    port: None,
                    reached,
                    expected,
                    rtt_us: reached.then_some(214),
                });
            }
        }
        report
    }

    #[test]
    fn a_small_matrix_shows_times_isolation_and_what_is_wrong() {
        let report = report(3, |from, to| match (from, to) {
            (1, 3) => (false, true),
            (3, 1) => (true, false),
            (2, 3) | (3, 2) => (false, false),
            _ => (true, true),
        });
        assert_eq!(
            render(&report, &[Probe::Icmp], Colour::Off, 100),
            "icmp over IPv4, round-trip times in ms\n\
             \x20                 1      2      3\n\
             \x20 1  a/p1 n2      ·   0.21   LOST\n\
             \x20 2  a/p2 n1   0.21      ·      –\n\
             \x20 3  a/p3 n2   LEAK      –      ·\n\n\
             – no answer and none due: on another router, or nothing declared on that port\n\
             LOST ✗ should talk and got no answer\n\
             LEAK ! should be isolated and got through\n"
        );
        assert_eq!(
            summary(&report, Colour::Off),
            "a/p1 → a/p3: icmp over IPv4 should talk and got no answer\n\
             a/p3 → a/p1: icmp over IPv4 should be isolated and got through\n\
             6 probes: 3 answered, 3 not; 2 not as the manifests say\n"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_however_many_pods_there_are() {
        for count in [2, 8, 12, 13, 30, 31, 90] {
            let report = report(count, |_, _| (true, true));
            let text = render(&report, &[Probe::Icmp], Colour::Off, 100);
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{count} pods: {line}");
            }
            // Every pair has its cell.
            let cells = text.matches(" 0.21").count() + text.matches('✓').count();
            assert_eq!(cells, count * (count - 1), "{count} pods");
        }
    }

    #[test]
    fn times_keep_their_width() {
        for (us, text) in [
            (0, "0.00"),
            (214, "0.21"),
            (9_999, "9.99"),
            (12_345, "12.3"),
            (123_456, "123"),
        ] {
            assert_eq!(milliseconds(us), text);
        }
    }
}
