//! What the benches share that ask a store directly: an account, its users with their tags, and what is asked of them.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use untag::domain::{
    AccountId, Action, Origin, PrincipalName, Resource, ResourceId, TagKey, TagSelection, TagValue,
    Targets, UntagCommand,
};

/// What a harness without a recovery does with an error: it ends and says why.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub const ACCOUNT: &str = "1000000000000001";
/// How many tags each user has at first.
pub const KEYS: u64 = 20;

pub fn account() -> Outcome<AccountId> {
    AccountId::parse(ACCOUNT).map_err(|_| "an account".into())
}

/// The id of a user by its number.
pub fn id(number: u64) -> String {
    (2_000_000_000_000_000 + number).to_string()
}

pub fn resource_id(id: String) -> Outcome<ResourceId> {
    ResourceId::parse(id).map_err(|_| "an id".into())
}

pub fn name(text: String) -> Outcome<PrincipalName> {
    PrincipalName::parse(text).map_err(|_| "a name".into())
}

pub fn key(number: u64) -> Outcome<TagKey> {
    TagKey::parse(format!("k{number:02}")).map_err(|_| "a key".into())
}

pub fn value(number: u64) -> Outcome<TagValue> {
    TagValue::parse(format!("value {number}")).map_err(|_| "a value".into())
}

pub fn tags(count: u64) -> Outcome<BTreeMap<TagKey, TagValue>> {
    (0..count)
        .map(|number| Ok((key(number)?, value(number)?)))
        .collect()
}

/// A user by its number, with all tags.
pub fn user(number: u64) -> Outcome<Resource> {
    let name = name(format!("user-{number}@example.onaliyun.com"))?;
    let id = resource_id(id(number))?;
    Ok(Resource::new(account()?, id, name, tags(KEYS)?)?)
}

/// The removal of a tag of a user, both by their numbers.
pub fn untag(user: u64, tag: u64) -> Outcome<Arc<UntagCommand>> {
    Ok(Arc::new(UntagCommand {
        account: account()?,
        targets: Targets::Ids([resource_id(id(user))?].into()),
        selection: TagSelection::Keys([key(tag)?].into()),
        expected: None,
        allow_missing: false,
        validate_only: false,
    }))
}

pub fn origin(action: Action) -> Arc<Origin> {
    Arc::new(Origin::local(action, SystemTime::now().into()))
}
