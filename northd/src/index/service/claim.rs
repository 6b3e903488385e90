//! Claims: who has which virtual address, port and node port.
//!
//! Of several that want the same the first has it: who names it before who was given it, the older before the younger, then by name. So who
//! has what follows from what there is, not from the order in which it came. Given out is by hash of the name, among what nobody claims; what
//! was given stays as long as nobody names it. Must not: know what a Service is but by name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::ServiceKey;
use super::spec::Protocol;

/// Something that one Service alone can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// A cluster address, whole.
    Cluster(IpAddr),
    /// An address from outside. Several may name it; one that was given it has it alone.
    External(IpAddr),
    /// A virtual address and port on a router.
    Vip(Arc<str>, IpAddr, Protocol, u16),
    /// A node port.
    NodePort(Protocol, u16),
}

/// How a Service came to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// It names it.
    Named,
    /// It was given it.
    Given,
}

/// Sorts claimants, the one that has it first.
type Rank = (Origin, Option<String>, ServiceKey);

/// All claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    claimants: BTreeMap<Claim, BTreeSet<Rank>>,
    of: BTreeMap<ServiceKey, BTreeMap<Claim, Rank>>,
}

impl Claims {
    /// Makes these the claims of a Service. Returns the others that now may have more or less than before.
    pub(crate) fn set(
        &mut self,
        key: &ServiceKey,
        created: Option<&String>,
        claims: BTreeMap<Claim, Origin>,
    ) -> BTreeSet<ServiceKey> {
        let now: BTreeMap<Claim, Rank> = claims
            .into_iter()
            .map(|(claim, origin)| (claim, (origin, created.cloned(), key.clone())))
            .collect();
        let before = match now.is_empty() {
            true => self.of.remove(key),
            false => self.of.insert(key.clone(), now.clone()),
        };
        let before = before.unwrap_or_default();
        let mut affected = BTreeSet::new();
        let differ = |one: &BTreeMap<Claim, Rank>, other: &BTreeMap<Claim, Rank>| {
            let differing = one
                .iter()
                .filter(|(claim, rank)| other.get(*claim) != Some(*rank));
            differing
                .map(|(claim, rank)| (claim.clone(), rank.clone()))
                .collect::<Vec<_>>()
        };
        for (claim, rank) in differ(&before, &now) {
            if let Some(ranks) = self.claimants.get_mut(&claim) {
                ranks.remove(&rank);
                affected.extend(ranks.iter().map(|(_, _, key)| key.clone()));
                if ranks.is_empty() {
                    self.claimants.remove(&claim);
                }
            }
        }
        for (claim, rank) in differ(&now, &before) {
            let ranks = self.claimants.entry(claim).or_default();
            affected.extend(ranks.iter().map(|(_, _, key)| key.clone()));
            ranks.insert(rank);
        }
        affected.remove(key);
        affected
    }

    /// Who has it.
    pub(crate) fn holder(&self, claim: &Claim) -> Option<&ServiceKey> {
        let (_, _, key) = self.claimants.get(claim)?.first()?;
        Some(key)
    }

    /// Whether nobody but this Service claims it.
    pub(crate) fn is_free_for(&self, key: &ServiceKey, claim: &Claim) -> bool {
        let claimants = self.claimants.get(claim).into_iter().flatten();
        claimants.into_iter().all(|(_, _, other)| other == key)
    }
}

/// A number below `size` that is free: the first of those that the name's hash leads to, else the lowest.
pub(crate) fn choose(name: &str, size: u64, is_free: impl Fn(u64) -> bool) -> Option<u64> {
    let hashed = |attempt: u32| {
        let hash = Uuid::new_v5(&NUMBERS, format!("{name}\0{attempt}").as_bytes());
        let (high, _) = hash.as_u64_pair();
        high.checked_rem(size)
    };
    (0..ATTEMPTS)
        .filter_map(hashed)
        .find(|number| is_free(*number))
        .or_else(|| (0..size).find(|number| is_free(*number)))
}

/// Other values would give every Service of every deployment another address.
const NUMBERS: Uuid = uuid::uuid!("c0a7b2c1-6d0e-4f51-9a3d-6f3f2f0a7d55");
const ATTEMPTS: u32 = 32;
