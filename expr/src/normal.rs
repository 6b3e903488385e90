//! Normal form: what flow tables can hold. A disjunction of conjunctions of masked field values, prerequisites included.
//!
//! ```text
//!   Expr ──▶ Tree: negation pushed down, predicates and sets expanded, order turned into prefixes
//!                  └──▶ disjunctive: [Conjunct]                   one flow each
//!                  └──▶ factored:    [Conjunct] + [Product]       a product of sets costs the sum of their sizes, not the product
//! ```
//!
//! Invariants: the result holds for exactly the packets for which the expression holds (tested on random ones); it is sorted and without
//! members that others cover; its size, and the work for it, are bounded by [`MAX_CONJUNCTS`].
//! Must not: know ports' numbers, registers or OpenFlow.

use std::sync::{Arc, LazyLock};

use crate::conjunct::{Conjunct, Masked, minimized};
use crate::eval::{NoSets, Packet, Sets};
use crate::expr::{Constant, Expr, Operand, PortOperand, Relation};
use crate::symbol::{Part, PortSymbol, Predicate, ones};
use crate::types::{TypeError, check_comparison, check_predicate};

/// Why an expression has no normal form.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NormalizeError {
    /// It would be too large.
    #[error("the match takes more than {limit} flows; use fewer alternatives, or split it")]
    TooComplex {
        /// The most that is allowed.
        limit: usize,
    },
    /// `$name` is nowhere.
    #[error("there is no address set {0:?}; create it or leave ${0} out")]
    UnknownAddressSet(Arc<str>),
    /// `@name` is nowhere.
    #[error("there is no port group {0:?}; create it or leave @{0} out")]
    UnknownPortGroup(Arc<str>),
    /// A comparison without meaning. The parser refuses these, so only built expressions can have them.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// Built deeper than any text can be.
    #[error("the match is nested deeper than {limit}")]
    TooDeep {
        /// The most that is allowed.
        limit: usize,
    },
}

/// A factored normal form: holds when one of the conjuncts or one of the products does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NormalForm {
    /// A flow each.
    pub conjuncts: Vec<Conjunct>,
    /// A conjunctive match each (ovs-fields(7), Conjunctive Match Fields).
    pub products: Vec<Product>,
}

/// A product of sets: holds when some member of every dimension does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Product {
    /// What all members of all dimensions have in common.
    pub common: Conjunct,
    /// Two or more, none sharing a field with another beyond `common`; each has two members or more, and each member includes `common`.
    pub dimensions: Vec<Vec<Conjunct>>,
}

impl NormalForm {
    /// Whether a packet meets it.
    #[must_use]
    pub fn holds(&self, packet: &Packet) -> bool {
        let holds_product = |product: &Product| {
            product
                .dimensions
                .iter()
                .all(|dimension| dimension.iter().any(|member| member.holds(packet)))
        };
        self.conjuncts.iter().any(|conjunct| conjunct.holds(packet))
            || self.products.iter().any(holds_product)
    }
}

/// The conjunctions of which at least one holds exactly when `expr` does.
///
/// # Errors
/// When there are too many, a set is unknown, or a comparison can be expressed by no flow.
pub fn normalize(expr: &Expr, sets: &dyn Sets) -> Result<Vec<Conjunct>, NormalizeError> {
    disjuncts(&tree(expr, sets, false, 0)?)
}

/// As [`normalize`], but products of sets stay products where that is smaller.
///
/// # Errors
/// As [`normalize`].
pub fn factor(expr: &Expr, sets: &dyn Sets) -> Result<NormalForm, NormalizeError> {
    factor_both(expr, &Expr::True, sets)
}

/// As [`factor`], of two expressions that have to hold both.
///
/// # Errors
/// As [`normalize`].
pub fn factor_both(
    expr: &Expr,
    other: &Expr,
    sets: &dyn Sets,
) -> Result<NormalForm, NormalizeError> {
    let mut form = NormalForm::default();
    let mut conjunct = Conjunct::default();
    if narrow(&mut conjunct, expr) && narrow(&mut conjunct, other) {
        form.conjuncts.push(conjunct);
        return Ok(form);
    }
    let both = Tree::And(vec![
        tree(expr, sets, false, 0)?,
        tree(other, sets, false, 0)?,
    ]);
    factor_tree(&both, &mut form)?;
    form.conjuncts = minimized(form.conjuncts);
    bounded(form.conjuncts.len())?;
    Ok(form)
}

/// Narrows a conjunct by an expression that is one conjunction of equalities, as most are. Says no to any other, and to one that may hold
/// for no packet or means nothing: then the conjunct is not to be used.
fn narrow(conjunct: &mut Conjunct, expr: &Expr) -> bool {
    match expr {
        Expr::True => true,
        Expr::And(members) => members.iter().all(|member| narrow(conjunct, member)),
        Expr::Predicate(predicate) => narrow_by_predicate(conjunct, *predicate),
        Expr::Port {
            symbol,
            negated: false,
            operands,
        } => match operands.as_slice() {
            [PortOperand::Name(name)] => conjunct.narrow_port(*symbol, name),
            _ => false,
        },
        Expr::Compare {
            part,
            relation: Relation::Equal,
            operands,
        } => {
            let [Operand::Constant(constant)] = operands.as_slice() else {
                return false;
            };
            if check_comparison(*part, Relation::Equal, operands, false).is_err() {
                return false;
            }
            let mask = constant.mask().unwrap_or(part.mask()) << part.field_offset();
            let value = constant.value() << part.field_offset() & mask;
            let needed = part.symbol().info().prerequisite;
            needed.is_none_or(|needed| narrow_by_predicate(conjunct, needed))
                && conjunct.narrow(part.field(), Masked { value, mask })
        }
        _ => false,
    }
}

fn narrow_by_predicate(conjunct: &mut Conjunct, predicate: Predicate) -> bool {
    /// Of predicates that are one conjunct, that one.
    static CONJUNCTS: LazyLock<Vec<Option<Conjunct>>> = LazyLock::new(|| {
        let conjunct = |predicate: &Predicate| {
            let mut all = normalize(predicate.condition(), &NoSets).ok()?;
            all.pop().filter(|_| all.is_empty())
        };
        Predicate::ALL.iter().map(conjunct).collect()
    });
    let known = CONJUNCTS.get(predicate as usize).and_then(Option::as_ref);
    known.is_some_and(|known| conjunct.narrow_by(known))
}

/// An expression without negation, predicates or sets.
enum Tree {
    Leaf(Conjunct),
    And(Vec<Tree>),
    Or(Vec<Tree>),
}

impl Tree {
    fn join(members: Vec<Tree>, negated: bool, is_and: bool) -> Tree {
        if is_and != negated {
            Tree::And(members)
        } else {
            Tree::Or(members)
        }
    }
}

fn tree(expr: &Expr, sets: &dyn Sets, negated: bool, depth: usize) -> Result<Tree, NormalizeError> {
    if depth > MAX_DEPTH {
        return Err(NormalizeError::TooDeep { limit: MAX_DEPTH });
    }
    let depth = depth.saturating_add(1);
    let members = |members: &[Expr]| -> Result<Vec<Tree>, NormalizeError> {
        members
            .iter()
            .map(|member| tree(member, sets, negated, depth))
            .collect()
    };
    match expr {
        Expr::True => Ok(Tree::join(Vec::new(), negated, true)),
        Expr::False => Ok(Tree::join(Vec::new(), negated, false)),
        Expr::And(inner) => Ok(Tree::join(members(inner)?, negated, true)),
        Expr::Or(inner) => Ok(Tree::join(members(inner)?, negated, false)),
        Expr::Not(inner) => tree(inner, sets, !negated, depth),
        Expr::Predicate(predicate) => {
            check_predicate(*predicate, negated)?;
            tree(predicate.condition(), sets, negated, depth)
        }
        Expr::Port {
            symbol,
            negated: is_not,
            operands,
        } => {
            if *is_not != negated {
                return Err(TypeError::PortNegated.into());
            }
            port_tree(*symbol, operands, sets)
        }
        Expr::Compare {
            part,
            relation,
            operands,
        } => {
            check_comparison(*part, *relation, operands, negated)?;
            let relation = if negated {
                relation.inverse()
            } else {
                *relation
            };
            let comparison = comparison_tree(*part, relation, operands, sets)?;
            match part.symbol().info().prerequisite {
                None => Ok(comparison),
                Some(needed) => Ok(Tree::And(vec![
                    tree(needed.condition(), sets, false, depth)?,
                    comparison,
                ])),
            }
        }
    }
}

fn port_tree(
    symbol: PortSymbol,
    operands: &[PortOperand],
    sets: &dyn Sets,
) -> Result<Tree, NormalizeError> {
    let mut names = Vec::new();
    for operand in operands {
        match operand {
            PortOperand::Name(name) => names.push(name.clone()),
            PortOperand::Group(group) => {
                let members = sets.port_group(group);
                names.extend(
                    members.ok_or_else(|| NormalizeError::UnknownPortGroup(group.clone()))?,
                );
            }
        }
    }
    bounded(names.len())?;
    Ok(Tree::Or(
        names
            .into_iter()
            .map(|name| Tree::Leaf(Conjunct::port(symbol, name)))
            .collect(),
    ))
}

fn comparison_tree(
    part: Part,
    relation: Relation,
    operands: &[Operand],
    sets: &dyn Sets,
) -> Result<Tree, NormalizeError> {
    let mut constants = Vec::new();
    for operand in operands {
        match operand {
            Operand::Constant(constant) => constants.push(*constant),
            Operand::AddressSet(name) => {
                let members = sets.address_set(name, part.width());
                let members =
                    members.ok_or_else(|| NormalizeError::UnknownAddressSet(name.clone()))?;
                let fits = |constant: &Constant| {
                    (constant.value() | constant.mask().unwrap_or(0)) & !part.mask() == 0
                };
                constants.extend(members.into_iter().filter(fits));
            }
        }
    }
    bounded(constants.len())?;
    let all = part.mask();
    let masked: Vec<(u128, u128)> = constants
        .iter()
        .map(|constant| (constant.value(), constant.mask().unwrap_or(all)))
        .collect();
    let bound = masked.first().map_or(0, |(value, _)| *value);
    let alternatives = match relation {
        Relation::Equal => masked,
        Relation::NotEqual => return Ok(unequal_tree(part, &masked)),
        Relation::AtMost => covering(0, bound, part.width()),
        Relation::AtLeast => covering(bound, all, part.width()),
        Relation::Less => bound
            .checked_sub(1)
            .map_or(Vec::new(), |last| covering(0, last, part.width())),
        Relation::Greater if bound >= all => Vec::new(),
        Relation::Greater => covering(bound.saturating_add(1), all, part.width()),
    };
    Ok(alternatives_tree(part, &alternatives))
}

fn alternatives_tree(part: Part, alternatives: &[(u128, u128)]) -> Tree {
    let leaf = |(value, mask): &(u128, u128)| Tree::Leaf(Conjunct::part(part, *value, *mask));
    Tree::Or(alternatives.iter().map(leaf).collect())
}

/// What equals none of the constants. Prefixes give the prefixes around them; other masks, one differing bit each.
fn unequal_tree(part: Part, constants: &[(u128, u128)]) -> Tree {
    let prefixes: Option<Vec<(u128, u8)>> = constants
        .iter()
        .map(|(value, mask)| {
            let length =
                (0..=part.width()).find(|length| prefix_mask(*length, part.width()) == *mask)?;
            Some((*value, length))
        })
        .collect();
    if let Some(prefixes) = prefixes {
        let mut around = Vec::new();
        excluding(&prefixes, part.width(), 0, 0, &mut around);
        return alternatives_tree(part, &around);
    }
    let differing = |(value, mask): &(u128, u128)| {
        let bits = (0..part.width())
            .map(|index| 1u128 << index)
            .filter(|bit| mask & bit != 0);
        let alternatives: Vec<(u128, u128)> = bits.map(|bit| (!value & bit, bit)).collect();
        alternatives_tree(part, &alternatives)
    };
    Tree::And(constants.iter().map(differing).collect())
}

fn prefix_mask(length: u8, width: u8) -> u128 {
    ones(width) & !ones(width.saturating_sub(length))
}

/// The prefixes within `value`/`length` that none of `prefixes`, all of which lie within it or around it, touch.
fn excluding(
    prefixes: &[(u128, u8)],
    width: u8,
    value: u128,
    length: u8,
    around: &mut Vec<(u128, u128)>,
) {
    if prefixes.is_empty() {
        around.push((value, prefix_mask(length, width)));
        return;
    }
    if prefixes.iter().any(|(_, other)| *other <= length) {
        return;
    }
    let bit = 1u128 << width.saturating_sub(length).saturating_sub(1);
    let (high, low): (Vec<_>, Vec<_>) = prefixes
        .iter()
        .copied()
        .partition(|(other, _)| other & bit != 0);
    let deeper = length.saturating_add(1);
    excluding(&low, width, value, deeper, around);
    excluding(&high, width, value | bit, deeper, around);
}

/// The fewest prefixes that cover `first` to `last`.
fn covering(first: u128, last: u128, width: u8) -> Vec<(u128, u128)> {
    let mut prefixes = Vec::new();
    let mut next = Some(first);
    while let Some(start) = next.filter(|start| *start <= last) {
        // The largest block that starts here, is aligned and does not pass the end.
        let fits = |host: &u8| {
            let block = ones(*host);
            start & block == 0 && start | block <= last
        };
        let host = (0..=width).rev().find(fits).unwrap_or(0);
        prefixes.push((start, ones(width) & !ones(host)));
        next = (start | ones(host)).checked_add(1);
    }
    prefixes
}

fn disjuncts(tree: &Tree) -> Result<Vec<Conjunct>, NormalizeError> {
    match tree {
        Tree::Leaf(conjunct) => Ok(vec![conjunct.clone()]),
        Tree::Or(members) => {
            let mut all = Vec::new();
            for member in members {
                all.extend(disjuncts(member)?);
                // Twice the limit: what is covered by others goes, but not before some work.
                if all.len() > MAX_CONJUNCTS.saturating_mul(2) {
                    return Err(NormalizeError::TooComplex {
                        limit: MAX_CONJUNCTS,
                    });
                }
            }
            let all = minimized(all);
            bounded(all.len())?;
            Ok(all)
        }
        Tree::And(members) => {
            let mut factors: Vec<Vec<Conjunct>> =
                members.iter().map(disjuncts).collect::<Result<_, _>>()?;
            // Small ones first: they cut the others down.
            factors.sort_by_key(Vec::len);
            let start = vec![Conjunct::default()];
            factors
                .iter()
                .try_fold(start, |product, factor| cross(&product, factor))
        }
    }
}

/// Every pair of `left` and `right` that can hold together.
fn cross(left: &[Conjunct], right: &[Conjunct]) -> Result<Vec<Conjunct>, NormalizeError> {
    if left.len().saturating_mul(right.len()) > MAX_PAIRS {
        return Err(NormalizeError::TooComplex {
            limit: MAX_CONJUNCTS,
        });
    }
    let pairs = left
        .iter()
        .flat_map(|one| right.iter().filter_map(|other| one.and(other)));
    let product = minimized(pairs.collect());
    bounded(product.len())?;
    Ok(product)
}

fn bounded(count: usize) -> Result<(), NormalizeError> {
    match count > MAX_CONJUNCTS {
        true => Err(NormalizeError::TooComplex {
            limit: MAX_CONJUNCTS,
        }),
        false => Ok(()),
    }
}

fn factor_tree(tree: &Tree, form: &mut NormalForm) -> Result<(), NormalizeError> {
    match tree {
        Tree::Leaf(conjunct) => form.conjuncts.push(conjunct.clone()),
        Tree::Or(members) => {
            for member in members {
                factor_tree(member, form)?;
            }
        }
        Tree::And(members) => {
            let mut dimensions = Vec::new();
            flatten(members, &mut dimensions)?;
            factor_product(dimensions, form)?;
        }
    }
    Ok(())
}

/// The factors of nested conjunctions, each as a disjunction.
fn flatten(members: &[Tree], dimensions: &mut Vec<Vec<Conjunct>>) -> Result<(), NormalizeError> {
    for member in members {
        match member {
            Tree::And(inner) => flatten(inner, dimensions)?,
            other => dimensions.push(disjuncts(other)?),
        }
    }
    Ok(())
}

fn factor_product(
    mut dimensions: Vec<Vec<Conjunct>>,
    form: &mut NormalForm,
) -> Result<(), NormalizeError> {
    let mut common = Conjunct::default();
    loop {
        // What all members of a dimension share holds for the whole product, and narrows the other dimensions.
        let before = common.clone();
        for dimension in &mut dimensions {
            *dimension = minimized(
                dimension
                    .iter()
                    .filter_map(|member| member.and(&common))
                    .collect(),
            );
            let Some(shared) = Conjunct::shared(dimension) else {
                return Ok(());
            };
            match common.and(&shared) {
                Some(narrower) => common = narrower,
                None => return Ok(()),
            }
        }
        dimensions.retain(|dimension| dimension.len() > 1);
        if common != before {
            continue;
        }
        // Dimensions that ask for the same field are one.
        match overlapping(&dimensions, &common) {
            None => break,
            Some((one, other)) => {
                let right = dimensions.swap_remove(other.max(one));
                let left = dimensions.swap_remove(one.min(other));
                dimensions.push(cross(&left, &right)?);
            }
        }
    }
    let sizes = dimensions.iter().map(Vec::len);
    let product = sizes.clone().fold(1usize, usize::saturating_mul);
    let sum = sizes.fold(1usize, usize::saturating_add);
    if dimensions.len() > 1 && product > sum && product > SMALL_PRODUCT {
        bounded(sum)?;
        dimensions.sort();
        form.products.push(Product { common, dimensions });
        return Ok(());
    }
    let expanded = dimensions
        .iter()
        .try_fold(vec![common], |product, dimension| {
            cross(&product, dimension)
        })?;
    form.conjuncts.extend(expanded);
    Ok(())
}

/// Two dimensions that test a field in common beyond what `common` says of it.
fn overlapping(dimensions: &[Vec<Conjunct>], common: &Conjunct) -> Option<(usize, usize)> {
    for (one, left) in dimensions.iter().enumerate() {
        for (other, right) in dimensions.iter().enumerate().skip(one.saturating_add(1)) {
            let tests = |member: &Conjunct| member.tested_beyond(common);
            let left_tests: std::collections::BTreeSet<_> = left.iter().flat_map(tests).collect();
            if right
                .iter()
                .flat_map(tests)
                .any(|tested| left_tests.contains(&tested))
            {
                return Some((one, other));
            }
        }
    }
    None
}

/// Most flows that one expression may take.
pub const MAX_CONJUNCTS: usize = 8_192;
/// Most pairs looked at in one step.
const MAX_PAIRS: usize = 1 << 20;
/// A product of up to this many members is written out: conjunctive matches cost a second look-up.
const SMALL_PRODUCT: usize = 16;
/// Deepest tree; texts stay far below.
const MAX_DEPTH: usize = 500;
