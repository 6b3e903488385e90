//! One router's address space, node-major: aggregates of nodes, blocks of (namespace, node) pairs.
//!
//! A node takes an aggregate of the space when its first block is needed, and another when it is
//! full; a (namespace, node) pair takes a block of one of its node's aggregates, and another when
//! that is full. So all pods of a node are in few prefixes, which is what other nodes hold of it.
//! A block's first address is the gateway of the pods in it; its last is not handed out, as
//! routers (OVN's too) drop packets from a network's broadcast address.
//!
//! When no aggregate is to be had, blocks become smaller, down to /30. A block goes back when its
//! last address does. An aggregate stays with its node, but one without blocks is there for
//! whoever finds no other, unless the node's `spec.podCIDRs` says it is the node's for good.
//!
//! Subnets without IPv4 give their pods indices that nothing else in the domain has or can get.
//!
//! Invariants: aggregates are disjoint, and from reserved subnets too; a block lies in one
//! aggregate; an address in one block. Must not: know what a namespace or node is but by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use super::{Addressing, Pool, Span};

/// Longest block: the gateway, two pods, and the broadcast address.
const MAX_BLOCK_LENGTH: u8 = 30;
/// Usual block: the gateway, six pods, and the broadcast address.
const BLOCK_LENGTH: u8 = 29;

/// First index that is counted: the one before is the gateways'.
const FIRST_COUNTED: u32 = 2;

/// One router's address space.
#[derive(Clone, Debug)]
pub struct Domain {
    space: Span,
    addressing: Addressing,
    aggregates: BTreeMap<u32, Aggregate>,
    /// Aggregates of each node.
    nodes: BTreeMap<Arc<str>, BTreeSet<u32>>,
    blocks: BTreeMap<u32, Block>,
    /// Blocks of each namespace and node.
    pairs: BTreeMap<(Arc<str>, Arc<str>), BTreeSet<u32>>,
    /// Subnets of L2 namespaces on the same router.
    reserved: BTreeMap<Arc<str>, Span>,
    /// Indices of pods in subnets without IPv4, which no address decides.
    counted: Pool,
    /// Aggregates given back and not taken since, by when.
    rested: BTreeMap<Span, u64>,
    /// Nodes whose aggregates come from `spec.podCIDRs` alone.
    fixed: BTreeSet<Arc<str>>,
    /// Namespaces that took or gave back a block since [`Domain::take_changed`].
    changed: BTreeSet<Arc<str>>,
    clock: u64,
}

#[derive(Clone, Debug)]
struct Aggregate {
    span: Span,
    node: Arc<str>,
    fixed: bool,
    /// First index of each of its blocks.
    blocks: BTreeSet<u32>,
    /// Blocks given back and not taken since, by when.
    rested: BTreeMap<Span, u64>,
}

#[derive(Clone, Debug)]
struct Block {
    span: Span,
    aggregate: u32,
    namespace: Arc<str>,
    node: Arc<str>,
    pool: Pool,
}

/// An address of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockAddress {
    /// The address.
    pub index: u32,
    /// The block's first address.
    pub gateway: u32,
}

/// Why an address cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DomainError {
    /// Neither a block nor an aggregate is left.
    #[error("the cluster CIDR is used up")]
    UsedUp,
    /// The node's `spec.podCIDRs` are full.
    #[error("the node's podCIDRs are used up")]
    NodeUsedUp,
    /// Not in the cluster CIDR.
    #[error("the address is outside the cluster CIDR {0}")]
    Outside(Span),
    /// First or last of a block.
    #[error("the address is the first or the last of its block {0}, which pods cannot have")]
    Edge(Span),
    /// Another port's.
    #[error("the address is held by another port")]
    Taken,
    /// In another pair's block.
    #[error("the address is in block {block} of namespace {namespace} on node {node}")]
    OtherBlock {
        /// The block.
        block: Span,
        /// Whose it is.
        namespace: Arc<str>,
        /// Where it is.
        node: Arc<str>,
    },
    /// In another node's aggregate, or in no aggregate that this node could take.
    #[error("the address is in {aggregate}, which belongs to {owner}")]
    OtherAggregate {
        /// The aggregate.
        aggregate: Span,
        /// Whose it is.
        owner: Arc<str>,
    },
}

/// Why a subnet cannot be reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReserveError {
    /// It overlaps a node's aggregate.
    Aggregate(Span, Arc<str>),
    /// A pod in a subnet without IPv4 has this index.
    Counted(u32),
}

impl Aggregate {
    /// Whether somebody else may have it.
    fn is_idle(&self) -> bool {
        !self.fixed && self.blocks.is_empty()
    }
}

impl Domain {
    /// An address space with nothing in it.
    #[must_use]
    pub fn new(space: Span, addressing: Addressing) -> Self {
        Self {
            space,
            addressing,
            aggregates: BTreeMap::new(),
            nodes: BTreeMap::new(),
            blocks: BTreeMap::new(),
            pairs: BTreeMap::new(),
            reserved: BTreeMap::new(),
            counted: Pool::new(FIRST_COUNTED, u32::MAX),
            rested: BTreeMap::new(),
            fixed: BTreeSet::new(),
            changed: BTreeSet::new(),
            clock: 0,
        }
    }

    /// How indices and addresses belong together.
    #[must_use]
    pub fn addressing(&self) -> Addressing {
        self.addressing
    }

    /// Takes an address for a pod of `namespace` on `node`.
    ///
    /// # Errors
    /// The space, or the node's part of it, is used up.
    pub fn take(
        &mut self,
        namespace: &Arc<str>,
        node: &Arc<str>,
    ) -> Result<BlockAddress, DomainError> {
        let pair = (Arc::clone(namespace), Arc::clone(node));
        let own = self.pairs.get(&pair).into_iter().flatten().copied();
        let first = own
            .filter(|first| {
                self.blocks
                    .get(first)
                    .is_some_and(|block| !block.pool.is_full())
            })
            .min();
        let first = match first {
            Some(first) => first,
            None => self.take_block(namespace, node)?,
        };
        let block = self.blocks.get_mut(&first).ok_or(DomainError::UsedUp)?;
        let index = block.pool.take().ok_or(DomainError::UsedUp)?;
        Ok(BlockAddress {
            index,
            gateway: first,
        })
    }

    /// Takes this address, in a block of `length` bits if a new one has to be taken.
    ///
    /// # Errors
    /// The address, its block or its aggregate is somebody else's, or it is outside the space.
    pub fn claim(
        &mut self,
        namespace: &Arc<str>,
        node: &Arc<str>,
        index: u32,
        length: Option<u8>,
    ) -> Result<BlockAddress, DomainError> {
        let first = match self.block_of(index) {
            Some(block) if block.namespace != *namespace || block.node != *node => {
                return Err(DomainError::OtherBlock {
                    block: block.span,
                    namespace: Arc::clone(&block.namespace),
                    node: Arc::clone(&block.node),
                });
            }
            Some(block) => block.span.first(),
            None => self.claim_block(namespace, node, index, length)?,
        };
        let block = self.blocks.get_mut(&first).ok_or(DomainError::UsedUp)?;
        if block.pool.claim(index) {
            return Ok(BlockAddress {
                index,
                gateway: first,
            });
        }
        let error = if block.pool.is_taken(index) {
            DomainError::Taken
        } else {
            DomainError::Edge(block.span)
        };
        self.give_back_if_idle(first);
        Err(error)
    }

    /// Gives an address back, and its block and aggregate with it if it was their last.
    pub fn give_back(&mut self, index: u32) {
        let Some(first) = self.block_of(index).map(|block| block.span.first()) else {
            return;
        };
        if let Some(block) = self.blocks.get_mut(&first) {
            block.pool.give_back(index);
        }
        self.give_back_if_idle(first);
    }

    /// The blocks of a namespace, on whatever node, ascending.
    pub fn blocks_of(&self, namespace: &Arc<str>) -> Vec<Span> {
        let from = (Arc::clone(namespace), Arc::from(""));
        let mut spans: Vec<Span> = self
            .pairs
            .range(from..)
            .take_while(|((owner, _), _)| owner == namespace)
            .flat_map(|(_, firsts)| firsts)
            .filter_map(|first| self.blocks.get(first).map(|block| block.span))
            .collect();
        spans.sort_unstable();
        spans
    }

    /// Whether a namespace has any block.
    #[must_use]
    pub fn has_blocks(&self, namespace: &Arc<str>) -> bool {
        let from = (Arc::clone(namespace), Arc::from(""));
        self.pairs
            .range(from..)
            .next()
            .is_some_and(|((owner, _), _)| owner == namespace)
    }

    /// Namespaces that took or gave back a block since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.changed)
    }

    /// Every aggregate and its node, ascending.
    #[cfg(test)]
    pub fn aggregates(&self) -> impl Iterator<Item = (Span, &Arc<str>)> {
        self.aggregates
            .values()
            .map(|aggregate| (aggregate.span, &aggregate.node))
    }

    /// Every block, with its namespace and node, ascending.
    #[cfg(test)]
    pub fn blocks(&self) -> impl Iterator<Item = (Span, &Arc<str>, &Arc<str>)> {
        self.blocks
            .values()
            .map(|block| (block.span, &block.namespace, &block.node))
    }

    /// Takes an index for a pod of a subnet without IPv4.
    pub fn take_counted(&mut self) -> Option<u32> {
        loop {
            let index = self.counted.take()?;
            // One that an address decides stays taken here, so that it is not looked at again.
            if !self.has_addresses_at(index) {
                return Some(index);
            }
        }
    }

    /// Takes this index for a pod of a subnet without IPv4.
    pub fn claim_counted(&mut self, index: u32) -> bool {
        !self.has_addresses_at(index) && self.counted.claim(index)
    }

    /// Gives such an index back.
    pub fn give_back_counted(&mut self, index: u32) {
        self.counted.give_back(index);
    }

    /// Whether an index belongs to pods whose addresses decide it.
    fn has_addresses_at(&self, index: u32) -> bool {
        self.space.contains(index) || self.reserved.values().any(|subnet| subnet.contains(index))
    }

    /// Keeps aggregates, and indices that are counted, off a subnet; at most one per `owner`.
    ///
    /// # Errors
    /// Why the subnet cannot be had.
    pub fn reserve(&mut self, owner: &Arc<str>, subnet: Span) -> Result<(), ReserveError> {
        if let Some(aggregate) = self
            .overlapping(subnet)
            .find(|aggregate| !aggregate.is_idle())
        {
            return Err(ReserveError::Aggregate(
                aggregate.span,
                Arc::clone(&aggregate.node),
            ));
        }
        // Outside the space nothing but a pod holds a counted index.
        let counted = self.counted.taken_within(subnet.first(), subnet.last());
        if let Some(index) = counted
            .into_iter()
            .find(|index| !self.has_addresses_at(*index))
        {
            return Err(ReserveError::Counted(index));
        }
        self.evict(subnet);
        self.reserved.insert(Arc::clone(owner), subnet);
        Ok(())
    }

    /// Ends a reservation.
    pub fn release(&mut self, owner: &Arc<str>) {
        self.reserved.remove(owner);
    }

    /// Gives a node the aggregates that its `spec.podCIDRs` names, and no others. Those it held
    /// before and that are in use stay until they are empty.
    ///
    /// # Errors
    /// The spans that overlap somebody else's, with the owner; the others are the node's.
    pub fn fix(&mut self, node: &Arc<str>, spans: &[Span]) -> Result<(), Vec<(Span, Arc<str>)>> {
        let held: Vec<u32> = self
            .nodes
            .get(node)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        for first in held {
            if let Some(aggregate) = self.aggregates.get_mut(&first) {
                aggregate.fixed = spans.contains(&aggregate.span);
            }
            self.give_back_aggregate_if_idle(first);
        }
        if spans.is_empty() {
            self.fixed.remove(node);
        } else {
            self.fixed.insert(Arc::clone(node));
        }
        let mut refused = Vec::new();
        for span in spans {
            match self.owner_of(*span) {
                Some((held, owner)) if held == *span && owner == *node => {}
                Some((_, owner)) => refused.push((*span, owner)),
                None => self.add_aggregate(*span, node, true),
            }
        }
        if refused.is_empty() {
            Ok(())
        } else {
            Err(refused)
        }
    }

    fn block_of(&self, index: u32) -> Option<&Block> {
        self.blocks
            .range(..=index)
            .next_back()
            .map(|(_, block)| block)
            .filter(|block| block.span.contains(index))
    }

    fn aggregate_of(&self, index: u32) -> Option<&Aggregate> {
        let (_, aggregate) = self.aggregates.range(..=index).next_back()?;
        aggregate.span.contains(index).then_some(aggregate)
    }

    /// The aggregates that share an index with a span.
    fn overlapping(&self, span: Span) -> impl Iterator<Item = &Aggregate> {
        let before = self.aggregates.range(..span.first()).next_back();
        let inside = self.aggregates.range(span.first()..=span.last());
        let aggregates = before
            .into_iter()
            .chain(inside)
            .map(|(_, aggregate)| aggregate);
        aggregates.filter(move |aggregate| aggregate.span.overlaps(span))
    }

    /// What holds a part of this span: a node's aggregate in use, or a namespace's subnet.
    fn owner_of(&self, span: Span) -> Option<(Span, Arc<str>)> {
        let aggregate = self
            .overlapping(span)
            .find(|aggregate| !aggregate.is_idle());
        let reserved = || {
            self.reserved
                .iter()
                .find(|(_, reserved)| reserved.overlaps(span))
        };
        aggregate
            .map(|aggregate| (aggregate.span, Arc::clone(&aggregate.node)))
            .or_else(|| reserved().map(|(owner, span)| (*span, Arc::clone(owner))))
    }

    /// Takes aggregates that are not in use from their nodes.
    fn evict(&mut self, span: Span) {
        let idle: Vec<u32> = self
            .overlapping(span)
            .map(|aggregate| aggregate.span.first())
            .collect();
        for first in idle {
            self.give_back_aggregate_if_idle(first);
        }
    }

    fn take_block(&mut self, namespace: &Arc<str>, node: &Arc<str>) -> Result<u32, DomainError> {
        if let Some(span) = self.free_block(node, BLOCK_LENGTH) {
            return Ok(self.add_block(span, namespace, node, span.first()));
        }
        if !self.fixed.contains(node)
            && let Some(span) = self.free_aggregate()
        {
            self.add_aggregate(span, node, false);
            if let Some(span) = self.free_block(node, BLOCK_LENGTH) {
                return Ok(self.add_block(span, namespace, node, span.first()));
            }
        }
        for length in BLOCK_LENGTH.saturating_add(1)..=MAX_BLOCK_LENGTH {
            if let Some(span) = self.free_block(node, length) {
                return Ok(self.add_block(span, namespace, node, span.first()));
            }
        }
        let fixed = self.fixed.contains(node);
        Err(if fixed {
            DomainError::NodeUsedUp
        } else {
            DomainError::UsedUp
        })
    }

    fn claim_block(
        &mut self,
        namespace: &Arc<str>,
        node: &Arc<str>,
        index: u32,
        length: Option<u8>,
    ) -> Result<u32, DomainError> {
        let aggregate = match self.aggregate_of(index) {
            Some(aggregate) if aggregate.node != *node => {
                return Err(DomainError::OtherAggregate {
                    aggregate: aggregate.span,
                    owner: Arc::clone(&aggregate.node),
                });
            }
            Some(aggregate) => aggregate.span,
            None => self.claim_aggregate(node, index)?,
        };
        let longest = MAX_BLOCK_LENGTH.max(aggregate.length());
        let wanted = length
            .unwrap_or(BLOCK_LENGTH)
            .clamp(aggregate.length(), longest);
        let span = (wanted..=longest)
            .map(|length| Span::containing(index, length))
            .find(|span| self.is_free_block(*span));
        let refuse = |domain: &mut Self, error| {
            domain.give_back_aggregate_if_idle(aggregate.first());
            Err(error)
        };
        match span {
            Some(span) if index == span.first() || index == span.last() => {
                refuse(self, DomainError::Edge(span))
            }
            Some(span) => Ok(self.add_block(span, namespace, node, span.first())),
            None => refuse(self, DomainError::UsedUp),
        }
    }

    fn claim_aggregate(&mut self, node: &Arc<str>, index: u32) -> Result<Span, DomainError> {
        if !self.space.contains(index) {
            return Err(DomainError::Outside(self.space));
        }
        let span = Span::containing(index, self.aggregate_length());
        if let Some((aggregate, owner)) = self.owner_of(span) {
            return Err(DomainError::OtherAggregate { aggregate, owner });
        }
        if self.fixed.contains(node) {
            return Err(DomainError::NodeUsedUp);
        }
        self.add_aggregate(span, node, false);
        Ok(span)
    }

    /// A /24, or a sixteenth of a space that is smaller than a /20, but room for a block.
    fn aggregate_length(&self) -> u8 {
        let sixteenth = self.space.length().saturating_add(4);
        sixteenth.clamp(24, BLOCK_LENGTH).max(self.space.length())
    }

    /// One that nobody has had, else the one that was given back longest ago, else one that a
    /// node has and does not use.
    fn free_aggregate(&self) -> Option<Span> {
        let spans = || self.space.split(self.aggregate_length());
        let free = |span: &Span| self.owner_of(*span).is_none();
        let unused = |span: &Span| free(span) && self.overlapping(*span).next().is_none();
        spans()
            .filter(|span| !self.rested.contains_key(span))
            .find(unused)
            .or_else(|| {
                let unused = self.rested.iter().filter(|(span, _)| unused(span));
                unused
                    .min_by_key(|(_, since)| **since)
                    .map(|(span, _)| *span)
            })
            .or_else(|| spans().find(free))
    }

    fn free_block(&self, node: &Arc<str>, length: u8) -> Option<Span> {
        let firsts = self.nodes.get(node)?;
        let aggregates = || firsts.iter().filter_map(|first| self.aggregates.get(first));
        let fresh = aggregates().find_map(|aggregate| {
            aggregate
                .span
                .split(length.max(aggregate.span.length()))
                .find(|span| {
                    !aggregate.rested.keys().any(|rested| rested.overlaps(*span))
                        && self.is_free_block(*span)
                })
        });
        // Given back ones, oldest first; then whatever free one overlaps several of these.
        fresh
            .or_else(|| {
                aggregates()
                    .flat_map(|aggregate| &aggregate.rested)
                    .filter(|(span, _)| span.length() == length && self.is_free_block(**span))
                    .min_by_key(|(_, since)| **since)
                    .map(|(span, _)| *span)
            })
            .or_else(|| {
                aggregates().find_map(|aggregate| {
                    aggregate
                        .span
                        .split(length.max(aggregate.span.length()))
                        .find(|span| self.is_free_block(*span))
                })
            })
    }

    fn is_free_block(&self, span: Span) -> bool {
        self.block_of(span.first()).is_none()
            && self
                .blocks
                .range(span.first()..=span.last())
                .next()
                .is_none()
    }

    fn add_aggregate(&mut self, span: Span, node: &Arc<str>, fixed: bool) {
        self.evict(span);
        self.rested.remove(&span);
        self.nodes
            .entry(Arc::clone(node))
            .or_default()
            .insert(span.first());
        self.aggregates.insert(
            span.first(),
            Aggregate {
                span,
                node: Arc::clone(node),
                fixed,
                blocks: BTreeSet::new(),
                rested: BTreeMap::new(),
            },
        );
    }

    fn add_block(&mut self, span: Span, namespace: &Arc<str>, node: &Arc<str>, first: u32) -> u32 {
        let aggregate = self
            .aggregate_of(first)
            .map_or(first, |aggregate| aggregate.span.first());
        if let Some(aggregate) = self.aggregates.get_mut(&aggregate) {
            aggregate.blocks.insert(first);
            aggregate.rested.retain(|rested, _| !rested.overlaps(span));
        }
        let pool = Pool::new(
            span.first().saturating_add(1),
            span.last().saturating_sub(1),
        );
        let block = Block {
            span,
            aggregate,
            namespace: Arc::clone(namespace),
            node: Arc::clone(node),
            pool,
        };
        self.blocks.insert(first, block);
        self.changed.insert(Arc::clone(namespace));
        self.pairs
            .entry((Arc::clone(namespace), Arc::clone(node)))
            .or_default()
            .insert(first);
        first
    }

    fn give_back_if_idle(&mut self, first: u32) {
        if !self
            .blocks
            .get(&first)
            .is_some_and(|block| block.pool.is_idle())
        {
            return;
        }
        let Some(block) = self.blocks.remove(&first) else {
            return;
        };
        self.changed.insert(Arc::clone(&block.namespace));
        let pair = (block.namespace, block.node);
        if let Some(firsts) = self.pairs.get_mut(&pair) {
            firsts.remove(&first);
            if firsts.is_empty() {
                self.pairs.remove(&pair);
            }
        }
        self.clock = self.clock.saturating_add(1);
        if let Some(aggregate) = self.aggregates.get_mut(&block.aggregate) {
            aggregate.blocks.remove(&first);
            aggregate.rested.insert(block.span, self.clock);
        }
    }

    fn give_back_aggregate_if_idle(&mut self, first: u32) {
        let idle = self.aggregates.get(&first).is_some_and(Aggregate::is_idle);
        if !idle {
            return;
        }
        if let Some(aggregate) = self.aggregates.remove(&first) {
            self.clock = self.clock.saturating_add(1);
            self.rested.insert(aggregate.span, self.clock);
            if let Some(firsts) = self.nodes.get_mut(&aggregate.node) {
                firsts.remove(&first);
                if firsts.is_empty() {
                    self.nodes.remove(&aggregate.node);
                }
            }
        }
    }
}
