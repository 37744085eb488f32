//! Members of a JSON object, and of nothing else.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

/// What is written as an object. A derived `Deserialize` alone would also take the members as a list.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Pair {
        one: u8,
        two: u8,
    }

    #[test]
    fn members_in_a_list_are_refused() {
        let read = |json| serde_json::from_str::<Object<Pair>>(json);
        let Object(pair) = read(r#"{"two":2,"one":1}"#).unwrap();
        assert_eq!((pair.one, pair.two), (1, 2));
        for (json, what) in [
            ("[1,2]", "sequence"),
            ("[]", "sequence"),
            ("5", "integer `5`"),
            ("null", "null"),
        ] {
            let error = read(json).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("invalid type: {what}, expected an object")),
                "{error}"
            );
        }
    }
}
