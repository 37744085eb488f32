//! The cloud itself as the store: the service stands in front of Alibaba Cloud's IMS API (2019-08-15).
//!
//! What the cloud does not promise, this store can't: whether a refused change has changed some of its users, how many tags
//! went, and in which order a list comes (docs/ims.md).

mod answer;
mod circuit;
mod client;
mod cloud_user;
mod credentials;
mod error;
mod parameters;
mod upstream;
mod users;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use thiserror::Error;

pub use credentials::{CredentialsError, Sts};

use crate::domain::{
    AccountId, Applied, Change, ChangeKey, Changed, ChangesQuery, Continuation, Fault, FaultCode,
    History, ImportCommand, Imported, ListQuery, Operation, Origin, RevertCommand, Reverted,
    TagCommand, TagKeyPage, TagKeysQuery, TagPage, TagValuePage, TagValuesQuery, Targets,
    UntagCommand, User, UserCommand, UserListQuery, UserPage, UserQuery, UsersChanged,
};
use crate::https::ClientError;
use crate::store::{News, Store, StoreError};
use answer::Answer;
use client::Client;
use credentials::Provider;
use error::Failure;
use upstream::Upstream;

/// The options of the store: how the cloud is reached.
#[derive(Debug)]
pub struct Options {
    /// The endpoint of the API.
    pub endpoint: Url,
    /// The authorities that the endpoint and STS are trusted by, a PEM file; without it the system's.
    pub authorities: Option<PathBuf>,
    /// The account that the credentials belong to.
    pub account: AccountId,
    /// The file with the credentials; without it they are in the environment.
    pub credentials: Option<PathBuf>,
    /// How often the file with the credentials is looked at.
    pub reload_interval: Duration,
    /// The endpoint that gives the keys of roles.
    pub sts_endpoint: Url,
    /// How many requests may be at the cloud or wait for it.
    pub queue: usize,
    /// How many calls may be under way at once.
    pub calls: usize,
}

/// Why the store could not be opened: for the person who starts it.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The service has no credentials in the cloud.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The client of the API can't be set up.
    #[error("cannot use the cloud API: {0}")]
    Client(#[from] ClientError),
}

/// A handle to the cloud.
#[derive(Debug, Clone)]
pub struct ImsStore {
    upstream: Arc<Upstream>,
    account: AccountId,
}

impl ImsStore {
    /// Opens the store without asking the cloud: one that is out of reach makes the service not ready, and does not end it.
    ///
    /// # Errors
    /// [`OpenError`] with what is wrong and what to do.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let sts = Sts {
            endpoint: options.sts_endpoint,
            authorities: options.authorities.clone(),
        };
        let file = options.credentials.as_deref();
        let credentials = Provider::start(file, options.reload_interval, &sts)?;
        let authorities = options.authorities.as_deref();
        let client = Client::new(options.endpoint, authorities, credentials)?;
        Ok(Self {
            upstream: Arc::new(Upstream::new(client, options.queue, options.calls)),
            account: options.account,
        })
    }

    /// Refuses another account than that of the credentials: the cloud acts on it, whatever a request says.
    fn check_account(&self, account: &AccountId) -> Result<(), StoreError> {
        if *account == self.account {
            return Ok(());
        }
        Err(StoreError::Invalid(Fault {
            code: FaultCode::InvalidAccountId,
            field: "x-acs-account-id".to_owned(),
            description: format!(
                "{account} is another account than {}, which this service stands in front of",
                self.account
            ),
        }))
    }

    /// The failure in the contract's words. Where users do not exist, it names them all, as far as they can be found out.
    async fn explain(&self, failure: Failure, changes: bool, targets: &Targets) -> StoreError {
        let missing = if failure.is_missing() {
            self.missing(targets).await.unwrap_or_default()
        } else {
            Vec::new()
        };
        failure.into_store_error(changes, Some(targets), &missing)
    }

    /// The positions of the users that do not exist, of whom there is at least one; `None` when that can't be found out in
    /// time.
    async fn missing(&self, targets: &Targets) -> Option<Vec<usize>> {
        let found = tokio::time::timeout(upstream::patience(), self.search(targets)).await;
        found.ok().flatten().filter(|found| !found.is_empty())
    }

    /// Looks for users that do not exist by halves, since the cloud does not name them: the fewer there are, the fewer
    /// calls it takes.
    async fn search(&self, targets: &Targets) -> Option<Vec<usize>> {
        let halves = |all: &[usize]| {
            let (left, right) = all.split_at(all.len() / 2);
            [right.to_vec(), left.to_vec()]
        };
        let all: Vec<usize> = (0..targets.count()).collect();
        if let [only] = all[..] {
            return Some(vec![only]);
        }
        let mut missing = Vec::new();
        let mut parts = halves(&all).to_vec();
        while let Some(part) = parts.pop() {
            let parameters = parameters::look_for(&targets.at(&part));
            match self
                .upstream
                .ask(Operation::ListTagResources, parameters)
                .await
            {
                Ok(_) => {}
                Err(failure) if !failure.is_missing() => return None,
                Err(_) if part.len() == 1 => missing.extend(part),
                Err(_) => parts.extend(halves(&part)),
            }
        }
        Some(missing)
    }

    /// Carries out an untag, or what stands for it where it only validates, on these targets.
    async fn untag_of(&self, command: &UntagCommand, targets: &Targets) -> Result<Answer, Failure> {
        if command.validate_only {
            let parameters = parameters::look_for(targets);
            return self
                .upstream
                .ask(Operation::ListTagResources, parameters)
                .await;
        }
        let parameters = parameters::untag(targets, &command.selection);
        self.upstream
            .ask(Operation::UntagResources, parameters)
            .await
    }
}

/// The cloud keeps no changes.
const NO_HISTORY: StoreError = StoreError::Unsupported {
    what: "tell what was changed: the cloud keeps no log of that",
};

/// The cloud counts tags at its Tag service alone, which is another API.
const NO_COUNTS: StoreError = StoreError::Unsupported {
    what: "list tag keys and values: the cloud has them at its Tag service, and not where this server calls it",
};

/// Refuses a client token: the cloud remembers no answers, and nobody is to rely on that.
fn refuse_token(origin: &Origin) -> Result<(), StoreError> {
    match origin.repeat {
        None => Ok(()),
        Some(_) => Err(StoreError::Unsupported {
            what: "take a client_token: leave it out",
        }),
    }
}

fn changed(resources: usize, answer: &Answer) -> Changed {
    Changed {
        resources,
        request_id: answer.request_id(),
        ..Changed::default()
    }
}

impl Store for ImsStore {
    async fn untag(
        &self,
        command: Arc<UntagCommand>,
        origin: Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        refuse_token(&origin)?;
        if command.expected.is_some() {
            return Err(StoreError::Unsupported {
                what: "compare values: leave expected_values out",
            });
        }
        self.check_account(&command.account)?;
        let (targets, changes) = (&command.targets, !command.validate_only);
        let failure = match self.untag_of(&command, targets).await {
            Ok(answer) => return Ok(changed(targets.count(), &answer)),
            Err(failure) => failure,
        };
        if !command.allow_missing || !failure.is_missing() {
            return Err(self.explain(failure, changes, targets).await);
        }
        // The cloud can't skip users, so it is asked for the others.
        let Some(missing) = self.missing(targets).await else {
            return Err(failure.into_store_error(changes, Some(targets), &[]));
        };
        let all = 0..targets.count();
        let others: Vec<usize> = all.filter(|position| !missing.contains(position)).collect();
        if others.is_empty() {
            return Ok(Changed::count(0, 0));
        }
        let others = targets.at(&others);
        match self.untag_of(&command, &others).await {
            Ok(answer) => Ok(changed(others.count(), &answer)),
            Err(failure) => Err(failure.into_store_error(changes, Some(&others), &[])),
        }
    }

    async fn tag(
        &self,
        command: Arc<TagCommand>,
        origin: Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        refuse_token(&origin)?;
        self.check_account(&command.account)?;
        let parameters = parameters::tag(&command);
        match self.upstream.ask(Operation::TagResources, parameters).await {
            Ok(answer) => Ok(changed(command.targets.count(), &answer)),
            Err(failure) => Err(self.explain(failure, true, &command.targets).await),
        }
    }

    async fn list(&self, query: Arc<ListQuery>) -> Result<TagPage, StoreError> {
        if query.revision.is_some() {
            return Err(StoreError::Unsupported {
                what: "list tags as they were: leave revision out",
            });
        }
        self.check_account(&query.account)?;
        let parameters = parameters::list(&query)?;
        let answer = self
            .upstream
            .ask(Operation::ListTagResources, parameters)
            .await;
        let answer = match (answer, &query.targets) {
            (Ok(answer), _) => answer,
            (Err(failure), Some(targets)) => {
                return Err(self.explain(failure, false, targets).await);
            }
            (Err(failure), None) => return Err(failure.into_store_error(false, None, &[])),
        };
        let token = answer.next_token().map(str::to_owned);
        Ok(TagPage {
            next: token.map(Continuation::Token),
            request_id: answer.request_id(),
            tags: answer.tags(),
        })
    }

    async fn tag_keys(&self, _query: Arc<TagKeysQuery>) -> Result<TagKeyPage, StoreError> {
        Err(NO_COUNTS)
    }

    async fn tag_values(&self, _query: Arc<TagValuesQuery>) -> Result<TagValuePage, StoreError> {
        Err(NO_COUNTS)
    }

    async fn change_users(
        &self,
        command: Arc<UserCommand>,
        origin: Arc<Origin>,
    ) -> Result<UsersChanged, StoreError> {
        refuse_token(&origin)?;
        self.change_user(&command).await
    }

    async fn import_users(
        &self,
        _command: Arc<ImportCommand>,
        _origin: Arc<Origin>,
    ) -> Result<Imported, StoreError> {
        Err(StoreError::Unsupported {
            what: "import users",
        })
    }

    async fn get_user(&self, query: Arc<UserQuery>) -> Result<Option<User>, StoreError> {
        self.user(&query).await
    }

    async fn list_users(&self, query: Arc<UserListQuery>) -> Result<UserPage, StoreError> {
        self.users(&query).await
    }

    async fn change(
        &self,
        _account: AccountId,
        _key: ChangeKey,
    ) -> Result<Option<Change>, StoreError> {
        Err(NO_HISTORY)
    }

    async fn changes(&self, _query: Arc<ChangesQuery>) -> Result<Vec<Change>, StoreError> {
        Err(NO_HISTORY)
    }

    async fn revert(
        &self,
        _command: Arc<RevertCommand>,
        _origin: Arc<Origin>,
    ) -> Result<Reverted, StoreError> {
        Err(NO_HISTORY)
    }

    async fn history(&self, _account: AccountId) -> Result<History, StoreError> {
        Err(NO_HISTORY)
    }

    fn listen(&self, _account: &AccountId) -> News {
        News::never()
    }

    async fn check(&self) -> Result<(), StoreError> {
        match self.upstream.problem().await {
            None => Ok(()),
            Some(reason) => Err(StoreError::Unavailable {
                reason,
                applied: Applied::No,
                source: None,
            }),
        }
    }
}
