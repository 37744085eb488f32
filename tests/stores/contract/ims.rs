//! The cloud as the store under the contract. Another `untag` is the cloud: its port for the RPC style, over the embedded
//! store. What the cloud does not tell is not compared: how many tags went, and which users are at the limit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use untag::domain::{
    AccountId, Change, ChangeKey, Changed, ChangesQuery, DeletedUsers, History, ImportCommand,
    Imported, ListQuery, Origin, Resource, RevertCommand, Reverted, Revision, TagCommand,
    TagKeyPage, TagKeysQuery, TagPage, TagValuePage, TagValuesQuery, UntagCommand, User,
    UserCommand, UserContinuation, UserListQuery, UserPage, UserQuery, UsersChanged,
};
use untag::store::ims::{ImsStore, Options};
use untag::store::{News, Store, StoreError};

use super::Backend;
use super::fixtures::{ACCOUNT, ACCOUNTS, account, id, ids, list, user};
use super::sqlite::{SqliteBackend, export};
use super::user_fixtures::{START, command, delete, user_list};
use crate::support::{Server, origin, untag};

pub struct ImsBackend {
    store: Clouds,
    directory: TempDir,
    _cloud: Server,
}

/// A store for each account, since a key is of one.
#[derive(Clone)]
pub struct Clouds(Arc<BTreeMap<String, ImsStore>>);

impl Clouds {
    fn of(&self, account: &AccountId) -> &ImsStore {
        &self.0[account.as_str()]
    }
}

impl Store for Clouds {
    async fn untag(
        &self,
        command: Arc<UntagCommand>,
        origin: Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        let changed = self
            .of(&command.account)
            .untag(Arc::clone(&command), origin)
            .await?;
        // Where nobody exists, the cloud is asked for nothing.
        assert_eq!(changed.request_id.is_some(), changed.resources > 0);
        Ok(changed)
    }

    async fn tag(
        &self,
        command: Arc<TagCommand>,
        origin: Arc<Origin>,
    ) -> Result<Changed, StoreError> {
        let store = self.of(&command.account);
        let changed = store.tag(Arc::clone(&command), origin).await?;
        assert!(changed.request_id.is_some() && changed.tags.is_none());
        Ok(changed)
    }

    async fn list(&self, query: Arc<ListQuery>) -> Result<TagPage, StoreError> {
        let page = self.of(&query.account).list(Arc::clone(&query)).await?;
        assert!(page.request_id.is_some());
        Ok(page)
    }

    async fn tag_keys(&self, query: Arc<TagKeysQuery>) -> Result<TagKeyPage, StoreError> {
        self.of(&query.account).tag_keys(Arc::clone(&query)).await
    }

    async fn tag_values(&self, query: Arc<TagValuesQuery>) -> Result<TagValuePage, StoreError> {
        self.of(&query.account).tag_values(Arc::clone(&query)).await
    }

    async fn change_users(
        &self,
        command: Arc<UserCommand>,
        origin: Arc<Origin>,
    ) -> Result<UsersChanged, StoreError> {
        let store = self.of(command.account());
        store.change_users(Arc::clone(&command), origin).await
    }

    async fn import_users(
        &self,
        command: Arc<ImportCommand>,
        origin: Arc<Origin>,
    ) -> Result<Imported, StoreError> {
        let store = self.of(command.account());
        store.import_users(Arc::clone(&command), origin).await
    }

    async fn get_user(&self, query: Arc<UserQuery>) -> Result<Option<User>, StoreError> {
        self.of(&query.account).get_user(Arc::clone(&query)).await
    }

    async fn list_users(&self, query: Arc<UserListQuery>) -> Result<UserPage, StoreError> {
        self.of(&query.account).list_users(Arc::clone(&query)).await
    }

    async fn change(
        &self,
        account: AccountId,
        key: ChangeKey,
    ) -> Result<Option<Change>, StoreError> {
        self.of(&account).change(account.clone(), key).await
    }

    async fn changes(&self, query: Arc<ChangesQuery>) -> Result<Vec<Change>, StoreError> {
        self.of(&query.account).changes(Arc::clone(&query)).await
    }

    async fn revert(
        &self,
        command: Arc<RevertCommand>,
        origin: Arc<Origin>,
    ) -> Result<Reverted, StoreError> {
        let store = self.of(&command.account);
        store.revert(Arc::clone(&command), origin).await
    }

    async fn history(&self, account: AccountId) -> Result<History, StoreError> {
        self.of(&account).history(account.clone()).await
    }

    fn listen(&self, account: &AccountId) -> News {
        self.of(account).listen(account)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.of(&account(ACCOUNT)).check().await
    }
}

/// Fills a directory by a process of its own: what this one locks, a child that another test starts holds for a moment too.
fn import(directory: &Path, resources: &[Resource]) {
    let line = |resource: &Resource| {
        let tags = resource.tags().iter();
        let tags: BTreeMap<_, _> = tags.map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let line = json!({
            "account_id": resource.account.as_str(),
            "resource_id": resource.id.as_str(),
            "principal_name": resource.principal_name.as_str(),
            "tags": tags,
        });
        format!("{line}\n")
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, resources.iter().map(line).collect::<String>()).unwrap();
    let mut command = untag();
    command.arg("import").arg("--data-dir").arg(directory);
    let output = command.arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

impl Backend for ImsBackend {
    type Store = Clouds;
    const KEEPS_USERS: bool = false;

    async fn start(resources: Vec<Resource>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        import(&data, &resources);
        let key = |account: &str| {
            json!({
                "access_key_id": format!("key-of-{account}"),
                "access_key_secret": format!("secret-of-{account}"),
            })
        };
        let known = ACCOUNTS.map(|account| {
            let mut known = key(account);
            known["account_id"] = account.into();
            known["caller"] = "untag".into();
            known
        });
        let keys = directory.path().join("keys.json");
        fs::write(&keys, json!({"access_keys": known}).to_string()).unwrap();
        let mut command = untag();
        command
            .args([
                "serve",
                "--listen-rpc",
                "127.0.0.1:0",
                "--max-caller-rate",
                "0",
            ])
            .arg("--access-keys")
            .arg(&keys)
            .arg("--data-dir")
            .arg(&data);
        let cloud = Server::spawn(command);
        let listening = cloud.wait_for_log_where("listening", |line| line["port"] == "rpc");
        let endpoint = format!("http://{}", listening["address"].as_str().unwrap());
        let stores = ACCOUNTS.map(|account| {
            let credentials = directory.path().join(format!("{account}.json"));
            fs::write(&credentials, key(account).to_string()).unwrap();
            let options = Options {
                endpoint: endpoint.parse().unwrap(),
                authorities: None,
                account: self::account(account),
                credentials: Some(credentials),
                reload_interval: Duration::from_mins(1),
                sts_endpoint: endpoint.parse().unwrap(),
                queue: 8192,
                calls: 8,
            };
            (account.to_owned(), ImsStore::open(options).unwrap())
        });
        Self {
            store: Clouds(Arc::new(stores.into())),
            directory,
            _cloud: cloud,
        }
    }

    fn store(&self) -> &Clouds {
        &self.store
    }

    async fn export(&self) -> Vec<Resource> {
        export(&self.directory.path().join("data"))
    }
}

#[tokio::test]
async fn ims_store_refuses_what_the_cloud_has_no_form_for() {
    let backend = ImsBackend::start(vec![user("1", "a@x", &[]), user("2", "b@x", &[])]).await;
    let store = backend.store();
    let both = command(ACCOUNT, START, vec![delete("1"), delete("2")]);
    let both = store.change_users(Arc::new(both), origin()).await;
    let query = ListQuery {
        revision: Revision::new(1),
        ..list(Some(ids(["1"])), &[])
    };
    // Past the wrapper, which wants the cloud's RequestId.
    let past = store.of(&query.account).list(Arc::new(query)).await;
    let refusals = [both.err(), past.err()].map(|error| match error {
        Some(StoreError::Unsupported { what }) => what,
        other => panic!("{other:?}"),
    });
    assert_eq!(
        refusals,
        [
            "change several users at once: change one after another",
            "list tags as they were: leave revision out"
        ]
    );
    // A place in a list of another store.
    let foreign = UserListQuery {
        after: Some(id("1").into()),
        ..user_list(START, DeletedUsers::Hide)
    };
    let foreign = store.list_users(Arc::new(foreign)).await;
    assert!(
        matches!(foreign, Err(StoreError::Invalid(_))),
        "{foreign:?}"
    );
    assert_eq!(backend.export().await.len(), 2);
}

#[tokio::test]
async fn sqlite_store_refuses_a_place_in_the_list_of_the_cloud() {
    let backend = SqliteBackend::start(vec![user("1", "a@x", &[])]).await;
    let foreign = UserListQuery {
        after: Some(UserContinuation::Token("u".to_owned())),
        ..user_list(START, DeletedUsers::Hide)
    };
    let foreign = backend.store().list_users(Arc::new(foreign)).await;
    assert!(
        matches!(foreign, Err(StoreError::Invalid(_))),
        "{foreign:?}"
    );
}
