//! The resources that a request names.

use std::borrow::Cow;

use super::faults::{Faults, quoted};
use crate::domain::{FaultCode, PrincipalName, ResourceId, Targets, limits};
use crate::grpc::proto::list_tag_resources_request::Resources as ListResources;
use crate::grpc::proto::tag_resources_request::Resources as TagResources;
use crate::grpc::proto::untag_resources_request::Resources as UntagResources;

/// The resources that a request of any type names, as it gives them.
pub enum Named {
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

pub fn required_targets(named: Option<Named>, faults: &mut Faults) -> Option<Targets> {
    if named.is_none() {
        let description = "give resource_ids or resource_principal_names";
        faults.add(FaultCode::MissingResourceId, "resources", description);
    }
    targets(named?, faults)
}

pub fn targets(resources: Named, faults: &mut Faults) -> Option<Targets> {
    match resources {
        Named::Ids(ids) => {
            let ids = each_target(&ids, "resource_ids", faults, |id| {
                ResourceId::parse(id).map_err(|error| {
                    let description = format!("{} {error}", quoted(id));
                    (FaultCode::InvalidResourceId, description)
                })
            })?;
            Some(Targets::Ids(distinct(ids, |id| id.as_str().into())))
        }
        Named::Names(names) => {
            let names = each_target(&names, "resource_principal_names", faults, |name| {
                PrincipalName::parse(name).map_err(|error| {
                    let description = format!("{} {error}", quoted(name));
                    (FaultCode::InvalidResourcePrincipalName, description)
                })
            })?;
            Some(Targets::Names(distinct(names, |name| name.folded().into())))
        }
    }
}

/// Parses the entries of a list of resources; those past the limit are not looked at.
fn each_target<'value, T>(
    values: &'value [String],
    field: &str,
    faults: &mut Faults,
    parse: impl Fn(&'value str) -> Result<T, (FaultCode, String)>,
) -> Option<Vec<T>> {
    let count = values.len();
    if count == 0 {
        faults.add(FaultCode::MissingResourceId, field, "give 1 to 50 of them");
    }
    if count > limits::RESOURCES {
        let description = format!("{count} are too many; give at most 50 in one request");
        faults.add(FaultCode::TooManyResourceIds, field, description);
    }
    let mut parsed = Vec::with_capacity(count.min(limits::RESOURCES));
    for (index, value) in values.iter().take(limits::RESOURCES).enumerate() {
        match parse(value) {
            Ok(resource) => parsed.push(resource),
            Err((code, description)) => {
                faults.add(code, format!("{field}.values[{index}]"), description);
            }
        }
    }
    (!parsed.is_empty() && parsed.len() == count).then_some(parsed)
}

/// Each of the resources once, in the order of the request.
fn distinct<T>(resources: Vec<T>, key: impl Fn(&T) -> Cow<'_, str>) -> Vec<T> {
    if resources.len() < 2 {
        return resources;
    }
    let mut keys: Vec<(Cow<'_, str>, usize)> = resources.iter().map(key).zip(0..).collect();
    keys.sort_unstable();
    let repeated: Vec<usize> = keys
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .map(|pair| pair[1].1)
        .collect();
    if repeated.is_empty() {
        return resources;
    }
    let positions = (0..).zip(resources);
    positions
        .filter_map(|(position, resource)| (!repeated.contains(&position)).then_some(resource))
        .collect()
}
