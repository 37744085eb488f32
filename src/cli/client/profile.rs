//! The file of profiles: services by name, with how to call each.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::cli::toml_file;
use crate::cli::values::seconds;
use crate::client::ServerAddress;
use crate::domain::AccountId;

/// Where the file is in a home directory.
const FILE: &str = ".config/untag/client.toml";

/// A table of the file.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a profile, which begins with its [NAME]"
)]
struct Table {
    address: String,
    account: Option<String>,
    tls_ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    token_file: Option<PathBuf>,
    timeout: Option<f64>,
}

/// A service, and how to call it.
#[derive(Debug, Default)]
pub struct Profile {
    pub address: Option<ServerAddress>,
    pub account: Option<AccountId>,
    pub authorities: Option<PathBuf>,
    pub identity: Option<(PathBuf, PathBuf)>,
    pub token_file: Option<PathBuf>,
    pub timeout: Option<Duration>,
}

/// Reads a profile of the file, or of the one in the home directory.
///
/// # Errors
/// What is wrong with the file, or that it has no such profile.
pub fn read(file: Option<&Path>, name: &str) -> Result<Profile, String> {
    let path = match (file, env::home_dir()) {
        (Some(file), _) => file.to_owned(),
        (None, Some(home)) => home.join(FILE),
        (None, None) => {
            return Err(
                "there is no home directory with a file of profiles: name one with --client-config"
                    .to_owned(),
            );
        }
    };
    let of_file = |problem: String| format!("the file of profiles {}: {problem}", path.display());
    let mut tables: BTreeMap<String, Table> = toml_file::read(&path).map_err(of_file)?;
    let Some(table) = tables.remove(name) else {
        let names: Vec<String> = tables.into_keys().collect();
        return Err(of_file(format!(
            "it has no profile {name:?}; it has {}",
            match names.as_slice() {
                [] => "none".to_owned(),
                names => names.join(", "),
            }
        )));
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    profile(table, folder).map_err(|problem| of_file(format!("the profile {name:?}: {problem}")))
}

/// The profile of a table. Its files are named from the folder of the file on.
fn profile(table: Table, folder: &Path) -> Result<Profile, String> {
    let account = table.account.as_deref().map(AccountId::parse).transpose();
    let timeout = table.timeout.map(|timeout| seconds(&timeout.to_string()));
    let identity = match (table.cert, table.key) {
        (Some(cert), Some(key)) => Some((folder.join(cert), folder.join(key))),
        (None, None) => None,
        _ => return Err("cert and key go together".to_owned()),
    };
    Ok(Profile {
        address: Some(table.address.parse().map_err(|e| format!("address: {e}"))?),
        account: account.map_err(|error| format!("account {error}"))?,
        authorities: table.tls_ca.map(|file| folder.join(file)),
        identity,
        token_file: table.token_file.map(|file| folder.join(file)),
        timeout: timeout.transpose().map_err(|e| format!("timeout: {e}"))?,
    })
}
