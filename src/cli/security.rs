//! The flags for who may call.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::seconds;
use crate::auth::token::{KeySource, TokenRules};
use crate::auth::{Demand, IneffectiveDeny};
use crate::grpc::{Origins, parse_origin};
use crate::server::{Security, TlsFiles, TokenIssuer};
use crate::service::Audit;
use crate::telemetry::{LineFile, OnFailure};

/// The heading of the flags in the help.
pub const HEADING: &str = "Who may call";

/// The file of the audit beside the embedded store, where no other is given.
const AUDIT_FILE: &str = "audit.jsonl";

/// Who may call `untag serve`.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct SecurityArguments {
    /// The certificate of the tag service and those above it, a PEM file. With it the service speaks TLS 1.2 and 1.3.
    #[arg(
        long,
        env = "UNTAG_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, a PEM file.
    #[arg(
        long,
        env = "UNTAG_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,

    /// The authorities that sign the certificates of callers, a PEM file. A caller is then known by the SPIFFE ID of its
    /// certificate, or its first DNS name.
    #[arg(
        long,
        env = "UNTAG_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    client_ca: Option<PathBuf>,

    /// The keys that callers' bearer tokens are signed with: a JWKS file, or an https:// URL of one.
    #[arg(long, env = "UNTAG_JWKS", value_name = "FILE|URL", requires_all = ["jwt_issuer", "jwt_audience"])]
    jwks: Option<KeySource>,

    /// The issuer that tokens must name: their claim `iss`.
    #[arg(
        long,
        env = "UNTAG_JWT_ISSUER",
        value_name = "ISSUER",
        requires = "jwks"
    )]
    jwt_issuer: Option<String>,

    /// The audience that tokens must name: in their claim `aud`.
    #[arg(
        long,
        env = "UNTAG_JWT_AUDIENCE",
        value_name = "AUDIENCE",
        requires = "jwks"
    )]
    jwt_audience: Option<String>,

    /// The authorities that the URL's certificate is checked with, a PEM file. Without it: the system's.
    #[arg(long, env = "UNTAG_JWKS_CA", value_name = "FILE", requires = "jwks")]
    jwks_ca: Option<PathBuf>,

    /// The access keys of those who call at --listen-rpc, a JSON file.
    #[arg(
        long,
        env = "UNTAG_ACCESS_KEYS",
        value_name = "FILE",
        requires = "listen_rpc"
    )]
    access_keys: Option<PathBuf>,

    /// What callers have to show: any of what the service can check (--client-ca, --jwks), a certificate, a token, or both.
    #[arg(
        long,
        env = "UNTAG_REQUIRE_IDENTITY",
        value_name = "WHAT",
        default_value = "any"
    )]
    require_identity: Identity,

    /// What callers may do: a file of RAM policies, see `untag check-policy`. Without it, whoever may call may do all.
    #[arg(long, env = "UNTAG_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Take a policy file in which a Deny can never apply because of its Resource, and warn of it.
    #[arg(long, env = "UNTAG_ALLOW_INEFFECTIVE_DENY", requires = "policy")]
    allow_ineffective_deny: bool,

    /// Write a line of JSON for each change, allowed or denied, to this file; `-` is stdout, and `none` is no audit. The file is
    /// opened again when it was renamed or removed. Without it: with the embedded store `audit.jsonl` in --data-dir, of which 8 files
    /// of 64 MiB are kept; with another store none.
    #[arg(long, env = "UNTAG_AUDIT_LOG", value_name = "FILE")]
    audit_log: Option<PathBuf>,

    /// Refuse changes whose lines in the audit are not sure: while none can be written, once 16 MiB of the change log wait; with
    /// `--store ims` at once. Without it changes go on, and lost lines are counted.
    #[arg(long, env = "UNTAG_AUDIT_REQUIRED")]
    audit_required: bool,

    /// How often certificates, keys, the policy and the JWKS file are looked at for changes, in seconds.
    #[arg(long, env = "UNTAG_RELOAD_INTERVAL", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub reload_interval: Duration,

    /// Do not tell callers the contract by server reflection.
    #[arg(long, env = "UNTAG_NO_REFLECTION")]
    pub no_reflection: bool,

    /// Let web pages of this origin call, such as `https://console.example.com`. Give it again, or with commas between them, for several.
    /// Without it no page may, also where the service listens on loopback.
    #[arg(long, env = "UNTAG_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',', value_parser = parse_origin)]
    cors_origin: Vec<String>,

    /// Serve whoever can connect, on an address other than loopback, with no authentication.
    #[arg(long, env = "UNTAG_ALLOW_ANONYMOUS")]
    pub allow_anonymous: bool,
}

/// What callers have to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Identity {
    Any,
    Certificate,
    Token,
    Both,
}

impl SecurityArguments {
    /// The settings of the server for who may call; `failure_rate` is how many tokens that prove nothing an address may
    /// show in a second.
    ///
    /// # Errors
    /// For an issuer or an audience that no token could name.
    pub fn security(
        self,
        demand: Demand,
        audit: Audit,
        failure_rate: Option<NonZeroU32>,
    ) -> Result<Security, String> {
        Ok(Security {
            tls: self.tls(),
            demand,
            tokens: self.tokens(failure_rate)?,
            ineffective_deny: ineffective_deny(self.allow_ineffective_deny),
            policy: self.policy,
            access_keys: self.access_keys,
            audit,
            reload_interval: self.reload_interval,
        })
    }

    /// The origins of the web pages that may call.
    pub fn origins(&self) -> Origins {
        Origins::of(self.cors_origin.clone())
    }

    /// Whether tokens would cross the network in plain text.
    pub fn has_tokens_without_tls(&self) -> bool {
        self.jwks.is_some() && self.tls_cert.is_none()
    }

    fn tls(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            certificate: self.tls_cert.clone()?,
            key: self.tls_key.clone()?,
            client_ca: self.client_ca.clone(),
        })
    }

    fn tokens(&self, failure_rate: Option<NonZeroU32>) -> Result<Option<TokenIssuer>, String> {
        let Some(keys) = &self.jwks else {
            return Ok(None);
        };
        let issuer = self.jwt_issuer.as_deref().unwrap_or_default();
        let audience = self.jwt_audience.as_deref().unwrap_or_default();
        let rules = TokenRules::new(issuer, audience).map_err(|error| error.to_string())?;
        Ok(Some(TokenIssuer {
            rules,
            keys: keys.clone(),
            authorities: self.jwks_ca.clone(),
            failure_rate,
        }))
    }

    /// Where the lines of the audit go; `None` where there is none. `data_dir` is the directory of the embedded store, where that is used.
    ///
    /// # Errors
    /// An audit that is required, and is none.
    pub fn audit_file(&self, data_dir: Option<&Path>) -> Result<Option<LineFile>, String> {
        let file = match (&self.audit_log, data_dir) {
            (Some(path), _) if path == Path::new("none") => None,
            (Some(path), _) if path == Path::new("-") => Some(LineFile::Stdout),
            (Some(path), _) => Some(LineFile::Followed(path.clone())),
            (None, Some(directory)) => Some(LineFile::Rotated(directory.join(AUDIT_FILE))),
            (None, None) => None,
        };
        if self.audit_required && file.is_none() {
            return Err(
                "--audit-required demands an audit, and there is none; give a file with --audit-log"
                    .to_owned(),
            );
        }
        Ok(file)
    }

    /// What becomes of lines that can't be written.
    pub fn on_audit_failure(&self) -> OnFailure {
        if self.audit_required {
            OnFailure::Keep
        } else {
            OnFailure::Lose
        }
    }

    /// What callers have to show.
    ///
    /// # Errors
    /// When the service could not check it.
    pub fn demand(&self) -> Result<Demand, String> {
        let (certificates, tokens) = (self.client_ca.is_some(), self.jwks.is_some());
        let lacking = |what: &str, flag: &str| {
            Err(format!(
                "--require-identity demands a {what}, which can't be checked; give {flag}"
            ))
        };
        match self.require_identity {
            Identity::Any if certificates && tokens => Ok(Demand::Any),
            Identity::Any if certificates => Ok(Demand::Certificate),
            Identity::Any if tokens => Ok(Demand::Token),
            Identity::Any => Ok(Demand::Nothing),
            Identity::Certificate | Identity::Both if !certificates => {
                lacking("certificate", "--client-ca")
            }
            Identity::Token | Identity::Both if !tokens => lacking("token", "--jwks"),
            Identity::Certificate => Ok(Demand::Certificate),
            Identity::Token => Ok(Demand::Token),
            Identity::Both => Ok(Demand::Both),
        }
    }
}

/// The treatment that the switch `--allow-ineffective-deny` asks for.
pub fn ineffective_deny(is_allowed: bool) -> IneffectiveDeny {
    if is_allowed {
        IneffectiveDeny::Allowed
    } else {
        IneffectiveDeny::Refused
    }
}
