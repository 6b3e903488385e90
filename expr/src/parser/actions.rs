//! Text to actions.
//!
//! Must not: read an action that it could not print.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{ParseError, Parser, Problem, Side};
use crate::action::{Action, Backend, HashField, NatSide, Pipeline, Replacement};
use crate::lexer::{Literal, Sign, Token};
use crate::symbol::{Access, Format, Part, PortSymbol, Symbol};
use crate::types::TypeError;

/// Reads a list of actions. An empty one drops the packet, as `drop;` does.
///
/// # Errors
/// When the text is no list of actions: the message names the column, what was found and, where it can, what was meant.
pub fn parse_actions(text: &str) -> Result<Vec<Action>, ParseError> {
    let mut parser = Parser::new(text)?;
    let mut actions = Vec::new();
    while *parser.peek() != Token::End {
        let column = parser.column();
        let action = parser.action()?;
        if !actions.is_empty() && (action == Action::Drop || actions.contains(&Action::Drop)) {
            return Err(parser.error_at(column, Problem::DropNotAlone));
        }
        actions.push(action);
        if actions.len() > MAX_ACTIONS {
            let problem = Problem::TooManyActions {
                count: actions.len(),
                limit: MAX_ACTIONS,
            };
            return Err(parser.error_at(column, problem));
        }
    }
    Ok(actions)
}

impl Parser<'_> {
    fn action(&mut self) -> Result<Action, ParseError> {
        let Token::Word(name) = self.peek() else {
            return self.simple_action();
        };
        let mut all = Replacement::ALL.into_iter();
        match all.find(|one| one.name() == name) {
            Some(with) => self.replacement(with),
            None => self.simple_action(),
        }
    }

    /// A name and actions in braces. There is no other replacement among them, so that no text makes this recurse.
    fn replacement(&mut self, with: Replacement) -> Result<Action, ParseError> {
        self.advance();
        self.expect(Sign::BraceOpen, "{")?;
        let mut actions = Vec::new();
        while !self.accept(Sign::BraceClose) {
            let column = self.column();
            if actions.len() >= MAX_ACTIONS {
                let (count, limit) = (actions.len().saturating_add(1), MAX_ACTIONS);
                return Err(self.error_at(column, Problem::TooManyActions { count, limit }));
            }
            let action = match self.frag_mtu()? {
                Some(action) => action,
                None => self.simple_action()?,
            };
            if action == Action::Drop {
                return Err(self.error_at(column, Problem::DropNotAlone));
            }
            actions.push(action);
        }
        self.expect(Sign::Semicolon, ";")?;
        Ok(Action::Replace { with, actions })
    }

    fn frag_mtu(&mut self) -> Result<Option<Action>, ParseError> {
        let error = match self.peek() {
            Token::Word(word) if word == "icmp4.frag_mtu" => Replacement::Icmp4,
            Token::Word(word) if word == "icmp6.frag_mtu" => Replacement::Icmp6,
            _ => return Ok(None),
        };
        self.advance();
        self.expect(Sign::Assign, "=")?;
        let Token::Integer(Literal {
            value, mask: None, ..
        }) = *self.peek()
        else {
            return Err(self.unexpected("a number of bytes"));
        };
        let Ok(mtu) = u16::try_from(value) else {
            let (what, range) = ("length", "0 to 65535 are");
            let problem = Problem::OutOfRange { what, value, range };
            return Err(self.error_at(self.column(), problem));
        };
        self.advance();
        self.expect(Sign::Semicolon, ";")?;
        Ok(Some(Action::FragMtu { error, mtu }))
    }

    fn simple_action(&mut self) -> Result<Action, ParseError> {
        let column = self.column();
        let Token::Word(name) = self.peek() else {
            return Err(self.unexpected("an action"));
        };
        let name = name.clone();
        let action = match name.as_str() {
            "output" => self.word(Action::Output),
            "drop" => self.word(Action::Drop),
            "next" => {
                self.advance();
                self.next_stage()?
            }
            "ct_clear" => self.word(Action::CtClear),
            "ct_lb_mark" => {
                self.advance();
                self.load_balancing()?
            }
            "ct_snat" => self.translation(NatSide::Source)?,
            "ct_dnat" => self.translation(NatSide::Destination)?,
            "forward" => {
                self.advance();
                self.expect(Sign::ParenOpen, "(")?;
                let node = self.quoted("the name of a node in quotation marks")?;
                self.expect(Sign::ParenClose, ")")?;
                Action::forward(node)
            }
            "deliver" | "locate" => {
                self.advance();
                self.expect(Sign::ParenOpen, "(")?;
                let datapath = self.quoted("the name of a switch or router in quotation marks")?;
                self.expect(Sign::Comma, ",")?;
                let port = self.quoted("the name of a port in quotation marks")?;
                self.expect(Sign::ParenClose, ")")?;
                match name == "deliver" {
                    true => Action::deliver(datapath, port),
                    false => Action::locate(datapath, port),
                }
            }
            _ => match self.side() {
                Ok(side) => self.assignment(side, column)?,
                Err(error) => return Err(self.as_action(error, name, column)),
            },
        };
        self.expect(Sign::Semicolon, ";")?;
        Ok(action)
    }

    /// What follows `select`: the numbers from 0 on. Any others, and OVN's weights, are refused, because nothing here could carry them out.
    fn select(&mut self, destination: Part) -> Result<Action, ParseError> {
        self.expect(Sign::ParenOpen, "(")?;
        let mut choices = 0u16;
        loop {
            let limit = u128::from(MAX_CHOICES - 1).min(destination.mask());
            match *self.peek() {
                Token::Integer(Literal {
                    value, mask: None, ..
                }) if value == u128::from(choices) && value <= limit => {}
                _ => return Err(self.unexpected("the next number, from 0 on")),
            }
            self.advance();
            choices = choices.saturating_add(1);
            if !self.accept(Sign::Comma) {
                break;
            }
        }
        if choices < 2 {
            return Err(self.unexpected("a second choice"));
        }
        self.expect(Sign::ParenClose, ", or )")?;
        Ok(Action::Select {
            destination,
            choices,
        })
    }

    /// `ct_snat` or `ct_dnat`, and the address that follows it in parentheses, if one does.
    fn translation(&mut self, side: NatSide) -> Result<Action, ParseError> {
        self.advance();
        if !self.accept(Sign::ParenOpen) {
            return Ok(Action::CtNat {
                side,
                address: None,
            });
        }
        let wanted = "an address";
        let Backend {
            address,
            port: None,
        } = self.address(wanted)?
        else {
            return Err(self.unexpected(wanted));
        };
        self.expect(Sign::ParenClose, ")")?;
        Ok(Action::CtNat {
            side,
            address: Some(address),
        })
    }

    /// What follows `ct_lb_mark`: nothing, or `(backends=…; hash_fields="…")`.
    fn load_balancing(&mut self) -> Result<Action, ParseError> {
        if !self.accept(Sign::ParenOpen) {
            return Ok(Action::CtLb);
        }
        self.key("backends", "backends=")?;
        let mut backends = vec![self.backend()?];
        while self.accept(Sign::Comma) {
            backends.push(self.backend()?);
        }
        let mut fields = Vec::new();
        if self.accept(Sign::Semicolon) {
            self.key("hash_fields", "hash_fields=")?;
            let column = self.column();
            for name in self
                .quoted("names of fields in quotation marks")?
                .split(',')
            {
                let mut all = HashField::ALL.iter().copied();
                let field = all.find(|field| field.name() == name);
                fields.push(field.ok_or_else(|| {
                    let found = format!("{:?}", name.chars().take(20).collect::<String>());
                    let wanted =
                        "eth_src, eth_dst, ip_src, ip_dst, or _src or _dst of tcp, udp or sctp";
                    self.error_at(column, Problem::Unexpected { found, wanted })
                })?);
            }
        }
        self.expect(Sign::ParenClose, ", ; or )")?;
        Ok(Action::CtLbTo {
            backends: backends.into(),
            fields,
        })
    }

    fn key(&mut self, name: &str, wanted: &'static str) -> Result<(), ParseError> {
        match self.peek() {
            Token::Word(word) if word == name => self.advance(),
            _ => return Err(self.unexpected(wanted)),
        }
        self.expect(Sign::Assign, "=")
    }

    fn backend(&mut self) -> Result<Backend, ParseError> {
        self.address("an address, with or without port")
    }

    fn address(&mut self, wanted: &'static str) -> Result<Backend, ParseError> {
        let backend = match *self.peek() {
            Token::Endpoint(endpoint) => Some(Backend {
                address: endpoint.ip(),
                port: Some(endpoint.port()),
            }),
            Token::Integer(Literal {
                value,
                mask: None,
                format,
            }) => {
                let address = match format {
                    Format::Ip4 => u32::try_from(value)
                        .ok()
                        .map(|bits| Ipv4Addr::from_bits(bits).into()),
                    Format::Ip6 => Some(Ipv6Addr::from_bits(value).into()),
                    _ => None,
                };
                address.map(|address| Backend {
                    address,
                    port: None,
                })
            }
            _ => None,
        };
        let backend = backend.ok_or_else(|| self.unexpected(wanted))?;
        self.advance();
        Ok(backend)
    }

    fn word(&mut self, action: Action) -> Action {
        self.advance();
        action
    }

    /// A word that is no field and is not assigned to was meant as an action.
    fn as_action(&self, error: ParseError, name: String, column: usize) -> ParseError {
        let is_assigned = matches!(
            self.peek(),
            Token::Sign(Sign::Assign | Sign::Exchange | Sign::Decrement)
        );
        match error.problem {
            Problem::UnknownField { .. } if !is_assigned => {
                self.error_at(column, Problem::unknown_action(name))
            }
            _ => error,
        }
    }

    fn quoted(&mut self, wanted: &'static str) -> Result<String, ParseError> {
        let Token::Text(text) = self.peek() else {
            return Err(self.unexpected(wanted));
        };
        let text = text.clone();
        self.advance();
        Ok(text)
    }

    /// What follows `next`: nothing, `(5)`, or `(pipeline=egress, table=5)` in either order.
    fn next_stage(&mut self) -> Result<Action, ParseError> {
        if !self.accept(Sign::ParenOpen) {
            return Ok(Action::next());
        }
        if let Token::Integer(_) = self.peek() {
            let table = Some(self.table()?);
            self.expect(Sign::ParenClose, ")")?;
            return Ok(Action::Next {
                pipeline: None,
                table,
            });
        }
        let (mut pipeline, mut table) = (None, None);
        loop {
            let Token::Word(key) = self.peek() else {
                return Err(self.unexpected("pipeline= or table="));
            };
            let key = key.clone();
            match key.as_str() {
                "pipeline" if pipeline.is_none() => {
                    self.advance();
                    self.expect(Sign::Assign, "=")?;
                    pipeline = Some(self.pipeline()?);
                }
                "table" if table.is_none() => {
                    self.advance();
                    self.expect(Sign::Assign, "=")?;
                    table = Some(self.table()?);
                }
                _ => return Err(self.unexpected("pipeline= or table=, each once")),
            }
            if !self.accept(Sign::Comma) {
                break;
            }
        }
        if table.is_none() {
            return Err(self.unexpected(", table="));
        }
        self.expect(Sign::ParenClose, ", or )")?;
        Ok(Action::Next { pipeline, table })
    }

    fn pipeline(&mut self) -> Result<Pipeline, ParseError> {
        let found = match self.peek() {
            Token::Word(word) => [Pipeline::Ingress, Pipeline::Egress]
                .into_iter()
                .find(|each| each.name() == word),
            _ => None,
        };
        let pipeline = found.ok_or_else(|| self.unexpected("ingress or egress"))?;
        self.advance();
        Ok(pipeline)
    }

    fn table(&mut self) -> Result<u8, ParseError> {
        let Token::Integer(Literal {
            value, mask: None, ..
        }) = *self.peek()
        else {
            return Err(self.unexpected("the number of a table"));
        };
        let table = u8::try_from(value).map_err(|_| {
            self.error_at(
                self.column(),
                Problem::OutOfRange {
                    what: "table",
                    value,
                    range: "0 to 255 are",
                },
            )
        })?;
        self.advance();
        Ok(table)
    }

    fn assignment(&mut self, left: Side, column: usize) -> Result<Action, ParseError> {
        match left {
            Side::Predicate(predicate) => {
                Err(self.error_at(column, Problem::AssignPredicate(predicate)))
            }
            Side::Port(destination) => self.assign_port(destination),
            Side::Part(destination) => self.assign_part(destination, column),
        }
    }

    fn assign_port(&mut self, destination: PortSymbol) -> Result<Action, ParseError> {
        self.expect(Sign::Assign, "=")?;
        if let Token::Text(_) = self.peek() {
            let name = self.quoted("a name")?.into();
            return Ok(Action::AssignPort { destination, name });
        }
        let column = self.column();
        match self.side() {
            Ok(Side::Port(source)) => Ok(Action::MovePort {
                destination,
                source,
            }),
            Ok(_) => Err(self.error_at(column, Problem::KindsDiffer)),
            Err(error) => Err(error),
        }
    }

    fn assign_part(&mut self, destination: Part, column: usize) -> Result<Action, ParseError> {
        let writable = |parser: &Self, part: Part, column| match part.symbol().info().access {
            Access::Writable => Ok(()),
            Access::ReadOnly => Err(parser.error_at(column, Problem::ReadOnly(part.symbol()))),
        };
        writable(self, destination, column)?;
        if self.accept(Sign::Decrement) {
            return match destination == Symbol::IpTtl.whole() {
                true => Ok(Action::DecrementTtl),
                false => Err(self.error_at(column, Problem::Decrement(destination))),
            };
        }
        let is_exchange = self.accept(Sign::Exchange);
        if !is_exchange {
            self.expect(Sign::Assign, "=, <-> or --")?;
        }
        let right_column = self.column();
        if let (Token::Integer(literal), false) = (self.peek(), is_exchange) {
            let literal = *literal;
            self.check_form(destination, literal, right_column)?;
            if literal.mask.is_some() {
                return Err(
                    self.error_at(right_column, Problem::AssignMasked(destination.symbol()))
                );
            }
            if literal.value & !destination.mask() != 0 {
                let error = TypeError::TooWide {
                    part: destination,
                    value: literal.value,
                };
                return Err(self.error_at(right_column, error));
            }
            self.advance();
            return Ok(Action::Assign {
                destination,
                value: literal.value,
            });
        }
        if matches!(self.peek(), Token::Word(word) if word == "select") && !is_exchange {
            self.advance();
            return self.select(destination);
        }
        let source = match self.side()? {
            Side::Part(source) => source,
            Side::Port(_) => return Err(self.error_at(right_column, Problem::KindsDiffer)),
            Side::Predicate(predicate) => {
                return Err(self.error_at(right_column, Problem::AssignPredicate(predicate)));
            }
        };
        if destination.width() != source.width() {
            let problem = Problem::WidthsDiffer {
                left: destination,
                right: source,
            };
            return Err(self.error_at(right_column, problem));
        }
        if !is_exchange {
            return Ok(Action::Move {
                destination,
                source,
            });
        }
        writable(self, source, right_column)?;
        Ok(Action::Exchange {
            left: destination,
            right: source,
        })
    }
}

/// Most choices of `select`, as many as Open vSwitch is asked to weigh for one packet.
const MAX_CHOICES: u16 = 256;
/// Longest list of actions.
const MAX_ACTIONS: usize = 1_000;
