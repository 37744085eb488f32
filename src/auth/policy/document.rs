//! RAM policy documents: statements under a name.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::PolicyError;
use super::json::{beginning_of, values};
use super::statement::Statement;

/// A document under its name.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) statements: Vec<NumberedStatement>,
}

/// A statement and its position in the file.
#[derive(Debug)]
pub(super) struct NumberedStatement {
    /// The number of the statement in the document, from 1.
    pub(super) number: usize,
    /// The line of the file, and the byte in the line, where the statement begins, from 1.
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) statement: Statement,
}

/// A document as JSON has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Document<'a> {
    #[serde(rename = "Version")]
    _version: Version,
    /// The statements as they stand in the text: what one may say depends on what it is about.
    #[serde(borrow)]
    statement: &'a RawValue,
}

impl Document<'_> {
    /// Reads the statements of the document, which is a part of the text.
    pub(super) fn read(self, name: String, text: &str) -> Result<Policy, PolicyError> {
        let found = values(self.statement)?;
        if found.is_empty() {
            let end = beginning_of(self.statement, text) + self.statement.get().len();
            let reason = "the Statement is empty; give at least one statement";
            return Err(PolicyError::behind(text.as_bytes(), end, reason));
        }
        let statements = (1..).zip(found).map(|(number, value)| {
            let begins = beginning_of(value, text) + 1;
            let position = PolicyError::behind(text.as_bytes(), begins, "");
            Ok(NumberedStatement {
                number,
                line: position.line(),
                column: position.column(),
                statement: Statement::read(value, text)?,
            })
        });
        Ok(Policy {
            name,
            statements: statements.collect::<Result<_, PolicyError>>()?,
        })
    }
}

/// The only version of the language: `"1"`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Version;

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "1" => Ok(Self),
            _ => Err(format!("the Version {text:?} is not known; write \"1\"")),
        }
    }
}
