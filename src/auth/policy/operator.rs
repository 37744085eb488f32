//! The operators and the keys of conditions: which there are, and which compares what.

use std::fmt;

use super::Facts;

/// An order that two values on a scale may have to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    pub(super) fn holds<T: Ord>(self, attempted: &T, given: &T) -> bool {
        match self {
            Self::Equal => attempted == given,
            Self::Less => attempted < given,
            Self::LessOrEqual => attempted <= given,
            Self::Greater => attempted > given,
            Self::GreaterOrEqual => attempted >= given,
        }
    }
}

/// The kind of values that an operator compares, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Text,
    TextIgnoringCase,
    Pattern,
    Number(Order),
    Date(Order),
    Bool,
    Address,
}

/// An operator of RAM. A negated one holds when its positive does not: when none of its values fits, and also when the
/// attempt has no value for the key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operator {
    name: &'static str,
    pub(super) comparison: Comparison,
    pub(super) negated: bool,
}

const fn operator(name: &'static str, comparison: Comparison) -> Operator {
    Operator {
        name,
        comparison,
        negated: false,
    }
}

const fn negated(name: &'static str, comparison: Comparison) -> Operator {
    Operator {
        name,
        comparison,
        negated: true,
    }
}

use Comparison::{Address, Bool, Date, Number, Pattern, Text, TextIgnoringCase};
use Order::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};

static OPERATORS: [Operator; 21] = [
    operator("StringEquals", Text),
    negated("StringNotEquals", Text),
    operator("StringEqualsIgnoreCase", TextIgnoringCase),
    negated("StringNotEqualsIgnoreCase", TextIgnoringCase),
    operator("StringLike", Pattern),
    negated("StringNotLike", Pattern),
    operator("NumericEquals", Number(Equal)),
    negated("NumericNotEquals", Number(Equal)),
    operator("NumericLessThan", Number(Less)),
    operator("NumericLessThanEquals", Number(LessOrEqual)),
    operator("NumericGreaterThan", Number(Greater)),
    operator("NumericGreaterThanEquals", Number(GreaterOrEqual)),
    operator("DateEquals", Date(Equal)),
    negated("DateNotEquals", Date(Equal)),
    operator("DateLessThan", Date(Less)),
    operator("DateLessThanEquals", Date(LessOrEqual)),
    operator("DateGreaterThan", Date(Greater)),
    operator("DateGreaterThanEquals", Date(GreaterOrEqual)),
    operator("Bool", Bool),
    operator("IpAddress", Address),
    negated("NotIpAddress", Address),
];

impl Operator {
    pub(super) fn named(name: &str) -> Result<&'static Self, String> {
        let found = OPERATORS.iter().find(|operator| operator.name == name);
        found.ok_or_else(|| {
            let known: Vec<_> = OPERATORS.iter().map(|operator| operator.name).collect();
            let known = known.join(", ");
            format!("the condition operator {name:?} is not known; use one of {known}")
        })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// A condition key, which is a fact that this service knows of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    SourceIp,
    SecureTransport,
    CurrentTime,
}

impl Key {
    const ALL: [Self; 3] = [Self::SourceIp, Self::SecureTransport, Self::CurrentTime];

    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|key| key.as_str() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!(
                "the condition key {name:?} is not known to this service, which knows {known}; \
                 correct the key, or leave the statement out"
            )
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::SourceIp => "acs:SourceIp",
            Self::SecureTransport => "acs:SecureTransport",
            Self::CurrentTime => "acs:CurrentTime",
        }
    }

    /// The refusal of an operator that does not compare what the key has.
    pub(super) fn misused(self, operator: &Operator) -> String {
        let (kind, use_instead) = match self {
            Self::SourceIp => (
                "an address",
                "IpAddress or NotIpAddress, or a String operator",
            ),
            Self::SecureTransport => ("true or false", "Bool, or a String operator"),
            Self::CurrentTime => (
                "a moment",
                "a Date operator, or a Numeric operator with seconds since 1970",
            ),
        };
        format!("{operator} cannot compare {self}, which is {kind}; use {use_instead}")
    }

    /// The value that an attempt has for the key, to be shown.
    pub(super) fn attempted(self, facts: &Facts<'_>) -> String {
        match self {
            Self::SourceIp => facts.source_ip.map_or_else(
                || "an unknown source address".to_owned(),
                |address| address.to_string(),
            ),
            Self::SecureTransport => facts.secure_transport.to_string(),
            Self::CurrentTime => facts.moment.to_string(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
