//! Patterns: `*` fits any run of characters, `?` one character.

use std::str::Chars;

/// Whether upper and lower case letters of ASCII are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Matters,
    Ignored,
}

impl Case {
    pub(super) fn same_text(self, one: &str, other: &str) -> bool {
        match self {
            Self::Matters => one == other,
            Self::Ignored => one.eq_ignore_ascii_case(other),
        }
    }

    fn same(self, one: char, other: char) -> bool {
        match self {
            Self::Matters => one == other,
            Self::Ignored => one.eq_ignore_ascii_case(&other),
        }
    }
}

/// A pattern over a whole text.
#[derive(Debug)]
pub(super) struct Glob {
    pattern: Box<str>,
    /// How many bytes stand before the first wildcard. They are compared at once, which most texts fail already.
    literal: usize,
    case: Case,
}

impl Glob {
    pub(super) fn new(pattern: impl Into<Box<str>>, case: Case) -> Self {
        let pattern = pattern.into();
        Self {
            literal: pattern.find(['*', '?']).unwrap_or(pattern.len()),
            pattern,
            case,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Whether the pattern fits. Only the last `*` is ever tried again, so this takes at most the length of the pattern
    /// times that of the text, whatever they are.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (literal, pattern) = self.pattern.split_at(self.literal);
        match text.split_at_checked(self.literal) {
            Some((beginning, rest)) => {
                self.case.same_text(literal, beginning) && self.fits_rest(pattern, rest)
            }
            None => false,
        }
    }

    fn fits_rest(&self, pattern: &str, rest: &str) -> bool {
        let (mut pattern, mut rest) = (pattern.chars(), rest.chars());
        // What follows the last `*`, and the text behind its run so far.
        let mut last_run: Option<(Chars<'_>, Chars<'_>)> = None;
        loop {
            match pattern.next() {
                Some('*') => {
                    last_run = Some((pattern.clone(), rest.clone()));
                    continue;
                }
                Some(wanted) => match rest.next() {
                    Some(found) if wanted == '?' || self.case.same(wanted, found) => continue,
                    Some(_) => {}
                    // A longer run would leave less text still.
                    None => return false,
                },
                None if rest.as_str().is_empty() => return true,
                None => {}
            }
            let Some((after, behind)) = &mut last_run else {
                return false;
            };
            if behind.next().is_none() {
                return false;
            }
            (pattern, rest) = (after.clone(), behind.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        Glob::new(pattern, Case::Matters).matches(text)
    }

    #[test]
    fn stars_fit_runs_and_question_marks_single_characters() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("**", "abc"),
            ("a*c", "ac"),
            ("a*c", "abcbc"),
            ("a?c", "abc"),
            ("*?", "é"),
            ("*ab*ab", "abcabab"),
            ("spiffe://*/sa/*", "spiffe://x/ns/y/sa/z"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("?", ""),
            ("?", "ab"),
            ("a*c", "abcd"),
            ("a?c", "ac"),
            ("abc", "ABC"),
            ("[a]", "a"),
            ("a.c", "abc"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn case_can_be_ignored() {
        let glob = Glob::new("RAM:untag*", Case::Ignored);
        assert!(glob.matches("ram:UntagResources"));
        assert!(!glob.matches("ram:TagResources"));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let text = "a".repeat(5_000);
        let pattern = format!("{}b", "a*".repeat(500));
        let started = Instant::now();
        assert!(!fits(&pattern, &text));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    /// What a pattern means, written down naively: it may take exponential time.
    fn model(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', after @ ..], _) => (0..=text.len()).any(|run| model(after, &text[run..])),
            (['?', after @ ..], [_, rest @ ..]) => model(after, rest),
            ([wanted, after @ ..], [found, rest @ ..]) => wanted == found && model(after, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_naive_one(pattern in "[abé*?]{0,10}", text in "[abé]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(fits(&pattern, &text), model(&chars(&pattern), &chars(&text)));
        }
    }
}
