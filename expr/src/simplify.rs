//! Negation pushed down, and what can be said shorter.
//!
//! Must not: change what an expression holds for.

use crate::expr::Expr;

impl Expr {
    /// The negation, with `!` only before names. Comparisons are turned round; their prerequisites stand, as everywhere in the language.
    #[must_use]
    pub fn negated(&self) -> Expr {
        match self {
            Expr::True => Expr::False,
            Expr::False => Expr::True,
            Expr::And(members) => Expr::any(members.iter().map(Expr::negated)),
            Expr::Or(members) => Expr::all(members.iter().map(Expr::negated)),
            Expr::Not(inner) => inner.without_negation(),
            Expr::Compare {
                part,
                relation,
                operands,
            } => Expr::Compare {
                part: *part,
                relation: relation.inverse(),
                operands: operands.clone(),
            },
            Expr::Port {
                symbol,
                negated,
                operands,
            } => Expr::Port {
                symbol: *symbol,
                negated: !negated,
                operands: operands.clone(),
            },
            Expr::Predicate(predicate) => !*predicate,
        }
    }

    fn without_negation(&self) -> Expr {
        match self {
            Expr::And(members) => Expr::all(members.iter().map(Expr::without_negation)),
            Expr::Or(members) => Expr::any(members.iter().map(Expr::without_negation)),
            Expr::Not(inner) => inner.negated(),
            other => other.clone(),
        }
    }

    /// The same condition without repetition: negation pushed down, members of `&&` and `||` once each, and of those that imply another
    /// by their form (`a && (a || b)`) only what is needed.
    #[must_use]
    pub fn simplified(&self) -> Expr {
        match self.without_negation() {
            Expr::And(members) => Expr::all(absorbed(members, Expr::alternatives)),
            Expr::Or(members) => Expr::any(absorbed(members, Expr::requirements)),
            other => other,
        }
    }

    fn alternatives(&self) -> &[Expr] {
        match self {
            Expr::Or(members) => members,
            one => std::slice::from_ref(one),
        }
    }

    fn requirements(&self) -> &[Expr] {
        match self {
            Expr::And(members) => members,
            one => std::slice::from_ref(one),
        }
    }
}

/// Simplifies each member, and drops one when all parts of another are among its own parts.
fn absorbed(members: Vec<Expr>, parts: fn(&Expr) -> &[Expr]) -> Vec<Expr> {
    let mut kept: Vec<Expr> = Vec::new();
    for member in members.iter().map(Expr::simplified) {
        let implies =
            |one: &Expr, other: &Expr| parts(one).iter().all(|part| parts(other).contains(part));
        if kept.len() < MAX_COMPARED {
            if kept.iter().any(|other| implies(other, &member)) {
                continue;
            }
            kept.retain(|other| !implies(&member, other));
        }
        kept.push(member);
    }
    kept
}

/// Members compared with each other; beyond, they are kept as they are.
const MAX_COMPARED: usize = 256;
