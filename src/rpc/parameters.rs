//! The parameters of a request, from its query and its form.

use crate::domain::{Fault, FaultCode};
use crate::signature::Pair;

/// Names and values, each name once.
#[derive(Debug)]
pub struct Parameters(Vec<Pair>);

/// `name=value&…`, decoded. A space may come as `+` (the official SDK sends it so and signs `%20`).
pub fn decode(encoded: &[u8]) -> Vec<Pair> {
    form_urlencoded::parse(encoded).into_owned().collect()
}

/// The value of a name; `None` where it is not given.
pub fn value<'a>(pairs: &'a [Pair], name: &str) -> Option<&'a str> {
    let pair = pairs.iter().find(|(given, _)| given == name);
    pair.map(|(_, value)| value.as_str())
}

impl Parameters {
    /// Takes what was decoded.
    ///
    /// # Errors
    /// A name that is there twice: it would be a guess which value is meant.
    pub fn new(pairs: Vec<Pair>) -> Result<Self, Fault> {
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(malformed(
                pair[0],
                "the parameter is given twice; give it once",
            )),
            None => Ok(Self(pairs)),
        }
    }

    /// All of them, in the order in which they were taken.
    pub fn pairs(&self) -> &[Pair] {
        &self.0
    }

    /// The value of a name; `None` where it is not given.
    pub fn get(&self, name: &str) -> Option<&str> {
        value(&self.0, name)
    }

    /// The values of `name.1`, `name.2` and so on.
    ///
    /// # Errors
    /// A gap: the cloud's documentation has "N must be consecutive".
    pub fn list(&self, name: &str) -> Result<Vec<String>, Fault> {
        let members = self.members(name, "")?;
        let value = |number: usize| self.get(&format!("{name}.{number}"));
        let values = (1..=members).filter_map(value).map(str::to_owned);
        Ok(values.collect())
    }

    /// How many members a list has, whose parameters are `name.N` and this end.
    ///
    /// # Errors
    /// A member that is no number, or follows a gap.
    pub fn members(&self, name: &str, end: &str) -> Result<usize, Fault> {
        let number = |given: &str| -> Option<String> {
            let rest = given.strip_prefix(name)?.strip_prefix('.')?;
            rest.strip_suffix(end).map(str::to_owned)
        };
        let numbers: Vec<String> = self
            .0
            .iter()
            .filter_map(|(given, _)| number(given))
            .collect();
        let is_member = |number: &String| {
            let canonical = number
                .parse()
                .ok()
                .filter(|place: &usize| place.to_string() == *number);
            canonical.is_some_and(|place| (1..=numbers.len()).contains(&place))
        };
        match numbers.iter().find(|number| !is_member(number)) {
            None => Ok(numbers.len()),
            Some(number) => {
                let description = "the numbers of a list must be 1, 2 and so on, without a gap";
                Err(malformed(&format!("{name}.{number}{end}"), description))
            }
        }
    }
}

/// A fault of the parameters as such.
pub fn malformed(field: &str, description: &str) -> Fault {
    Fault {
        code: FaultCode::MalformedRequest,
        field: field.to_owned(),
        description: description.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(encoded: &str) -> Result<Parameters, Fault> {
        Parameters::new(decode(encoded.as_bytes()))
    }

    #[test]
    fn a_list_counts_from_one_without_a_gap() {
        let parse = |encoded| parameters(encoded).unwrap().list("Key");
        assert_eq!(parse("Key.1=a&Key.2=b").unwrap(), ["a", "b"]);
        assert_eq!(parse("Key.2=b&Other=1&Key.1=a").unwrap(), ["a", "b"]);
        assert_eq!(parse("Key.1=").unwrap(), [""]);
        assert_eq!(parse("Keys.1=a").unwrap(), [""; 0]);
        for bad in [
            "Key.2=a",
            "Key.1=a&Key.3=c",
            "Key.0=a",
            "Key.01=a",
            "Key.x=a",
            "Key.=a",
            "Key.+1=a",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_given_once_and_decoded() {
        let good = parameters("a=x+y%20z%2A&b=%E4%B8%AD").unwrap();
        assert_eq!(good.get("a"), Some("x y z*"));
        assert_eq!(good.get("b"), Some("中"));
        assert_eq!(good.get("c"), None);
        assert!(parameters("a=1&a=1").is_err());
    }
}
