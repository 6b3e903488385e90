//! Flows as text, as `ovs-ofctl --no-stats dump-flows` prints them.
//!
//! Reading also takes what other dumps hold (counters, ages), and passes over it.
//!
//! Must not: know actions or fields.

use std::fmt;
use std::str::FromStr;

use super::{DEFAULT_PRIORITY, Flow, FlowKey};
use crate::action::{actions_text, parse_actions};
use crate::error::TextError;
use crate::matches::{Match, unknown_piece};
use crate::text::Piece;

/// What dumps print about a flow besides the flow.
const PASSED_OVER: [&str; 5] = ["duration", "n_packets", "n_bytes", "idle_age", "hard_age"];

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cookie != 0 {
            write!(f, "cookie={:#x}, ", self.cookie)?;
        }
        let key = key_text(self.table, self.priority, &self.matches);
        let space = if key.is_empty() || key.ends_with(' ') {
            ""
        } else {
            " "
        };
        write!(f, "{key}{space}actions={}", actions_text(&self.actions))
    }
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&key_text(self.table, self.priority, &self.matches))
    }
}

fn key_text(table: u8, priority: u16, matches: &Match) -> String {
    let table = if table == 0 {
        String::new()
    } else {
        format!("table={table}, ")
    };
    let priority = (priority != DEFAULT_PRIORITY).then(|| format!("priority={priority}"));
    let matches = Some(matches.to_string()).filter(|text| !text.is_empty());
    format!(
        "{table}{}",
        priority
            .into_iter()
            .chain(matches)
            .collect::<Vec<_>>()
            .join(",")
    )
}

impl FromStr for Flow {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Flow, TextError> {
        let whole = Piece::new(text);
        let (head, actions) = whole
            .split_once("actions=")
            .ok_or_else(|| whole.error("actions= is missing"))?;
        let (mut table, mut priority, mut cookie, mut matches) =
            (0, DEFAULT_PRIORITY, 0, Match::new());
        for piece in head.pieces()? {
            match piece
                .split_once("=")
                .map(|(name, value)| (name.text, value))
            {
                Some(("table", value)) => table = value.to()?,
                Some(("priority", value)) => priority = value.to()?,
                Some(("cookie", value)) => cookie = value.to()?,
                Some((name, _)) if PASSED_OVER.contains(&name) => {}
                _ if matches.parse_piece(piece)? => {}
                _ => return Err(unknown_piece(piece)),
            }
        }
        Ok(Flow {
            table,
            priority,
            cookie,
            matches,
            actions: parse_actions(actions.trim(), 0)?,
        })
    }
}

impl FromStr for FlowKey {
    type Err = TextError;

    fn from_str(text: &str) -> Result<FlowKey, TextError> {
        let flow: Flow = format!("{text} actions=drop").parse()?;
        Ok(flow.key())
    }
}
