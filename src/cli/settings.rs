//! Where the settings of a command line come from: its flags, and the environment.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::sync::OnceLock;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, CommandFactory as _, Error, FromArgMatches as _};

use super::args::{Arguments, boolean};
use super::unknown_variables;

/// A setting that has its value from a variable.
#[derive(Debug)]
struct FromVariable {
    flag: String,
    variable: String,
    value: String,
}

/// The settings of this process that have their values from variables, for whatever error comes later.
static FROM_VARIABLES: OnceLock<Vec<FromVariable>> = OnceLock::new();

/// A command line that has been read.
pub struct Settings {
    /// The subcommand and its settings.
    pub command: super::Command,
    /// What is to be said of variables that set nothing.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads the command line and the environment of the process.
    ///
    /// # Errors
    /// What is wrong with them, or what was asked for in the place of work, such as the help.
    pub fn read() -> Result<Self, Error> {
        let arguments: Vec<OsString> = env::args_os().collect();
        let mut command = Arguments::command().mut_subcommands(|command| command.mut_args(adapt));
        let subcommand = arguments
            .get(1)
            .and_then(|name| command.find_subcommand(name));
        let set = subcommand.map_or_else(Vec::new, |command| set_by_variables(command, &arguments));
        let set = FROM_VARIABLES.get_or_init(|| set);
        let matches = command
            .try_get_matches_from_mut(&arguments)
            .map_err(|error| name_variables(error, set))?;
        let parsed = Arguments::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
        let warnings = unknown_variables::check(&mut command, &parsed.command)?;
        Ok(Self {
            command: parsed.command,
            warnings,
        })
    }
}

/// What a text about settings should say beside: for each setting in it that came from a variable, which one that is.
pub fn origins(text: &str) -> String {
    let mut origins = String::new();
    let set = FROM_VARIABLES.get().map(Vec::as_slice).unwrap_or_default();
    for setting in set.iter().filter(|setting| setting.is_named_in(text)) {
        let FromVariable { flag, variable, .. } = setting;
        let _ = write!(origins, "; {flag} comes from the variable {variable}");
    }
    origins
}

impl FromVariable {
    fn is_named_in(&self, text: &str) -> bool {
        let ends =
            |rest: &str| !rest.starts_with(|next: char| next == '-' || next.is_alphanumeric());
        let names_flag = text.split(&self.flag).skip(1).any(ends);
        // A path or an address; other values may be any word of the text.
        names_flag || (self.value.contains(['/', ':']) && text.contains(&self.value))
    }
}

/// Makes of an argument what holds for all of them: an empty variable is none, and a switch takes what people write for yes
/// and no.
fn adapt(argument: Arg) -> Arg {
    let is_empty = |name: &OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    let argument = match argument.get_env() {
        Some(name) if is_empty(name) => argument.env(None::<&str>),
        _ => argument,
    };
    match argument.get_action() {
        ArgAction::SetTrue => argument.value_parser(boolean),
        _ => argument,
    }
}

fn set_by_variables(command: &Command, arguments: &[OsString]) -> Vec<FromVariable> {
    let set = command.get_arguments().filter_map(|argument| {
        let flag = format!("--{}", argument.get_long()?);
        let variable = argument.get_env()?;
        let value = env::var_os(variable)?;
        let is_flag = |given: &OsString| {
            let given = given.to_string_lossy();
            given
                .strip_prefix(&flag)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        let is_overridden = arguments.iter().any(is_flag);
        (!is_overridden).then(|| FromVariable {
            flag,
            variable: variable.to_string_lossy().into_owned(),
            value: value.to_string_lossy().into_owned(),
        })
    });
    set.collect()
}

/// Says in an error of the command line which variables had a part in it.
fn name_variables(mut error: Error, set: &[FromVariable]) -> Error {
    let tip = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        // One of the others has asked for what is missing, or excludes another.
        (ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict, _)
            if !set.is_empty() =>
        {
            let variables: Vec<&str> = set.iter().map(|set| set.variable.as_str()).collect();
            format!(
                "of the settings, these come from variables: {}",
                variables.join(", ")
            )
        }
        (_, Some(ContextValue::String(wrong))) => {
            // Such as "--listen <ADDRESS:PORT>".
            let flag = wrong.split(' ').next().unwrap_or_default();
            let Some(set) = set.iter().find(|set| set.flag == flag) else {
                return error;
            };
            format!("the value comes from the variable {}", set.variable)
        }
        _ => return error,
    };
    error.insert(
        ContextKind::Suggested,
        ContextValue::StyledStrs(vec![tip.into()]),
    );
    error
}
