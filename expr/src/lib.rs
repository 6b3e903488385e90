//! OVN's match and action language: symbols, expressions, actions, their text and their normal forms.
//!
//! ```text
//!   text ──parse──▶ Expr ──normalize──▶ [Conjunct] ──(weft-compiler)──▶ OpenFlow matches
//!        ◀─Display─  │                      │
//!                    └────── eval ──────────┘   both say the same of every Packet
//! ```
//!
//! What the words mean is what ovn-sb(5) says of `Logical_Flow`'s `match` and `actions` columns, so that ACL matches written
//! for OVN mean here what they mean there. weft adds a few words of its own; [`symbol`] and [`action`] say which.
//!
//! Rust code builds expressions without text:
//!
//! ```
//! use weft_expr::{Action, Expr, Predicate, Symbol, inport};
//! use std::net::Ipv4Addr;
//!
//! let matches = inport("web") & Predicate::Arp & Symbol::ArpOp.is(1) & Symbol::ArpTpa.is(Ipv4Addr::new(10, 0, 0, 9));
//! assert_eq!(matches.to_string(), r#"inport == "web" && arp && arp.op == 1 && arp.tpa == 10.0.0.9"#);
//! assert_eq!(Action::list(&[Symbol::EthDst.copy_from(Symbol::EthSrc), Action::next()]), "eth.dst = eth.src; next;");
//! ```
//!
//! Must not: do IO, read the clock, know tables, registers or ports of OpenFlow: that is the compiler's.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

pub mod action;
mod address;
pub mod conjunct;
pub mod eval;
pub mod expr;
mod lexer;
pub mod normal;
pub mod parser;
mod print;
mod replacement;
pub mod reply;
mod simplify;
pub mod symbol;
mod types;

pub use action::{Action, Backend, HashField, NatSide, Pipeline, Replacement};
pub use address::{Mac, MacError};
pub use conjunct::{Conjunct, Masked};
pub use eval::{Applied, NoSets, Packet, Sets};
pub use expr::{Constant, Expr, Operand, PortOperand, Relation, inport, outport};
pub use normal::{NormalForm, NormalizeError, Product, factor, factor_both, normalize};
pub use parser::{ParseError, parse_actions, parse_match};
pub use symbol::{Field, Part, PortSymbol, Predicate, Symbol};
pub use types::TypeError;
