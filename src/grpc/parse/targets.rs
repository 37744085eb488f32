//! The resources that a request names.

use std::collections::HashSet;
use std::hash::Hash;

use super::faults::{Faults, quoted};
use crate::domain::{FaultCode, PrincipalName, ResourceId, Targets, limits};
use crate::grpc::proto::list_tag_resources_request::Resources as ListResources;
use crate::grpc::proto::tag_resources_request::Resources as TagResources;
use crate::grpc::proto::untag_resources_request::Resources as UntagResources;

/// Which resources a request names, whatever its type.
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
