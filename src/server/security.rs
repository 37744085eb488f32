//! Who may call: what was configured, read from its files and followed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use super::reload::{Follower, LoadError};
use super::tls::{self, TlsFiles};
use crate::auth::{Authenticator, Authority, Demand, PolicyError, PolicySet};
use crate::service::Audit;

/// Who may call.
#[derive(Debug)]
pub struct Security {
    /// The files for TLS; without them the public port speaks none.
    pub tls: Option<TlsFiles>,
    /// What callers have to show.
    pub demand: Demand,
    /// The file that says what they may do; without it, everything.
    pub policy: Option<PathBuf>,
    /// Where changes are noted.
    pub audit: Audit,
    /// How often the files are looked at.
    pub reload_interval: Duration,
}

/// What of it requests meet.
pub struct Started {
    pub tls: Option<Arc<ArcSwap<ServerConfig>>>,
    pub authenticator: Authenticator,
    pub authority: Authority,
    pub audit: Audit,
}

impl Security {
    /// Reads the files, and follows them from now on.
    ///
    /// # Errors
    /// A file that can't be used: there is nothing safe to go on with.
    pub fn start(self) -> Result<Started, LoadError> {
        let interval = self.reload_interval;
        let certificate_required = matches!(self.demand, Demand::Certificate | Demand::Both);
        let tls = self.tls.map(|files| tls::load(files, certificate_required));
        let policies = self.policy.map(load_policy);
        Ok(Started {
            tls: tls.transpose()?.map(|tls| follow(tls, interval)),
            authenticator: Authenticator::new(self.demand),
            authority: Authority::new(
                policies
                    .transpose()?
                    .map(|policies| follow(policies, interval)),
            ),
            audit: self.audit,
        })
    }
}

fn load_policy(path: PathBuf) -> Result<Follower<PolicySet>, LoadError> {
    Follower::load("policy file", vec![path], |contents| {
        let policies = PolicySet::parse(&contents.concat())?;
        tracing::info!(has = policies.summary(), "the policy file is read");
        for warning in policies.warnings() {
            tracing::warn!(%warning, "a part of the policy file is of no use");
        }
        Ok::<_, PolicyError>(policies)
    })
}

fn follow<T: Send + Sync + 'static>(follower: Follower<T>, interval: Duration) -> Arc<ArcSwap<T>> {
    let value = follower.value();
    tokio::spawn(follower.run(interval));
    value
}
