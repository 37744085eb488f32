//! JSON as a policy file uses it, read strictly: no key twice, no empty list, no list where an object belongs.
//!
//! All reading is done in visitors, so that `serde_json` knows the position of whatever they refuse.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// One value or a list of values, which mean the same.
#[derive(Debug)]
pub(super) struct OneOrMore<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor(PhantomData))
    }
}

struct OneOrMoreVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMoreVisitor<T> {
    type Value = OneOrMore<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("one value or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let one = T::deserialize(StrDeserializer::new(text))?;
        Ok(OneOrMore(vec![one]))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        let one = T::deserialize(MapAccessDeserializer::new(map))?;
        Ok(OneOrMore(vec![one]))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        not_empty(all.len()).map(|()| OneOrMore(all))
    }
}

/// Refuses a list or an object without anything in it.
pub(super) fn not_empty<E: Error>(count: usize) -> Result<(), E> {
    if count == 0 {
        Err(E::custom("this is empty; give at least one value"))
    } else {
        Ok(())
    }
}

/// A member that may be left out, but that is no `null` where it is there.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The entries of an object whose keys are names, each there once; `read` says how the value of a name is read.
pub(super) fn entries<'de, M: MapAccess<'de>, S: DeserializeSeed<'de>>(
    mut map: M,
    mut read: impl FnMut(&str) -> Result<S, String>,
) -> Result<Vec<(String, S::Value)>, M::Error> {
    let mut entries: Vec<(String, S::Value)> = Vec::new();
    while let Some(name) = map.next_key::<String>()? {
        if entries.iter().any(|(known, _)| *known == name) {
            return Err(M::Error::custom(format_args!(
                "{name:?} is there twice; keep one of them"
            )));
        }
        let seed = read(&name).map_err(M::Error::custom)?;
        entries.push((name, map.next_value_seed(seed)?));
    }
    Ok(entries)
}

/// The values of a member that holds one or a list of them, each as it stands in the text.
pub(super) fn values(member: &RawValue) -> Result<Vec<&RawValue>, serde_json::Error> {
    if member.get().starts_with('[') {
        serde_json::from_str(member.get())
    } else {
        Ok(vec![member])
    }
}

/// The position in the text, in bytes, of a value that is a part of it.
pub(super) fn beginning_of(value: &RawValue, text: &str) -> usize {
    let position = value.get().as_ptr().addr();
    position.saturating_sub(text.as_ptr().addr())
}
