//! Reading flow text: the pieces between commas, with their columns, and numbers.
//!
//! Must not: know fields or actions.

use crate::error::TextError;

/// A piece of flow text and the 1-based column where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    pub(crate) column: usize,
}

impl<'a> Piece<'a> {
    pub(crate) fn new(text: &'a str) -> Piece<'a> {
        Piece { text, column: 1 }
    }

    /// A part of this piece.
    pub(crate) fn part(self, text: &'a str) -> Piece<'a> {
        // Both are parts of the same text, so the difference of their addresses is the offset.
        let offset = (text.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        Piece {
            text,
            column: self.column.saturating_add(offset),
        }
    }

    pub(crate) fn trim(self) -> Piece<'a> {
        self.part(self.text.trim())
    }

    pub(crate) fn error(self, message: impl Into<String>) -> TextError {
        TextError::new(message, self.column, self.text)
    }

    pub(crate) fn strip_prefix(self, prefix: &str) -> Option<Piece<'a>> {
        self.text.strip_prefix(prefix).map(|rest| self.part(rest))
    }

    pub(crate) fn split_once(self, separator: &str) -> Option<(Piece<'a>, Piece<'a>)> {
        let (head, tail) = self.text.split_once(separator)?;
        Some((self.part(head), self.part(tail)))
    }

    pub(crate) fn rsplit_once(self, separator: &str) -> Option<(Piece<'a>, Piece<'a>)> {
        let (head, tail) = self.text.rsplit_once(separator)?;
        Some((self.part(head), self.part(tail)))
    }

    /// What stands between the first `(` and the `)` at the end, and what stands before.
    pub(crate) fn call(self) -> Option<(Piece<'a>, Piece<'a>)> {
        let (name, rest) = self.split_once("(")?;
        Some((name, rest.part(rest.text.strip_suffix(')')?)))
    }

    /// The pieces between commas, blanks aside, that are not within brackets. Blanks separate too.
    pub(crate) fn pieces(self) -> Result<Vec<Piece<'a>>, TextError> {
        let mut pieces = Vec::new();
        let (mut start, mut depth) = (0_usize, 0_usize);
        for (at, letter) in self.text.char_indices() {
            match letter {
                '(' | '[' => depth = depth.saturating_add(1),
                ')' | ']' => {
                    let tail = self.text.get(at..).unwrap_or_default();
                    let error = || {
                        self.part(tail)
                            .error("a bracket is closed that was not opened")
                    };
                    depth = depth.checked_sub(1).ok_or_else(error)?;
                }
                ',' | ' ' | '\t' | '\n' if depth == 0 => {
                    pieces.extend(self.text.get(start..at));
                    start = at.saturating_add(1);
                }
                _ => {}
            }
        }
        if depth > 0 {
            return Err(self.error("a bracket is not closed"));
        }
        pieces.extend(self.text.get(start..));
        Ok(pieces
            .into_iter()
            .filter(|text| !text.is_empty())
            .map(|text| self.part(text))
            .collect())
    }

    /// A number, decimal or with `0x`, up to `max`.
    pub(crate) fn number(self, max: u128) -> Result<u128, TextError> {
        let text = self.text;
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) if digits.bytes().all(|c| c.is_ascii_hexdigit()) => {
                u128::from_str_radix(digits, 16).ok()
            }
            Some(_) => None,
            None if text.bytes().all(|c| c.is_ascii_digit()) => text.parse().ok(),
            None => None,
        };
        let number =
            number.ok_or_else(|| self.error("a number is expected, decimal or with 0x"))?;
        match number <= max {
            true => Ok(number),
            false => Err(self.error(format!("the number is larger than {max}"))),
        }
    }

    /// As [`Piece::number`], of a type.
    pub(crate) fn to<T: TryFrom<u128>>(self) -> Result<T, TextError> {
        T::try_from(self.number(u128::MAX)?).map_err(|_| self.error("the number is too large"))
    }

    /// Bytes as two hexadecimal digits each, with dots between them.
    pub(crate) fn bytes(self) -> Result<Vec<u8>, TextError> {
        if self.text.is_empty() {
            return Ok(Vec::new());
        }
        let byte = |digits: &str| match digits.len() == 2
            && digits.bytes().all(|c| c.is_ascii_hexdigit())
        {
            true => u8::from_str_radix(digits, 16).ok(),
            false => None,
        };
        let bytes: Option<Vec<u8>> = self.text.split('.').map(byte).collect();
        bytes.ok_or_else(|| {
            self.error("bytes are two hexadecimal digits each, with dots between them")
        })
    }
}

/// Bytes as [`Piece::bytes`] reads them.
pub(crate) fn dotted(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(".")
}
