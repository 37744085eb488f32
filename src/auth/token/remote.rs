//! The keys behind a URL, kept fresh in the background.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rand::Rng as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::claims::Verified;
use super::error::TokenError;
use super::fetch::{Fetched, Fetcher, RemoteKeysError};
use super::key_set::KeySet;
use super::source::JwksUrl;
use crate::reload::Hangup;
use crate::telemetry::metrics::{Reload, metrics};

/// The times at which keys are fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// How long keys are used before they are fetched again. A shorter `max-age` counts, a longer one does not: a key that
    /// the issuer withdraws is to be refused soon.
    pub(super) refresh: Duration,
    /// The least time between two fetches that tokens with unknown keys cause.
    pub(super) unknown_key: Duration,
    /// The pause after the first failed fetch. It doubles with each failure, up to the longest.
    pub(super) first_retry: Duration,
    pub(super) longest_retry: Duration,
    /// How long one fetch may take.
    pub(super) timeout: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            refresh: Duration::from_mins(5),
            unknown_key: Duration::from_secs(30),
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
        }
    }
}

/// The keys behind a URL. They are fetched at the start, every five minutes, at SIGHUP, and at once when a token names a
/// key that is not among them, at most once in 30 seconds. When a fetch fails the old ones stay. Fetching ends when this is
/// dropped.
pub struct RemoteKeys {
    url: JwksUrl,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// Whether the first keys behind a URL are here.
#[derive(Clone)]
pub struct KeysPresence {
    url: JwksUrl,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    keys: ArcSwapOption<KeySet>,
    /// Why the last fetch brought no keys.
    problem: ArcSwapOption<String>,
    unknown_key: Notify,
}

impl RemoteKeys {
    /// Begins to fetch keys, and does not wait for the first answer. Trusts the certificate authorities in the file alone, or
    /// those of the system where there is none.
    ///
    /// # Errors
    ///
    /// If there are no certificate authorities.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(url: JwksUrl, authorities: Option<&Path>) -> Result<Self, RemoteKeysError> {
        Self::start_with(url, authorities, Schedule::default())
    }

    pub(super) fn start_with(
        url: JwksUrl,
        authorities: Option<&Path>,
        schedule: Schedule,
    ) -> Result<Self, RemoteKeysError> {
        let fetcher = Fetcher::new(url.clone(), authorities, schedule.timeout)?;
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(keep_fresh(fetcher, Arc::clone(&shared), schedule));
        Ok(Self { url, shared, task })
    }

    /// A handle that tells later whether the first keys are here.
    #[must_use]
    pub fn presence(&self) -> KeysPresence {
        KeysPresence {
            url: self.url.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// The keys of the last fetch that brought any.
    #[must_use]
    pub fn current(&self) -> Option<Arc<KeySet>> {
        self.shared.keys.load_full()
    }

    /// Verifies a token with the current keys, by this function. When it says that the token names an unknown key, the keys
    /// are fetched in the background: no request waits for the issuer.
    ///
    /// # Errors
    ///
    /// If the token proves nothing, or there are [no keys yet](TokenError::NoKeys).
    pub fn verify_by(
        &self,
        verify: impl FnOnce(&KeySet) -> Result<Verified, TokenError>,
    ) -> Result<Verified, TokenError> {
        let keys = self.shared.keys.load();
        let keys = keys.as_deref().ok_or(TokenError::NoKeys)?;
        let result = verify(keys);
        if let Err(TokenError::UnknownKey(_)) = result {
            // However often this is called, one permit is kept, and one fetch comes of it.
            self.shared.unknown_key.notify_one();
        }
        result
    }
}

impl Drop for RemoteKeys {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RemoteKeys")
            .field("keys", &self.current())
            .finish_non_exhaustive()
    }
}

impl KeysPresence {
    /// Why there are no keys yet; `None` once there are some, which stay in use when later fetches fail.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        if self.shared.keys.load().is_some() {
            return None;
        }
        let what = format!(
            "the keys that tokens are signed with have not been fetched yet from {}",
            self.url
        );
        Some(match &*self.shared.problem.load() {
            None => what,
            Some(problem) => format!("{what}: {problem}"),
        })
    }
}

impl fmt::Debug for KeysPresence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeysPresence")
            .field("missing", &self.missing())
            .finish_non_exhaustive()
    }
}

async fn keep_fresh(fetcher: Fetcher, shared: Arc<Shared>, schedule: Schedule) {
    let mut hangup = Hangup::listen();
    let mut failures = 0;
    let mut next_for_unknown_key = Instant::now();
    loop {
        let pause = match fetcher.fetch().await {
            Ok(answer) => {
                let pause = schedule.after_success(answer.fresh_for);
                if shared.accept(answer, fetcher.url(), failures) {
                    metrics().server.reloaded(Reload::Jwks, true);
                }
                failures = 0;
                pause
            }
            Err(error) => {
                let pause = schedule.after_failures(failures);
                failures += 1;
                metrics().server.reloaded(Reload::Jwks, false);
                shared.problem.store(Some(Arc::new(error.to_string())));
                let (url, have_keys) = (fetcher.url(), shared.keys.load().is_some());
                warn!(%url, %error, failures, have_keys, ?pause, "cannot fetch the JWKS; will try again");
                pause
            }
        };
        let due = Instant::now() + pause;
        tokio::select! {
            () = sleep_until(due) => {}
            () = hangup.received() => {}
            () = shared.wait_for_unknown_key(next_for_unknown_key) => {
                next_for_unknown_key = Instant::now() + schedule.unknown_key;
            }
        }
    }
}

impl Shared {
    /// Takes fetched keys, and returns whether they differ from those before.
    fn accept(&self, answer: Fetched, url: &JwksUrl, failures: u32) -> bool {
        let keys = answer.keys;
        let old = self.keys.load();
        if old
            .as_ref()
            .is_some_and(|old| old.fingerprint() == keys.fingerprint())
        {
            if failures > 0 {
                info!(%url, failures, "the JWKS can be fetched again");
            }
            return false;
        }
        info!(%url, usable = keys.usable(), skipped = keys.skipped().len(), "read new keys for tokens");
        for skipped in keys.skipped() {
            warn!(%url, "no token is verified with a key of the JWKS: {skipped}");
        }
        self.keys.store(Some(Arc::new(keys)));
        true
    }

    async fn wait_for_unknown_key(&self, not_before: Instant) {
        sleep_until(not_before).await;
        self.unknown_key.notified().await;
    }
}

impl Schedule {
    /// The pause after a fetch that brought keys: a little shorter by chance, so that replicas do not fetch all at once.
    fn after_success(self, fresh_for: Option<Duration>) -> Duration {
        let shortest = self.longest_retry.min(self.refresh);
        let pause = fresh_for.map_or(self.refresh, |fresh| fresh.clamp(shortest, self.refresh));
        pause.mul_f64(rand::rng().random_range(0.9..=1.0))
    }

    fn after_failures(self, before: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(before);
        self.first_retry
            .saturating_mul(doubled)
            .min(self.longest_retry)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Schedule;

    #[test]
    fn pauses_stay_in_their_limits() {
        let schedule = Schedule::default();
        let seconds = |fresh: Option<u64>| {
            let pause = schedule.after_success(fresh.map(Duration::from_secs));
            pause.as_secs_f64()
        };
        for (fresh, longest) in [
            (None, 300.0),
            (Some(0), 60.0),
            (Some(120), 120.0),
            (Some(u64::MAX), 300.0),
        ] {
            let pause = seconds(fresh);
            assert!(
                (longest * 0.9..=longest).contains(&pause),
                "{fresh:?}: {pause}"
            );
        }
        let retries =
            [0, 1, 5, 6, 40, u32::MAX].map(|count| schedule.after_failures(count).as_secs());
        assert_eq!(retries, [1, 2, 32, 60, 60, 60]);
    }
}
