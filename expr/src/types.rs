//! What may be compared with what: the rules that parsed and built expressions share.
//!
//! Must not: know text or columns; the parser adds those.

use crate::expr::{Constant, Operand, Relation};
use crate::symbol::{Level, Part, Predicate};

/// A comparison that means nothing, or that no flow can express.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypeError {
    /// `!=` or negation of a field that can only be tested for equality.
    #[error(
        "{0} may only be tested for equality, counting the ! around it, because a flow cannot say what it is not"
    )]
    NominalNegated(Part),
    /// Negation of a predicate over such a field.
    #[error("{0} may only be tested positively, because a flow cannot say what it is not")]
    PredicateNegated(Predicate),
    /// `<` and the like on a field without order.
    #[error("{part} has no order, so {} does not apply; use ==", .relation.text())]
    NoOrder {
        /// The field.
        part: Part,
        /// The relation.
        relation: Relation,
    },
    /// A mask on a field that is matched whole.
    #[error("{0} is matched whole or not at all; write its value without a mask")]
    NotMaskable(Part),
    /// `<` and the like with a set.
    #[error("{} compares with one constant; sets go with == and !=", .0.text())]
    OrderOfSet(Relation),
    /// `<` and the like with a masked constant.
    #[error("{} does not compare with a masked constant; masks go with == and !=", .0.text())]
    OrderOfMasked(Relation),
    /// A constant wider than its field.
    #[error("{value:#x} does not fit {part}, which has {} bits", .part.width())]
    TooWide {
        /// The field.
        part: Part,
        /// The constant or its mask.
        value: u128,
    },
    /// `inport != …` when all is counted.
    #[error("inport and outport may only be tested for equality, counting the ! around them")]
    PortNegated,
    /// A set without members.
    #[error("an empty set compares with nothing; leave the comparison out")]
    EmptySet,
}

/// Whether `part relation operands` can be expressed under an even (`negated == false`) or odd number of `!`.
pub(crate) fn check_comparison(
    part: Part,
    relation: Relation,
    operands: &[Operand],
    negated: bool,
) -> Result<(), TypeError> {
    let is_order = !matches!(relation, Relation::Equal | Relation::NotEqual);
    let effective = if negated {
        relation.inverse()
    } else {
        relation
    };
    if part.symbol().info().level == Level::Nominal {
        if is_order {
            return Err(TypeError::NoOrder { part, relation });
        }
        if effective == Relation::NotEqual {
            return Err(TypeError::NominalNegated(part));
        }
    }
    if operands.is_empty() {
        return Err(TypeError::EmptySet);
    }
    for operand in operands {
        match operand {
            _ if is_order && operands.len() > 1 => return Err(TypeError::OrderOfSet(relation)),
            Operand::AddressSet(_) if is_order => return Err(TypeError::OrderOfSet(relation)),
            Operand::AddressSet(_) => {}
            Operand::Constant(constant) => check_constant(part, relation, *constant)?,
        }
    }
    Ok(())
}

fn check_constant(part: Part, relation: Relation, constant: Constant) -> Result<(), TypeError> {
    for value in [Some(constant.value()), constant.mask()]
        .into_iter()
        .flatten()
    {
        if value & !part.mask() != 0 {
            return Err(TypeError::TooWide { part, value });
        }
    }
    if constant.mask().is_some_and(|mask| mask != part.mask()) {
        if part.symbol().info().level == Level::Nominal {
            return Err(TypeError::NotMaskable(part));
        }
        if !matches!(relation, Relation::Equal | Relation::NotEqual) {
            return Err(TypeError::OrderOfMasked(relation));
        }
    }
    Ok(())
}

/// Whether a predicate can be expressed under an even or odd number of `!`.
pub(crate) fn check_predicate(predicate: Predicate, negated: bool) -> Result<(), TypeError> {
    match negated && predicate.level() == Level::Nominal {
        true => Err(TypeError::PredicateNegated(predicate)),
        false => Ok(()),
    }
}
