//! The flags of every subcommand that calls a service.

use std::io::{IsTerminal as _, stdout};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::output::{Output, OutputFormat};
use super::profile::{self, Profile};
use crate::cli::values::seconds;
use crate::client::{ServerAddress, Settings};
use crate::domain::AccountId;

/// Where the service is where nobody says.
const ADDRESS: &str = "127.0.0.1:50051";

/// How long a call may take where nobody says: longer than services give it by default, since their answer at its end says
/// whether the change was made.
const TIMEOUT: Duration = Duration::from_secs(35);

/// Which service to call, and as whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "The service and the caller")]
pub struct ClientArguments {
    /// The address of the service, 127.0.0.1:50051 without it. Other hosts are called by TLS, unless it begins with http://;
    /// this one is where it begins with https:// or a certificate is named.
    #[arg(
        long,
        env = "UNTAG_ADDRESS",
        value_name = "HOST:PORT",
        conflicts_with = "profile"
    )]
    address: Option<ServerAddress>,

    /// Take the address and what else it says from this profile of the file of profiles; flags go before it.
    #[arg(long, env = "UNTAG_PROFILE", value_name = "NAME")]
    profile: Option<String>,

    /// The file of profiles: TOML with a table for each service, with the names of the flags from --address to --timeout.
    /// ~/.config/untag/client.toml without it.
    #[arg(long, env = "UNTAG_CLIENT_CONFIG", value_name = "FILE")]
    client_config: Option<PathBuf>,

    /// The account to act on: 1 to 32 digits. Without it the service's default.
    #[arg(long, value_name = "ACCOUNT_ID", value_parser = AccountId::parse)]
    account: Option<AccountId>,

    /// The authorities that the service's certificate is checked with, a PEM file. Without it those of the system.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// The caller's certificate, a PEM file.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// The certificate's private key, a PEM file.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// A file with the caller's bearer token. It is read for each call.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// How long a call may take, its repetitions included, in seconds; 35 without it.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    /// The form of what is printed: a table on a terminal, and JSON Lines otherwise.
    #[arg(long, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

impl ClientArguments {
    /// Which service to call, by the flags, the variables and the profile.
    ///
    /// # Errors
    /// What is wrong with the profile.
    pub fn settings(&self) -> Result<Settings, String> {
        let profile = match &self.profile {
            Some(name) => profile::read(self.client_config.as_deref(), name)?,
            None => Profile::default(),
        };
        let identity = self.cert.clone().zip(self.key.clone());
        let address = self.address.clone().or(profile.address);
        Ok(Settings {
            address: match address {
                Some(address) => address,
                None => ADDRESS.parse()?,
            },
            account: self.account.clone().or(profile.account),
            authorities: self.tls_ca.clone().or(profile.authorities),
            identity: identity.or(profile.identity),
            token_file: self.token_file.clone().or(profile.token_file),
            timeout: self.timeout.or(profile.timeout).unwrap_or(TIMEOUT),
        })
    }

    /// Whether a service is named.
    pub fn names_service(&self) -> bool {
        self.address.is_some() || self.profile.is_some()
    }

    /// The account to act on, where one is named.
    ///
    /// # Errors
    /// What is wrong with the profile.
    pub fn account(&self) -> Result<Option<AccountId>, String> {
        Ok(self.settings()?.account)
    }

    /// Where to print, and how.
    pub fn output(&self) -> Output {
        let by_terminal = || {
            if stdout().is_terminal() {
                OutputFormat::Table
            } else {
                OutputFormat::Json
            }
        };
        Output::new(self.output.unwrap_or_else(by_terminal))
    }
}
