//! The faults of a request, collected while it is parsed.

use std::fmt::Display;

use crate::domain::{Fault, FaultCode};

/// The most characters of a value that a message repeats.
const QUOTED_CHARACTERS: usize = 48;

/// The faults found so far.
#[derive(Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub fn add(
        &mut self,
        code: FaultCode,
        field: impl Into<String>,
        description: impl Into<String>,
    ) {
        self.0.push(Fault {
            code,
            field: field.into(),
            description: description.into(),
        });
    }

    /// The value of a result; its fault is added to the others.
    pub fn take<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }

    /// What a text was parsed to; the fault of a wrong one repeats it.
    pub fn parsed<T>(
        &mut self,
        parsed: Result<T, impl Display>,
        text: &str,
        code: FaultCode,
        field: &str,
    ) -> Option<T> {
        if let Err(error) = &parsed {
            self.add(code, field, format!("{} {error}", quoted(text)));
        }
        parsed.ok()
    }
}

/// Repeats a value of the caller's, shortened, for a message to the caller.
pub fn quoted(value: &str) -> String {
    match value.char_indices().nth(QUOTED_CHARACTERS) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}
