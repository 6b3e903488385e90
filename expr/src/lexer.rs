//! Text to tokens, each with the column it starts at.
//!
//! Invariants: a column counts characters from 1; work and memory are linear in the text, whose length is bounded first.
//! Must not: know symbols; whether a word or number fits where it stands is the parser's question.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::address::Mac;
use crate::expr::Relation;
use crate::parser::{ParseError, Problem};
use crate::symbol::{Format, ones};

/// A token.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Token {
    /// A word: letters, digits, `_` and `.`.
    Word(String),
    /// An integer, perhaps masked.
    Integer(Literal),
    /// `10.0.0.1:80`, `[fd00::1]:80`.
    Endpoint(SocketAddr),
    /// A quoted string, unescaped.
    Text(String),
    /// `$name`.
    AddressSet(String),
    /// `@name`.
    PortGroup(String),
    Relation(Relation),
    Sign(Sign),
    End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    ParenOpen,
    ParenClose,
    BraceOpen,
    BraceClose,
    BracketOpen,
    BracketClose,
    Not,
    And,
    Or,
    DotDot,
    Comma,
    Semicolon,
    Assign,
    Exchange,
    Decrement,
}

impl Sign {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Sign::ParenOpen => "(",
            Sign::ParenClose => ")",
            Sign::BraceOpen => "{",
            Sign::BraceClose => "}",
            Sign::BracketOpen => "[",
            Sign::BracketClose => "]",
            Sign::Not => "!",
            Sign::And => "&&",
            Sign::Or => "||",
            Sign::DotDot => "..",
            Sign::Comma => ",",
            Sign::Semicolon => ";",
            Sign::Assign => "=",
            Sign::Exchange => "<->",
            Sign::Decrement => "--",
        }
    }
}

/// An integer as written.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Literal {
    pub(crate) value: u128,
    pub(crate) mask: Option<u128>,
    /// `Decimal`, `Hex`, `Ethernet`, `Ip4` or `Ip6`.
    pub(crate) format: Format,
}

/// A token and where it begins.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Spanned {
    pub(crate) token: Token,
    pub(crate) column: usize,
}

/// The tokens of `text`, the last of them [`Token::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<Spanned>, ParseError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(ParseError::new(
            text,
            1,
            Problem::TooLong {
                bytes: text.len(),
                limit: MAX_TEXT_BYTES,
            },
        ));
    }
    let mut lexer = Lexer {
        text,
        rest: text,
        column: 1,
    };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank()?;
        let column = lexer.column;
        let token = lexer
            .token()
            .map_err(|problem| ParseError::new(text, column, problem))?;
        let is_end = token == Token::End;
        tokens.push(Spanned { token, column });
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    rest: &'a str,
    column: usize,
}

impl<'a> Lexer<'a> {
    /// Takes the first `bytes` bytes, which end at a character boundary.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.column = self.column.saturating_add(taken.chars().count());
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        self.take(
            self.rest
                .find(|character| !accept(character))
                .unwrap_or(self.rest.len()),
        )
    }

    fn skip_blank(&mut self) -> Result<(), ParseError> {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest.starts_with("//") {
                self.take_while(|character| character != '\n');
            } else if self.rest.starts_with("/*") {
                let Some(end) = self.rest.find("*/") else {
                    return Err(ParseError::new(
                        self.text,
                        self.column,
                        Problem::OpenComment,
                    ));
                };
                self.take(end.saturating_add(2));
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Token, Problem> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token::End);
        };
        match first {
            '"' => self.string().map(Token::Text),
            '$' | '@' => {
                self.take(1);
                let name = self.take_while(is_word).to_owned();
                match (name.is_empty(), first) {
                    (true, _) => Err(Problem::UnknownCharacter(first)),
                    (false, '$') => Ok(Token::AddressSet(name)),
                    (false, _) => Ok(Token::PortGroup(name)),
                }
            }
            _ if let Some((endpoint, length)) = endpoint(self.rest) => {
                self.take(length);
                Ok(Token::Endpoint(endpoint))
            }
            _ if starts_integer(self.rest) => self.integer().map(Token::Integer),
            _ if first.is_ascii_alphabetic() || first == '_' => {
                Ok(Token::Word(self.take_while(is_word).to_owned()))
            }
            _ => self.sign(first),
        }
    }

    fn sign(&mut self, first: char) -> Result<Token, Problem> {
        // Longer ones first: each is a prefix of none after it.
        const SIGNS: [(&str, Token); 23] = [
            ("<->", Token::Sign(Sign::Exchange)),
            ("==", Token::Relation(Relation::Equal)),
            ("!=", Token::Relation(Relation::NotEqual)),
            ("<=", Token::Relation(Relation::AtMost)),
            (">=", Token::Relation(Relation::AtLeast)),
            ("&&", Token::Sign(Sign::And)),
            ("||", Token::Sign(Sign::Or)),
            ("..", Token::Sign(Sign::DotDot)),
            ("--", Token::Sign(Sign::Decrement)),
            ("<", Token::Relation(Relation::Less)),
            (">", Token::Relation(Relation::Greater)),
            ("(", Token::Sign(Sign::ParenOpen)),
            (")", Token::Sign(Sign::ParenClose)),
            ("{", Token::Sign(Sign::BraceOpen)),
            ("}", Token::Sign(Sign::BraceClose)),
            ("[", Token::Sign(Sign::BracketOpen)),
            ("]", Token::Sign(Sign::BracketClose)),
            ("!", Token::Sign(Sign::Not)),
            (",", Token::Sign(Sign::Comma)),
            (";", Token::Sign(Sign::Semicolon)),
            ("=", Token::Sign(Sign::Assign)),
            ("&", Token::End),
            ("|", Token::End),
        ];
        for (text, token) in SIGNS {
            if self.rest.starts_with(text) {
                if token == Token::End {
                    return Err(Problem::SingleOperator(first));
                }
                self.take(text.len());
                return Ok(token);
            }
        }
        Err(Problem::UnknownCharacter(first))
    }

    /// A string as JSON writes it (RFC 8259 §7).
    fn string(&mut self) -> Result<String, Problem> {
        self.take(1);
        let mut value = String::new();
        loop {
            value.push_str(
                self.take_while(|character| !matches!(character, '"' | '\\') && character >= ' '),
            );
            match self.take_one() {
                Some('"') => return Ok(value),
                Some('\\') => value.push(self.escape()?),
                Some(_) => return Err(Problem::ControlCharacter),
                None => return Err(Problem::OpenString),
            }
        }
    }

    fn take_one(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.take(character.len_utf8());
        Some(character)
    }

    fn escape(&mut self) -> Result<char, Problem> {
        match self.take_one().ok_or(Problem::OpenString)? {
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'b' => Ok('\u{8}'),
            'f' => Ok('\u{c}'),
            'u' => {
                let first = self.code_unit()?;
                // Beyond the basic plane JSON writes two units, a surrogate pair.
                let units = match (0xd800..0xdc00).contains(&first) && self.rest.starts_with("\\u")
                {
                    true => {
                        self.take(2);
                        vec![first, self.code_unit()?]
                    }
                    false => vec![first],
                };
                let mut decoded = char::decode_utf16(units);
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(character)), None) => Ok(character),
                    _ => Err(Problem::BadEscape),
                }
            }
            plain @ ('"' | '\\' | '/') => Ok(plain),
            _ => Err(Problem::BadEscape),
        }
    }

    fn code_unit(&mut self) -> Result<u16, Problem> {
        let digits = self
            .rest
            .get(..4)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        self.take(4);
        unit.ok_or(Problem::BadEscape)
    }

    fn integer(&mut self) -> Result<Literal, Problem> {
        let (value, format) = self.number()?;
        if !self.rest.starts_with('/') || self.rest.starts_with("//") || self.rest.starts_with("/*")
        {
            return Ok(Literal {
                value,
                mask: None,
                format,
            });
        }
        self.take(1);
        if !starts_integer(self.rest) {
            return Err(Problem::MissingMask);
        }
        let (given, mask_format) = self.number()?;
        let width = match format {
            Format::Ip4 => Some(32u8),
            Format::Ip6 => Some(128),
            _ => None,
        };
        let mask = match (width, mask_format) {
            (Some(width), Format::Decimal) => {
                let length = u8::try_from(given).ok().filter(|length| *length <= width);
                let length = length.ok_or(Problem::PrefixTooLong {
                    length: given,
                    width,
                })?;
                ones(width) & !ones(width.saturating_sub(length))
            }
            _ if mask_format == format
                || width.is_none() && is_plain(format) && is_plain(mask_format) =>
            {
                given
            }
            _ => return Err(Problem::MaskForm),
        };
        if value & !mask != 0 {
            return Err(Problem::BitsOutsideMask);
        }
        Ok(Literal {
            value,
            mask: Some(mask),
            format,
        })
    }

    fn number(&mut self) -> Result<(u128, Format), Problem> {
        let run = number_run(self.rest);
        let text = self.take(run);
        let parsed = if text.contains(':') {
            match Mac::from_str(text) {
                Ok(mac) => Some((u128::from(mac.to_bits()), Format::Ethernet)),
                Err(_) => Ipv6Addr::from_str(text)
                    .ok()
                    .map(|address| (address.to_bits(), Format::Ip6)),
            }
        } else if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            let is_hex =
                !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let value = is_hex
                .then(|| u128::from_str_radix(digits, 16).ok())
                .flatten();
            value.map(|value| (value, Format::Hex))
        } else if text.contains('.') {
            Ipv4Addr::from_str(text)
                .ok()
                .map(|address| (u128::from(address.to_bits()), Format::Ip4))
        } else {
            let is_decimal = text.bytes().all(|digit| digit.is_ascii_digit());
            let value = is_decimal.then(|| text.parse().ok()).flatten();
            value.map(|value| (value, Format::Decimal))
        };
        parsed.ok_or_else(|| Problem::BadNumber(text.chars().take(MAX_QUOTED).collect()))
    }
}

fn is_plain(format: Format) -> bool {
    matches!(format, Format::Decimal | Format::Hex)
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.')
}

/// A digit, or hexadecimal digits with a colon among them: `fe80::1` is a number, `eth` and `fee` are words.
fn starts_integer(text: &str) -> bool {
    match text.chars().next() {
        Some(first) if first.is_ascii_digit() => true,
        Some(first) if first.is_ascii_hexdigit() || first == ':' => {
            let after = text.trim_start_matches(|character: char| character.is_ascii_hexdigit());
            after.starts_with(':')
        }
        _ => false,
    }
}

/// An address with a port, and how long it is written. Looks no further than the longest one reaches.
fn endpoint(text: &str) -> Option<(SocketAddr, usize)> {
    if !text.starts_with(|first: char| first == '[' || first.is_ascii_digit()) {
        return None;
    }
    let belongs = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'[' | b']');
    let length = text
        .bytes()
        .take(MAX_ENDPOINT)
        .take_while(|byte| belongs(byte));
    let written = text.get(..length.count())?;
    let endpoint = SocketAddr::from_str(written).ok()?;
    Some((endpoint, written.len()))
}

/// How many bytes belong to the number that starts here. Two dots end it: `reg0[0..7]`.
fn number_run(text: &str) -> usize {
    let mut end = 0usize;
    for character in text.chars() {
        let is_range =
            character == '.' && text.get(end..).is_some_and(|rest| rest.starts_with(".."));
        if is_range || !(character.is_ascii_alphanumeric() || matches!(character, '.' | ':' | '_'))
        {
            break;
        }
        end = end.saturating_add(character.len_utf8());
    }
    end
}

/// Longest text read: far beyond any ACL written by hand, small enough to refuse at once.
const MAX_TEXT_BYTES: usize = 256 * 1024;
/// More than the longest address with a port.
const MAX_ENDPOINT: usize = 64;
/// Longest piece of input repeated in a message.
const MAX_QUOTED: usize = 60;
