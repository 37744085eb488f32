//! Turns a request into a command that cannot be wrong, or into every fault that it has.

use std::collections::HashSet;
use std::hash::Hash;

use super::{page_token, proto};
use crate::domain::{
    AccountId, Fault, FaultCode, ListQuery, PageSize, PrincipalName, RESOURCE_TYPE_USER,
    ResourceId, TagCommand, TagFilter, TagKey, TagSelection, TagValue, Targets, UntagCommand,
    limits,
};
use proto::list_tag_resources_request::Resources as ListResources;
use proto::tag_resources_request::Resources as TagResources;
use proto::untag_resources_request::Resources as UntagResources;

/// The metadata entry that names the account.
pub const ACCOUNT_METADATA: &str = "x-acs-account-id";

/// How much of a value a message repeats.
const QUOTED_CHARACTERS: usize = 48;

/// The faults found so far.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, code: FaultCode, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Fault {
            code,
            field: field.into(),
            description: description.into(),
        });
    }

    /// The value, or its fault is noted.
    fn take<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }
}

/// Which resources a request names, whatever its type.
enum Named {
    Ids(Vec<String>),
    Names(Vec<String>),
}

macro_rules! named_from {
    ($($resources:ident),*) => {$(
        impl From<$resources> for Named {
            fn from(resources: $resources) -> Self {
                match resources {
                    $resources::ResourceIds(ids) => Self::Ids(ids.values),
                    $resources::ResourcePrincipalNames(names) => Self::Names(names.values),
                }
            }
        }
    )*};
}
named_from!(ListResources, TagResources, UntagResources);

/// Repeats a value of the caller's, shortened, for a message to the caller.
fn quoted(value: &str) -> String {
    match value.char_indices().nth(QUOTED_CHARACTERS) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// The account that a request names in its metadata, else the server's default.
///
/// # Errors
/// A fault where there is neither, or more than one, or no account id.
pub fn account(
    metadata: &tonic::metadata::MetadataMap,
    default: Option<&AccountId>,
) -> Result<AccountId, Fault> {
    let fault = |code, description: String| {
        Err(Fault {
            code,
            field: ACCOUNT_METADATA.to_owned(),
            description,
        })
    };
    let mut values = metadata.get_all(ACCOUNT_METADATA).iter();
    match (values.next(), values.next()) {
        (None, _) => match default {
            Some(account) => Ok(account.clone()),
            None => fault(
                FaultCode::MissingAccountId,
                "the server has no default account; name one in this metadata entry".to_owned(),
            ),
        },
        (Some(value), None) => {
            let text = String::from_utf8_lossy(value.as_bytes());
            AccountId::parse(&text).or_else(|error| {
                fault(
                    FaultCode::InvalidAccountId,
                    format!("{} {error}", quoted(&text)),
                )
            })
        }
        (Some(_), Some(_)) => fault(
            FaultCode::InvalidAccountId,
            "name exactly one account".to_owned(),
        ),
    }
}

/// Parses UntagResources.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn untag(
    request: proto::UntagResourcesRequest,
    account: Result<AccountId, Fault>,
) -> Result<UntagCommand, Vec<Fault>> {
    let proto::UntagResourcesRequest {
        resource_type,
        resources,
        tag_keys,
        all,
        allow_missing,
        validate_only,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    check_resource_type(&resource_type, &mut faults);
    let targets = required_targets(resources.map(Named::from), &mut faults);
    let selection = selection(tag_keys, all, &mut faults);
    match (account, targets, selection) {
        (Some(account), Some(targets), Some(selection)) if faults.0.is_empty() => {
            Ok(UntagCommand {
                account,
                targets,
                selection,
                allow_missing,
                validate_only,
            })
        }
        _ => Err(faults.0),
    }
}

/// Parses TagResources.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn tag(
    request: proto::TagResourcesRequest,
    account: Result<AccountId, Fault>,
) -> Result<TagCommand, Vec<Fault>> {
    let proto::TagResourcesRequest {
        resource_type,
        resources,
        tags,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    check_resource_type(&resource_type, &mut faults);
    let targets = required_targets(resources.map(Named::from), &mut faults);
    if tags.is_empty() {
        faults.add(FaultCode::MissingTags, "tags", "give 1 to 20 tags");
    }
    let mut tags = each_tag(
        tags,
        &mut faults,
        |proto::Tag { key, value }, field, faults| {
            let key = tag_key(&key, &format!("{field}.key"), faults);
            let value = tag_value(&value, &format!("{field}.value"), faults);
            key.zip(value)
        },
    );
    tags.sort_unstable();
    match (account, targets) {
        (Some(account), Some(targets)) if faults.0.is_empty() => Ok(TagCommand {
            account,
            targets,
            tags,
        }),
        _ => Err(faults.0),
    }
}

/// Parses ListTagResources.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn list(
    request: proto::ListTagResourcesRequest,
    account: Result<AccountId, Fault>,
) -> Result<ListQuery, Vec<Fault>> {
    let proto::ListTagResourcesRequest {
        resource_type,
        resources,
        tags,
        page_size,
        next_token,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    check_resource_type(&resource_type, &mut faults);
    if resources.is_none() && tags.is_empty() {
        let description = "give resource_ids, resource_principal_names or tags";
        faults.add(FaultCode::MissingResourceId, "resources", description);
    }
    let targets = resources.and_then(|named| targets(named.into(), &mut faults));
    let filters = each_tag(
        tags,
        &mut faults,
        |proto::TagFilter { key, value }, field, faults| {
            let key = tag_key(&key, &format!("{field}.key"), faults);
            let value = match value {
                Some(value) => tag_value(&value, &format!("{field}.value"), faults).map(Some),
                None => Some(None),
            };
            key.zip(value).map(|(key, value)| TagFilter { key, value })
        },
    );
    let page_size = PageSize::parse(page_size).or_else(|| {
        let description = format!("{page_size} must be 1 to 100, or 0 for 100");
        faults.add(FaultCode::InvalidPageSize, "page_size", description);
        None
    });
    let (Some(account), Some(page_size), true) = (account, page_size, faults.0.is_empty()) else {
        return Err(faults.0);
    };
    let mut query = ListQuery {
        account,
        targets,
        filters,
        page_size,
        after: None,
    };
    if !next_token.is_empty() {
        // Read last, since a token belongs to everything else that the request asks for.
        query.after = page_token::read(&next_token, &query);
        if query.after.is_none() {
            let description =
                "not the next_token of an answer to this same request; leave it empty to start";
            faults.add(FaultCode::InvalidNextToken, "next_token", description);
            return Err(faults.0);
        }
    }
    Ok(query)
}

fn check_resource_type(resource_type: &str, faults: &mut Faults) {
    if !resource_type.is_empty() && resource_type != RESOURCE_TYPE_USER {
        let description = format!(
            "{} must be \"user\", or empty for it",
            quoted(resource_type)
        );
        faults.add(FaultCode::InvalidResourceType, "resource_type", description);
    }
}

fn required_targets(named: Option<Named>, faults: &mut Faults) -> Option<Targets> {
    if named.is_none() {
        let description = "give resource_ids or resource_principal_names";
        faults.add(FaultCode::MissingResourceId, "resources", description);
    }
    targets(named?, faults)
}

fn targets(resources: Named, faults: &mut Faults) -> Option<Targets> {
    match resources {
        Named::Ids(ids) => each_target(ids, "resource_ids", faults, |id, field, faults| {
            ResourceId::parse(id.as_str()).map_err(|error| {
                let description = format!("{} {error}", quoted(&id));
                faults.add(FaultCode::InvalidResourceId, field, description);
            })
        })
        .map(|ids| Targets::Ids(distinct(ids, ResourceId::clone))),
        Named::Names(names) => each_target(
            names,
            "resource_principal_names",
            faults,
            |name, field, faults| {
                PrincipalName::parse(name.as_str()).map_err(|error| {
                    let description = format!("{} {error}", quoted(&name));
                    faults.add(FaultCode::InvalidResourcePrincipalName, field, description);
                })
            },
        )
        .map(|names| Targets::Names(distinct(names, PrincipalName::folded))),
    }
}

/// Parses the entries of a list of resources; those past the limit are not looked at.
fn each_target<T>(
    values: Vec<String>,
    field: &str,
    faults: &mut Faults,
    mut parse: impl FnMut(String, String, &mut Faults) -> Result<T, ()>,
) -> Option<Vec<T>> {
    let count = values.len();
    if count == 0 {
        faults.add(FaultCode::MissingResourceId, field, "give 1 to 50 of them");
    }
    if count > limits::RESOURCES {
        let description = format!("{count} are too many; give at most 50 in one request");
        faults.add(FaultCode::TooManyResourceIds, field, description);
    }
    let parsed: Vec<T> = values
        .into_iter()
        .take(limits::RESOURCES)
        .enumerate()
        .filter_map(|(index, value)| parse(value, format!("{field}.values[{index}]"), faults).ok())
        .collect();
    (!parsed.is_empty() && parsed.len() == count).then_some(parsed)
}

/// Each of the resources once, in the order of the request.
fn distinct<T, K: Eq + Hash>(mut resources: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    if resources.len() > 1 {
        let mut seen = HashSet::with_capacity(resources.len());
        resources.retain(|resource| seen.insert(key(resource)));
    }
    resources
}

fn selection(keys: Vec<String>, all: bool, faults: &mut Faults) -> Option<TagSelection> {
    match (keys.is_empty(), all) {
        (true, true) => Some(TagSelection::All),
        (true, false) => {
            let description = "give 1 to 20 tag_keys, or set all";
            faults.add(
                FaultCode::MissingTagKeysOrDeleteAll,
                "tag_keys",
                description,
            );
            None
        }
        (false, _) => {
            let count = keys.len();
            if count > limits::TAGS {
                let description = format!("{count} are too many; give at most 20 in one request");
                faults.add(FaultCode::TooManyTagKeys, "tag_keys", description);
            }
            let mut parsed: Vec<TagKey> = Vec::with_capacity(count.min(limits::TAGS));
            for (index, key) in keys.into_iter().take(limits::TAGS).enumerate() {
                let field = || format!("tag_keys[{index}]");
                if parsed.iter().any(|earlier| earlier.as_str() == key) {
                    duplicate_key(&key, field(), faults);
                } else if let Some(key) = tag_key(&key, &field(), faults) {
                    parsed.push(key);
                }
            }
            (parsed.len() == count).then_some(TagSelection::Keys(parsed))
        }
    }
}

/// An entry of a list of tags or filters.
trait Keyed {
    fn key(&self) -> &str;
}

impl Keyed for proto::Tag {
    fn key(&self) -> &str {
        &self.key
    }
}

impl Keyed for proto::TagFilter {
    fn key(&self) -> &str {
        &self.key
    }
}

/// Parses the entries of a list of tags or filters, whose keys must differ; those past the limit are not looked at.
fn each_tag<I: Keyed, T>(
    entries: Vec<I>,
    faults: &mut Faults,
    mut parse: impl FnMut(I, &str, &mut Faults) -> Option<T>,
) -> Vec<T> {
    let count = entries.len();
    if count > limits::TAGS {
        let description = format!("{count} are too many; give at most 20 in one request");
        faults.add(FaultCode::TooManyTags, "tags", description);
    }
    let mut keys = HashSet::with_capacity(count.min(limits::TAGS));
    let mut parsed = Vec::with_capacity(count.min(limits::TAGS));
    for (index, entry) in entries.into_iter().take(limits::TAGS).enumerate() {
        let field = format!("tags[{index}]");
        if !keys.insert(entry.key().to_owned()) {
            duplicate_key(entry.key(), format!("{field}.key"), faults);
        }
        parsed.extend(parse(entry, &field, faults));
    }
    parsed
}

fn duplicate_key(key: &str, field: String, faults: &mut Faults) {
    let description = format!("the key {} is given more than once", quoted(key));
    faults.add(FaultCode::DuplicateTagKey, field, description);
}

fn tag_key(key: &str, field: &str, faults: &mut Faults) -> Option<TagKey> {
    let parsed = TagKey::parse(key);
    if let Err(error) = parsed {
        faults.add(
            FaultCode::InvalidTagKey,
            field,
            format!("{} {error}", quoted(key)),
        );
    }
    parsed.ok()
}

/// A value is never repeated, since messages are logged and values may be private.
fn tag_value(value: &str, field: &str, faults: &mut Faults) -> Option<TagValue> {
    let parsed = TagValue::parse(value);
    if let Err(error) = parsed {
        faults.add(
            FaultCode::InvalidTagValue,
            field,
            format!("the value {error}"),
        );
    }
    parsed.ok()
}
