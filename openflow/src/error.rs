//! What can be wrong with bytes from a switch, with a message to be sent, and with flow text.
//!
//! Every variant names the structure it was found in and the number or text that was found, so that one line is enough to
//! look the case up in a capture.
//!
//! Must not: hold the offending bytes (they may be a whole 64 KiB message).

use thiserror::Error;

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end before the structure does.
    #[error("{what}: {needed} more bytes are needed and {available} are there")]
    Truncated {
        /// The structure being read.
        what: &'static str,
        /// Bytes the next member takes.
        needed: usize,
        /// Bytes left.
        available: usize,
    },
    /// The structure ends before the bytes do.
    #[error("{what}: {bytes} bytes are left over after its end")]
    Trailing {
        /// The structure that was read.
        what: &'static str,
        /// Bytes left.
        bytes: usize,
    },
    /// A length member contradicts the structure.
    #[error("{what}: length {length} is not allowed ({rule})")]
    Length {
        /// The structure being read.
        what: &'static str,
        /// The length found.
        length: usize,
        /// What is allowed.
        rule: &'static str,
    },
    /// A member holds a number that means nothing here.
    #[error("{what}: value {value:#x} is not allowed ({rule})")]
    Value {
        /// The member being read.
        what: &'static str,
        /// The value found.
        value: u64,
        /// What is allowed.
        rule: &'static str,
    },
    /// A match field that the field table does not list, where it cannot be passed through.
    #[error(
        "{what}: match field class {class:#06x} number {number} is not known; add it to the table in field.rs"
    )]
    UnknownField {
        /// The structure being read.
        what: &'static str,
        /// OXM class, as in `nxm_class`.
        class: u16,
        /// Field number within the class, 7 bits.
        number: u8,
    },
    /// Nesting that would let a peer exhaust the stack.
    #[error("{what}: nested deeper than {limit} levels")]
    Depth {
        /// The structure being read.
        what: &'static str,
        /// Levels allowed.
        limit: usize,
    },
    /// More entries than one peer may make us hold.
    #[error("{what}: more than {limit} entries or bytes")]
    Count {
        /// The structure being read.
        what: &'static str,
        /// Entries allowed.
        limit: usize,
    },
    /// A message of another OpenFlow version.
    #[error(
        "message of OpenFlow wire version {version:#04x}; only 1.5 (0x06) is spoken, set `protocols=OpenFlow15` on the bridge"
    )]
    Version {
        /// The version byte found.
        version: u8,
    },
}

/// Why a message cannot be put into bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A length member cannot hold the length.
    #[error("{what}: {length} bytes, and the largest that can be sent is {limit}; split it")]
    TooLong {
        /// The structure being written.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The largest length.
        limit: usize,
    },
    /// A value has more bits than its field.
    #[error("{field}: value {value:#x} is wider than its {bits} bits")]
    TooWide {
        /// Name of the field, as `ovs-ofctl` spells it.
        field: String,
        /// The value found.
        value: u128,
        /// Width of the field.
        bits: u16,
    },
    /// Something is used in a place where the protocol has no room for it.
    #[error("{what} cannot be used here: {rule}")]
    Misplaced {
        /// What was found.
        what: &'static str,
        /// What is allowed.
        rule: &'static str,
    },
}

/// Why flow text could not be parsed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message} at column {column}: {found:?}")]
pub struct TextError {
    /// What is wrong and what would be right.
    pub message: String,
    /// 1-based column, in bytes, of the text that was found.
    pub column: usize,
    /// The text that was found there, cut to 40 characters.
    pub found: String,
}

impl TextError {
    pub(crate) fn new(message: impl Into<String>, column: usize, found: &str) -> TextError {
        TextError {
            message: message.into(),
            column,
            found: found.chars().take(40).collect(),
        }
    }
}
