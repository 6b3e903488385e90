//! Keys that travel or are stored in switches: datapaths, ports, groups, cookies.
//!
//! Must not: allocate; see the topology's key tables.

use std::fmt;

/// Key of a logical datapath: 24 bits, never 0 (ovn-architecture(7), Tunnel Encapsulations).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DatapathKey(u32);

impl DatapathKey {
    /// How many keys there are.
    pub const COUNT: u32 = 0xff_ffff;

    /// The key, if `key` is one.
    #[must_use]
    pub const fn new(key: u32) -> Option<DatapathKey> {
        match key {
            1..=Self::COUNT => Some(DatapathKey(key)),
            _ => None,
        }
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Key of a logical port or multicast group in its datapath: 1 to 0x7fff for ports, 0x8000 and up for groups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortKey(u16);

/// Multicast groups have keys from here.
pub const FIRST_MULTICAST_KEY: u16 = 0x8000;

impl PortKey {
    /// How many ports a datapath can have.
    pub const COUNT: u16 = 0x7fff;
    /// Key of the group [`FLOOD`](super::FLOOD).
    pub const FLOOD: PortKey = PortKey(FIRST_MULTICAST_KEY);
    /// Key of the group [`ELSEWHERE`](super::ELSEWHERE).
    pub const ELSEWHERE: PortKey = PortKey(FIRST_MULTICAST_KEY + 1);
    /// Key of the group [`UNKNOWN`](super::UNKNOWN).
    pub const UNKNOWN: PortKey = PortKey(FIRST_MULTICAST_KEY + 2);

    /// The key of a port, if `key` is one.
    #[must_use]
    pub const fn port(key: u16) -> Option<PortKey> {
        match key {
            1..=Self::COUNT => Some(PortKey(key)),
            _ => None,
        }
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Number of an OpenFlow group: the datapath's key and which of its groups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(u32);

impl GroupId {
    /// The ports of a switch on this node. Multicast groups have numbers below 2^27, which leaves the rest to load balancers.
    #[must_use]
    pub const fn local(datapath: DatapathKey) -> GroupId {
        GroupId(datapath.get() << 3)
    }

    /// The other nodes that hold ports of a switch.
    #[must_use]
    pub const fn remote(datapath: DatapathKey) -> GroupId {
        GroupId((datapath.get() << 3) | 1)
    }

    /// The ports of a switch on this node that take MACs that no port has.
    #[must_use]
    pub const fn local_unknown(datapath: DatapathKey) -> GroupId {
        GroupId((datapath.get() << 3) | 2)
    }

    /// The other nodes that hold such ports.
    #[must_use]
    pub const fn remote_unknown(datapath: DatapathKey) -> GroupId {
        GroupId((datapath.get() << 3) | 3)
    }

    /// How many groups load balancers can have.
    pub const BALANCERS: u32 = 0xf000_0000;

    /// A group of a load balancer; `None` if there is no such number.
    #[must_use]
    pub const fn balancer(number: u32) -> Option<GroupId> {
        match number {
            1..=Self::BALANCERS => Some(GroupId(number.saturating_add(FIRST_BALANCER_GROUP - 1))),
            _ => None,
        }
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Groups of load balancers have numbers from here.
pub const FIRST_BALANCER_GROUP: u32 = 1 << 27;

/// Cookie of a flow: 32 bits from the logical flow it comes from, so that a dumped flow leads to it. 0 for flows of the physical tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cookie(u32);

impl Cookie {
    /// The cookie of what these parts describe as text: FNV-1a, which will be the same tomorrow.
    #[must_use]
    pub fn of(parts: &[&dyn fmt::Display]) -> Cookie {
        /// Takes text without keeping it.
        struct Hash(u64);

        impl fmt::Write for Hash {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for byte in text.bytes() {
                    self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
                Ok(())
            }
        }

        let mut hash = Hash(0xcbf2_9ce4_8422_2325);
        for part in parts {
            // Neither the hash nor what is displayed here fails.
            let _written = fmt::Write::write_fmt(&mut hash, format_args!("{part}\0"));
        }
        let hash = hash.0;
        let folded = (hash ^ (hash >> 32)) & 0xffff_ffff;
        // Folded to 32 bits, and never 0, which says "physical".
        Cookie(u32::try_from(folded).unwrap_or(u32::MAX).max(1))
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

impl fmt::Display for DatapathKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
