//! What switches refuse, by whose it is: a line in the log for each object, and the ports that go without.
//!
//! ```text
//!  session: flows and groups by key ──▶ compiler: whose they are ──▶ one line per node and object · ports that are not up
//! ```
//!
//! Invariant: a line is said when an object is refused on a node and when that ends, not each time it is tried again.
//!
//! Must not: grow with anything but what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use weft_compiler::logical_flow::Owner;
use weft_compiler::{Compiler, NodeName, Subject};
use weft_schema::Table;
use weft_schema::nb::LogicalSwitchPort;

use crate::session::{Refusal, RefusedKey};

/// What each node's switch refuses.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    nodes: BTreeMap<NodeName, BTreeMap<Subject, Refused>>,
}

/// What a switch refuses of one object.
#[derive(Debug)]
struct Refused {
    count: usize,
    /// The first of them.
    what: String,
    error: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { count, what, error } = self;
        write!(f, "{error} for {what}")?;
        match count {
            0 | 1 => Ok(()),
            more => write!(f, " and {} more", more.saturating_sub(1)),
        }
    }
}

impl Refusals {
    /// Takes in all that a node's switch refuses now; says what is new and what has ended. Returns the logical switch ports concerned.
    pub(crate) fn replace(
        &mut self,
        node: &NodeName,
        refusals: &[Refusal],
        compiler: Option<&Compiler>,
    ) -> BTreeSet<Arc<str>> {
        let mut subjects: BTreeMap<Subject, Refused> = BTreeMap::new();
        for refusal in refusals {
            let subject = compiler.and_then(|compiler| match &refusal.key {
                RefusedKey::Flow(key) => compiler.subject_of_flow(node, key),
                RefusedKey::Group(id) => compiler.subject_of_group(*id),
            });
            // Nobody's any more: what takes it away is on its way.
            let Some(subject) = subject else { continue };
            let refused = subjects.entry(subject).or_insert_with(|| Refused {
                count: 0,
                what: refusal.what.clone(),
                error: refusal.error.clone(),
            });
            refused.count = refused.count.saturating_add(1);
        }
        let before = self.nodes.remove(node).unwrap_or_default();
        for (subject, refused) in &subjects {
            if !before.contains_key(subject) {
                tracing::error!(%node, "switch refuses a change of {subject}: {refused}; it goes without, all else is applied");
            }
        }
        for subject in before
            .keys()
            .filter(|subject| !subjects.contains_key(*subject))
        {
            tracing::info!(%node, "switch no longer refuses a change of {subject}");
        }
        let ports = subjects.keys().filter_map(|subject| match subject {
            Subject::Row(Owner { table, .. }, name) if *table == LogicalSwitchPort::NAME => {
                Some(Arc::clone(name))
            }
            _ => None,
        });
        let ports = ports.collect();
        if !subjects.is_empty() {
            self.nodes.insert(node.clone(), subjects);
        }
        ports
    }

    /// A line for each object that a node's switch refuses a part of.
    pub(crate) fn list(&self, node: &NodeName) -> Vec<String> {
        let refused = self.nodes.get(node).into_iter().flatten();
        refused
            .take(LISTED)
            .map(|(subject, refused)| format!("{subject}: {refused}"))
            .collect()
    }

    /// The node has left, or is another switch now.
    pub(crate) fn forget(&mut self, node: &NodeName) {
        self.nodes.remove(node);
    }
}

const LISTED: usize = 100;
