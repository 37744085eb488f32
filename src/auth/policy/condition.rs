//! The `Condition` of a statement: all operators, and all keys of each, have to hold.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::Facts;
use super::json::{entries, not_empty};
use super::operator::{Key, Operator};
use super::values::{Scalar, Values};

/// One key under one operator.
#[derive(Debug)]
pub(super) struct Condition {
    operator: &'static Operator,
    key: Key,
    values: Values,
    /// The values as the file gives them.
    given: String,
}

impl Condition {
    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        match self.values.fit(facts) {
            Some(fits) => fits != self.operator.negated,
            None => self.operator.negated,
        }
    }

    /// The value of the attempt that the condition was compared with, to be shown.
    pub(super) fn attempted(&self, facts: &Facts<'_>) -> String {
        self.key.attempted(facts)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} [{}]", self.operator, self.key, self.given)
    }
}

/// All conditions of a statement.
#[derive(Debug, Default)]
pub(super) struct Conditions(Vec<Condition>);

impl Conditions {
    /// Whether there is no condition, as in `"Condition": {}`, which the cloud's console writes.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first condition that does not hold, if there is one.
    pub(super) fn first_that_fails(&self, facts: &Facts<'_>) -> Option<&Condition> {
        self.0.iter().find(|condition| !condition.holds(facts))
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OperatorsVisitor)
    }
}

struct OperatorsVisitor;

impl<'de> Visitor<'de> for OperatorsVisitor {
    type Value = Conditions;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of condition operators")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Conditions, M::Error> {
        let operators = entries(map, |name| Operator::named(name).map(KeysSeed))?;
        let all = operators.into_iter().flat_map(|(_, conditions)| conditions);
        Ok(Conditions(all.collect()))
    }
}

/// A reader of the keys under an operator.
struct KeysSeed(&'static Operator);

impl<'de> DeserializeSeed<'de> for KeysSeed {
    type Value = Vec<Condition>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for KeysSeed {
    type Value = Vec<Condition>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of condition keys")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        let conditions = entries(map, |name| {
            let key = Key::named(name)?;
            Ok(ConditionSeed(Condition {
                operator: self.0,
                key,
                values: Values::none(self.0, key)?,
                given: String::new(),
            }))
        })?;
        not_empty(conditions.len())?;
        Ok(conditions
            .into_iter()
            .map(|(_, condition)| condition)
            .collect())
    }
}

/// A reader of the values of a key into a condition that has none yet.
struct ConditionSeed(Condition);

impl<'de> DeserializeSeed<'de> for ConditionSeed {
    type Value = Condition;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Condition, D::Error> {
        let Self(mut condition) = self;
        let reader = ValueReader {
            condition: &mut condition,
            in_list: false,
        };
        reader.deserialize(deserializer)?;
        Ok(condition)
    }
}

/// A reader of one value, or of a list of values where it is not in a list already.
struct ValueReader<'a> {
    condition: &'a mut Condition,
    in_list: bool,
}

impl ValueReader<'_> {
    fn take<E: Error>(self, value: Scalar<'_>) -> Result<(), E> {
        let Condition { values, given, .. } = self.condition;
        values.push(value).map_err(E::custom)?;
        if !given.is_empty() {
            given.push_str(", ");
        }
        given.push_str(&value.to_string());
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ValueReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueReader<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.in_list {
            "a string, a whole number, true or false"
        } else {
            "a string, a whole number, true, false or a list of them"
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.take(Scalar::Text(text))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.take(Scalar::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.take(Scalar::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        let number = i64::try_from(number);
        let number = number.map_err(|_| E::custom("the number is too large for a condition"))?;
        self.take(Scalar::Number(number))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        if self.in_list {
            return Err(S::Error::invalid_type(Unexpected::Seq, &self));
        }
        let mut count = 0;
        loop {
            let condition = &mut *self.condition;
            let reader = ValueReader {
                condition,
                in_list: true,
            };
            match list.next_element_seed(reader)? {
                Some(()) => count += 1,
                None => return not_empty(count),
            }
        }
    }
}
