//! Collects what is wrong with a request.

use crate::domain::{Fault, FaultCode};

/// How much of a value a message repeats.
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

    /// The value, or its fault is noted.
    pub fn take<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }
}

/// Repeats a value of the caller's, shortened, for a message to the caller.
pub fn quoted(value: &str) -> String {
    match value.char_indices().nth(QUOTED_CHARACTERS) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}
