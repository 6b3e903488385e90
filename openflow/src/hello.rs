//! OFPT_HELLO with its version bitmap (OpenFlow 1.5 §7.5.1).
//!
//! Must not: negotiate (see `connection.rs`).

use crate::error::{DecodeError, EncodeError};
use crate::property::{PROPERTIES_MAX, decode_property, encode_property};
use crate::wire::{Reader, Writer};

const VERSION_BITMAP: u16 = 1;
const BITMAP_WORDS_MAX: usize = 8;

/// Which versions one side speaks. Elements of other kinds are passed over, as the standard asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Hello {
    /// Bit n of word m: wire version 32m + n. Empty: up to the version of the header.
    pub versions: Vec<u32>,
}

impl Hello {
    /// OpenFlow 1.5 and no other.
    #[must_use]
    pub fn of_1_5() -> Hello {
        Hello {
            versions: vec![1 << crate::header::VERSION],
        }
    }

    /// Whether the sender speaks OpenFlow 1.5, given the version of the hello's header.
    #[must_use]
    pub fn offers_1_5(&self, header_version: u8) -> bool {
        match self.versions.first() {
            Some(word) => word & (1 << crate::header::VERSION) != 0,
            None => header_version == crate::header::VERSION,
        }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        if self.versions.is_empty() {
            return Ok(());
        }
        encode_property(writer, VERSION_BITMAP, |writer| {
            self.versions.iter().for_each(|word| writer.u32(*word));
            Ok(())
        })
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Hello, DecodeError> {
        let mut hello = Hello::default();
        reader.entries(PROPERTIES_MAX, |reader| {
            let (kind, mut body) = decode_property(reader)?;
            if kind == VERSION_BITMAP {
                hello.versions = body.entries(BITMAP_WORDS_MAX, Reader::u32)?;
            }
            Ok(())
        })?;
        Ok(hello)
    }
}
