//! The operations of a transaction and their results (RFC 7047 §5.2), typed.
//!
//! Rows are named by a UUID chosen up front (the `uuid` member of `insert`, Open vSwitch 2.13 and newer); the
//! `named-uuid` of the wire is resolved while decoding, see `operation/json.rs`.
//!
//! Must not: do IO; evaluate anything, which is the database's work.

pub(crate) mod json;

use std::sync::Arc;

use uuid::Uuid;

use crate::row::Row;
use crate::value::Datum;

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Adds a row.
    Insert {
        /// Its table.
        table: Arc<str>,
        /// Its identity; `None`: a random one.
        uuid: Option<Uuid>,
        /// Its columns; those left out take their defaults.
        row: Row,
    },
    /// Reads rows.
    Select {
        /// The table.
        table: Arc<str>,
        /// Which rows: those for which all conditions hold.
        conditions: Vec<Condition>,
        /// Which columns; `None`: all.
        columns: Option<Vec<Arc<str>>>,
    },
    /// Gives columns new values.
    Update {
        /// The table.
        table: Arc<str>,
        /// Which rows: those for which all conditions hold.
        conditions: Vec<Condition>,
        /// The new values; columns left out stay as they are.
        row: Row,
    },
    /// Changes parts of columns.
    Mutate {
        /// The table.
        table: Arc<str>,
        /// Which rows: those for which all conditions hold.
        conditions: Vec<Condition>,
        /// What to do to each of them, in order.
        mutations: Vec<Mutation>,
    },
    /// Removes rows.
    Delete {
        /// The table.
        table: Arc<str>,
        /// Which rows: those for which all conditions hold.
        conditions: Vec<Condition>,
    },
    /// Holds the transaction back until rows are (or are not) as given.
    Wait {
        /// The table.
        table: Arc<str>,
        /// Which rows: those for which all conditions hold.
        conditions: Vec<Condition>,
        /// The columns to compare; `None`: all.
        columns: Option<Vec<Arc<str>>>,
        /// Wait until equal, or until different.
        until: Until,
        /// The rows to compare with, as a set.
        rows: Vec<Row>,
        /// How long to wait; `Some(0)`: fail at once; `None`: for ever.
        timeout_ms: Option<u64>,
    },
    /// Asks for durability of the whole transaction.
    Commit {
        /// True: reply only once it is on disk.
        durable: bool,
    },
    /// Makes the transaction fail.
    Abort,
    /// Text for the log.
    Comment(String),
    /// Fails unless this client holds the lock.
    Assert {
        /// The lock's name.
        lock: String,
    },
}

/// `column function value`: which rows an operation or a monitor means (RFC 7047 §5.1, `<condition>`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// A column of the table, or `_uuid` or `_version`; ignored by [`Function::True`] and [`Function::False`].
    pub column: Arc<str>,
    /// The relation.
    pub function: Function,
    /// The right-hand side.
    pub value: Datum,
}

/// The relation of a [`Condition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// `<`, for integers and reals
    Less,
    /// `<=`, for integers and reals
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>=`, for integers and reals
    GreaterOrEqual,
    /// `>`, for integers and reals
    Greater,
    /// The column holds all elements (pairs) of the value.
    Includes,
    /// The column holds no element (pair) of the value.
    Excludes,
    /// Holds for every row: the literal `true` (Open vSwitch).
    True,
    /// Holds for no row: the literal `false` (Open vSwitch).
    False,
}

/// `column mutator value`: a change to part of a column (RFC 7047 §5.1, `<mutation>`).
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    /// A column of the table.
    pub column: Arc<str>,
    /// What to do.
    pub mutator: Mutator,
    /// The right-hand side. To delete from a map: a map (pairs that are equal go) or a set of keys.
    pub value: Datum,
}

/// What a [`Mutation`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutator {
    /// `+=`
    Add,
    /// `-=`
    Sub,
    /// `*=`
    Mul,
    /// `/=`
    Div,
    /// `%=`, integers only
    Mod,
    /// Adds elements; for a map, pairs whose key is not there yet.
    Insert,
    /// Takes elements out.
    Delete,
}

/// What a `wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// `==`: the rows are as given.
    Equal,
    /// `!=`: the rows are not as given.
    NotEqual,
}

/// What an operation gave.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationResult {
    /// insert: the row's identity
    Inserted(Uuid),
    /// update, mutate, delete: how many rows matched
    Count(u64),
    /// select: the rows
    Rows(Vec<(Uuid, Row)>),
    /// wait, commit, comment, assert
    Empty,
}

impl Operation {
    /// The table the operation is about.
    pub fn table(&self) -> Option<&Arc<str>> {
        match self {
            Operation::Insert { table, .. }
            | Operation::Select { table, .. }
            | Operation::Update { table, .. }
            | Operation::Mutate { table, .. }
            | Operation::Delete { table, .. }
            | Operation::Wait { table, .. } => Some(table),
            Operation::Commit { .. }
            | Operation::Abort
            | Operation::Comment(_)
            | Operation::Assert { .. } => None,
        }
    }

    /// The `op` member.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::Insert { .. } => "insert",
            Operation::Select { .. } => "select",
            Operation::Update { .. } => "update",
            Operation::Mutate { .. } => "mutate",
            Operation::Delete { .. } => "delete",
            Operation::Wait { .. } => "wait",
            Operation::Commit { .. } => "commit",
            Operation::Abort => "abort",
            Operation::Comment(_) => "comment",
            Operation::Assert { .. } => "assert",
        }
    }

    /// True if a client without write access may use it (as Open vSwitch decides it).
    pub fn is_read_only(&self) -> bool {
        !matches!(
            self,
            Operation::Insert { .. }
                | Operation::Update { .. }
                | Operation::Mutate { .. }
                | Operation::Delete { .. }
                | Operation::Commit { .. }
        )
    }
}

impl Condition {
    /// `column function value`
    pub fn new(
        column: impl Into<Arc<str>>,
        function: Function,
        value: impl Into<Datum>,
    ) -> Condition {
        Condition {
            column: column.into(),
            function,
            value: value.into(),
        }
    }

    /// The row with this identity.
    pub fn uuid(uuid: Uuid) -> Condition {
        Condition::new("_uuid", Function::Equal, uuid)
    }

    /// `column == value`
    pub fn equal(column: impl Into<Arc<str>>, value: impl Into<Datum>) -> Condition {
        Condition::new(column, Function::Equal, value)
    }
}

impl Mutation {
    /// `column mutator value`
    pub fn new(column: impl Into<Arc<str>>, mutator: Mutator, value: impl Into<Datum>) -> Mutation {
        Mutation {
            column: column.into(),
            mutator,
            value: value.into(),
        }
    }
}

impl Function {
    /// The name on the wire; the literals have none.
    pub fn name(self) -> &'static str {
        match self {
            Function::Less => "<",
            Function::LessOrEqual => "<=",
            Function::Equal => "==",
            Function::NotEqual => "!=",
            Function::GreaterOrEqual => ">=",
            Function::Greater => ">",
            Function::Includes => "includes",
            Function::Excludes => "excludes",
            Function::True => "true",
            Function::False => "false",
        }
    }

    /// The function with this name on the wire.
    pub fn from_name(name: &str) -> Option<Function> {
        Some(match name {
            "<" => Function::Less,
            "<=" => Function::LessOrEqual,
            "==" => Function::Equal,
            "!=" => Function::NotEqual,
            ">=" => Function::GreaterOrEqual,
            ">" => Function::Greater,
            "includes" => Function::Includes,
            "excludes" => Function::Excludes,
            _ => return None,
        })
    }
}

impl Mutator {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Mutator::Add => "+=",
            Mutator::Sub => "-=",
            Mutator::Mul => "*=",
            Mutator::Div => "/=",
            Mutator::Mod => "%=",
            Mutator::Insert => "insert",
            Mutator::Delete => "delete",
        }
    }

    /// The mutator with this name on the wire.
    pub fn from_name(name: &str) -> Option<Mutator> {
        Some(match name {
            "+=" => Mutator::Add,
            "-=" => Mutator::Sub,
            "*=" => Mutator::Mul,
            "/=" => Mutator::Div,
            "%=" => Mutator::Mod,
            "insert" => Mutator::Insert,
            "delete" => Mutator::Delete,
            _ => return None,
        })
    }
}
