//! OpenFlow port numbers and their reserved names.
//!
//! OpenFlow 1.1 and later number ports in 32 bits; Open vSwitch uses 16 and maps the reserved ones (0xff00…0xffff) to
//! 0xffffff00…0xffffffff.
//!
//! Must not: know interfaces (that is the switch's database).

use std::fmt;

/// A port number as OpenFlow 1.1 and later write it, 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNo(pub u32);

impl PortNo {
    /// Back out of the port the packet came in by.
    pub const IN_PORT: PortNo = PortNo(0xffff_fff8);
    /// Through the flow tables (packet-out only).
    pub const TABLE: PortNo = PortNo(0xffff_fff9);
    /// Non-OpenFlow switching.
    pub const NORMAL: PortNo = PortNo(0xffff_fffa);
    /// All ports of the VLAN but the ingress port.
    pub const FLOOD: PortNo = PortNo(0xffff_fffb);
    /// All ports but the ingress port.
    pub const ALL: PortNo = PortNo(0xffff_fffc);
    /// The controller.
    pub const CONTROLLER: PortNo = PortNo(0xffff_fffd);
    /// The bridge's own port.
    pub const LOCAL: PortNo = PortNo(0xffff_fffe);
    /// No port, or any port, as the place demands.
    pub const ANY: PortNo = PortNo(0xffff_ffff);

    /// The reserved ports and their names.
    pub const RESERVED: [(PortNo, &'static str); 8] = [
        (PortNo::IN_PORT, "IN_PORT"),
        (PortNo::TABLE, "TABLE"),
        (PortNo::NORMAL, "NORMAL"),
        (PortNo::FLOOD, "FLOOD"),
        (PortNo::ALL, "ALL"),
        (PortNo::CONTROLLER, "CONTROLLER"),
        (PortNo::LOCAL, "LOCAL"),
        (PortNo::ANY, "ANY"),
    ];

    /// The port for a 16-bit number of Open vSwitch.
    #[must_use]
    pub fn from_u16(number: u16) -> PortNo {
        match number {
            0xff00.. => PortNo(0xffff_0000 | u32::from(number)),
            _ => PortNo(u32::from(number)),
        }
    }

    /// The 16-bit number of Open vSwitch, if there is one.
    #[must_use]
    pub fn to_u16(self) -> Option<u16> {
        match self.0 {
            0xffff_ff00.. => u16::try_from(self.0 & 0xffff).ok(),
            number => u16::try_from(number).ok().filter(|number| *number < 0xff00),
        }
    }

    /// The name of a reserved port.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        PortNo::RESERVED
            .iter()
            .find(|(port, _)| *port == self)
            .map(|(_, name)| *name)
    }

    /// The port for a name of either case, or a number.
    #[must_use]
    pub fn parse(text: &str) -> Option<PortNo> {
        let reserved = PortNo::RESERVED
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text));
        match reserved {
            Some((port, _)) => Some(*port),
            None if text.eq_ignore_ascii_case("NONE") => Some(PortNo::ANY),
            None => match text.parse().ok()? {
                number @ 0xff00..=0xffff => Some(PortNo(0xffff_0000 | number)),
                number => Some(PortNo(number)),
            },
        }
    }
}

impl From<u16> for PortNo {
    fn from(number: u16) -> PortNo {
        PortNo::from_u16(number)
    }
}

impl fmt::Display for PortNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}
