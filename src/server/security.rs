//! The settings for who may call, read from their files and followed.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use thiserror::Error;

use super::readiness::Needs;
use super::tls::{self, ClientCertificates, TlsFiles};
use crate::auth::token::{
    KeySet, KeySetError, KeySource, KeysPresence, RemoteKeys, RemoteKeysError, TokenRules,
};
use crate::auth::{
    Authenticator, Authority, Demand, FailureLimit, IneffectiveDeny, Keys, PolicyError, PolicySet,
    Tokens,
};
use crate::reload::{Follower, Hangup, LoadError};
use crate::rpc::{AccessKeyError, AccessKeys};
use crate::service::Audit;
use crate::telemetry::SECURITY;
use crate::telemetry::metrics::Reload;

/// Why nobody could be let in safely.
#[derive(Debug, Error)]
pub enum SecurityError {
    /// Files that can't be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Keys that can't be fetched.
    #[error("cannot fetch the keys for tokens: {0}")]
    Keys(#[from] RemoteKeysError),
}

/// The settings for who may call.
#[derive(Debug)]
pub struct Security {
    /// The files for TLS; without them the public port has none.
    pub tls: Option<TlsFiles>,
    /// What callers have to show.
    pub demand: Demand,
    /// The tokens that can be shown, if any can.
    pub tokens: Option<TokenIssuer>,
    /// The file that says what callers may do; without it, everything.
    pub policy: Option<PathBuf>,
    /// What is done with a policy file in which a Deny is ineffective.
    pub ineffective_deny: IneffectiveDeny,
    /// The file with the access keys of those who call in the cloud's RPC style.
    pub access_keys: Option<PathBuf>,
    /// The audit of changes.
    pub audit: Audit,
    /// How often the files are looked at.
    pub reload_interval: Duration,
}

/// The issuer whose tokens are believed.
#[derive(Debug)]
pub struct TokenIssuer {
    /// The rules that a token has to keep.
    pub rules: TokenRules,
    /// The source of the issuer's keys.
    pub keys: KeySource,
    /// The authorities that are believed when the keys are fetched; without them the system's.
    pub authorities: Option<PathBuf>,
    /// How many tokens that prove nothing a source address may show in a second.
    pub failure_rate: Option<NonZeroU32>,
}

/// The parts that are used while the service runs, with their files followed.
pub struct Started {
    pub tls: Option<Arc<ArcSwap<ServerConfig>>>,
    pub authenticator: Authenticator,
    pub authority: Authority,
    pub access_keys: Option<Arc<ArcSwap<AccessKeys>>>,
    /// The parts that readiness asks.
    pub needs: Needs,
}

impl Security {
    /// Reads the files, and follows them from now on.
    ///
    /// # Errors
    /// A file that can't be used: there is nothing safe to go on with.
    pub fn start(self) -> Result<Started, SecurityError> {
        let interval = self.reload_interval;
        let client_certificates = match self.demand {
            Demand::Certificate | Demand::Both => ClientCertificates::Required,
            Demand::Nothing | Demand::Any | Demand::Token => ClientCertificates::Optional,
        };
        let tls = self.tls.map(|files| tls::load(files, client_certificates));
        let policies = self
            .policy
            .map(|path| load_policy(path, self.ineffective_deny));
        let tokens = self.tokens.map(|issuer| issuer.start(interval));
        let (tokens, keys) = tokens.transpose()?.unzip();
        let access_keys = self.access_keys.map(load_access_keys);
        tokio::spawn(reopen_audit(self.audit.clone(), Hangup::listen()));
        Ok(Started {
            tls: tls.transpose()?.map(|tls| tls.follow(interval)),
            authenticator: Authenticator::new(self.demand, tokens),
            authority: Authority::new(
                policies
                    .transpose()?
                    .map(|policies| policies.follow(interval)),
            ),
            access_keys: access_keys.transpose()?.map(|keys| keys.follow(interval)),
            needs: Needs {
                keys: keys.flatten(),
                audit: self.audit,
            },
        })
    }
}

impl TokenIssuer {
    /// Reads or fetches the keys. Those of a URL come later, and tell whether they are here.
    fn start(self, interval: Duration) -> Result<(Tokens, Option<KeysPresence>), SecurityError> {
        let (keys, presence) = match self.keys {
            KeySource::File(path) => (Keys::File(load_keys(path)?.follow(interval)), None),
            KeySource::Url(url) => {
                let keys = RemoteKeys::start(url, self.authorities.as_deref())?;
                let presence = keys.presence();
                (Keys::Url(keys), Some(presence))
            }
        };
        let failures = self.failure_rate.map(FailureLimit::new);
        Ok((Tokens::new(self.rules, keys, failures), presence))
    }
}

/// Has the audit log opened again at each SIGHUP. The files that are followed hear of it themselves.
async fn reopen_audit(audit: Audit, mut hangup: Hangup) {
    loop {
        hangup.received().await;
        tracing::info!(target: SECURITY, "SIGHUP: reading all files again, and opening the audit log again");
        audit.reopen().await;
    }
}

fn load_keys(path: PathBuf) -> Result<Follower<KeySet>, LoadError> {
    Follower::load(Reload::Jwks, "JWKS file", vec![path], |contents| {
        let keys = KeySet::parse(&contents.concat())?;
        tracing::info!(usable = keys.usable(), "the JWKS file is read");
        for skipped in keys.skipped() {
            tracing::warn!(%skipped, "a key of the JWKS file is of no use");
        }
        Ok::<_, KeySetError>(keys)
    })
}

fn load_policy(
    path: PathBuf,
    ineffective: IneffectiveDeny,
) -> Result<Follower<PolicySet>, LoadError> {
    Follower::load(Reload::Policy, "policy file", vec![path], move |contents| {
        let policies = PolicySet::parse(&contents.concat(), ineffective)?;
        tracing::info!(has = policies.summary(), "the policy file is read");
        for warning in policies.warnings() {
            tracing::warn!(%warning, "a part of the policy file may not do what it was written for");
        }
        Ok::<_, PolicyError>(policies)
    })
}

fn load_access_keys(path: PathBuf) -> Result<Follower<AccessKeys>, LoadError> {
    Follower::load(
        Reload::AccessKeys,
        "access key file",
        vec![path],
        |contents| {
            let keys = AccessKeys::parse(&contents.concat())?;
            tracing::info!(keys = keys.count(), "the access key file is read");
            Ok::<_, AccessKeyError>(keys)
        },
    )
}
