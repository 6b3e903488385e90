//! The binary trie under the location prefixes.
//!
//! Invariant: a node holds a flag, an owner or a child; all others are pruned. Must not: know address families.

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::Fact;
use crate::node::NodeName;

/// Leading bits: `length` of them, left-aligned; the rest 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Prefix {
    pub(super) bits: u128,
    pub(super) length: u8,
}

impl Prefix {
    const ROOT: Prefix = Prefix { bits: 0, length: 0 };

    fn bit(self, at: u8) -> usize {
        usize::from((self.bits >> (127 - at)) & 1 == 1)
    }

    fn child(self, side: usize) -> Prefix {
        let bit = if side == 1 {
            1 << (127 - self.length)
        } else {
            0
        };
        Prefix {
            bits: self.bits | bit,
            length: self.length + 1,
        }
    }
}

/// Who decides about an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Decision {
    /// No route.
    Nobody = 0,
    /// A connected network: the node that has the address.
    Connected = 1,
    /// A static route.
    Static = 2,
    /// A static route that discards: packets may go anywhere but to somebody who has the address.
    Discarded = 3,
}

/// Addresses that have all but so many bits in common are beside each other: a /24, a /120.
const NEIGHBOURHOOD: u8 = 8;

const DECISIONS: [Decision; 4] = [
    Decision::Nobody,
    Decision::Connected,
    Decision::Static,
    Decision::Discarded,
];

/// What is below a trie node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sum {
    /// Nothing anyone cares about.
    Nothing,
    /// Addresses of this node alone.
    Node(u32),
    /// Addresses that a static route decides about alone.
    Static,
    /// More than one of these.
    Many,
}

impl Sum {
    fn with(self, other: Sum) -> Sum {
        match (self, other) {
            (Sum::Nothing, sum) | (sum, Sum::Nothing) => sum,
            (left, right) if left == right => left,
            _ => Sum::Many,
        }
    }
}

#[derive(Debug)]
struct TrieNode {
    /// 0: none (the root is nobody's child).
    children: [u32; 2],
    connected: u32,
    statics: u32,
    discards: u32,
    switched: u32,
    /// Of an address: the rows that have it, and on which node. Sorted.
    owners: Vec<(Uuid, u32)>,
    /// By the decision of the routes above.
    sums: [Sum; DECISIONS.len()],
}

impl TrieNode {
    fn new() -> TrieNode {
        TrieNode {
            children: [0, 0],
            connected: 0,
            statics: 0,
            discards: 0,
            switched: 0,
            owners: Vec::new(),
            sums: [Sum::Nothing; DECISIONS.len()],
        }
    }

    fn is_idle(&self) -> bool {
        self.children == [0, 0]
            && self.connected == 0
            && self.statics == 0
            && self.discards == 0
            && self.switched == 0
            && self.owners.is_empty()
    }

    /// The decision within this prefix, given the one above. A connected network goes before a static route of the same length.
    fn decision(&self, above: Decision) -> Decision {
        match (self.switched, self.connected, self.statics, self.discards) {
            (0, 0, 0, 0) => above,
            (0, 0, 0, _) => Decision::Discarded,
            (0, 0, ..) | (1.., ..) => Decision::Static,
            _ => Decision::Connected,
        }
    }

    fn is_double(&self) -> bool {
        let first = self.owners.first().map(|(row, _)| row);
        self.owners.iter().any(|(row, _)| Some(row) != first)
    }
}

/// What a change did to the prefixes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) prefixes: Vec<(Prefix, NodeName, bool)>,
    pub(super) double: Option<bool>,
}

/// A trie over addresses of `BITS` bits.
#[derive(Debug)]
pub(super) struct Trie<const BITS: u8> {
    nodes: Vec<TrieNode>,
    free: Vec<u32>,
    names: Vec<NodeName>,
    numbers: FxHashMap<NodeName, u32>,
}

impl<const BITS: u8> Default for Trie<BITS> {
    fn default() -> Self {
        Trie {
            nodes: vec![TrieNode::new()],
            free: Vec::new(),
            names: Vec::new(),
            numbers: FxHashMap::default(),
        }
    }
}

impl<const BITS: u8> Trie<BITS> {
    pub(super) fn is_empty(&self) -> bool {
        self.node(0).is_idle()
    }

    pub(super) fn change(&mut self, at: Prefix, fact: &Fact, is_added: bool) -> Changes {
        let before = self.frontier(at);
        let path = self.path(at);
        let last = *path.last().expect("a path holds the root at least");
        let was_double = self.node(last).is_double();
        self.note(last, fact, is_added);
        let is_double = self.node(last).is_double();
        self.sum_up(&path, at);
        let after = self.frontier(at);
        let mut changes = Changes {
            double: (was_double != is_double).then_some(is_double),
            ..Changes::default()
        };
        for (prefix, number) in after.iter().filter(|entry| !before.contains(entry)) {
            changes.prefixes.push((*prefix, self.name(*number), true));
        }
        for (prefix, number) in before.iter().filter(|entry| !after.contains(entry)) {
            changes.prefixes.push((*prefix, self.name(*number), false));
        }
        changes
    }

    /// The trie nodes from the root to `at`, made where there are none.
    fn path(&mut self, at: Prefix) -> Vec<u32> {
        let mut path = vec![0];
        let mut index = 0;
        for depth in 0..at.length {
            let side = at.bit(depth);
            let mut child = self.node(index).children[side];
            if child == 0 {
                child = match self.free.pop() {
                    Some(free) => free,
                    None => {
                        self.nodes.push(TrieNode::new());
                        u32::try_from(self.nodes.len() - 1)
                            .expect("fewer than 2^32 trie nodes fit in memory")
                    }
                };
                self.node_mut(index).children[side] = child;
            }
            index = child;
            path.push(index);
        }
        path
    }

    fn note(&mut self, index: u32, fact: &Fact, is_added: bool) {
        let number = match fact {
            Fact::At(_, node, _) => self.number(node),
            _ => 0,
        };
        let node = self.node_mut(index);
        let count = match fact {
            Fact::Connected(_) => &mut node.connected,
            Fact::Static(_) => &mut node.statics,
            Fact::Discarded(_) => &mut node.discards,
            Fact::Switched(_) => &mut node.switched,
            Fact::At(_, _, row) => {
                let owner = (*row, number);
                match (node.owners.binary_search(&owner), is_added) {
                    (Ok(place) | Err(place), true) => node.owners.insert(place, owner),
                    (Ok(place), false) => drop(node.owners.remove(place)),
                    (Err(_), false) => {}
                }
                return;
            }
        };
        *count = if is_added {
            *count + 1
        } else {
            count.saturating_sub(1)
        };
    }

    /// Sums up anew from the end of the path to the root, and prunes what holds nothing.
    fn sum_up(&mut self, path: &[u32], at: Prefix) {
        for (depth, index) in path.iter().enumerate().rev() {
            let sums = DECISIONS.map(|above| self.sum(*index, depth, above));
            self.node_mut(*index).sums = sums;
            let is_idle = self.node(*index).is_idle();
            if let (true, Some(parent)) = (is_idle, depth.checked_sub(1)) {
                let side = at.bit(u8::try_from(parent).expect("a path has 128 steps at most"));
                self.node_mut(path[parent]).children[side] = 0;
                self.free.push(*index);
            }
        }
    }

    fn sum(&self, index: u32, depth: usize, above: Decision) -> Sum {
        let node = self.node(index);
        let decision = node.decision(above);
        let missing = match decision {
            Decision::Static => Sum::Static,
            // Who sends to where no route leads is to be told so, by the router that he meets first; but not right beside somebody,
            // or a network more would change the prefixes of its node everywhere.
            Decision::Nobody if depth < usize::from(BITS - NEIGHBOURHOOD) => Sum::Static,
            Decision::Nobody | Decision::Connected | Decision::Discarded => Sum::Nothing,
        };
        if depth == usize::from(BITS) {
            return match (decision, node.owners.first()) {
                (Decision::Connected, Some((_, number))) => Sum::Node(*number),
                (Decision::Discarded, Some(_)) => Sum::Static,
                _ => missing,
            };
        }
        let below = node.children.map(|child| match child {
            0 => missing,
            child => self.node(child).sums[decision as usize],
        });
        below[0].with(below[1])
    }

    /// The location prefixes that a change at `at` may change: those on its path, right beside it and below it.
    fn frontier(&self, at: Prefix) -> Vec<(Prefix, u32)> {
        let mut found = Vec::new();
        self.collect(0, Prefix::ROOT, Decision::Nobody, at, &mut found);
        found
    }

    fn collect(
        &self,
        index: u32,
        here: Prefix,
        above: Decision,
        at: Prefix,
        found: &mut Vec<(Prefix, u32)>,
    ) {
        let node = self.node(index);
        match node.sums[above as usize] {
            Sum::Nothing | Sum::Static => {}
            Sum::Node(number) => found.push((here, number)),
            Sum::Many => {
                let decision = node.decision(above);
                for side in [0, 1] {
                    let child = node.children[side];
                    if child == 0 {
                        continue;
                    }
                    let below = here.child(side);
                    if here.length >= at.length || at.bit(here.length) == side {
                        self.collect(child, below, decision, at, found);
                    } else if let Sum::Node(number) = self.node(child).sums[decision as usize] {
                        // Beside the path: further down nothing changes.
                        found.push((below, number));
                    }
                }
            }
        }
    }

    fn number(&mut self, node: &NodeName) -> u32 {
        if let Some(number) = self.numbers.get(node) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).expect("fewer than 2^32 nodes");
        self.names.push(node.clone());
        self.numbers.insert(node.clone(), number);
        number
    }

    fn name(&self, number: u32) -> NodeName {
        self.names[number as usize].clone()
    }

    fn node(&self, index: u32) -> &TrieNode {
        &self.nodes[index as usize]
    }

    fn node_mut(&mut self, index: u32) -> &mut TrieNode {
        &mut self.nodes[index as usize]
    }
}
