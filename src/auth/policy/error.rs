//! Why a policy file is refused.

use thiserror::Error;

/// What is wrong with a policy file, and where: the place is the end of what is wrong.
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

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The byte in the line, from 1.
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
    fn places_are_counted_as_serde_json_counts_them() {
        let text = b"{\n  \"a\": 1 x";
        let error = serde_json::from_slice::<serde_json::Value>(text).unwrap_err();
        let ours = PolicyError::behind(text, text.len(), "");
        assert_eq!((ours.line(), ours.column()), (error.line(), error.column()));
        let shown = PolicyError::from(error).to_string();
        assert_eq!(shown, "line 2, column 10: expected `,` or `}`");
    }
}
