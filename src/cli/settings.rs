//! The settings of a subcommand: from its flags, then the environment, then a file.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Write as _};
use std::path::PathBuf;
use std::sync::OnceLock;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, CommandFactory as _, Error, FromArgMatches as _};

use super::args::Arguments;
use super::values::boolean;
use super::{config_file, import, unknown_variables};

/// A setting whose value does not come from the command line.
#[derive(Debug)]
struct Origin {
    flag: String,
    value: String,
    source: Source,
}

/// The source of a value.
#[derive(Debug)]
enum Source {
    Variable(String),
    File(PathBuf),
}

impl Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(formatter, "the variable {name}"),
            Self::File(path) => write!(formatter, "the file {}", path.display()),
        }
    }
}

/// The settings of this process whose values do not come from the command line, to be named by later errors.
static ORIGINS: OnceLock<Vec<Origin>> = OnceLock::new();

/// A command line that has been read.
pub struct Settings {
    /// The subcommand and its settings.
    pub command: super::Command,
    /// The warnings about variables that set nothing.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads the command line, the environment of the process, and the file that one of them names.
    ///
    /// # Errors
    /// What is wrong with them, or what was asked for instead of work, such as the help.
    pub fn read() -> Result<Self, Error> {
        let mut arguments: Vec<OsString> = env::args_os().collect();
        let command = Arguments::command().mut_subcommand("import", import::named_by_flags);
        let mut command = adapt_all(command);
        let origins = add_settings(named(&command, &arguments), &mut arguments)
            .map_err(|error| command.error(ErrorKind::Io, error))?;
        let origins = ORIGINS.get_or_init(|| origins);
        let matches = command
            .try_get_matches_from_mut(&arguments)
            .map_err(|error| add_tips(error, origins, &arguments))?;
        let parsed = Arguments::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
        let warnings = unknown_variables::check(&mut command, &parsed.command)?;
        Ok(Self {
            command: parsed.command,
            warnings,
        })
    }
}

/// The end of a message about settings, which says where those that it names come from.
pub fn origins(text: &str) -> String {
    let mut origins = String::new();
    let all = ORIGINS.get().map(Vec::as_slice).unwrap_or_default();
    for Origin { flag, source, .. } in all.iter().filter(|setting| setting.is_named_in(text)) {
        let _ = write!(origins, "; {flag} comes from {source}");
    }
    origins
}

impl Origin {
    fn is_named_in(&self, text: &str) -> bool {
        let ends =
            |rest: &str| !rest.starts_with(|next: char| next == '-' || next.is_alphanumeric());
        let names_flag = text.split(&self.flag).skip(1).any(ends);
        // A path or an address; other values may be any word of the text.
        names_flag || (self.value.contains(['/', ':']) && text.contains(&self.value))
    }
}

/// The subcommand that the arguments name, which may be one of another, such as `tags list`.
fn named<'command>(command: &'command Command, arguments: &[OsString]) -> &'command Command {
    let names = arguments.iter().skip(1);
    let found = names.scan(command, |command, name| {
        *command = command.find_subcommand(name)?;
        Some(*command)
    });
    found.last().unwrap_or(command)
}

fn adapt_all(command: Command) -> Command {
    command.mut_args(adapt).mut_subcommands(adapt_all)
}

/// Adapts an argument to the rules for all of them: an empty variable is none, and a switch takes what people write for yes
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

/// Adds the file's settings to the arguments, and returns the origins of settings that were not among them.
fn add_settings(command: &Command, arguments: &mut Vec<OsString>) -> Result<Vec<Origin>, String> {
    let mut origins = set_by_variables(command, arguments);
    let takes_file = command
        .get_arguments()
        .any(|argument| argument.get_id() == config_file::ID);
    let Some(path) = config_path(arguments, &origins).filter(|_| takes_file) else {
        return Ok(origins);
    };
    for setting in config_file::read(&path, command)? {
        let is_set = origins.iter().any(|origin| origin.flag == setting.flag);
        if is_set || given(&setting.flag, arguments).is_some() {
            continue;
        }
        // Behind the subcommand.
        arguments.insert(2, setting.argument().into());
        origins.push(Origin {
            flag: setting.flag,
            value: setting.value.unwrap_or_default(),
            source: Source::File(path.clone()),
        });
    }
    Ok(origins)
}

fn set_by_variables(command: &Command, arguments: &[OsString]) -> Vec<Origin> {
    let set = command.get_arguments().filter_map(|argument| {
        let flag = format!("--{}", argument.get_long()?);
        let variable = argument.get_env()?;
        let value = env::var_os(variable)?;
        given(&flag, arguments).is_none().then(|| Origin {
            flag,
            value: value.to_string_lossy().into_owned(),
            source: Source::Variable(variable.to_string_lossy().into_owned()),
        })
    });
    set.collect()
}

/// The path of the file with settings, if one is named.
fn config_path(arguments: &[OsString], origins: &[Origin]) -> Option<PathBuf> {
    given(config_file::FLAG, arguments).map_or_else(
        || {
            let origin = origins
                .iter()
                .find(|origin| origin.flag == config_file::FLAG);
            origin.map(|origin| PathBuf::from(&origin.value))
        },
        |path| Some(path.into()),
    )
}

/// The value of a flag of the command line: behind `=`, or the next argument; empty where there is none.
fn given(flag: &str, arguments: &[OsString]) -> Option<OsString> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.to_str().and_then(|text| text.strip_prefix(flag)) {
            Some("") => return Some(rest.next().cloned().unwrap_or_default()),
            Some(value) if value.starts_with('=') => return Some(value[1..].into()),
            _ => {}
        }
    }
    None
}

/// Adds to an error of the command line what may help whoever has typed it.
fn add_tips(mut error: Error, origins: &[Origin], arguments: &[OsString]) -> Error {
    let tips = [
        tip_of_origins(&error, origins),
        tip_of_key(&error, arguments),
    ];
    let tips: Vec<_> = tips.into_iter().flatten().map(Into::into).collect();
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// Where the settings come from that had a part in an error.
fn tip_of_origins(error: &Error, origins: &[Origin]) -> Option<String> {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        // One of the others has asked for what is missing, or excludes another.
        (ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict, _)
            if !origins.is_empty() =>
        {
            let of = |origin: &Origin| format!("{} comes from {}", origin.flag, origin.source);
            let origins: Vec<String> = origins.iter().map(of).collect();
            Some(origins.join(", "))
        }
        (_, Some(ContextValue::String(wrong))) => {
            // Such as "--listen <ADDRESS:PORT>".
            let flag = wrong.split(' ').next().unwrap_or_default();
            let origin = origins.iter().find(|origin| origin.flag == flag)?;
            Some(format!("the value comes from {}", origin.source))
        }
        _ => None,
    }
}

/// How a tag is named: tags have keys, and so have certificates.
fn tip_of_key(error: &Error, arguments: &[OsString]) -> Option<String> {
    let command = arguments.get(1..3)?;
    let is_missing = error.kind() == ErrorKind::MissingRequiredArgument;
    if command[0] != "tags" || !is_missing || given("--key", arguments).is_none() {
        return None;
    }
    let way = if command[1] == "set" {
        "write a tag as KEY=VALUE"
    } else {
        "name a tag with --tag KEY"
    };
    Some(format!(
        "--key is for a client certificate, beside --cert; {way}"
    ))
}
