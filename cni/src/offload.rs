//! Switching off transmit checksum offload.
//!
//! A pod's kernel leaves checksums to its device. A veth hands such packets on as they are, and the kernel datapath
//! completes them; Open vSwitch's userspace datapath reads the veth through a packet socket and would send packets with
//! unfinished checksums. So where the bridge is a userspace one, the pod's end computes them itself.
//! Source: `Documentation/networking/ethtool-netlink.rst`, FEATURES_SET (Linux 5.7).

use std::io;

use crate::genetlink::{family, nested, request, string};

/// Switches off transmit checksums of an interface in the calling thread's network namespace. Segmentation offload
/// goes with them, as the kernel allows none without.
///
/// # Errors
/// What the kernel answered.
pub fn disable_transmit_checksums(interface: &str) -> io::Result<()> {
    const ETHTOOL_MSG_FEATURES_SET: u8 = 12;
    const HEADER: u16 = 1;
    const HEADER_DEV_NAME: u16 = 2;
    const WANTED: u16 = 3;
    const BITSET_BITS: u16 = 3;
    const BITS_BIT: u16 = 1;
    const BIT_NAME: u16 = 2;
    let mut header = Vec::new();
    string(&mut header, HEADER_DEV_NAME, interface);
    let mut bits = Vec::new();
    for feature in ["tx-checksum-ip-generic", "tx-checksum-sctp"] {
        let mut bit = Vec::new();
        // Named without ETHTOOL_A_BITSET_BIT_VALUE: wanted off.
        string(&mut bit, BIT_NAME, feature);
        nested(&mut bits, BITS_BIT, &bit);
    }
    let mut bitset = Vec::new();
    nested(&mut bitset, BITSET_BITS, &bits);
    let mut attributes = Vec::new();
    nested(&mut attributes, HEADER, &header);
    nested(&mut attributes, WANTED, &bitset);
    request(family("ethtool")?, ETHTOOL_MSG_FEATURES_SET, &attributes).map(drop)
}
