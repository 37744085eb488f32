//! Files of settings in TOML.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::bom::without_bom;

/// Reads a file.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let contents = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let text = without_bom(&contents).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.bytes().take(start);
        let line = before.filter(|byte| *byte == b'\n').count() + 1;
        format!("line {line}: {}", error.message())
    })
}
