//! The addresses of one L2 namespace: one subnet per family, handed out one by one.
//!
//! With IPv4 the index is the IPv4 address. Without, it is counted, from 2, for all such subnets of
//! the router's domain together: MAC addresses follow from indices, and are to differ within a domain. The gateway is the first
//! address that a host can have, in both families: `10.0.0.1`, and the IPv6 address that belongs
//! to it. Must not: be shared between switches.

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

use super::{Addressing, Domain, Pool};

/// The addresses of one L2 namespace.
#[derive(Clone, Debug)]
pub struct SubnetPool {
    subnets: Vec<IpNet>,
    addressing: Addressing,
    gateway: u32,
    /// `None`: the domain counts.
    pool: Option<Pool>,
}

/// Why an address cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubnetError {
    /// None is left.
    #[error("no free address is left")]
    Full,
    /// Not in the subnet, or not an address that a host can have.
    #[error("the address is outside the subnet")]
    Outside,
    /// The gateway's.
    #[error("the address is the gateway's")]
    Gateway,
    /// Another port's.
    #[error("the address is held by another port")]
    Taken,
}

impl SubnetPool {
    /// A pool over at most one subnet of each family, IPv4 at most /30 and IPv6 at most /96 long.
    /// `None` without any subnet.
    #[must_use]
    pub fn new(subnets: &[IpNet]) -> Option<Self> {
        let addressing = Addressing::of(subnets);
        let ipv4 = subnets.iter().find_map(|subnet| match subnet {
            IpNet::V4(subnet) => Some(*subnet),
            IpNet::V6(_) => None,
        });
        let (gateway, pool) = match ipv4 {
            Some(subnet) => {
                let gateway = subnet.network().to_bits().checked_add(1)?;
                let last = subnet.broadcast().to_bits().checked_sub(1)?;
                (gateway, Some(Pool::new(gateway.checked_add(1)?, last)))
            }
            None => (1, None),
        };
        (!subnets.is_empty()).then(|| Self {
            subnets: subnets.to_vec(),
            addressing,
            gateway,
            pool,
        })
    }

    /// Takes an address.
    ///
    /// # Errors
    /// [`SubnetError::Full`].
    pub fn take(&mut self, domain: &mut Domain) -> Result<u32, SubnetError> {
        match &mut self.pool {
            Some(pool) => pool.take(),
            None => domain.take_counted(),
        }
        .ok_or(SubnetError::Full)
    }

    /// Takes this address.
    ///
    /// # Errors
    /// It is outside, the gateway's, or taken.
    pub fn claim(&mut self, domain: &mut Domain, index: u32) -> Result<(), SubnetError> {
        let inside = self
            .addressing
            .addresses(index)
            .all(|address| self.subnets.iter().any(|subnet| subnet.contains(&address)));
        if !inside {
            return Err(SubnetError::Outside);
        }
        if index == self.gateway {
            return Err(SubnetError::Gateway);
        }
        let is_claimed = match &mut self.pool {
            Some(pool) => pool.claim(index),
            None => index > self.gateway && domain.claim_counted(index),
        };
        match (is_claimed, &self.pool) {
            (true, _) => Ok(()),
            (false, Some(pool)) if pool.is_taken(index) => Err(SubnetError::Taken),
            (false, None) if index > self.gateway => Err(SubnetError::Taken),
            _ => Err(SubnetError::Outside),
        }
    }

    /// Gives an address back.
    pub fn give_back(&mut self, domain: &mut Domain, index: u32) {
        match &mut self.pool {
            Some(pool) => pool.give_back(index),
            None => domain.give_back_counted(index),
        }
    }

    /// The index that an address stands for, if it is in the subnet of its family.
    #[must_use]
    pub fn index(&self, address: IpAddr) -> Option<u32> {
        self.addressing
            .index(address)
            .filter(|_| self.subnets.iter().any(|subnet| subnet.contains(&address)))
    }

    /// The addresses of an index with the subnets' lengths, IPv4 first.
    pub fn prefixed(&self, index: u32) -> impl Iterator<Item = String> {
        self.addressing.addresses(index).map(|address| {
            let subnet = self.subnets.iter().find(|subnet| subnet.contains(&address));
            format!("{address}/{}", subnet.map_or(0, IpNet::prefix_len))
        })
    }

    /// How indices and addresses belong together.
    #[must_use]
    pub fn addressing(&self) -> Addressing {
        self.addressing
    }

    /// Index of the gateway.
    #[must_use]
    pub fn gateway(&self) -> u32 {
        self.gateway
    }

    /// The subnets.
    #[must_use]
    pub fn subnets(&self) -> &[IpNet] {
        &self.subnets
    }
}
