//! Why a policy file is refused.

use serde_json::value::RawValue;
use thiserror::Error;

use super::json::beginning_of;

/// A fault of a policy file, and where it is: the position is the end of what is wrong, or the
/// beginning of a statement that is wrong as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct PolicyError {
    line: usize,
    column: usize,
    reason: String,
}

impl PolicyError {
    /// A fault behind the first `offset` bytes of the text.
    pub(super) fn behind(text: &[u8], offset: usize, reason: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let lines = before.split(|&byte| byte == b'\n');
        Self {
            column: lines.clone().next_back().map_or(0, <[u8]>::len),
            line: lines.count(),
            reason: reason.into(),
        }
    }

    /// A fault in a part of the text that was read by itself.
    pub(super) fn within(text: &str, part: &RawValue, fault: serde_json::Error) -> Self {
        let fault = Self::from(fault);
        let before = Self::behind(text.as_bytes(), beginning_of(part, text), "");
        Self {
            column: match fault.line {
                1 => before.column + fault.column,
                _ => fault.column,
            },
            line: before.line + fault.line - 1,
            reason: fault.reason,
        }
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// What is wrong.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// A fault of what begins at this line and column.
    pub(super) fn at(line: usize, column: usize, reason: String) -> Self {
        Self {
            line,
            column,
            reason,
        }
    }

    /// The column: the byte in the line, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }
}

impl From<serde_json::Error> for PolicyError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        Self {
            line,
            column,
            reason: text.strip_suffix(&place).unwrap_or(&text).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_counted_as_serde_json_counts_them() {
        let text = b"{\n  \"a\": 1 x";
        let error = serde_json::from_slice::<serde_json::Value>(text).unwrap_err();
        let ours = PolicyError::behind(text, text.len(), "");
        assert_eq!((ours.line(), ours.column()), (error.line(), error.column()));
        let shown = PolicyError::from(error).to_string();
        assert_eq!(shown, "line 2, column 10: expected `,` or `}`");
    }
}
