//! The parameters of a request, from its query and its form.

use crate::domain::{Fault, FaultCode, shortened};
use crate::signature::Pair;

/// The longest part of a name that is repeated: anybody can send one of 64 KiB, and the log has it too.
pub const LONGEST_NAME: usize = 64;

/// Names and values, each name once.
#[derive(Debug)]
pub struct Parameters {
    pairs: Vec<Pair>,
    /// Their places in the order of their names, since a request may have ten thousand.
    by_name: Vec<usize>,
}

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
        let name = |place: usize| pairs[place].0.as_str();
        let mut by_name: Vec<usize> = (0..pairs.len()).collect();
        by_name.sort_unstable_by_key(|place| name(*place));
        let mut neighbours = by_name.windows(2);
        match neighbours.find(|places| name(places[0]) == name(places[1])) {
            Some(places) => Err(malformed(
                name(places[0]),
                "the parameter is given twice; give it once",
            )),
            None => Ok(Self { pairs, by_name }),
        }
    }

    /// All of them, in the order in which they were taken.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The value of a name; `None` where it is not given.
    pub fn get(&self, name: &str) -> Option<&str> {
        let given = |place: &usize| self.pairs[*place].0.as_str();
        let found = self
            .by_name
            .binary_search_by(|place| given(place).cmp(name));
        found.ok().map(|at| self.pairs[self.by_name[at]].1.as_str())
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
            .pairs
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
        field: shortened(field, LONGEST_NAME),
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
        assert_eq!(good.get(""), None);
        assert!(parameters("a=1&a=1").is_err());
        assert_eq!(parameters("").unwrap().get("a"), None);
    }

    #[test]
    fn each_of_many_is_found_and_a_long_name_is_not_repeated_whole() {
        let all: Vec<String> = (1..=2000).rev().map(|n| format!("Key.{n}=v{n}")).collect();
        let many = parameters(&all.join("&")).unwrap();
        let values: Vec<String> = (1..=2000).map(|n| format!("v{n}")).collect();
        assert_eq!(many.list("Key").unwrap(), values);
        assert_eq!(many.pairs()[0].0, "Key.2000");

        let long = "n".repeat(10_000);
        let twice = parameters(&format!("{long}=1&b=2&{long}=3")).unwrap_err();
        let gap = parameters(&format!("Key.{long}=1")).unwrap();
        let gap = gap.list("Key").unwrap_err();
        for fault in [twice, gap] {
            assert!(fault.field.len() <= LONGEST_NAME, "{}", fault.field.len());
        }
    }
}
