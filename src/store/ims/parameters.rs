//! Commands as the parameters of the cloud's API.

use crate::domain::{
    Continuation, ListQuery, RESOURCE_TYPE_USER, TagCommand, TagSelection, TagValue, Targets,
};
use crate::signature::Pair;
use crate::store::{StoreError, foreign_token};

/// The parameters of `UntagResources`, on these targets.
pub fn untag(targets: &Targets, selection: &TagSelection) -> Vec<Pair> {
    let mut pairs = of_targets(targets);
    match selection {
        TagSelection::All => pairs.push(pair("All", "true")),
        TagSelection::Keys(keys) => {
            let keys = keys.iter().enumerate();
            pairs.extend(keys.map(|(at, key)| pair(&format!("TagKey.{}", at + 1), key.as_str())));
        }
    }
    pairs
}

/// The parameters of `TagResources`.
pub fn tag(command: &TagCommand) -> Vec<Pair> {
    let mut pairs = of_targets(&command.targets);
    for (at, (key, value)) in command.tags.iter().enumerate() {
        pairs.extend(of_tag(at, key.as_str(), Some(value.as_str())));
    }
    pairs
}

/// `ListTagResources`.
///
/// # Errors
/// [`StoreError::Invalid`] for a page token of another store.
pub fn list(query: &ListQuery) -> Result<Vec<Pair>, StoreError> {
    let mut pairs = match &query.targets {
        Some(targets) => of_targets(targets),
        None => vec![pair("ResourceType", RESOURCE_TYPE_USER)],
    };
    for (at, filter) in query.filters.iter().enumerate() {
        let value = filter.value.as_ref().map(TagValue::as_str);
        pairs.extend(of_tag(at, filter.key.as_str(), value));
    }
    pairs.push(pair("PageSize", &query.page_size.get().to_string()));
    match &query.after {
        None => {}
        Some(Continuation::Token(token)) => pairs.push(pair("NextToken", token)),
        Some(Continuation::Behind(_)) => return Err(foreign_token()),
    }
    Ok(pairs)
}

/// The parameters of a `ListTagResources` that only finds out whether the targets exist.
pub fn look_for(targets: &Targets) -> Vec<Pair> {
    let mut pairs = of_targets(targets);
    pairs.push(pair("PageSize", "1"));
    pairs
}

/// The parameters of a `ListTagResources` that only finds out whether the cloud answers.
pub fn probe() -> Vec<Pair> {
    vec![
        pair("ResourceType", RESOURCE_TYPE_USER),
        pair("Tag.1.Key", "untag-readiness"),
        pair("PageSize", "1"),
    ]
}

fn of_targets(targets: &Targets) -> Vec<Pair> {
    let name = match targets {
        Targets::Ids(_) => "ResourceId",
        Targets::Names(_) => "ResourcePrincipalName",
    };
    let mut pairs = vec![pair("ResourceType", RESOURCE_TYPE_USER)];
    let all = 0..targets.count();
    pairs.extend(all.map(|at| pair(&format!("{name}.{}", at + 1), targets.name_at(at))));
    pairs
}

pub fn of_tag(at: usize, key: &str, value: Option<&str>) -> impl Iterator<Item = Pair> {
    let number = at + 1;
    let key = pair(&format!("Tag.{number}.Key"), key);
    let value = value.map(|value| pair(&format!("Tag.{number}.Value"), value));
    [Some(key), value].into_iter().flatten()
}

pub fn pair(name: &str, value: &str) -> Pair {
    (name.to_owned(), value.to_owned())
}
