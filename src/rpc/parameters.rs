//! The parameters of a request, from its query and its form.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::domain::{Fault, FaultCode, shortened};
use crate::signature::Pair;

/// The most bytes of a name that a message repeats: anybody can send one of 64 KiB, and the log has it too.
pub const LONGEST_NAME: usize = 64;

/// The parameters of a request, each name once.
#[derive(Debug)]
pub struct Parameters {
    pairs: Vec<Pair>,
    /// The indices of the pairs in the order of their names, for searches by halves.
    by_name: Vec<usize>,
}

/// The pairs of `name=value&…`, decoded. A space may come as `+` (the official SDK sends it so and signs `%20`).
///
/// # Errors
/// A name or value that is not UTF-8: with replacement characters in it, it could be another one.
pub fn decode(encoded: &[u8]) -> Result<Vec<Pair>, Fault> {
    let parts = encoded.split(|byte| *byte == b'&');
    parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            let mut halves = part.splitn(2, |byte| *byte == b'=');
            let mut half = || text(halves.next().unwrap_or_default());
            let name = half().map_err(|name| not_utf8(&name, "name"))?;
            let value = half().map_err(|_| not_utf8(&name, "value"))?;
            Ok((name, value))
        })
        .collect()
}

/// The decoded text; with replacement characters where it is not UTF-8.
fn text(encoded: &[u8]) -> Result<String, String> {
    let spaced: Vec<u8> = encoded
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let decoded = Cow::from(percent_decode(&spaced)).into_owned();
    String::from_utf8(decoded)
        .map_err(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn not_utf8(name: &str, part: &str) -> Fault {
    malformed(
        name,
        &format!("the {part} is not UTF-8; send UTF-8, and what is not ASCII as %XX"),
    )
}

impl Parameters {
    /// The parameters in these decoded pairs.
    ///
    /// # Errors
    /// A name that is there twice: it would be a guess which value is meant.
    pub fn new(pairs: Vec<Pair>) -> Result<Self, Fault> {
        let name = |index: usize| pairs[index].0.as_str();
        let mut by_name: Vec<usize> = (0..pairs.len()).collect();
        by_name.sort_unstable_by_key(|index| name(*index));
        let mut neighbours = by_name.windows(2);
        match neighbours.find(|indices| name(indices[0]) == name(indices[1])) {
            Some(indices) => Err(malformed(
                name(indices[0]),
                "the parameter is given twice; give it once",
            )),
            None => Ok(Self { pairs, by_name }),
        }
    }

    /// All pairs, in the order in which they came.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The value of a name; `None` where it is not given.
    pub fn get(&self, name: &str) -> Option<&str> {
        let given = |index: &usize| self.pairs[*index].0.as_str();
        let found = self
            .by_name
            .binary_search_by(|index| given(index).cmp(name));
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
                .filter(|index: &usize| index.to_string() == *number);
            canonical.is_some_and(|index| (1..=numbers.len()).contains(&index))
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
        Parameters::new(decode(encoded.as_bytes())?)
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
        assert_eq!(good.pairs().len(), 2);
        assert!(parameters("a=1&a=1").is_err());
        let odd = parameters("&&a&b=c=d&=e&f=%zz%&").unwrap();
        assert_eq!(
            odd.pairs().to_vec(),
            [("a", ""), ("b", "c=d"), ("", "e"), ("f", "%zz%")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
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
