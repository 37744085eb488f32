//! The settings of `untag serve` in a file: TOML, with the names of the flags.

use std::path::Path;

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use super::toml_file;
use super::unknown_variables::nearest;
use super::values::boolean;

/// The flag that names the file.
pub const FLAG: &str = "--config";

/// Its name among the arguments of a subcommand.
pub const ID: &str = "config";

/// A setting of the file.
pub struct FileSetting {
    /// The flag, such as `--listen`.
    pub flag: String,
    /// The value; `None` for a switch.
    pub value: Option<String>,
}

impl FileSetting {
    /// The setting as an argument of the command line.
    pub fn argument(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={value}", self.flag),
            None => self.flag.clone(),
        }
    }
}

/// Reads the settings of a file.
///
/// # Errors
/// What is wrong with the file, and where. No value is repeated: it may be a password.
pub fn read(path: &Path, command: &Command) -> Result<Vec<FileSetting>, String> {
    let of_file = |what: String| format!("the file {} of {FLAG}: {what}", path.display());
    toml_file::read(path)
        .and_then(|table| parse(table, command))
        .map_err(of_file)
}

fn parse(table: Table, command: &Command) -> Result<Vec<FileSetting>, String> {
    let mut settings = Vec::new();
    for (name, value) in table {
        let argument = find(&name, command)?;
        settings.extend(setting(&name, argument, value)?);
    }
    Ok(settings)
}

fn find<'command>(name: &str, command: &'command Command) -> Result<&'command Arg, String> {
    let known = || {
        let arguments = command.get_arguments();
        // Those that are no settings have no variable either: --help and --version.
        arguments.filter(|argument| argument.get_env().is_some() && argument.get_id() != ID)
    };
    let found = known().find(|argument| argument.get_long() == Some(name));
    found.ok_or_else(|| {
        let names = known().filter_map(Arg::get_long);
        let meant = nearest(name, names)
            .map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
        format!("{name:?} is no setting{meant}")
    })
}

/// Makes a setting of a name and a value; `None` for a switch that is off.
fn setting(name: &str, argument: &Arg, value: Value) -> Result<Option<FileSetting>, String> {
    let flag = format!("--{name}");
    let text = match value {
        Value::String(text) => text,
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
            return Err(format!("{name} takes a text, a number, true or false"));
        }
    };
    if !matches!(argument.get_action(), ArgAction::SetTrue) {
        let value = Some(text);
        return Ok(Some(FileSetting { flag, value }));
    }
    let is_on = boolean(&text).map_err(|error| format!("{name}: {error}"))?;
    Ok(is_on.then_some(FileSetting { flag, value: None }))
}
