//! A checked reader over received bytes and a writer that patches lengths after the body.
//!
//! Invariants: the reader never reads past what it was given and says how much was missing; a sub-reader cannot see past
//! its part. The writer is append-only except for lengths.
//!
//! Must not: know any OpenFlow structure.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{DecodeError, EncodeError};

/// Bytes of a structure being read; `what` names it in errors.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { what, rest: bytes }
    }

    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let error = DecodeError::Truncated {
            what: self.what,
            needed: count,
            available: self.rest.len(),
        };
        let (head, tail) = self.rest.split_at_checked(count).ok_or(error)?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// The next `count` bytes as a reader of their own.
    pub(crate) fn part(
        &mut self,
        what: &'static str,
        count: usize,
    ) -> Result<Reader<'a>, DecodeError> {
        Ok(Reader::new(what, self.take(count)?))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A big-endian number of `count` bytes; leading bytes beyond sixteen must be zero.
    pub(crate) fn number(&mut self, count: usize) -> Result<u128, DecodeError> {
        let what = self.what;
        let bytes = self.take(count)?;
        let (high, low) = bytes.split_at(count.saturating_sub(16));
        if high.iter().any(|byte| *byte != 0) {
            return Err(DecodeError::Length {
                what,
                length: count,
                rule: "numbers of up to 16 bytes",
            });
        }
        Ok(low
            .iter()
            .fold(0, |number, byte| (number << 8) | u128::from(*byte)))
    }

    pub(crate) fn skip(&mut self, count: usize) -> Result<(), DecodeError> {
        self.take(count).map(drop)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Ends the structure: anything left is an error.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing {
                what: self.what,
                bytes,
            }),
        }
    }

    /// Ends the structure where only zero padding may follow.
    pub(crate) fn end_padding(self) -> Result<(), DecodeError> {
        match self.rest.iter().all(|byte| *byte == 0) && self.rest.len() < 8 {
            true => Ok(()),
            false => Err(DecodeError::Trailing {
                what: self.what,
                bytes: self.rest.len(),
            }),
        }
    }

    /// Reads entries until nothing is left, at most `limit` of them.
    pub(crate) fn entries<T>(
        &mut self,
        limit: usize,
        mut entry: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut entries = Vec::new();
        while !self.is_empty() {
            if entries.len() >= limit {
                return Err(DecodeError::Count {
                    what: self.what,
                    limit,
                });
            }
            let before = self.len();
            entries.push(entry(self)?);
            if self.len() == before {
                return Err(DecodeError::Length {
                    what: self.what,
                    length: 0,
                    rule: "entries are not empty",
                });
            }
        }
        Ok(entries)
    }
}

/// Bytes of a message being written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: BytesMut,
}

impl Writer {
    pub(crate) fn new() -> Writer {
        Writer {
            bytes: BytesMut::with_capacity(256),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.put_u8(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes.put_u16(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.put_u32(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.put_u64(value);
    }

    /// The `count` low bytes of a number, big-endian.
    pub(crate) fn number(&mut self, value: u128, count: usize) {
        self.zeros(count.saturating_sub(16));
        let bytes = value.to_be_bytes();
        self.bytes.put_slice(
            bytes
                .get(16_usize.saturating_sub(count)..)
                .unwrap_or_default(),
        );
    }

    pub(crate) fn slice(&mut self, bytes: &[u8]) {
        self.bytes.put_slice(bytes);
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        self.bytes.put_bytes(0, count);
    }

    /// Zeros up to a multiple of 8 bytes counted from `start`.
    pub(crate) fn pad(&mut self, start: usize) {
        let used = self.len().saturating_sub(start);
        self.zeros(used.next_multiple_of(8).saturating_sub(used));
    }

    /// Writes a 16-bit length, counted from `start` to here, over the two bytes at `at`.
    pub(crate) fn patch(
        &mut self,
        what: &'static str,
        at: usize,
        start: usize,
    ) -> Result<(), EncodeError> {
        let length = self.len().saturating_sub(start);
        let limit = usize::from(u16::MAX);
        let value = u16::try_from(length).map_err(|_| EncodeError::TooLong {
            what,
            length,
            limit,
        })?;
        if let Some(place) = self.bytes.get_mut(at..at.saturating_add(2)) {
            place.copy_from_slice(&value.to_be_bytes());
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }
}
