//! What an expression says of a packet, and what plain actions do to one.
//!
//! The [`Packet`] here is a record of field values, not bytes; `weft-compiler`'s interpreter reads and writes Ethernet.
//!
//! Invariant: a value never exceeds its field. Must not: know stages; `next`, `output` and their like are the interpreter's.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::action::Action;
use crate::expr::{Constant, Expr, Operand, PortOperand, Relation};
use crate::symbol::{Field, Part, PortSymbol, Predicate, Symbol};

/// Where the members of address sets and port groups are found.
pub trait Sets {
    /// The addresses of `$name` that are `width` bits wide (32, 48 or 128); `None` when there is no such set.
    fn address_set(&self, name: &str, width: u8) -> Option<Vec<Constant>>;
    /// The ports of `@name`; `None` when there is no such group.
    fn port_group(&self, name: &str) -> Option<Vec<Arc<str>>>;
}

/// No sets at all: for expressions that use none.
#[derive(Clone, Copy, Debug)]
pub struct NoSets;

impl Sets for NoSets {
    fn address_set(&self, _name: &str, _width: u8) -> Option<Vec<Constant>> {
        None
    }

    fn port_group(&self, _name: &str) -> Option<Vec<Arc<str>>> {
        None
    }
}

/// The values of all fields. What is not set is 0, and a port that is not set is the empty name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Packet {
    /// Without zeros, so that equal packets are equal.
    fields: BTreeMap<Field, u128>,
    inport: Arc<str>,
    outport: Arc<str>,
}

impl Packet {
    /// A packet of zeros.
    #[must_use]
    pub fn new() -> Packet {
        Packet::default()
    }

    /// The value of a field.
    #[must_use]
    pub fn field(&self, field: Field) -> u128 {
        self.fields.get(&field).copied().unwrap_or(0)
    }

    /// Sets a field; bits beyond its width are dropped.
    pub fn set_field(&mut self, field: Field, value: u128) {
        match value & field.mask() {
            0 => self.fields.remove(&field),
            value => self.fields.insert(field, value),
        };
    }

    /// The value of a symbol or a part of one.
    #[must_use]
    pub fn get(&self, part: impl Into<Part>) -> u128 {
        let part = part.into();
        (self.field(part.field()) >> part.field_offset()) & part.mask()
    }

    /// Sets a symbol or a part of one; bits beyond its width are dropped.
    pub fn set(&mut self, part: impl Into<Part>, value: impl Into<Constant>) {
        let (part, value) = (part.into(), value.into().value());
        let mask = part.mask() << part.field_offset();
        let value = (value & part.mask()) << part.field_offset();
        self.set_field(part.field(), self.field(part.field()) & !mask | value);
    }

    /// `inport` or `outport`.
    #[must_use]
    pub fn port(&self, symbol: PortSymbol) -> &Arc<str> {
        match symbol {
            PortSymbol::Inport => &self.inport,
            PortSymbol::Outport => &self.outport,
        }
    }

    /// Sets `inport` or `outport`; the empty name for none.
    pub fn set_port(&mut self, symbol: PortSymbol, name: impl Into<Arc<str>>) {
        match symbol {
            PortSymbol::Inport => self.inport = name.into(),
            PortSymbol::Outport => self.outport = name.into(),
        }
    }

    /// Every field that is not 0.
    pub fn fields(&self) -> impl Iterator<Item = (Field, u128)> + '_ {
        self.fields.iter().map(|(field, value)| (*field, *value))
    }

    /// What an action that stays in its stage does to the packet. The others are the interpreter's.
    pub fn apply(&mut self, action: &Action) -> Applied {
        match action {
            Action::Assign { destination, value } => self.set(*destination, *value),
            Action::AssignPort { destination, name } => self.set_port(*destination, name.clone()),
            Action::Move {
                destination,
                source,
            } => self.set(*destination, self.get(*source)),
            Action::MovePort {
                destination,
                source,
            } => {
                let name = self.port(*source).clone();
                self.set_port(*destination, name);
            }
            Action::Exchange { left, right } => {
                let (old_left, old_right) = (self.get(*left), self.get(*right));
                self.set(*left, old_right);
                self.set(*right, old_left);
            }
            Action::DecrementTtl => match self.get(Symbol::IpTtl).checked_sub(1) {
                None | Some(0) => return Applied::Expired,
                Some(left) => self.set(Symbol::IpTtl, left),
            },
            // Said in the packet's body, which is no field.
            Action::FragMtu { .. } => {}
            Action::CtClear => self.set_field(Field::CtState, 0),
            Action::Next { .. }
            | Action::Output
            | Action::Drop
            | Action::Select { .. }
            | Action::Replace { .. }
            | Action::CtLb
            | Action::CtLbTo { .. }
            | Action::CtNat { .. }
            | Action::Forward { .. }
            | Action::Deliver { .. }
            | Action::Locate { .. } => {
                return Applied::Elsewhere;
            }
        }
        Applied::Done
    }
}

/// What came of [`Packet::apply`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// The packet is as the action wants it.
    Done,
    /// The TTL ran out: the packet is dropped.
    Expired,
    /// The action hands the packet on: not done here.
    Elsewhere,
}

impl Expr {
    /// Whether the packet meets the expression. A set that `sets` does not know has no members.
    #[must_use]
    pub fn holds(&self, packet: &Packet, sets: &dyn Sets) -> bool {
        self.holds_negated(packet, sets, false)
    }

    /// Negation goes down to the comparisons; their prerequisites stay as they are.
    fn holds_negated(&self, packet: &Packet, sets: &dyn Sets, negated: bool) -> bool {
        match self {
            Expr::True => !negated,
            Expr::False => negated,
            Expr::Not(inner) => inner.holds_negated(packet, sets, !negated),
            Expr::And(members) if !negated => members
                .iter()
                .all(|member| member.holds_negated(packet, sets, negated)),
            Expr::And(members) => members
                .iter()
                .any(|member| member.holds_negated(packet, sets, negated)),
            Expr::Or(members) if !negated => members
                .iter()
                .any(|member| member.holds_negated(packet, sets, negated)),
            Expr::Or(members) => members
                .iter()
                .all(|member| member.holds_negated(packet, sets, negated)),
            Expr::Predicate(predicate) => {
                predicate.condition().holds_negated(packet, sets, negated)
            }
            Expr::Port {
                symbol,
                negated: is_not,
                operands,
            } => {
                let port = packet.port(*symbol);
                let is_any = operands.iter().any(|operand| match operand {
                    PortOperand::Name(name) => name == port,
                    PortOperand::Group(group) => sets
                        .port_group(group)
                        .is_some_and(|members| members.iter().any(|member| member == port)),
                });
                is_any != (*is_not != negated)
            }
            Expr::Compare {
                part,
                relation,
                operands,
            } => {
                let prerequisite = part.symbol().info().prerequisite;
                let relation = if negated {
                    relation.inverse()
                } else {
                    *relation
                };
                prerequisite.is_none_or(|prerequisite| prerequisite.condition().holds(packet, sets))
                    && compare(packet.get(*part), relation, operands, part.width(), sets)
            }
        }
    }
}

fn compare(
    value: u128,
    relation: Relation,
    operands: &[Operand],
    width: u8,
    sets: &dyn Sets,
) -> bool {
    let equals =
        |constant: &Constant| value & constant.mask().unwrap_or(u128::MAX) == constant.value();
    let is_any = || {
        operands.iter().any(|operand| match operand {
            Operand::Constant(constant) => equals(constant),
            Operand::AddressSet(name) => sets
                .address_set(name, width)
                .is_some_and(|set| set.iter().any(equals)),
        })
    };
    let Some(Operand::Constant(first)) = operands.first() else {
        return is_any() == (relation == Relation::Equal);
    };
    match relation {
        Relation::Equal => is_any(),
        Relation::NotEqual => !is_any(),
        Relation::Less => value < first.value(),
        Relation::AtMost => value <= first.value(),
        Relation::Greater => value > first.value(),
        Relation::AtLeast => value >= first.value(),
    }
}

impl Predicate {
    /// What it stands for, parsed.
    #[must_use]
    pub fn condition(self) -> &'static Expr {
        static CONDITIONS: LazyLock<BTreeMap<Predicate, Expr>> = LazyLock::new(|| {
            let parsed = Predicate::ALL.iter().map(|predicate| {
                let condition = predicate
                    .expansion()
                    .parse()
                    .expect("every expansion in the table parses");
                (*predicate, condition)
            });
            parsed.collect()
        });
        CONDITIONS
            .get(&self)
            .expect("the table lists every predicate")
    }
}

impl Action {
    /// What must hold of a packet for the actions to make sense: the prerequisites of the symbols they touch. A flow with these actions
    /// applies to packets that meet its match and this.
    #[must_use]
    pub fn prerequisites(actions: &[Action]) -> Expr {
        let parts = actions.iter().flat_map(|action| {
            let (one, other) = match action {
                Action::Assign { destination, .. } | Action::Select { destination, .. } => {
                    (Some(*destination), None)
                }
                Action::Move {
                    destination,
                    source,
                } => (Some(*destination), Some(*source)),
                Action::Exchange { left, right } => (Some(*left), Some(*right)),
                Action::DecrementTtl => (Some(Symbol::IpTtl.whole()), None),
                _ => (None, None),
            };
            one.into_iter().chain(other)
        });
        let of_packets = actions.iter().filter_map(|action| match action {
            Action::Replace { with, .. } => Some(with.prerequisite()),
            _ => None,
        });
        let mut needed: Vec<Predicate> = parts
            .filter_map(|part| part.symbol().info().prerequisite)
            .chain(of_packets)
            .collect();
        let is_tracked = |action: &Action| {
            matches!(
                action,
                Action::CtLb | Action::CtLbTo { .. } | Action::CtNat { .. }
            )
        };
        needed.extend(actions.iter().any(is_tracked).then_some(Predicate::Ip));
        needed.sort_unstable();
        needed.dedup();
        Expr::all(needed)
    }
}
