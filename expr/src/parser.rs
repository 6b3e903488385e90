//! Text to expressions and actions, with errors that point at the column and say what to write instead.
//!
//! The grammar is ovn-sb(5)'s (`Logical_Flow`, columns `match` and `actions`): `&&` and `||` do not mix without parentheses, `!` before a
//! comparison needs them, a range is `a <= field <= b`.
//!
//! Invariants: recursion is bounded, and so is the text; parsing what printing gave returns the same value.
//! Must not: look up address sets or port groups.

mod actions;
mod error;

pub use actions::parse_actions;
pub use error::{ParseError, Problem};

use crate::expr::{Constant, Expr, Operand, PortOperand, Relation};
use crate::lexer::{Literal, Sign, Spanned, Token, tokens};
use crate::symbol::{Format, Level, Part, PortSymbol, Predicate, Symbol};
use crate::types::{TypeError, check_comparison, check_predicate};

/// Reads a match expression.
///
/// # Errors
/// When the text is no expression of the language: the message names the column, what was found and, where it can, what was meant.
pub fn parse_match(text: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text)?;
    let expr = parser.expression(0, false)?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("&&, || or the end")),
    }
}

impl std::str::FromStr for Expr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Expr, ParseError> {
        parse_match(text)
    }
}

/// A cursor over the tokens of one text.
struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Spanned>,
    position: usize,
}

/// A side of a comparison.
enum Side {
    Part(Part),
    Port(PortSymbol),
    Predicate(Predicate),
}

/// One of the constants that something is compared with.
enum Member {
    Integer(Literal),
    AddressSet(String),
    Port(PortOperand),
}

/// A constant, or several in braces.
struct Constants {
    members: Vec<(Member, usize)>,
    column: usize,
    is_set: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Parser<'a>, ParseError> {
        Ok(Parser {
            text,
            tokens: tokens(text)?,
            position: 0,
        })
    }

    fn peek(&self) -> &Token {
        self.tokens
            .get(self.position)
            .map_or(&Token::End, |spanned| &spanned.token)
    }

    fn column(&self) -> usize {
        self.tokens
            .get(self.position)
            .or(self.tokens.last())
            .map_or(1, |spanned| spanned.column)
    }

    fn advance(&mut self) {
        self.position = self.position.saturating_add(1);
    }

    fn accept(&mut self, sign: Sign) -> bool {
        let found = *self.peek() == Token::Sign(sign);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, sign: Sign, wanted: &'static str) -> Result<(), ParseError> {
        match self.accept(sign) {
            true => Ok(()),
            false => Err(self.unexpected(wanted)),
        }
    }

    fn error_at(&self, column: usize, problem: impl Into<Problem>) -> ParseError {
        ParseError::new(self.text, column, problem.into())
    }

    fn unexpected(&self, wanted: &'static str) -> ParseError {
        let found = error::describe(self.peek());
        self.error_at(self.column(), Problem::Unexpected { found, wanted })
    }

    /// `negated`: whether the number of `!` around it is odd, as nominal fields want to know.
    fn expression(&mut self, depth: usize, negated: bool) -> Result<Expr, ParseError> {
        let first = self.primary(depth, negated)?;
        let operator = match self.peek() {
            Token::Sign(sign @ (Sign::And | Sign::Or)) => *sign,
            _ => return Ok(first),
        };
        let mut members = vec![first];
        while self.accept(operator) {
            members.push(self.primary(depth, negated)?);
        }
        if matches!(self.peek(), Token::Sign(Sign::And | Sign::Or)) {
            return Err(self.error_at(self.column(), Problem::MixedOperators));
        }
        Ok(if operator == Sign::And {
            Expr::all(members)
        } else {
            Expr::any(members)
        })
    }

    fn primary(&mut self, depth: usize, negated: bool) -> Result<Expr, ParseError> {
        if depth >= MAX_DEPTH {
            return Err(self.error_at(self.column(), Problem::TooDeep { limit: MAX_DEPTH }));
        }
        let depth = depth.saturating_add(1);
        if self.accept(Sign::Not) {
            let column = self.column();
            let inner = match self.peek() {
                Token::Sign(Sign::ParenOpen | Sign::Not) => self.primary(depth, !negated)?,
                _ => {
                    let inner = self.comparison(!negated)?;
                    let previous = self
                        .position
                        .checked_sub(1)
                        .and_then(|position| self.tokens.get(position));
                    let is_name = matches!(
                        previous.map(|spanned| &spanned.token),
                        Some(Token::Word(_) | Token::Sign(Sign::BracketClose))
                    );
                    // `!a == b` could be read two ways.
                    if !is_name || self.is_relation_since(column) {
                        return Err(self.error_at(column, Problem::NegatedComparison));
                    }
                    inner
                }
            };
            return Ok(!inner);
        }
        if self.accept(Sign::ParenOpen) {
            let inner = self.expression(depth, negated)?;
            self.expect(Sign::ParenClose, "&&, || or )")?;
            return Ok(inner);
        }
        self.comparison(negated)
    }

    /// Whether a relational operator was read at or after `column`.
    fn is_relation_since(&self, column: usize) -> bool {
        let read = self.tokens.iter().take(self.position).rev();
        read.take_while(|spanned| spanned.column >= column)
            .any(|spanned| matches!(spanned.token, Token::Relation(_)))
    }

    fn comparison(&mut self, negated: bool) -> Result<Expr, ParseError> {
        match self.peek() {
            Token::Word(_) => {
                let column = self.column();
                let side = self.side()?;
                let Token::Relation(relation) = *self.peek() else {
                    return self.bare(side, column, negated);
                };
                self.advance();
                let constants = self.constants()?;
                self.compare(&side, column, relation, constants, negated)
            }
            Token::Integer(_) | Token::Text(_) | Token::Sign(Sign::BraceOpen) => {
                self.constants_first(negated)
            }
            Token::AddressSet(_) | Token::PortGroup(_) => self.constants_first(negated),
            _ => Err(self.unexpected("a field, a predicate, a constant, ! or (")),
        }
    }

    /// `80 == tcp.dst`, `1024 <= tcp.dst <= 49151`, or `1` alone.
    fn constants_first(&mut self, negated: bool) -> Result<Expr, ParseError> {
        let constants = self.constants()?;
        let Token::Relation(relation) = *self.peek() else {
            return match constants.members.as_slice() {
                [(Member::Integer(literal), _)]
                    if !constants.is_set && literal.mask.is_none() && literal.value <= 1 =>
                {
                    Ok(if literal.value == 1 {
                        Expr::True
                    } else {
                        Expr::False
                    })
                }
                _ => Err(self.error_at(constants.column, Problem::BareConstant)),
            };
        };
        self.advance();
        let column = self.column();
        let side = self.side()?;
        let Token::Relation(second) = *self.peek() else {
            return self.compare(&side, column, relation.mirrored(), constants, negated);
        };
        let second_column = self.column();
        self.advance();
        let is_up = |relation| matches!(relation, Relation::Less | Relation::AtMost);
        let is_down = |relation| matches!(relation, Relation::Greater | Relation::AtLeast);
        if !(is_up(relation) && is_up(second) || is_down(relation) && is_down(second)) {
            return Err(self.error_at(second_column, Problem::BadRange));
        }
        let upper = self.constants()?;
        let one = self.compare(&side, column, relation.mirrored(), constants, negated)?;
        let other = self.compare(&side, column, second, upper, negated)?;
        Ok(one & other)
    }

    /// A field, part of a field, port or predicate.
    fn side(&mut self) -> Result<Side, ParseError> {
        let column = self.column();
        let Token::Word(name) = self.peek() else {
            return Err(self.unexpected("a field or a predicate"));
        };
        let name = name.clone();
        self.advance();
        if let Some(symbol) = Symbol::from_name(&name) {
            return self.part(symbol).map(Side::Part);
        }
        if let Some(predicate) = Predicate::from_name(&name) {
            return Ok(Side::Predicate(predicate));
        }
        match PortSymbol::ALL.iter().find(|symbol| symbol.name() == name) {
            Some(symbol) => Ok(Side::Port(*symbol)),
            None => Err(self.error_at(column, Problem::unknown_field(name))),
        }
    }

    /// The rest of a field reference: `[5]`, `[0..7]` or nothing.
    fn part(&mut self, symbol: Symbol) -> Result<Part, ParseError> {
        let column = self.column();
        if !self.accept(Sign::BracketOpen) {
            return Ok(symbol.whole());
        }
        let low = self.bit_index()?;
        let high = if self.accept(Sign::DotDot) {
            self.bit_index()?
        } else {
            low
        };
        self.expect(Sign::BracketClose, ".. or ]")?;
        let part = match (u8::try_from(low), u8::try_from(high)) {
            (Ok(low), Ok(high)) => Part::new(symbol, low, high),
            _ => None,
        };
        let part =
            part.ok_or_else(|| self.error_at(column, Problem::NoSuchBits { symbol, low, high }))?;
        if symbol.info().level == Level::Nominal && !part.is_whole() {
            return Err(self.error_at(column, Problem::NominalBits(symbol)));
        }
        Ok(part)
    }

    fn bit_index(&mut self) -> Result<u128, ParseError> {
        match *self.peek() {
            Token::Integer(Literal {
                value,
                mask: None,
                format: Format::Decimal,
            }) => {
                self.advance();
                Ok(value)
            }
            _ => Err(self.unexpected("a bit number")),
        }
    }

    fn bare(&self, side: Side, column: usize, negated: bool) -> Result<Expr, ParseError> {
        match side {
            Side::Predicate(predicate) => {
                check_predicate(predicate, negated)
                    .map_err(|error| self.error_at(column, error))?;
                Ok(Expr::Predicate(predicate))
            }
            Side::Part(part) if part.width() == 1 => Ok(part.is(1u8)),
            Side::Part(part) => Err(self.error_at(column, Problem::BareField(part))),
            Side::Port(symbol) => Err(self.error_at(column, Problem::BarePort(symbol))),
        }
    }

    fn constants(&mut self) -> Result<Constants, ParseError> {
        let column = self.column();
        let is_set = self.accept(Sign::BraceOpen);
        let mut members = Vec::new();
        loop {
            if is_set && self.accept(Sign::BraceClose) {
                if members.is_empty() {
                    return Err(self.error_at(column, TypeError::EmptySet));
                }
                return Ok(Constants {
                    members,
                    column,
                    is_set,
                });
            }
            let at = self.column();
            let member = match self.peek() {
                Token::Integer(literal) => Member::Integer(*literal),
                Token::Text(name) => Member::Port(PortOperand::Name(name.as_str().into())),
                Token::PortGroup(name) => Member::Port(PortOperand::Group(name.as_str().into())),
                Token::AddressSet(name) => Member::AddressSet(name.clone()),
                _ if is_set => return Err(self.unexpected("a constant or }")),
                Token::Word(_) => return Err(self.error_at(at, Problem::TwoFields)),
                _ => return Err(self.unexpected("a constant")),
            };
            members.push((member, at));
            self.advance();
            if !is_set {
                return Ok(Constants {
                    members,
                    column,
                    is_set,
                });
            }
            self.accept(Sign::Comma);
        }
    }

    fn compare(
        &self,
        side: &Side,
        column: usize,
        relation: Relation,
        constants: Constants,
        negated: bool,
    ) -> Result<Expr, ParseError> {
        match side {
            Side::Part(part) => self.compare_part(*part, column, relation, constants, negated),
            Side::Port(symbol) => self.compare_port(*symbol, column, relation, constants, negated),
            Side::Predicate(predicate) => {
                self.compare_predicate(*predicate, column, relation, &constants, negated)
            }
        }
    }

    fn compare_part(
        &self,
        part: Part,
        column: usize,
        relation: Relation,
        constants: Constants,
        negated: bool,
    ) -> Result<Expr, ParseError> {
        let mut operands = Vec::new();
        for (member, at) in constants.members {
            let literal = match member {
                Member::Integer(literal) => literal,
                Member::AddressSet(name) => {
                    operands.push(Operand::AddressSet(name.into()));
                    continue;
                }
                Member::Port(_) => return Err(self.error_at(at, Problem::NameForField(part))),
            };
            self.check_form(part, literal, at)?;
            let constant = match literal.mask {
                Some(mask) => Constant::masked(literal.value, mask),
                None => Constant::new(literal.value),
            };
            // Of the constants it is this one that is at fault, so check it where its column is known.
            let operand = [Operand::Constant(constant)];
            match check_comparison(part, Relation::Equal, &operand, false) {
                Err(error @ (TypeError::TooWide { .. } | TypeError::NotMaskable(_))) => {
                    return Err(self.error_at(at, error));
                }
                _ => operands.extend(operand),
            }
        }
        check_comparison(part, relation, &operands, negated)
            .map_err(|error| self.error_at(column, error))?;
        Ok(Expr::compare(part, relation, operands))
    }

    /// An address of one kind compared with a field of another is a slip of the pen, even where the bits would fit.
    fn check_form(&self, part: Part, literal: Literal, column: usize) -> Result<(), ParseError> {
        let is_address = |format| matches!(format, Format::Ethernet | Format::Ip4 | Format::Ip6);
        let wanted = part.symbol().info().format;
        let is_register =
            matches!(wanted, Format::Register) || part.symbol().name().starts_with("xxreg");
        if part.is_whole() && !is_register && is_address(literal.format) && literal.format != wanted
        {
            return Err(self.error_at(
                column,
                Problem::AddressForm {
                    part,
                    form: literal.format,
                },
            ));
        }
        Ok(())
    }

    fn compare_port(
        &self,
        symbol: PortSymbol,
        column: usize,
        relation: Relation,
        constants: Constants,
        negated: bool,
    ) -> Result<Expr, ParseError> {
        let mut operands = Vec::new();
        for (member, at) in constants.members {
            match member {
                Member::Port(operand) => operands.push(operand),
                _ => return Err(self.error_at(at, Problem::IntegerForPort(symbol))),
            }
        }
        let is_not = match relation {
            Relation::Equal => false,
            Relation::NotEqual => true,
            _ => return Err(self.error_at(column, Problem::PortOrder(symbol))),
        };
        if is_not != negated {
            return Err(self.error_at(column, TypeError::PortNegated));
        }
        Ok(Expr::Port {
            symbol,
            negated: is_not,
            operands,
        })
    }

    fn compare_predicate(
        &self,
        predicate: Predicate,
        column: usize,
        relation: Relation,
        constants: &Constants,
        negated: bool,
    ) -> Result<Expr, ParseError> {
        let value = match constants.members.as_slice() {
            [(Member::Integer(literal), _)]
                if literal.mask.is_none() && literal.value <= 1 && !constants.is_set =>
            {
                literal.value == 1
            }
            _ => return Err(self.error_at(constants.column, Problem::PredicateValue(predicate))),
        };
        let is_positive = match relation {
            Relation::Equal => value,
            Relation::NotEqual => !value,
            _ => return Err(self.error_at(column, Problem::PredicateValue(predicate))),
        };
        check_predicate(predicate, negated == is_positive)
            .map_err(|error| self.error_at(column, error))?;
        Ok(if is_positive {
            Expr::Predicate(predicate)
        } else {
            !predicate
        })
    }
}

/// Deepest nesting of parentheses and `!`.
const MAX_DEPTH: usize = 100;
