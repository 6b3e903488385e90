//! Cutting a byte stream into JSON texts.
//!
//! OVSDB sends JSON objects one after the other with nothing between them that would say where one ends (RFC 7047
//! §4), so the end is found by following brackets and strings as bytes arrive. No byte is looked at twice.
//!
//! Size, nesting and number of elements are bounded while scanning, before anything is parsed or allocated for it.
//!
//! Must not: judge what it did not need to look at; the JSON parser does that.

/// What a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Its length.
    pub bytes: usize,
    /// How deep objects and arrays may nest.
    pub depth: usize,
    /// Bounds what parsing allocates: a few bytes of text can become a hundred of memory.
    pub elements: usize,
}

/// Why a stream cannot be cut any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A message that is no object.
    #[error("a message starts with byte {0:#04x} where \"{{\" is expected")]
    NoObject(u8),
    /// More bytes than a message may have.
    #[error("a message has more than {0} bytes")]
    TooLong(usize),
    /// Nesting beyond what a message may have.
    #[error("a message nests deeper than {0}")]
    TooDeep(usize),
    /// More elements than a message may have.
    #[error("a message has more than {0} elements")]
    TooMany(usize),
}

/// Bytes in, JSON texts out.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: Vec<u8>,
    /// Bytes of the buffer already scanned; the message under way starts at 0.
    scanned: usize,
    depth: usize,
    elements: usize,
    in_string: bool,
    is_escaped: bool,
}

impl Limits {
    /// For what clients send to a server.
    pub const REQUESTS: Limits = Limits {
        bytes: 32 << 20,
        depth: 64,
        elements: 2_000_000,
    };
    /// For what servers send to a client: a whole database at a time.
    pub const REPLIES: Limits = Limits {
        bytes: 256 << 20,
        depth: 64,
        elements: 20_000_000,
    };
}

impl Framer {
    /// At the start of a stream.
    pub fn new(limits: Limits) -> Framer {
        Framer {
            limits,
            buffer: Vec::new(),
            scanned: 0,
            depth: 0,
            elements: 0,
            in_string: false,
            is_escaped: false,
        }
    }

    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole text, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// What cannot be a message, or is larger than one may be. The stream cannot be cut any further.
    pub fn next_text(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        if self.depth == 0 {
            let blank = self
                .buffer
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            self.buffer.drain(..blank);
            self.scanned = 0;
        }
        let mut scanned = self.scanned;
        for byte in self.buffer.iter().skip(self.scanned) {
            scanned = scanned.saturating_add(1);
            if self.in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'{' | b'[' => {
                    self.depth = self.depth.saturating_add(1);
                    self.elements = self.elements.saturating_add(1);
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b'"' => self.in_string = true,
                b',' => self.elements = self.elements.saturating_add(1),
                _ => {}
            }
            if scanned == 1 && *byte != b'{' {
                return Err(FramingError::NoObject(*byte));
            }
            if self.depth > self.limits.depth {
                return Err(FramingError::TooDeep(self.limits.depth));
            }
            if self.elements > self.limits.elements {
                return Err(FramingError::TooMany(self.limits.elements));
            }
            if self.depth == 0 {
                if scanned > self.limits.bytes {
                    return Err(FramingError::TooLong(self.limits.bytes));
                }
                let rest = self.buffer.split_off(scanned);
                self.scanned = 0;
                self.elements = 0;
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
        }
        self.scanned = scanned;
        if self.buffer.len() > self.limits.bytes {
            return Err(FramingError::TooLong(self.limits.bytes));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> (Vec<String>, Option<FramingError>) {
        let mut framer = Framer::new(Limits {
            bytes: 200,
            depth: 4,
            elements: 20,
        });
        let mut texts = Vec::new();
        for piece in pieces {
            framer.push(piece);
            loop {
                match framer.next_text() {
                    Ok(Some(text)) => texts.push(String::from_utf8_lossy(&text).into_owned()),
                    Ok(None) => break,
                    Err(error) => return (texts, Some(error)),
                }
            }
        }
        (texts, None)
    }

    #[test]
    fn texts_are_found_wherever_the_stream_is_cut() {
        let texts = [r#"{}"#, r#"{"a":"}\"{\\"}"#, r#"{"b":[1,{"c":"]"}]}"#];
        let stream = format!("{} {}\n{}  ", texts[0], texts[1], texts[2]);
        assert_eq!(
            cut(&[stream.as_bytes()]),
            (texts.map(str::to_owned).to_vec(), None)
        );
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(cut(&bytes), (texts.map(str::to_owned).to_vec(), None));
        for at in 0..stream.len() {
            let (a, b) = stream.as_bytes().split_at(at);
            assert_eq!(cut(&[a, b]).0, texts, "cut at {at}");
        }
    }

    #[test]
    fn what_is_too_long_too_deep_too_rich_or_no_object_is_refused() {
        let long = format!("{{\"a\":\"{}", "x".repeat(300));
        let many = format!("{{\"a\":[{}", "1,".repeat(30));
        let cases: [(&str, FramingError); 6] = [
            (&long, FramingError::TooLong(200)),
            (&format!("{long}\"}}"), FramingError::TooLong(200)),
            (r#"{"a":[[[[1]]]]}"#, FramingError::TooDeep(4)),
            (&many, FramingError::TooMany(20)),
            ("[1]", FramingError::NoObject(b'[')),
            ("{}x", FramingError::NoObject(b'x')),
        ];
        for (input, error) in cases {
            assert_eq!(cut(&[input.as_bytes()]).1, Some(error), "{input}");
        }
    }
}
