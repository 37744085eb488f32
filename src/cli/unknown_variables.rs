//! The check for variables that look like settings of this program, and are none.

use std::env;

use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

use super::security::HEADING;

/// The beginning of the names of all variables of the program.
const PREFIX: &str = "UNTAG_";

/// The least likeness of two names for one to be taken for the other, from 0 to 1.
const ALIKE: f64 = 0.85;

/// The words by which a name is recognised as one about who may do what.
const SECURITY_WORDS: [&str; 22] = [
    "ALLOW",
    "ANONYMOUS",
    "AUDIT",
    "AUTH",
    "CA",
    "CERT",
    "CERTIFICATE",
    "CORS",
    "CREDENTIAL",
    "DENY",
    "IDENTITY",
    "JWKS",
    "JWT",
    "KEY",
    "PASSWORD",
    "POLICY",
    "REFLECTION",
    "REQUIRE",
    "SECRET",
    "SECURITY",
    "TLS",
    "TOKEN",
];

/// Looks for variables that nobody knows, and returns the warnings about them.
///
/// # Errors
/// For `untag serve`, when one of them was meant to keep somebody out.
pub fn check(command: &mut Command, subcommand: &super::Command) -> Result<Vec<String>, Error> {
    // None of them has a setting with a variable.
    if matches!(
        subcommand,
        super::Command::CheckPolicy(_) | super::Command::Completions(_) | super::Command::Man(_)
    ) {
        return Ok(Vec::new());
    }
    let known: Vec<(String, bool)> = arguments_of(command)
        .into_iter()
        .filter_map(|argument| {
            let name = argument.get_env()?.to_str()?.to_owned();
            Some((name, is_about_security(argument)))
        })
        .collect();
    let mut warnings = Vec::new();
    for (name, value) in env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        let is_known = known.iter().any(|(known, _)| *known == name);
        if !name.starts_with(PREFIX)
            || is_known
            || value.is_empty()
            || is_service_link(&name, &value)
        {
            continue;
        }
        let own_names = known.iter().map(|(known, _)| own_name(known));
        let nearest = nearest(own_name(&name), own_names);
        let meant = nearest.map_or_else(String::new, |nearest| {
            format!("; did you mean {PREFIX}{nearest}?")
        });
        let is_nearest = |known: &str| Some(own_name(known)) == nearest;
        let is_security = has_security_word(&name)
            || known
                .iter()
                .any(|(known, is_security)| *is_security && is_nearest(known));
        if is_security && matches!(subcommand, super::Command::Serve(_)) {
            let refusal = format!(
                "the variable {name} is no setting of untag, and the service would run without what it is to \
                 set: correct its name, or unset it{meant}"
            );
            return Err(command.error(ErrorKind::UnknownArgument, refusal));
        }
        let warning = format!("the variable {name} is no setting of untag{meant}");
        warnings.push(warning);
    }
    warnings.sort();
    Ok(warnings)
}

/// The arguments of a command and of all its subcommands.
fn arguments_of(command: &Command) -> Vec<&Arg> {
    let below = command.get_subcommands().flat_map(arguments_of);
    command.get_arguments().chain(below).collect()
}

/// The name of a variable without the common beginning.
fn own_name(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn is_about_security(argument: &Arg) -> bool {
    argument.get_help_heading() == Some(HEADING)
}

fn has_security_word(name: &str) -> bool {
    let singular = |word: &str| word.strip_suffix('S').unwrap_or(word).to_owned();
    let is_one = |word: &str| {
        SECURITY_WORDS.contains(&word) || SECURITY_WORDS.contains(&singular(word).as_str())
    };
    name.split('_').any(is_one)
}

/// The name that is most like another one, if one is like it.
pub fn nearest<'known>(
    name: &str,
    known: impl IntoIterator<Item = &'known str>,
) -> Option<&'known str> {
    let alike = known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, known), known));
    let (_, nearest) = alike
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    Some(nearest)
}

/// Whether Kubernetes has set the variable, which it does for each Service: a Service may be named untag.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = |rest: &str| {
        rest.trim_start_matches('_')
            .starts_with(|c: char| c.is_ascii_digit())
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.split("_PORT").skip(1).any(is_port)
        || (name.ends_with("_PORT") && value.contains("://"))
}
