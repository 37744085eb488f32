//! The command line. Every flag is also an environment variable.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::changes::ChangesArguments;
use super::import::{AFTER_HELP as IMPORT_HELP, ImportArguments};
use super::ims::ImsArguments;
use super::limits::LimitArguments;
use super::security::SecurityArguments;
use super::store::StoreArguments;
use super::tags::TagsArguments;
use super::users::UsersArguments;
#[cfg(feature = "otlp")]
use super::values::collector;
use super::values::{action, address, boolean, caller, seconds};
use crate::auth::parse_time;
use crate::domain::{AccountId, Action, Caller};
use crate::telemetry::LogFormat;

/// Removes tags from Alibaba Cloud RAM users, atomically and durably, over gRPC.
#[derive(Debug, Parser)]
#[command(name = "untag", version, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service until SIGTERM or SIGINT.
    #[command(after_help = SIGNALS)]
    Serve(Box<ServeArguments>),
    /// Put users and their tags into a running service (--address), or all or none of them into the store itself, which must not be in
    /// use where it is the embedded one.
    #[command(after_help = IMPORT_HELP)]
    Import(Box<ImportArguments>),
    /// Write all users and their tags as JSON Lines, as `import` reads them. The service may be running.
    Export(ExportArguments),
    /// Bring the schema of the store up to date. With PostgreSQL, replicas of the version before go on working; an embedded
    /// store must not be in use, and `serve` does it too.
    Migrate(MigrateArguments),
    /// List, remove and set tags by a running service.
    Tags(Box<TagsArguments>),
    /// List, show, create, rename, delete and restore users by a running service.
    Users(Box<UsersArguments>),
    /// List, show, revert and watch the changes of an account by a running service.
    Changes(Box<ChangesArguments>),
    /// Check a policy file, or explain what it decides for a caller and an action.
    #[command(name = "check-policy", after_help = CHECK_POLICY_EXIT_CODES)]
    CheckPolicy(CheckPolicyArguments),
    /// Ask a running service for its health: exit code 0 when it is serving, 1 when not. For probes.
    Health(HealthArguments),
    /// Write the contract, from which clients are generated, and print the names of its files.
    #[command(after_help = PROTO_USE)]
    Proto(ProtoArguments),
    /// Print a completion script for a shell.
    Completions(CompletionsArguments),
    /// Write the manual, a page for each command, and print the names of its files.
    #[command(after_help = MAN_USE)]
    Man(ManArguments),
}

const SIGNALS: &str = "\
Signals:
  SIGTERM, SIGINT   drain, then end with exit code 0; a second one ends the service at once
  SIGHUP            read certificates, keys, policies and the JWKS again at once, and open the audit log again
  SIGUSR1, SIGUSR2  do nothing";

const PROTO_USE: &str = "\
For example: python -m grpc_tools.protoc -I DIR --python_out=. --grpc_python_out=. $(untag proto DIR)";

const MAN_USE: &str = "For example: untag man DIR, and then: man DIR/untag-serve.1";

const CHECK_POLICY_EXIT_CODES: &str = "\
Without --caller and --action the file is checked, and warnings name what may not do what it was written for.
Exit codes: 0 the file is valid, or the action is allowed; 1 denied; 2 the file or the command line is wrong, or --strict \
has an error.";

/// `untag serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Read settings from this TOML file, by the names of the flags, such as `listen = "127.0.0.1:50051"`. A flag goes before a
    /// variable, and a variable before the file.
    #[arg(long, env = "UNTAG_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Only read the settings and every file that they name, and say what is wrong. No port and no store is opened.
    #[arg(long, env = "UNTAG_CHECK")]
    pub check: bool,

    /// The address of the tag service, with health and reflection. Port 0 takes a free one, which the log names.
    #[arg(
        long,
        env = "UNTAG_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:50051",
        value_parser = address
    )]
    pub listen: SocketAddr,

    /// The address of probes, metrics and the log level, without TLS.
    #[arg(
        long,
        env = "UNTAG_ADMIN_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:50052",
        value_parser = address
    )]
    pub admin_listen: SocketAddr,

    /// The address of the same service in the cloud API's own RPC style, for programs that were written for Alibaba Cloud.
    #[arg(
        long,
        env = "UNTAG_LISTEN_RPC",
        value_name = "ADDRESS:PORT",
        value_parser = address,
        requires = "access_keys"
    )]
    pub listen_rpc: Option<SocketAddr>,

    #[command(flatten)]
    pub store: StoreArguments,

    /// The account of requests without the metadata entry x-acs-account-id: 1 to 32 digits. Without it they are refused.
    #[arg(long, env = "UNTAG_DEFAULT_ACCOUNT", value_name = "ACCOUNT_ID", value_parser = AccountId::parse)]
    pub default_account: Option<AccountId>,

    /// Put three users of account 1000000000000001 into the store at each start, and make that the default account.
    #[arg(long, env = "UNTAG_SAMPLE_DATA")]
    pub sample_data: bool,

    /// How long requests in flight get to finish after SIGTERM or SIGINT, in seconds.
    #[arg(long, env = "UNTAG_DRAIN_TIMEOUT", value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    pub drain_timeout: Duration,

    /// The longest that a request may take, in seconds. A caller's own deadline may be shorter.
    #[arg(long, env = "UNTAG_REQUEST_TIMEOUT", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub request_timeout: Duration,

    /// How many connections to open to PostgreSQL, or how many calls to make to the cloud at a time.
    #[arg(long, env = "UNTAG_STORE_CONNECTIONS", value_name = "CONNECTIONS", default_value = "8",
        value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub store_connections: u16,

    /// How many requests may wait for the store before more are refused with RESOURCE_EXHAUSTED; the embedded one counts
    /// changes and reads apart.
    #[arg(long, env = "UNTAG_QUEUE_DEPTH", value_name = "REQUESTS", default_value = "8192",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub queue_depth: u32,

    /// How much memory the index of the embedded store may take, in bytes: up to 51 for each user. Users that find no place
    /// in it are searched for on the disk. Without it: a quarter of what the process may have, by its control group or the
    /// machine.
    #[arg(long, env = "UNTAG_INDEX_MEMORY", value_name = "BYTES")]
    pub index_memory: Option<usize>,

    /// How long the store keeps changes in its history, in seconds; 0 keeps none.
    #[arg(long, env = "UNTAG_HISTORY_RETENTION", value_name = "SECONDS", default_value = "2592000",
        value_parser = clap::value_parser!(u64).range(..=315_360_000))]
    pub history_retention: u64,

    /// How many bytes the history may take before the oldest changes go.
    #[arg(
        long,
        env = "UNTAG_HISTORY_MAX_BYTES",
        value_name = "BYTES",
        default_value = "1073741824"
    )]
    pub history_max_bytes: u64,

    /// How many changes may share a commit; 1 is what the benchmark compares with.
    #[arg(long, env = "UNTAG_COMMIT_BATCH", value_name = "REQUESTS", default_value = "1024", hide = true,
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub commit_batch: u32,

    /// How log lines look: auto is text on a terminal and JSON otherwise.
    #[arg(
        long,
        env = "UNTAG_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "auto"
    )]
    pub log_format: LogFormat,

    /// What to log: error, warn, info, debug, trace, or target=level pairs with commas between them.
    #[arg(
        long,
        env = "UNTAG_LOG_LEVEL",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log_level: String,

    /// Send traces to an OpenTelemetry collector at this http or https URL, by OTLP over gRPC, such as
    /// `http://127.0.0.1:4317`. Only in builds with the feature otlp, as in the container image.
    #[cfg(feature = "otlp")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = collector)]
    pub otlp_endpoint: Option<http::Uri>,

    #[command(flatten)]
    pub security: SecurityArguments,

    #[command(flatten)]
    pub limits: LimitArguments,

    #[command(flatten)]
    pub ims: ImsArguments,
}

/// `untag export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    #[command(flatten)]
    pub store: StoreArguments,
    /// The file to write; `-` is stdout. A file that is there is replaced when the export is complete.
    #[arg(default_value = "-")]
    pub file: PathBuf,
}

/// `untag migrate`.
#[derive(Debug, Args)]
pub struct MigrateArguments {
    #[command(flatten)]
    pub store: StoreArguments,
    /// On a Citus cluster, also distribute the tables over its nodes by account, with what is in them; what is distributed
    /// already stays as it is.
    #[arg(long)]
    pub distribute: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

/// `untag check-policy`.
#[derive(Debug, Args)]
pub struct CheckPolicyArguments {
    /// The policy file.
    pub file: PathBuf,

    /// Take every warning for an error.
    #[arg(long)]
    pub strict: bool,

    /// Take a file in which a Deny can never apply because of its Resource, and warn of it.
    #[arg(long)]
    pub allow_ineffective_deny: bool,

    #[command(flatten)]
    pub attempt: Option<AttemptArguments>,
}

/// What to decide on.
#[derive(Debug, Args)]
pub struct AttemptArguments {
    /// The caller's name: `spiffe://<id>`, `dns:<name>`, `jwt:<subject>`, `key:<name>` or anonymous.
    #[arg(long, value_name = "NAME", value_parser = caller, required = false, requires = "action")]
    pub caller: Caller,

    /// The action, such as ram:UntagResources.
    #[arg(long, value_name = "ACTION", value_parser = action, required = false, requires = "caller")]
    pub action: Action,

    /// The account that the caller acts on. It may be left out when no binding names an account.
    #[arg(long, value_name = "ACCOUNT_ID", value_parser = AccountId::parse, requires = "caller")]
    pub account: Option<AccountId>,

    /// The address that the caller comes from; without it none is known.
    #[arg(long, value_name = "ADDRESS", requires = "caller")]
    pub source_ip: Option<IpAddr>,

    /// Whether the caller comes over TLS.
    #[arg(long, value_name = "BOOL", default_value = "true", action = clap::ArgAction::Set,
        value_parser = boolean, requires = "caller")]
    pub secure_transport: bool,

    /// When the caller comes, in ISO 8601, such as 2026-08-12T17:00:00+08:00; now without it.
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "caller")]
    pub time: Option<SystemTime>,
}

/// `untag health`.
#[derive(Debug, Args)]
pub struct HealthArguments {
    /// The admin address of the service.
    #[arg(
        long,
        env = "UNTAG_ADMIN_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:50052",
        value_parser = address
    )]
    pub admin_listen: SocketAddr,
    /// How long the answer may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub timeout: Duration,
}

/// `untag proto`.
#[derive(Debug, Args)]
pub struct ProtoArguments {
    /// Leave out the rules of buf.validate, and with them their import.
    #[arg(long)]
    pub plain: bool,
    /// Where to write it. Files that are there already are replaced.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// `untag completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell.
    pub shell: Shell,
}

/// `untag man`.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// Where to write it. Files that are there already are replaced.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_of_serve_is_also_a_variable_of_its_name() {
        let command = Arguments::command();
        let serve = command.find_subcommand("serve").unwrap();
        let flags = serve
            .get_arguments()
            .filter(|argument| argument.get_long() != Some("help"));
        for flag in flags.filter(|argument| argument.get_long() != Some("version")) {
            let name = flag.get_long().unwrap().to_uppercase().replace('-', "_");
            let variable = match name.as_str() {
                // OpenTelemetry's own, which operators set for all programs.
                "OTLP_ENDPOINT" => "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
                name => format!("UNTAG_{name}"),
            };
            assert_eq!(flag.get_env().unwrap().to_str(), Some(variable.as_str()));
        }
    }
}
