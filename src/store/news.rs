//! The news of an account: when it may have been changed.

use std::time::Duration;

use tokio::sync::watch;

/// What there is to know when the news of an account is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The account has been changed.
    Change,
    /// The account may have been changed: the store is not told, and it is time to ask it.
    Perhaps,
}

/// The news of one account.
#[derive(Debug)]
pub struct News(Source);

#[derive(Debug)]
enum Source {
    /// Each commit tells.
    Told(watch::Receiver<()>),
    /// The store is asked so often.
    Asked(Duration),
    /// The store does not know.
    Never,
}

impl News {
    /// News that each commit tells of.
    pub(super) fn told(receiver: watch::Receiver<()>) -> Self {
        Self(Source::Told(receiver))
    }

    /// News that the store has to be asked for, so often.
    pub(super) fn asked(interval: Duration) -> Self {
        Self(Source::Asked(interval))
    }

    /// The news of a store that keeps no change log: none ever.
    pub(super) fn never() -> Self {
        Self(Source::Never)
    }

    /// Waits for news since the last time. A change that was made since then is not missed.
    pub async fn wait(&mut self) -> Heard {
        match &mut self.0 {
            Source::Told(receiver) => match receiver.changed().await {
                Ok(()) => Heard::Change,
                // The store has stopped, and has no news any more.
                Err(_) => std::future::pending().await,
            },
            Source::Asked(interval) => {
                tokio::time::sleep(*interval).await;
                Heard::Perhaps
            }
            Source::Never => std::future::pending().await,
        }
    }
}
