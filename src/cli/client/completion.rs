//! What a shell completes by asking the service: the keys and the values of tags that users carry.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::{Arg, CommandFactory as _, Parser};
use clap_complete::{ArgValueCompleter, CompletionCandidate};
use tokio::time::timeout;

use super::ClientArguments;
use crate::cli::process;
use crate::client::{Connection, Counts, count_keys, count_values};
use crate::domain::TagKey;

/// How long somebody waits who has pressed Tab. What takes longer completes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Completes a key.
pub fn keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| candidates(typed, &ask(None), String::clone))
}

/// Completes a key, and behind a `=` its value.
pub fn keys_or_tags() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| match key_of(typed) {
        Some(key) => values(typed, &key),
        None => candidates(typed, &ask(None), String::clone),
    })
}

/// Completes a key with the `=` behind it, and then its value.
pub fn tags() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| match key_of(typed) {
        Some(key) => values(typed, &key),
        // It may become a user; bash also takes what follows a = for a word of its own.
        None if typed.is_empty() => Vec::new(),
        None => candidates(typed, &ask(None), |key| format!("{key}=")),
    })
}

/// The key that stands before a `=`.
fn key_of(typed: &OsStr) -> Option<TagKey> {
    let (key, _) = typed.to_str()?.split_once('=')?;
    TagKey::parse(key).ok()
}

fn values(typed: &OsStr, key: &TagKey) -> Vec<CompletionCandidate> {
    candidates(typed, &ask(Some(key)), |value| {
        format!("{}={value}", key.as_str())
    })
}

/// Those that begin with what is typed, each with how many users have it.
fn candidates(
    typed: &OsStr,
    counts: &Counts,
    shown: impl Fn(&String) -> String,
) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let all = counts.iter().map(|(name, users)| (shown(name), users));
    all.filter(|(name, _)| name.starts_with(&*typed))
        .map(|(name, users)| {
            let help = format!("{users} {}", if *users == 1 { "user" } else { "users" });
            CompletionCandidate::new(name).help(Some(help.into()))
        })
        .collect()
}

/// The flags that say which service to ask.
#[derive(Debug, Parser)]
#[command(ignore_errors = true, no_binary_name = true)]
struct Typed {
    #[command(flatten)]
    client: ClientArguments,
}

impl Typed {
    /// Takes the flags with their values out of a line that is not whole yet.
    fn among(mut words: impl Iterator<Item = OsString>) -> clap::error::Result<Self> {
        let command = Self::command();
        let flags: Vec<&str> = command.get_arguments().filter_map(Arg::get_long).collect();
        let mut of_client = Vec::new();
        while let Some(word) = words.next() {
            let flag = word.to_str().and_then(|word| word.strip_prefix("--"));
            let name = flag.map(|flag| flag.split_once('=').map_or(flag, |(name, _)| name));
            if name.is_some_and(|name| flags.contains(&name)) {
                // Each of them takes a value.
                let value = if flag == name { words.next() } else { None };
                of_client.push(word);
                of_client.extend(value);
            }
        }
        Self::try_parse_from(of_client)
    }
}

/// The keys, or the values of a key, that the users of the account carry. None where the service can't be asked: a message
/// would break the line that somebody types.
fn ask(key: Option<&TagKey>) -> Counts {
    // The script of the shell calls the program with `--` and the words.
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let answer = async {
        let typed = Typed::among(words).ok()?;
        let settings = typed.client.settings().ok()?;
        let connection = Connection::open(&settings).await.ok()?;
        let counts = match key {
            None => count_keys(&connection).await,
            Some(key) => count_values(&connection, key).await,
        };
        counts.ok()
    };
    let Ok(runtime) = process::runtime() else {
        return Counts::new();
    };
    let answer = runtime.block_on(async { timeout(PATIENCE, answer).await });
    answer.ok().flatten().unwrap_or_default()
}
